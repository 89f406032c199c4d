"""Parallel tempering as a pure function of its noise. Sources: Swendsen & Wang 1986; Geyer 1991.

A state (n, K d) holds K replicas of dimension d; replica k has the density pi^(beta_k), and all together their product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .kernels import Kernel, Move, Noise
from .markov import LogDensity, metropolis


def swap(log_density: LogDensity, state: Tensor, uniforms: Tensor, betas: Sequence[float]) -> Move:
    """Propose to exchange a random pair of neighbours. Reads two uniforms (n, 2): the pair and the acceptance. Reversible.

    >>> state, u = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.5]])
    >>> swap(lambda x: -x.square().sum(-1), state, u, (1.0, 0.5)).state
    tensor([[1., 0.]])
    """
    count = len(betas)
    replicas = state.reshape(len(state), count, -1)
    pair = torch.clamp(((count - 1) * uniforms[:, 0]).long(), max=count - 2)
    order = torch.arange(count, device=state.device).expand(len(state), count)
    exchanged = torch.where(order == pair[:, None], order + 1, torch.where(order == pair[:, None] + 1, order - 1, order))
    heights = log_density(replicas.reshape(len(state) * count, -1)).reshape(-1, count)
    cold = torch.tensor(betas, dtype=state.dtype, device=state.device)
    log_ratio = (cold * (heights.gather(1, exchanged) - heights)).sum(-1)
    proposal = replicas.gather(1, exchanged[:, :, None].expand_as(replicas)).reshape(state.shape)
    return metropolis(state, proposal, log_ratio, uniforms[:, 1])


def within(log_density: LogDensity, state: Tensor, noise: Noise, betas: Sequence[float], step: float) -> Tensor:
    """A random walk of each replica on its own density, with step/sqrt(beta). Reads K d normals and K uniforms."""
    cold = torch.tensor(betas, dtype=state.dtype, device=state.device).repeat(len(state))
    x = state.reshape(len(cold), -1)
    proposal = x + step * noise.normals.reshape(x.shape) / cold.sqrt()[:, None]
    log_ratio = cold * (log_density(proposal) - log_density(x))
    return metropolis(x, proposal, log_ratio, noise.uniforms.reshape(-1)).state.reshape(state.shape)


def parallel_tempering(log_density: LogDensity, state: Tensor, noise: Noise, betas: Sequence[float], step: float) -> Move:
    """Every replica walks, then a pair is exchanged. Reads K d normals and K + 2 uniforms. It is not reversible."""
    walked = within(log_density, state, Noise(noise.normals, noise.uniforms[:, 2:]), betas, step)
    return swap(log_density, walked, noise.uniforms[:, :2], betas)


def parallel_tempering_kernel(log_density: LogDensity, betas: Sequence[float], step: float, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`parallel_tempering`."""
    run = lambda x, noise: parallel_tempering(log_density, x, noise, betas, step)  # noqa: E731
    return Kernel(run, lambda d: (d, len(betas) + 2), steps)
