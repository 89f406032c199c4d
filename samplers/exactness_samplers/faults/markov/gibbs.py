"""Faults of Gibbs kernels: what a conditional reads, and what it is."""

from __future__ import annotations

import math

from ..base import Array, Backend
from .base import row
from .targets import BETA, CORRELATED, ISING, RHO


@row(
    "gibbs-reads-the-old-coordinate", "The second coordinate is drawn given the first one before its update.", CORRELATED, (2, 0),
    seen_by="partner", reversible=False, falls_by=282,
)  # fmt: skip
def gibbs_reads_the_old_coordinate(of: Backend, x: Array, noise: Array) -> Array:
    return of.kernels.always(RHO * of.xp.flip(x, axis=1) + math.sqrt(1.0 - RHO**2) * noise.normals)


@row(
    "gibbs-variance-for-deviation", "The conditional's variance is taken for its standard deviation.", CORRELATED, (2, 0),
    seen_by="partner", reversible=False, falls_by=282, seen=("bvilhjal/ldpred#111", "yiminghu/AnnoPred#4"),
)  # fmt: skip
def gibbs_variance_for_deviation(of: Backend, x: Array, noise: Array) -> Array:
    smaller = noise._replace(normals=math.sqrt(1.0 - RHO**2) * noise.normals)
    return of.gibbs.bivariate_gibbs(x, smaller, RHO)


@row(
    "gibbs-marginal-for-conditional", "One coordinate is drawn from its marginal law.", CORRELATED, (2, 0), seen_by="partner",
    reversible=False, falls_by=141,
)  # fmt: skip
def gibbs_marginal_for_conditional(of: Backend, x: Array, noise: Array) -> Array:
    right = of.gibbs.bivariate_gibbs(x, noise, RHO).state
    return of.kernels.always(of.xp.stack([right[:, 0], noise.normals[:, 1]], axis=1))


@row(
    "ising-factor-one", "A spin is up with probability exp(bh)/(exp(bh) + 1), where exp(2bh) is right.", ISING, (0, 2),
    falls_by=800,
)  # fmt: skip
def ising_factor_one(of: Backend, x: Array, noise: Array) -> Array:
    return of.gibbs.ising_heat_bath(x, noise, 0.5 * BETA)


@row(
    "ising-all-at-once", "All spins are drawn at once, given their old neighbours.", ISING, (0, 9), seen_by="partner",
    reversible=False, falls_by=1600,
)  # fmt: skip
def ising_all_at_once(of: Backend, x: Array, noise: Array) -> Array:
    up = noise.uniforms < of.gibbs.ising_up(x, BETA)
    return of.kernels.always(of.xp.where(up, of.xp.ones_like(x), -of.xp.ones_like(x)))


@row(
    "ising-open-edge", "The field forgets that the lattice is a torus along one direction.", ISING, (0, 2), falls_by=4525,
)  # fmt: skip
def ising_open_edge(of: Backend, x: Array, noise: Array) -> Array:
    xp = of.xp
    # Site 3 r + c has the neighbours c + 1 and c - 1 in its row; the pairs (0, 2) of each row are cut.
    cut = xp.stack([x[:, 2], 0 * x[:, 1], x[:, 0], x[:, 5], 0 * x[:, 4], x[:, 3], x[:, 8], 0 * x[:, 7], x[:, 6]], axis=1)
    up = 1.0 / (1.0 + xp.exp(-2.0 * BETA * (of.gibbs.ising_field(x) - cut)))
    site = xp.floor(9.0 * noise.uniforms[:, :1])
    here = xp.astype(of.arange(9, x), site.dtype)[None, :] == site
    drawn = xp.where(noise.uniforms[:, 1:] < up, xp.ones_like(x), -xp.ones_like(x))
    return of.kernels.always(xp.where(here, drawn, x))
