"""Faults of Hamiltonian Monte Carlo: the integrator, the energy, the momentum, and where a trajectory ends."""

from __future__ import annotations

import math

from ..base import Array, Backend
from .base import row
from .targets import MIXTURE, PHASE

STEP, LEAPS, KEEP = 0.6, 3, 0.8
COARSE = 0.9
"""The step where momenta persist: a right kernel and a wrong one differ only where a trajectory is rejected."""


@row(
    "first-half-step-whole", "The first half step of the momentum is a whole one.", MIXTURE, (2, 1), falls_by=9050,
    seen=("rmcgibbo/pyhmc#17",),
)  # fmt: skip
def first_half_step_whole(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    kicked = noise.normals + 0.5 * STEP * of.markov.gradient(density, x)
    proposal, momentum = of.markov.leapfrog(density, x, kicked, STEP, LEAPS)
    log_ratio = of.markov.energy(density, x, noise.normals) - of.markov.energy(density, proposal, momentum)
    return of.markov.metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


@row(
    "kinetic-energy-missing", "A trajectory is accepted by the densities alone.", MIXTURE, (2, 1), falls_by=565,
    seen=("improbable-research/keanu#33",),
)  # fmt: skip
def kinetic_energy_missing(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    proposal, _ = of.markov.leapfrog(density, x, noise.normals, STEP, LEAPS)
    return of.markov.metropolis(x, proposal, density(proposal) - density(x), noise.uniforms[:, 0])


@row(
    "energy-before-the-momentum-was-drawn", "A trajectory is judged by the kinetic energy of the momentum before its renewal.",
    MIXTURE, (4, 1), falls_by=1600, seen=("kazewong/flowMC#78", "kazewong/flowMC#90"),
)  # fmt: skip
def energy_before_the_momentum_was_drawn(of: Backend, x: Array, noise: Array) -> Array:
    density, before = MIXTURE.log_density(of), noise.normals[:, 2:]
    proposal, momentum = of.markov.leapfrog(density, x, noise.normals[:, :2], STEP, LEAPS)
    log_ratio = of.markov.energy(density, x, before) - of.markov.energy(density, proposal, momentum)
    return of.markov.metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


@row(
    "mass-forgotten-in-the-energy", "Momenta have standard deviation 1.3, and the kinetic energy is that of N(0, I).",
    MIXTURE, (2, 1), falls_by=1131,
)  # fmt: skip
def mass_forgotten_in_the_energy(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.hmc(MIXTURE.log_density(of), x, noise._replace(normals=1.3 * noise.normals), STEP, LEAPS)


@row(
    "u-turn-judged-by-energy", "The trajectory ends where it turns back, and the end is judged by its energy alone.",
    MIXTURE, (2, 1), falls_by=141, seen=("Hoffman & Gelman 2014 explain why NUTS must not do this",),
)  # fmt: skip
def u_turn_judged_by_energy(of: Backend, x: Array, noise: Array) -> Array:
    density, xp = MIXTURE.log_density(of), of.xp
    at, momentum = x, noise.normals
    for _ in range(12):
        further, turned = of.markov.leapfrog(density, at, momentum, 0.3, 1)
        going = (xp.sum((at - x) * momentum, axis=-1) >= 0)[:, None]
        at, momentum = xp.where(going, further, at), xp.where(going, turned, momentum)
    log_ratio = of.markov.energy(density, x, noise.normals) - of.markov.energy(density, at, momentum)
    return of.markov.metropolis(x, at, log_ratio, noise.uniforms[:, 0])


@row(
    "momentum-not-reversed", "A momentum that persists is not reversed where its trajectory is rejected.", PHASE, (4, 1),
    reversible="flip", falls_by=3200, seen=("Horowitz 1991; Neal 2011, section 5.5.3",),
)  # fmt: skip
def momentum_not_reversed(of: Backend, state: Array, noise: Array) -> Array:
    density, root = MIXTURE.log_density(of), math.sqrt(1.0 - KEEP**2)
    x, momentum = state[:, :2], KEEP * state[:, 2:] + root * noise.normals[:, :2]
    proposal, after = of.markov.leapfrog(density, x, momentum, COARSE, LEAPS)
    log_ratio = of.markov.energy(density, x, momentum) - of.markov.energy(density, proposal, after)
    before, end = of.xp.concat([x, momentum], axis=1), of.xp.concat([proposal, after], axis=1)
    move = of.markov.metropolis(before, end, log_ratio, noise.uniforms[:, 0])
    renewed = KEEP * move.state[:, 2:] + root * noise.normals[:, 2:]
    return move._replace(state=of.xp.concat([move.state[:, :2], renewed], axis=1))


@row(
    "momentum-renewed-by-a-sum", "A part of the old momentum is kept and a whole new one is added.", PHASE, (4, 1),
    reversible="flip", falls_by=200,
)  # fmt: skip
def momentum_renewed_by_a_sum(of: Backend, state: Array, noise: Array) -> Array:
    """The right step takes sqrt(1 - keep^2) of the noise."""
    whole = noise._replace(normals=noise.normals / math.sqrt(1.0 - KEEP**2))
    return of.markov.persistent_hmc(MIXTURE.log_density(of), state, whole, COARSE, LEAPS, KEEP)
