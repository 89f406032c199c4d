"""Couplings of Markov kernels as pure functions of their noise: two chains that meet, and stay together from then on.

Each function makes one step of n pairs, (x, y, noise) -> (x', y'). Either chain alone moves by the kernel, so the time at which a
chain meets one that starts from pi bounds its total variation from pi. Normal proposals are coupled maximally, which is what makes
the chains equal and not only close; the acceptance coin is shared.

Sources: Jacob, O'Leary & Atchade 2020 (Metropolis, Gibbs); Heng & Jacob 2019 (HMC); Bou-Rabee, Eberle & Zimmer 2020 (reflection).
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp

from . import couplings, gibbs, markov
from .kernels import Noise, Pair, Size
from .markov import LogDensity

Coupling = Literal["reflection", "independent"]
"""What replaces a proposal that the partner cannot share: its mirror image, or an independent draw of the residual."""


def coupled_normals(
    mean_x: jax.Array, mean_y: jax.Array, spread: float, noise: Noise, coupling: Coupling = "reflection"
) -> tuple[jax.Array, jax.Array]:
    """Draws of N(mean_x, spread^2 I) and N(mean_y, spread^2 I), each (n, d), that are equal as often as can be.

    Reads 2 d normals and two uniforms. They are equal with probability 2 Phi(-|mean_x - mean_y|/(2 spread)).
    """
    n, dim = mean_x.shape
    drawn, fresh = noise.normals[:, :dim], noise.normals[:, dim : 2 * dim]
    sigma = jnp.full(n, spread, mean_x.dtype)
    delta, axis = couplings.displacement(mean_y, mean_x, sigma)
    x = mean_x + spread * drawn
    shared = jnp.log(noise.uniforms[:, 0]) < couplings.log_ratio(delta, (axis * drawn).sum(-1))
    along, across = ("quantile", "kept") if coupling == "reflection" else ("independent", "fresh")
    other = couplings.emit_rejected(
        mean_y, sigma, axis, delta, jnp.zeros_like(delta), drawn, fresh, noise.uniforms[:, 1].astype(delta.dtype),
        along, across,  # type: ignore[arg-type]
    )  # fmt: skip
    return x, jnp.where(shared[:, None], x, other)


def coupled_random_walk(
    log_density: LogDensity, x: jax.Array, y: jax.Array, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[jax.Array, jax.Array]:
    """Two random walks with coupled proposals. Reads 2 d normals and three uniforms."""
    to_x, to_y = coupled_normals(x, y, step, noise, coupling)
    judge = lambda a, to: markov.metropolis(a, to, log_density(to) - log_density(a), noise.uniforms[:, 2]).state  # noqa: E731
    return together(x, y, judge(x, to_x), judge(y, to_y))


def coupled_ula(
    log_density: LogDensity, x: jax.Array, y: jax.Array, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[jax.Array, jax.Array]:
    """Two unadjusted Langevin chains. Reads 2 d normals and two uniforms."""
    mean_x, mean_y = (markov.drifted(log_density, a, step) for a in (x, y))
    return together(x, y, *coupled_normals(mean_x, mean_y, math.sqrt(step), noise, coupling))


def coupled_mala(
    log_density: LogDensity, x: jax.Array, y: jax.Array, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[jax.Array, jax.Array]:
    """Two MALA chains with coupled proposals. Reads 2 d normals and three uniforms."""
    mean_x, mean_y = (markov.drifted(log_density, a, step) for a in (x, y))
    to_x, to_y = coupled_normals(mean_x, mean_y, math.sqrt(step), noise, coupling)

    def judge(a: jax.Array, mean: jax.Array, to: jax.Array) -> jax.Array:
        log_q = lambda end, centre: -jnp.square(end - centre).sum(-1) / (2.0 * step)  # noqa: E731
        log_ratio = log_density(to) + log_q(a, markov.drifted(log_density, to, step)) - log_density(a) - log_q(to, mean)
        return markov.metropolis(a, to, log_ratio, noise.uniforms[:, 2]).state

    return together(x, y, judge(x, mean_x, to_x), judge(y, mean_y, to_y))


def coupled_hmc(
    log_density: LogDensity, x: jax.Array, y: jax.Array, noise: Noise, step: float, leaps: int
) -> tuple[jax.Array, jax.Array]:
    """Two HMC chains with one momentum and one coin. Reads d normals and one uniform. They come close and never meet."""
    move = lambda a: markov.hmc(log_density, a, noise, step, leaps).state  # noqa: E731
    return together(x, y, move(x), move(y))


def coupled_hmc_or_walk(
    log_density: LogDensity,
    x: jax.Array,
    y: jax.Array,
    noise: Noise,
    step: float,
    leaps: int,
    walk: float,
    share: float,
    coupling: Coupling = "reflection",
) -> tuple[jax.Array, jax.Array]:
    """Two chains of :func:`.markov.hmc_or_walk`: HMC brings them close, and the walks let them meet.

    Reads 2 d normals and four uniforms.
    """
    walked = coupled_random_walk(log_density, x, y, noise, walk, coupling)
    swung = coupled_hmc(log_density, x, y, Noise(noise.normals[:, : x.shape[1]], noise.uniforms[:, 2:]), step, leaps)
    walks = (noise.uniforms[:, 3] < share)[:, None]
    return jnp.where(walks, walked[0], swung[0]), jnp.where(walks, walked[1], swung[1])


def coupled_bivariate_gibbs(
    x: jax.Array, y: jax.Array, noise: Noise, rho: float, scan: gibbs.Scan = "systematic", coupling: Coupling = "reflection"
) -> tuple[jax.Array, jax.Array]:
    """Two scans whose conditionals are coupled maximally. Reads two normals and two uniforms per conditional.

    ``systematic`` draws two conditionals; ``random`` draws one, and reads one uniform more for the coordinate, which is shared.
    """

    def conditional(given_x: jax.Array, given_y: jax.Array, place: int) -> tuple[jax.Array, jax.Array]:
        """A coordinate of both given the other one, with the ``place``-th part of the noise; all (n, 1)."""
        part = slice(2 * place, 2 * place + 2)
        own = Noise(noise.normals[:, part], noise.uniforms[:, part])
        return coupled_normals(rho * given_x, rho * given_y, math.sqrt(1.0 - rho**2), own, coupling)

    (x0, x1), (y0, y1) = (jnp.split(a, 2, axis=1) for a in (x, y))
    if scan == "systematic":
        first = conditional(x1, y1, 0)
        second = conditional(*first, 1)
        new_x, new_y = (jnp.concatenate(parts, axis=1) for parts in zip(first, second, strict=True))
        return together(x, y, new_x, new_y)
    drawn = (noise.uniforms[:, 2] < 0.5)[:, None]
    new = conditional(jnp.where(drawn, x1, x0), jnp.where(drawn, y1, y0), 0)
    put = lambda value, a0, a1: jnp.concatenate([jnp.where(drawn, value, a0), jnp.where(drawn, a1, value)], axis=1)  # noqa: E731
    return together(x, y, put(new[0], x0, x1), put(new[1], y0, y1))


def coupled_ising_heat_bath(x: jax.Array, y: jax.Array, noise: Noise, beta: float) -> tuple[jax.Array, jax.Array]:
    """Two heat baths at one site with one uniform, which is maximal and keeps ordered spins ordered. Reads two uniforms."""
    return together(x, y, *(gibbs.ising_heat_bath(a, noise, beta).state for a in (x, y)))


def together(x: jax.Array, y: jax.Array, new_x: jax.Array, new_y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The new states, where pairs that have met stay equal to the last bit, however their rows were computed."""
    met = jnp.all(x == y, axis=1, keepdims=True)
    return new_x, jnp.where(met, new_x, new_y)


