"""Parallel tempering as a pure function of its noise. Sources: Swendsen & Wang 1986; Geyer 1991.

A state (n, K d) holds K replicas of dimension d; replica k has the density pi^(beta_k), and all together their product.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .kernels import Kernel, Move, Noise
from .markov import LogDensity, metropolis


def swap(log_density: LogDensity, state: jax.Array, uniforms: jax.Array, betas: Sequence[float]) -> Move:
    """Propose to exchange a random pair of neighbours. Reads two uniforms (n, 2): the pair and the acceptance. Reversible."""
    count = len(betas)
    replicas = state.reshape(len(state), count, -1)
    i = jnp.minimum(((count - 1) * uniforms[:, 0]).astype(int), count - 2)
    rows, cold = jnp.arange(len(state)), jnp.asarray(betas, state.dtype)
    one, two = replicas[rows, i], replicas[rows, i + 1]
    log_ratio = (cold[i] - cold[i + 1]) * (log_density(two) - log_density(one))
    proposal = replicas.at[rows, i].set(two).at[rows, i + 1].set(one)
    return metropolis(state, proposal.reshape(state.shape), log_ratio, uniforms[:, 1])


def within(log_density: LogDensity, state: jax.Array, noise: Noise, betas: Sequence[float], step: float) -> jax.Array:
    """A random walk of each replica on its own density, with step/sqrt(beta). Reads K d normals and K uniforms."""
    split = lambda flat: flat.reshape(len(state), len(betas), -1).swapaxes(0, 1)  # noqa: E731

    def walk(x: jax.Array, z: jax.Array, u: jax.Array, beta: jax.Array) -> jax.Array:
        y = x + step / jnp.sqrt(beta) * z
        return metropolis(x, y, beta * (log_density(y) - log_density(x)), u[:, 0]).state

    walked = jax.vmap(walk)(split(state), split(noise.normals), split(noise.uniforms), jnp.asarray(betas, state.dtype))
    return walked.swapaxes(0, 1).reshape(state.shape)


def parallel_tempering(log_density: LogDensity, state: jax.Array, noise: Noise, betas: Sequence[float], step: float) -> Move:
    """Every replica walks, then a pair is exchanged. Reads K d normals and K + 2 uniforms. It is not reversible."""
    walked = within(log_density, state, Noise(noise.normals, noise.uniforms[:, 2:]), betas, step)
    return swap(log_density, walked, noise.uniforms[:, :2], betas)


def parallel_tempering_kernel(log_density: LogDensity, betas: Sequence[float], step: float, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`parallel_tempering`."""
    run = lambda x, noise: parallel_tempering(log_density, x, noise, betas, step)  # noqa: E731
    return Kernel(run, lambda d: (d, len(betas) + 2), steps)
