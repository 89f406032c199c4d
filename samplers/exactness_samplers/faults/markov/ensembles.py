"""Faults of kernels with several copies of a state: tempering and stretch moves."""

from __future__ import annotations

from typing import Any

from ..base import Array, Backend
from .base import row
from .targets import BETAS, ENSEMBLE, LINE, MIXTURE, TEMPERED, WALKERS

STEP = 0.8


def _tempered(of: Backend, x: Array, noise: Array, swap: Any) -> Array:
    """The walks of the replicas, and then this ``swap(state, uniforms)``."""
    walked = of.tempering.within(LINE.log_density(of), x, noise._replace(uniforms=noise.uniforms[:, 2:]), BETAS, STEP)
    return swap(walked, noise.uniforms[:, :2])


@row(
    "swap-inverted", "A swap of two replicas is accepted with the inverse of its ratio.", TEMPERED, (3, 5), seen_by="partner",
    reversible=False, falls_by=1600, seen=("synesenom/ran#830",),
)  # fmt: skip
def swap_inverted(of: Backend, x: Array, noise: Array) -> Array:
    inverse = tuple(-beta for beta in BETAS)
    return _tempered(of, x, noise, lambda state, u: of.tempering.swap(LINE.log_density(of), state, u, inverse))


@row(
    "swap-without-temperatures", "A swap is accepted by the difference of the log-densities, whatever the temperatures.",
    TEMPERED, (3, 5), seen_by="partner", reversible=False, falls_by=18101,
)  # fmt: skip
def swap_without_temperatures(of: Backend, x: Array, noise: Array) -> Array:
    equal_steps = tuple(float(-k) for k in range(len(BETAS)))
    return _tempered(of, x, noise, lambda state, u: of.tempering.swap(LINE.log_density(of), state, u, equal_steps))


@row(
    "swap-tempered-twice", "The log-densities of a swap were tempered before, and are tempered once more.", TEMPERED, (3, 5),
    seen_by="partner", reversible=False, falls_by=4525, seen=("kazewong/flowMC#227",),
)  # fmt: skip
def swap_tempered_twice(of: Backend, x: Array, noise: Array) -> Array:
    density, xp = LINE.log_density(of), of.xp

    def swap(state: Array, u: Array) -> Array:
        low = (u[:, 0] < 0.5)[:, None]
        order = xp.where(low, state[:, 1:2], state[:, :1]), xp.where(low, state[:, :1], state[:, 2:])
        proposal = xp.concat([*order, xp.where(low, state[:, 2:], state[:, 1:2])], axis=1)
        heights = [beta * density(state[:, k : k + 1]) for k, beta in enumerate(BETAS)]
        ratios = [(BETAS[k] - BETAS[k + 1]) * (heights[k + 1] - heights[k]) for k in range(2)]
        return of.markov.metropolis(state, _first_if(of, low, proposal, state), xp.where(low[:, 0], *ratios), u[:, 1])

    return _tempered(of, x, noise, swap)


def _first_if(of: Backend, low: Array, swapped: Array, state: Array) -> Array:
    """States (n, 3) with the pair (0, 1) exchanged where ``low``, and else the pair (1, 2)."""
    xp = of.xp
    other = xp.concat([state[:, :1], state[:, 2:], state[:, 1:2]], axis=1)
    return xp.where(low, swapped, other)


@row(
    "swap-copies", "A swap gives both replicas the same state.", TEMPERED, (3, 5), seen_by="partner", reversible=False,
    falls_by=800, seen=("nanograv/QuickCW#14", "nanograv/PTMCMCSampler#58"),
)  # fmt: skip
def swap_copies(of: Backend, x: Array, noise: Array) -> Array:
    def swap(state: Array, u: Array) -> Array:
        move = of.tempering.swap(LINE.log_density(of), state, u, BETAS)
        # The replica with the smallest power keeps the state that it gave away.
        return move._replace(state=of.xp.concat([move.state[:, :2], state[:, 2:]], axis=1))

    return _tempered(of, x, noise, swap)


@row(
    "stretch-exponent-of-walkers", "The exponent of the stretch is the number of walkers less one, and not the dimension's.",
    ENSEMBLE, (0, 4), falls_by=1600, seen=("pints-team/pints#1325",),
)  # fmt: skip
def stretch_exponent_of_walkers(of: Backend, x: Array, noise: Array) -> Array:
    return _stretch(of, x, noise, WALKERS - 1, swapped=False)


@row(
    "stretch-walkers-swapped", "The proposal lies on the line from the walker itself, y = x_k + z (x_j - x_k).", ENSEMBLE, (0, 4),
    falls_by=565, seen=("TuringLang/AdvancedMH.jl#30",),
)  # fmt: skip
def stretch_walkers_swapped(of: Backend, x: Array, noise: Array) -> Array:
    return _stretch(of, x, noise, 1, swapped=True)


@row(
    "stretch-all-at-once", "All walkers move at once, each along the line to the old state of its partner; ten steps.",
    ENSEMBLE, (0, 8),
    seen_by="partner", reversible=False, steps=10, falls_by=9050, seen=("TuringLang/AdvancedMH.jl#69",),
)  # fmt: skip
def stretch_all_at_once(of: Backend, x: Array, noise: Array) -> Array:
    xp, density = of.xp, MIXTURE.log_density(of)
    moved = []
    for k in range(WALKERS):
        old, other = x[:, 2 * k : 2 * k + 2], x[:, 2 * (k ^ 1) : 2 * (k ^ 1) + 2]
        z = of.ensembles.factor(noise.uniforms[:, k], 2.0)
        new = other + xp.astype(z, x.dtype)[:, None] * (old - other)
        log_ratio = xp.log(z) + density(new) - density(old)
        moved.append(of.markov.metropolis(old, new, log_ratio, noise.uniforms[:, WALKERS + k]).state)
    return of.kernels.always(xp.concat(moved, axis=1))


def _stretch(of: Backend, x: Array, noise: Array, exponent: int, swapped: bool) -> Array:
    """The stretch move with another exponent of z, or with the two walkers swapped in the proposal."""
    xp, u, density = of.xp, noise.uniforms, MIXTURE.log_density(of)
    k, j = of.ensembles.partners(u[:, 0], u[:, 1], WALKERS)
    pick = lambda place: sum(xp.where((place == w)[:, None], x[:, 2 * w : 2 * w + 2], 0.0) for w in range(WALKERS))  # noqa: E731
    old, other, z = pick(k), pick(j), of.ensembles.factor(u[:, 2], 2.0)
    factor = xp.astype(z, x.dtype)[:, None]
    new = old + factor * (other - old) if swapped else other + factor * (old - other)
    log_ratio = exponent * xp.log(z) + density(new) - density(old)
    walkers = [xp.where((k == w)[:, None], new, x[:, 2 * w : 2 * w + 2]) for w in range(WALKERS)]
    return of.markov.metropolis(x, xp.concat(walkers, axis=1), log_ratio, u[:, 3])
