"""Faults of slice kernels: the level, the bracket, and what the likelihood is."""

from __future__ import annotations

import math

from ..base import Array, Backend
from .base import row
from .targets import LINE, POSTERIOR, PRIOR_MEAN, log_likelihood, log_prior

TRIES = 16


@row(
    "slice-level-not-exponential", "The level is the log-density minus a uniform, and not minus an exponential variable.",
    LINE, (0, 3 + TRIES), falls_by=565, seen=("Julia-Tempering/Pigeons.jl#62",),
)  # fmt: skip
def slice_level_not_exponential(of: Backend, x: Array, noise: Array) -> Array:
    u = noise.uniforms
    levels = of.xp.concat([of.xp.exp(-u[:, :1]), u[:, 1:]], axis=1)
    return of.slices.coordinate_slice(LINE.log_density(of), x, noise._replace(uniforms=levels), 1.0, 6, TRIES)


@row(
    "slice-bracket-to-the-right", "The bracket is [x - u w, x + w], so its right end does not move with its left one.",
    LINE, (0, 2 + TRIES), falls_by=400, seen=("pymc-devs/pymc#5816",),
)  # fmt: skip
def slice_bracket_to_the_right(of: Backend, x: Array, noise: Array) -> Array:
    u = noise.uniforms
    return _slice(of, x, x[:, 0] - 3.0 * u[:, 1], x[:, 0] + 3.0, noise)


@row(
    "slice-bracket-centred", "The bracket is centred at the state, and does not step out.", LINE, (0, 2 + TRIES), falls_by=9050,
)  # fmt: skip
def slice_bracket_centred(of: Backend, x: Array, noise: Array) -> Array:
    """Without shrinkage it would be right: the first point is a symmetric proposal."""
    return _slice(of, x, x[:, 0] - 2.0, x[:, 0] + 2.0, noise)


@row(
    "slice-judged-again", "A point of the slice is accepted with the Metropolis ratio, though it needs none.", LINE,
    (0, 4 + TRIES), falls_by=565, seen=("probcomp/Venturecxx#448",),
)  # fmt: skip
def slice_judged_again(of: Backend, x: Array, noise: Array) -> Array:
    density = LINE.log_density(of)
    proposal = of.slices.coordinate_slice(density, x, noise._replace(uniforms=noise.uniforms[:, 1:]), 1.0, 6, TRIES).state
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])


@row(
    "ellipse-prior-not-centred", "The ellipse is drawn around 0, and the mean of the prior is another.", POSTERIOR, (2, 25),
    falls_by=565, seen=("STOR-i/GaussianProcesses.jl#139",),
)  # fmt: skip
def ellipse_prior_not_centred(of: Backend, x: Array, noise: Array) -> Array:
    return of.slices.elliptical_slice(log_likelihood, x, noise, 0.0)


@row(
    "ellipse-joint-for-likelihood", "The slice is one of the joint density, so the prior counts twice.", POSTERIOR, (2, 25),
    falls_by=1131, seen=("STOR-i/GaussianProcesses.jl#180",),
)  # fmt: skip
def ellipse_joint_for_likelihood(of: Backend, x: Array, noise: Array) -> Array:
    return of.slices.elliptical_slice(lambda at: log_likelihood(at) + log_prior(at), x, noise, PRIOR_MEAN)


@row(
    "ellipse-bracket-from-zero", "The bracket of the angle is [0, 2 pi], with the state at its end, and shrinks from above only.",
    POSTERIOR, (2, 25), falls_by=9050,
)  # fmt: skip
def ellipse_bracket_from_zero(of: Backend, x: Array, noise: Array) -> Array:
    xp, u = of.xp, noise.uniforms
    level = log_likelihood(x) + xp.log(u[:, 0])
    here, high = x - PRIOR_MEAN, 2.0 * math.pi + 0.0 * u[:, 0]
    state, found = x, level != level
    for k in range(24):
        angle = high * u[:, 1 + k]
        turned = xp.astype(angle, x.dtype)[:, None]
        point = PRIOR_MEAN + xp.cos(turned) * here + xp.sin(turned) * noise.normals
        hit = ~found & (log_likelihood(point) > level)
        state, found, high = xp.where(hit[:, None], point, state), found | hit, angle
    return of.kernels.Move(state, found, state)


def _slice(of: Backend, x: Array, low: Array, high: Array, noise: Array) -> Array:
    """Shrink this bracket (n,) around states (n, 1), without stepping out."""
    xp, u, density = of.xp, noise.uniforms, LINE.log_density(of)
    level = density(x) + xp.log(u[:, 0])
    state, found = x, level != level
    for k in range(TRIES):
        point = xp.astype(low + (high - low) * u[:, 2 + k], x.dtype)[:, None]
        hit = ~found & (density(point) > level)
        below = point[:, 0] < x[:, 0]
        state, found = xp.where(hit[:, None], point, state), found | hit
        low, high = xp.where(below, point[:, 0], low), xp.where(below, high, point[:, 0])
    return of.kernels.Move(state, found, state)
