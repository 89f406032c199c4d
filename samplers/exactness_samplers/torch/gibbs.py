"""Gibbs kernels as pure functions of their noise: a bivariate normal, and the Ising model on a torus.

Source: Geman & Geman 1984. A scan in a fixed order leaves the law invariant but is not reversible; a random one is both.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .kernels import Kernel, Move, Noise, always

Scan = Literal["systematic", "random"]


def bivariate_gibbs(x: Tensor, noise: Noise, rho: float, scan: Scan = "systematic") -> Move:
    """A scan of the bivariate normal with unit variances and correlation ``rho``; states (n, 2).

    ``systematic`` draws the first coordinate and then the second, and reads two normals. ``random`` draws one of them, and reads
    one normal and one uniform.

    >>> bivariate_gibbs(torch.tensor([[5.0, -5.0]]), Noise(torch.zeros(1, 2), torch.zeros(1, 0)), 0.5).state
    tensor([[-2.5000, -1.2500]])
    """
    spread = math.sqrt(1.0 - rho * rho)
    first = rho * x[:, 1] + spread * noise.normals[:, 0]
    if scan == "systematic":
        return always(torch.stack([first, rho * first + spread * noise.normals[:, 1]], 1))
    second = rho * x[:, 0] + spread * noise.normals[:, 0]
    drawn = noise.uniforms[:, 0] < 0.5
    return always(torch.stack([torch.where(drawn, first, x[:, 0]), torch.where(drawn, x[:, 1], second)], 1))


def ising_field(spins: Tensor) -> Tensor:
    """The sum of the four neighbours of each spin on a square torus, for spins (n, side^2) of +1 and -1, by rows."""
    side = math.isqrt(spins.shape[1])
    grid = spins.reshape(-1, side, side)
    return sum(torch.roll(grid, shift, axis) for shift in (1, -1) for axis in (1, 2)).reshape(spins.shape)  # type: ignore[union-attr]


def ising_up(spins: Tensor, beta: float) -> Tensor:
    """P(spin = +1 given the others), (n, sites), under exp(beta sum over the edges of s s').

    >>> float(ising_up(torch.ones(1, 9), 0.0)[0, 0])
    0.5
    """
    return torch.sigmoid(2.0 * beta * ising_field(spins))


def ising_heat_bath(spins: Tensor, noise: Noise, beta: float) -> Move:
    """Draw the spin of one random site anew. Reads two uniforms: the site and the spin."""
    sites = spins.shape[1]
    site = torch.clamp((sites * noise.uniforms[:, 0]).long(), max=sites - 1)
    here = torch.arange(sites, device=spins.device) == site[:, None]
    return always(torch.where(here, _drawn(ising_up(spins, beta), noise.uniforms[:, 1:2], spins), spins))


def ising_sweep(spins: Tensor, noise: Noise, beta: float) -> Move:
    """Draw the spin of every site anew, in order. Reads a uniform per site."""
    for site in range(spins.shape[1]):
        here = torch.arange(spins.shape[1], device=spins.device) == site
        spins = torch.where(here, _drawn(ising_up(spins, beta), noise.uniforms[:, site : site + 1], spins), spins)
    return always(spins)


def bivariate_gibbs_kernel(rho: float, scan: Scan = "systematic", steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`bivariate_gibbs`."""
    size = (2, 0) if scan == "systematic" else (1, 1)
    return Kernel(lambda x, noise: bivariate_gibbs(x, noise, rho, scan), lambda d: size, steps)


def ising_kernel(beta: float, scan: Scan = "random", steps: int = 1) -> Kernel:
    """``kernel(spins, seed)`` of :func:`ising_heat_bath` (``random``) or :func:`ising_sweep` (``systematic``)."""
    if scan == "random":
        return Kernel(lambda x, noise: ising_heat_bath(x, noise, beta), lambda d: (0, 2), steps)
    return Kernel(lambda x, noise: ising_sweep(x, noise, beta), lambda d: (0, d), steps)


def _drawn(up: Tensor, uniforms: Tensor, like: Tensor) -> Tensor:
    return torch.where(uniforms < up, 1.0, -1.0).to(like.dtype)
