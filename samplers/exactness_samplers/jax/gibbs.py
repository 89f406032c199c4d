"""Gibbs kernels as pure functions of their noise: a bivariate normal, and the Ising model on a torus.

Source: Geman & Geman 1984. A scan in a fixed order leaves the law invariant but is not reversible; a random one is both.
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from .kernels import Kernel, Move, Noise, always

Scan = Literal["systematic", "random"]


def bivariate_gibbs(x: jax.Array, noise: Noise, rho: float, scan: Scan = "systematic") -> Move:
    """A scan of the bivariate normal with unit variances and correlation ``rho``; states (n, 2).

    ``systematic`` draws the first coordinate and then the second, and reads two normals. ``random`` draws one of them, and reads
    one normal and one uniform.
    """
    draw = lambda given, normal: rho * given + math.sqrt(1.0 - rho**2) * normal  # noqa: E731
    if scan == "systematic":
        first = draw(x[:, 1], noise.normals[:, 0])
        return always(jnp.column_stack([first, draw(first, noise.normals[:, 1])]))
    place = jnp.where(noise.uniforms[:, 0] < 0.5, 0, 1)
    rows = jnp.arange(len(x))
    return always(x.at[rows, place].set(draw(x[rows, 1 - place], noise.normals[:, 0])))


def ising_field(spins: jax.Array) -> jax.Array:
    """The sum of the four neighbours of each spin on a square torus, for spins (n, side^2) of +1 and -1, by rows."""
    side = math.isqrt(spins.shape[1])
    return spins @ jnp.asarray(_adjacency(side), spins.dtype)


def ising_up(spins: jax.Array, beta: float) -> jax.Array:
    """P(spin = +1 given the others), (n, sites), under exp(beta sum over the edges of s s')."""
    return jax.nn.sigmoid(2.0 * beta * ising_field(spins))


def ising_heat_bath(spins: jax.Array, noise: Noise, beta: float) -> Move:
    """Draw the spin of one random site anew. Reads two uniforms: the site and the spin."""
    sites = spins.shape[1]
    site = jnp.minimum((sites * noise.uniforms[:, 0]).astype(int), sites - 1)
    rows = jnp.arange(len(spins))
    up = ising_up(spins, beta)[rows, site]
    return always(spins.at[rows, site].set(jnp.where(noise.uniforms[:, 1] < up, 1.0, -1.0).astype(spins.dtype)))


def ising_sweep(spins: jax.Array, noise: Noise, beta: float) -> Move:
    """Draw the spin of every site anew, in order. Reads a uniform per site."""

    def update(site: int, spins: jax.Array) -> jax.Array:
        up = ising_up(spins, beta)[:, site]
        return spins.at[:, site].set(jnp.where(noise.uniforms[:, site] < up, 1.0, -1.0).astype(spins.dtype))

    return always(lax.fori_loop(0, spins.shape[1], update, spins))


def bivariate_gibbs_kernel(rho: float, scan: Scan = "systematic", steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`bivariate_gibbs`."""
    size = (2, 0) if scan == "systematic" else (1, 1)
    return Kernel(lambda x, noise: bivariate_gibbs(x, noise, rho, scan), lambda d: size, steps)


def ising_kernel(beta: float, scan: Scan = "random", steps: int = 1) -> Kernel:
    """``kernel(spins, seed)`` of :func:`ising_heat_bath` (``random``) or :func:`ising_sweep` (``systematic``)."""
    if scan == "random":
        return Kernel(lambda x, noise: ising_heat_bath(x, noise, beta), lambda d: (0, 2), steps)
    return Kernel(lambda x, noise: ising_sweep(x, noise, beta), lambda d: (0, d), steps)


def _adjacency(side: int) -> list[list[float]]:
    """How often each site is a neighbour of each: on a torus of side 2 a neighbour counts twice."""
    sites = range(side * side)
    counts = [[0.0 for _ in sites] for _ in sites]
    for i in sites:
        row, column = divmod(i, side)
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            counts[i][(row + down) % side * side + (column + right) % side] += 1.0
    return counts
