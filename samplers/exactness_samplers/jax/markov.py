"""Metropolis kernels as pure functions of their noise: random walks, Langevin, Hamiltonian and pseudo-marginal moves.

``log_density`` maps states (n, d) to log-densities (n,) up to a constant. Each function makes one step of n independent chains and
says in its first line how much noise it reads per chain; the functions named ``..._kernel`` draw that noise from a seed.

Sources: Metropolis et al. 1953; Hastings 1970; Roberts & Tweedie 1996 (MALA); Duane et al. 1987 and Neal 2011 (HMC); Horowitz 1991
(persistent momentum); Andrieu & Roberts 2009 (pseudo-marginal); Cotter et al. 2013 (autoregressive proposals).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from .kernels import Kernel, Move, Noise, always
from .langevin import Gradient

LogDensity = Callable[[jax.Array], jax.Array]
"""The log of a density up to a constant, row by row: (n, d) -> (n,)."""


def metropolis(x: jax.Array, proposal: jax.Array, log_ratio: jax.Array, coin: jax.Array) -> Move:
    """Accept a proposal (n, d) where ``coin`` (n,) is below the acceptance ratio, given as its logarithm (n,).

    A ratio that is not a number is a rejection.

    >>> x, y = jnp.zeros((2, 1)), jnp.ones((2, 1))
    >>> metropolis(x, y, jnp.log(jnp.array([0.5, 0.5])), jnp.array([0.4, 0.6])).accepted.tolist()
    [True, False]
    """
    accepted = jnp.log(coin) < log_ratio
    return Move(jnp.where(accepted[:, None], proposal, x), accepted, proposal)


def random_walk(log_density: LogDensity, x: jax.Array, noise: Noise, step: float) -> Move:
    """Propose x + step z. Reads d normals and one uniform."""
    y = x + step * noise.normals
    return metropolis(x, y, log_density(y) - log_density(x), noise.uniforms[:, 0])


def log_walk(log_density: LogDensity, x: jax.Array, noise: Noise, step: float) -> Move:
    """Walk on the logarithm of positive states: propose x exp(step z). Reads d normals and one uniform.

    The density is that of x itself, so the ratio has the Jacobian of the logarithm.
    """
    position = jnp.log(x)
    moved = position + step * noise.normals
    on_logs = lambda logs: log_density(jnp.exp(logs)) + logs.sum(-1)  # noqa: E731
    return metropolis(x, jnp.exp(moved), on_logs(moved) - on_logs(position), noise.uniforms[:, 0])


def autoregressive(log_density: LogDensity, x: jax.Array, noise: Noise, keep: float) -> Move:
    """Propose keep x + sqrt(1 - keep^2) z, which N(0, I) would leave as it is. Reads d normals and one uniform.

    ``keep`` = 0 is the independence sampler with proposals from N(0, I).
    """
    y = keep * x + math.sqrt(1.0 - keep**2) * noise.normals
    # The density relative to N(0, I) is all that is left of the ratio.
    relative = lambda at: log_density(at) + 0.5 * jnp.square(at).sum(-1)  # noqa: E731
    return metropolis(x, y, relative(y) - relative(x), noise.uniforms[:, 0])


def lattice_walk(log_weights: jax.Array, x: jax.Array, noise: Noise, up: float) -> Move:
    """On the states 0..K-1, propose x + 1 with probability ``up`` and else x - 1, cut at both ends. Reads two uniforms.

    ``log_weights`` has shape (K,) and is up to a constant; ``x`` has shape (n, 1) and holds whole numbers.
    """
    here = x[:, 0].astype(int)
    there = jnp.clip(jnp.where(noise.uniforms[:, 0] < up, here + 1, here - 1), 0, len(log_weights) - 1)
    # Log of q(there, here)/q(here, there).
    hastings = (there - here) * (math.log(1.0 - up) - math.log(up))
    log_ratio = log_weights[there] - log_weights[here] + hastings
    return metropolis(x, there[:, None].astype(x.dtype), log_ratio, noise.uniforms[:, 1])


def gradient(log_density: LogDensity, x: jax.Array) -> jax.Array:
    """The gradient of a log-density, (n, d), by automatic differentiation."""
    return Gradient(log_density)(jnp.empty(0), x)


def drifted(log_density: LogDensity, x: jax.Array, step: float) -> jax.Array:
    """The mean of a Langevin proposal, x + step/2 grad log pi(x)."""
    return x + 0.5 * step * gradient(log_density, x)


def ula(log_density: LogDensity, x: jax.Array, noise: Noise, step: float) -> Move:
    """Unadjusted Langevin: the proposal of :func:`mala`, always accepted. Reads d normals. It does not leave pi invariant."""
    return always(drifted(log_density, x, step) + math.sqrt(step) * noise.normals)


def mala(log_density: LogDensity, x: jax.Array, noise: Noise, step: float) -> Move:
    """Propose x + step/2 grad log pi(x) + sqrt(step) z, with the ratio of both ways. Reads d normals and one uniform."""
    y = drifted(log_density, x, step) + math.sqrt(step) * noise.normals

    def log_q(start: jax.Array, end: jax.Array) -> jax.Array:
        return -jnp.square(end - drifted(log_density, start, step)).sum(-1) / (2.0 * step)

    log_ratio = log_density(y) + log_q(y, x) - log_density(x) - log_q(x, y)
    return metropolis(x, y, log_ratio, noise.uniforms[:, 0])


def leapfrog(log_density: LogDensity, x: jax.Array, momentum: jax.Array, step: float, leaps: int) -> tuple[jax.Array, jax.Array]:
    """``leaps`` leapfrog steps of the dynamics with unit mass: positions and momenta, each (n, d).

    With the final momentum reversed, the map is its own inverse.
    """

    def leap(_: int, carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, momentum, slope = carry
        half = momentum + 0.5 * step * slope
        x = x + step * half
        slope = gradient(log_density, x)
        return x, half + 0.5 * step * slope, slope

    x, momentum, _ = lax.fori_loop(0, leaps, leap, (x, momentum, gradient(log_density, x)))
    return x, momentum


def energy(log_density: LogDensity, x: jax.Array, momentum: jax.Array) -> jax.Array:
    """The energy of positions and momenta, (n,): -log pi(x) + |momentum|^2/2."""
    return 0.5 * jnp.square(momentum).sum(-1) - log_density(x)


def hmc(log_density: LogDensity, x: jax.Array, noise: Noise, step: float, leaps: int) -> Move:
    """Hamiltonian Monte Carlo with a fresh momentum. Reads d normals and one uniform."""
    y, momentum = leapfrog(log_density, x, noise.normals, step, leaps)
    gained = energy(log_density, y, momentum) - energy(log_density, x, noise.normals)
    return metropolis(x, y, -gained, noise.uniforms[:, 0])


def persistent_hmc(log_density: LogDensity, state: jax.Array, noise: Noise, step: float, leaps: int, keep: float) -> Move:
    """Hamiltonian Monte Carlo whose momentum persists: states (n, 2 d) hold x and momentum. Reads 2 d normals and one uniform.

    The momentum is renewed in part before and after the trajectory, and reversed where it is rejected. It leaves pi and N(0, I)
    invariant, and is reversible up to the sign of the momentum.
    """
    x, held = jnp.split(state, 2, axis=1)
    before, after = jnp.split(noise.normals, 2, axis=1)
    renewed = lambda momentum, fresh: keep * momentum + math.sqrt(1.0 - keep**2) * fresh  # noqa: E731
    start = renewed(held, before)
    y, end = leapfrog(log_density, x, start, step, leaps)
    log_ratio = energy(log_density, x, start) - energy(log_density, y, end)
    reversed_ = jnp.concatenate([x, -start], axis=1)
    move = metropolis(reversed_, jnp.concatenate([y, end], axis=1), log_ratio, noise.uniforms[:, 0])
    position, momentum = jnp.split(move.state, 2, axis=1)
    return move._replace(state=jnp.concatenate([position, renewed(momentum, after)], axis=1))


def hmc_or_walk(log_density: LogDensity, x: jax.Array, noise: Noise, step: float, leaps: int, walk: float, share: float) -> Move:
    """A random walk of step ``walk`` with probability ``share``, and else HMC. Reads d normals and two uniforms.

    Its couplings meet, while those of HMC alone only come close (Heng & Jacob 2019).
    """
    walks = noise.uniforms[:, 1] < share
    return where(walks, random_walk(log_density, x, noise, walk), hmc(log_density, x, noise, step, leaps))


def where(rows: jax.Array, one: Move, other: Move) -> Move:
    """The first move in the ``rows`` (n,) that are true, and the second in the others."""
    return jax.tree.map(lambda a, b: jnp.where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b), one, other)


def pseudo_marginal(log_estimate: Callable[[jax.Array, jax.Array], jax.Array], state: jax.Array, noise: Noise, step: float) -> Move:
    """A random walk on an unbiased estimate of the density, which is kept with the state until the next acceptance.

    ``state`` (n, d + 1) holds x and the log of its estimate. ``log_estimate(x, normals)`` estimates the log at x (n, d) from
    normals (n, k). Reads d + k normals and one uniform.
    """
    x, kept = state[:, :-1], state[:, -1]
    dim = x.shape[1]
    y = x + step * noise.normals[:, :dim]
    fresh = log_estimate(y, noise.normals[:, dim:])
    return metropolis(state, jnp.column_stack([y, fresh]), fresh - kept, noise.uniforms[:, 0])


def random_walk_kernel(log_density: LogDensity, step: float, steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`random_walk`."""
    return Kernel(lambda x, noise: random_walk(log_density, x, noise, step), lambda d: (d, 1), steps)


def mala_kernel(log_density: LogDensity, step: float, steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`mala`."""
    return Kernel(lambda x, noise: mala(log_density, x, noise, step), lambda d: (d, 1), steps)


def hmc_kernel(log_density: LogDensity, step: float, leaps: int, steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`hmc`."""
    return Kernel(lambda x, noise: hmc(log_density, x, noise, step, leaps), lambda d: (d, 1), steps)


def persistent_hmc_kernel(log_density: LogDensity, step: float, leaps: int, keep: float, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`persistent_hmc`."""
    return Kernel(lambda x, noise: persistent_hmc(log_density, x, noise, step, leaps, keep), lambda d: (d, 1), steps)


def pseudo_marginal_kernel(
    log_estimate: Callable[[jax.Array, jax.Array], jax.Array], step: float, normals: int, steps: int = 1
) -> Kernel:
    """``kernel(state, seed)`` of :func:`pseudo_marginal`, whose estimate reads ``normals`` normals."""
    return Kernel(lambda x, noise: pseudo_marginal(log_estimate, x, noise, step), lambda d: (d - 1 + normals, 1), steps)
