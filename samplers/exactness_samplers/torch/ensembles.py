"""The stretch move of an ensemble of walkers, as a pure function of its noise. Source: Goodman & Weare 2010.

A state (n, W d) holds W walkers of dimension d, and its law is the product of W copies of pi. A row is one ensemble.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import Kernel, Move, Noise
from .markov import LogDensity, metropolis


def stretch(log_density: LogDensity, state: Tensor, noise: Noise, walkers: int, spread: float = 2.0) -> Move:
    """Move one random walker along the line to another: y = x_j + z (x_k - x_j). Reads four uniforms. Reversible.

    The uniforms choose the walker k, the other one j, the factor z in [1/spread, spread], and the acceptance.
    """
    x = state.reshape(len(state), walkers, -1)
    rows, u = torch.arange(len(x), device=x.device), noise.uniforms
    k, j = partners(u[:, 0], u[:, 1], walkers)
    z = factor(u[:, 2], spread)
    moved = x[rows, j] + z[:, None].to(x.dtype) * (x[rows, k] - x[rows, j])
    log_ratio = (x.shape[2] - 1) * torch.log(z) + log_density(moved) - log_density(x[rows, k])
    here = torch.arange(walkers, device=x.device)[None, :, None] == k[:, None, None]
    return metropolis(state, torch.where(here, moved[:, None], x).reshape(state.shape), log_ratio, u[:, 3])


def partners(first: Tensor, second: Tensor, walkers: int) -> tuple[Tensor, Tensor]:
    """A random walker and another one, from two uniforms (n,)."""
    k = torch.clamp((walkers * first).long(), max=walkers - 1)
    j = torch.clamp(((walkers - 1) * second).long(), max=walkers - 2)
    return k, torch.where(j < k, j, j + 1)


def factor(u: Tensor, spread: float) -> Tensor:
    """The quantile of the density proportional to 1/sqrt(z) on [1/spread, spread].

    >>> [round(float(z), 6) for z in factor(torch.tensor([0.0, 1.0]), 2.0)]
    [0.5, 2.0]
    """
    return ((spread - 1.0) * u + 1.0).square() / spread


def stretch_kernel(log_density: LogDensity, walkers: int, spread: float = 2.0, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`stretch`."""
    return Kernel(lambda x, noise: stretch(log_density, x, noise, walkers, spread), lambda d: (0, 4), steps)
