"""The stretch move of an ensemble of walkers, as a pure function of its noise. Source: Goodman & Weare 2010.

A state (n, W d) holds W walkers of dimension d, and its law is the product of W copies of pi. A row is one ensemble.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .kernels import Kernel, Move, Noise
from .markov import LogDensity, metropolis


def stretch(log_density: LogDensity, state: jax.Array, noise: Noise, walkers: int, spread: float = 2.0) -> Move:
    """Move one random walker along the line to another: y = x_j + z (x_k - x_j). Reads four uniforms. Reversible.

    The uniforms choose the walker k, the other one j, the factor z in [1/spread, spread], and the acceptance.
    """
    x, u = state.reshape(len(state), walkers, -1), noise.uniforms
    dim, rows = x.shape[2], jnp.arange(len(x))
    k, j = partners(u[:, 0], u[:, 1], walkers)
    z = factor(u[:, 2], spread)
    old, other = x[rows, k], x[rows, j]
    new = other + z[:, None].astype(x.dtype) * (old - other)
    log_ratio = (dim - 1) * jnp.log(z) + log_density(new) - log_density(old)
    return metropolis(state, x.at[rows, k].set(new).reshape(state.shape), log_ratio, u[:, 3])


def partners(first: jax.Array, second: jax.Array, walkers: int) -> tuple[jax.Array, jax.Array]:
    """A random walker and another one, from two uniforms (n,)."""
    k = jnp.minimum((walkers * first).astype(int), walkers - 1)
    other = jnp.minimum(((walkers - 1) * second).astype(int), walkers - 2)
    return k, other + (other >= k)


def factor(u: jax.Array, spread: float) -> jax.Array:
    """The quantile of the density proportional to 1/sqrt(z) on [1/spread, spread]."""
    return jnp.square((spread - 1.0) * u + 1.0) / spread


def stretch_kernel(log_density: LogDensity, walkers: int, spread: float = 2.0, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`stretch`."""
    return Kernel(lambda x, noise: stretch(log_density, x, noise, walkers, spread), lambda d: (0, 4), steps)