def random_walk_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_random_walk`."""
    return Pair(lambda x, y, noise: coupled_random_walk(log_density, x, y, noise, step, coupling), _three, steps)


def mala_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_mala`."""
    return Pair(lambda x, y, noise: coupled_mala(log_density, x, y, noise, step, coupling), _three, steps)


def ula_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_ula`."""
    return Pair(lambda x, y, noise: coupled_ula(log_density, x, y, noise, step, coupling), _three, steps)


def hmc_or_walk_pair(
    log_density: LogDensity,
    step: float,
    leaps: int,
    walk: float,
    share: float,
    coupling: Coupling = "reflection",
    steps: int = 1,
) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_hmc_or_walk`."""

    def run(x: jax.Array, y: jax.Array, noise: Noise) -> tuple[jax.Array, jax.Array]:
        return coupled_hmc_or_walk(log_density, x, y, noise, step, leaps, walk, share, coupling)

    return Pair(run, lambda d: (2 * d, 4), steps)


def bivariate_gibbs_pair(rho: float, scan: gibbs.Scan = "systematic", coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_bivariate_gibbs`."""
    size = (4, 4) if scan == "systematic" else (2, 3)
    return Pair(lambda x, y, noise: coupled_bivariate_gibbs(x, y, noise, rho, scan, coupling), lambda d: size, steps)


def ising_pair(beta: float, steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_ising_heat_bath`."""
    return Pair(lambda x, y, noise: coupled_ising_heat_bath(x, y, noise, beta), lambda d: (0, 2), steps)


_three: Size = lambda d: (2 * d, 3)  # noqa: E731
