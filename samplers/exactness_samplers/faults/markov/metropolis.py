"""Faults of Metropolis kernels: the ratio, the coin, what is remembered of the past, and the noise of an estimate."""

from __future__ import annotations

import math

from ..base import Array, Backend
from .base import row
from .targets import ESTIMATE_SD, ESTIMATED, GAMMA, LINE, MIXTURE, log_estimate

SMALL, LARGE = 0.05, 0.5
"""Step sizes of the Langevin proposals."""


@row(
    "hastings-ratio-missing", "The proposal is pulled towards the origin, and the ratio of the proposals is left out.",
    MIXTURE, (2, 1), falls_by=800,
    seen=("TuringLang/JuliaBUGS.jl#531", "scalanlp/breeze#614"),
)  # fmt: skip
def hastings_ratio_missing(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    proposal = 0.8 * x + 0.6 * noise.normals
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])


@row(
    "jacobian-forgotten", "The walk is on the logarithm, and the Jacobian is left out.", GAMMA, (1, 1), falls_by=1600,
    seen=("dealii/code-gallery#64",),
)  # fmt: skip
def jacobian_forgotten(of: Backend, x: Array, noise: Array) -> Array:
    density = GAMMA.log_density(of)
    proposal = x * of.xp.exp(0.5 * noise.normals)
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])


@row(
    "threshold-sign", "The log-ratio is compared with plus an exponential variable, so downhill moves are never accepted.",
    MIXTURE, (2, 1), falls_by=565, seen=("lollcat/fab-jax#14",),
)  # fmt: skip
def threshold_sign(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    proposal = x + 0.7 * noise.normals
    # A coin of 1/u is above 1.
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), 1.0 / noise.uniforms[:, 0])


@row("accepts-always", "The ratio is computed and not used.", MIXTURE, (2, 1), falls_by=200, seen=("Joseph94m/MCMC#3",))
def accepts_always(of: Backend, x: Array, noise: Array) -> Array:
    return of.kernels.always(x + 0.7 * noise.normals)


@row(
    "annealing-left-on", "The ratio is raised to the power .8, where an annealing schedule stopped.", MIXTURE, (2, 1),
    falls_by=9050,
)  # fmt: skip
def annealing_left_on(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    return of.markov.random_walk(lambda at: 0.8 * density(at), x, noise, 0.7)


@row(
    "only-accepted-states", "A rejected proposal is replaced by another until one is accepted, so no state is repeated.",
    MIXTURE, (16, 8), falls_by=12800,
)  # fmt: skip
def only_accepted_states(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    move = of.kernels.Move(x, x[:, 0] != x[:, 0], x)
    for k in range(8):
        proposal = x + noise.normals[:, 2 * k : 2 * k + 2]
        again = of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, k])
        move = of.markov.where(move.accepted, move, again)
    return move


@row(
    "stale-density", "The density of the state is not updated when a proposal is accepted; five steps.",
    MIXTURE, (10, 5), falls_by=4525, seen=("improbable-research/keanu#33",),
)  # fmt: skip
def stale_density(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    kept, move = density(x), of.kernels.always(x)
    for k in range(5):
        proposal = move.state + 0.7 * noise.normals[:, 2 * k : 2 * k + 2]
        move = of.markov.metropolis(move.state, proposal, density(proposal) - kept, noise.uniforms[:, k])
    return move


@row(
    "adaptation-left-on", "Every chain adapts its own step from its acceptances; twenty steps.", MIXTURE, (40, 20),
    falls_by=25600, seen=("Roberts & Rosenthal 2007, on what adaptation must satisfy",),
)  # fmt: skip
def adaptation_left_on(of: Backend, x: Array, noise: Array) -> Array:
    density, xp = MIXTURE.log_density(of), of.xp
    move, log_step = of.kernels.always(x), xp.zeros_like(x[:, 0])
    for k in range(20):
        at = move.state
        proposal = at + xp.exp(log_step)[:, None] * noise.normals[:, 2 * k : 2 * k + 2]
        move = of.markov.metropolis(at, proposal, density(proposal) - density(at), noise.uniforms[:, k])
        log_step = xp.where(move.accepted, log_step + 0.5, log_step - 0.4)
    return move


def _symmetric_mala(of: Backend, x: Array, noise: Array, step: float) -> Array:
    density = MIXTURE.log_density(of)
    proposal = of.markov.ula(density, x, noise, step).state
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])


@row(
    "mala-symmetric-ratio", "A Langevin proposal is judged as if it were symmetric; large step.", MIXTURE, (2, 1), falls_by=800,
)  # fmt: skip
def mala_symmetric_ratio(of: Backend, x: Array, noise: Array) -> Array:
    return _symmetric_mala(of, x, noise, LARGE)


@row(
    "mala-symmetric-ratio-small", "A Langevin proposal is judged as if it were symmetric; small step.", MIXTURE, (2, 1),
    falls_by=1600,
)  # fmt: skip
def mala_symmetric_ratio_small(of: Backend, x: Array, noise: Array) -> Array:
    return _symmetric_mala(of, x, noise, SMALL)


@row(
    "ula-for-mala", "The Metropolis step of MALA is missing; small step.", MIXTURE, (2, 1), seen_by="transition", falls_by=6400,
    seen=("Ciela-Institute/caustics#388",),
)  # fmt: skip
def ula_for_mala(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.ula(MIXTURE.log_density(of), x, noise, SMALL)


@row(
    "ula-for-mala-large", "The Metropolis step of MALA is missing; large step.", MIXTURE, (2, 1), falls_by=1131,
    seen=("Ciela-Institute/caustics#388",),
)  # fmt: skip
def ula_for_mala_large(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.ula(MIXTURE.log_density(of), x, noise, LARGE)


@row(
    "langevin-noise-not-doubled", "The noise of a Langevin step is that of half its step size, judged as if it were right.",
    MIXTURE, (2, 1), falls_by=800,
)  # fmt: skip
def langevin_noise_not_doubled(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.mala(MIXTURE.log_density(of), x, noise._replace(normals=noise.normals / math.sqrt(2.0)), LARGE)


@row(
    "estimate-drawn-anew", "The estimate of the density at the state is drawn anew in each step.", ESTIMATED, (3, 1),
    falls_by=400, seen=("Andrieu & Roberts 2009 call it Monte Carlo within Metropolis",),
)  # fmt: skip
def estimate_drawn_anew(of: Backend, state: Array, noise: Array) -> Array:
    estimate = log_estimate(of)
    again = of.xp.concat([state[:, :1], estimate(state[:, :1], noise.normals[:, 2:])[:, None]], axis=1)
    return of.markov.pseudo_marginal(estimate, again, noise._replace(normals=noise.normals[:, :2]), 1.0)


@row(
    "estimate-of-the-logarithm", "The logarithm is estimated without bias, and not the density.", ESTIMATED, (2, 1), falls_by=3200,
)  # fmt: skip
def estimate_of_the_logarithm(of: Backend, state: Array, noise: Array) -> Array:
    biased = lambda x, normals: log_estimate(of)(x, normals) + 0.5 * ESTIMATE_SD**2  # noqa: E731
    return of.markov.pseudo_marginal(biased, state, noise, 1.0)


@row(
    "cut-at-the-ends", "Proposals outside of [-2, 2] are moved to the nearest end, as if the walk were still symmetric.",
    LINE, (1, 1), falls_by=1131,
)  # fmt: skip
def cut_at_the_ends(of: Backend, x: Array, noise: Array) -> Array:
    density = LINE.log_density(of)
    proposal = of.xp.clip(x + 1.5 * noise.normals, -2.0, 2.0)
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])
