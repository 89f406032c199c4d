"""Metropolis kernels as pure functions of their noise: random walks, Langevin, Hamiltonian and pseudo-marginal moves.

``log_density`` maps states (n, d) to log-densities (n,) up to a constant. Each function makes one step of n independent chains and
says in its first line how much noise it reads per chain; the functions named ``..._kernel`` draw that noise from a seed.

Sources: Metropolis et al. 1953; Hastings 1970; Roberts & Tweedie 1996 (MALA); Duane et al. 1987 and Neal 2011 (HMC); Horowitz 1991
(persistent momentum); Andrieu & Roberts 2009 (pseudo-marginal); Cotter et al. 2013 (autoregressive proposals).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .kernels import Kernel, Move, Noise, always
from .langevin import Gradient

LogDensity = Callable[[Tensor], Tensor]
"""The log of a density up to a constant, row by row: (n, d) -> (n,)."""


def metropolis(x: Tensor, proposal: Tensor, log_ratio: Tensor, coin: Tensor) -> Move:
    """Accept a proposal (n, d) where ``coin`` (n,) is below the acceptance ratio, given as its logarithm (n,).

    A ratio that is not a number is a rejection.

    >>> x, y = torch.zeros(2, 1), torch.ones(2, 1)
    >>> metropolis(x, y, torch.log(torch.tensor([0.5, 0.5])), torch.tensor([0.4, 0.6])).accepted
    tensor([ True, False])
    """
    accepted = torch.log(coin) < log_ratio
    return Move(torch.where(accepted[:, None], proposal, x), accepted, proposal)


def random_walk(log_density: LogDensity, x: Tensor, noise: Noise, step: float) -> Move:
    """Propose x + step z. Reads d normals and one uniform.

    >>> noise = Noise(torch.tensor([[2.0]]), torch.tensor([[0.5]]))
    >>> random_walk(lambda x: -0.5 * x.square().sum(-1), torch.tensor([[1.0]]), noise, 0.5).accepted
    tensor([False])
    """
    proposal = x + step * noise.normals
    return metropolis(x, proposal, log_density(proposal) - log_density(x), noise.uniforms[:, 0])


def log_walk(log_density: LogDensity, x: Tensor, noise: Noise, step: float) -> Move:
    """Walk on the logarithm of positive states: propose x exp(step z). Reads d normals and one uniform.

    The density is that of x itself, so the ratio has the Jacobian of the logarithm.
    """
    proposal = x * torch.exp(step * noise.normals)
    log_ratio = log_density(proposal) - log_density(x) + step * noise.normals.sum(-1)
    return metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


def autoregressive(log_density: LogDensity, x: Tensor, noise: Noise, keep: float) -> Move:
    """Propose keep x + sqrt(1 - keep^2) z, which N(0, I) would leave as it is. Reads d normals and one uniform.

    ``keep`` = 0 is the independence sampler with proposals from N(0, I).
    """
    proposal = keep * x + math.sqrt(1.0 - keep * keep) * noise.normals
    log_ratio = log_density(proposal) - log_density(x) + 0.5 * (proposal.square() - x.square()).sum(-1)
    return metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


def lattice_walk(log_weights: Tensor, x: Tensor, noise: Noise, up: float) -> Move:
    """On the states 0..K-1, propose x + 1 with probability ``up`` and else x - 1, cut at both ends. Reads two uniforms.

    ``log_weights`` has shape (K,) and is up to a constant; ``x`` has shape (n, 1) and holds whole numbers.
    """
    rises = noise.uniforms[:, 0] < up
    proposal = torch.clamp(x + torch.where(rises, 1.0, -1.0)[:, None], 0.0, len(log_weights) - 1.0)
    at = lambda state: log_weights[state[:, 0].long()]  # noqa: E731
    back = math.log(1.0 - up) - math.log(up)
    moved = proposal[:, 0] - x[:, 0]
    return metropolis(x, proposal, at(proposal) - at(x) + back * moved, noise.uniforms[:, 1])


def gradient(log_density: LogDensity, x: Tensor) -> Tensor:
    """The gradient of a log-density, (n, d), by automatic differentiation."""
    return Gradient(log_density)(torch.empty(0), x)


def drifted(log_density: LogDensity, x: Tensor, step: float) -> Tensor:
    """The mean of a Langevin proposal, x + step/2 grad log pi(x)."""
    return x + 0.5 * step * gradient(log_density, x)


def ula(log_density: LogDensity, x: Tensor, noise: Noise, step: float) -> Move:
    """Unadjusted Langevin: the proposal of :func:`mala`, always accepted. Reads d normals. It does not leave pi invariant."""
    return always(drifted(log_density, x, step) + math.sqrt(step) * noise.normals)


def mala(log_density: LogDensity, x: Tensor, noise: Noise, step: float) -> Move:
    """Propose x + step/2 grad log pi(x) + sqrt(step) z, with the ratio of both ways. Reads d normals and one uniform."""
    proposal = drifted(log_density, x, step) + math.sqrt(step) * noise.normals
    back = (x - drifted(log_density, proposal, step)).square().sum(-1) / step
    log_ratio = log_density(proposal) - log_density(x) + 0.5 * (noise.normals.square().sum(-1) - back)
    return metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


def leapfrog(log_density: LogDensity, x: Tensor, momentum: Tensor, step: float, leaps: int) -> tuple[Tensor, Tensor]:
    """``leaps`` leapfrog steps of the dynamics with unit mass: positions and momenta, each (n, d).

    With the final momentum reversed, the map is its own inverse.
    """
    momentum = momentum + 0.5 * step * gradient(log_density, x)
    for leap in range(leaps):
        x = x + step * momentum
        momentum = momentum + (step if leap + 1 < leaps else 0.5 * step) * gradient(log_density, x)
    return x, momentum


def energy(log_density: LogDensity, x: Tensor, momentum: Tensor) -> Tensor:
    """The energy of positions and momenta, (n,): -log pi(x) + |momentum|^2/2."""
    return 0.5 * momentum.square().sum(-1) - log_density(x)


def hmc(log_density: LogDensity, x: Tensor, noise: Noise, step: float, leaps: int) -> Move:
    """Hamiltonian Monte Carlo with a fresh momentum. Reads d normals and one uniform."""
    proposal, momentum = leapfrog(log_density, x, noise.normals, step, leaps)
    log_ratio = energy(log_density, x, noise.normals) - energy(log_density, proposal, momentum)
    return metropolis(x, proposal, log_ratio, noise.uniforms[:, 0])


def persistent_hmc(log_density: LogDensity, state: Tensor, noise: Noise, step: float, leaps: int, keep: float) -> Move:
    """Hamiltonian Monte Carlo whose momentum persists: states (n, 2 d) hold x and momentum. Reads 2 d normals and one uniform.

    The momentum is renewed in part before and after the trajectory, and reversed where it is rejected. It leaves pi and N(0, I)
    invariant, and is reversible up to the sign of the momentum.
    """
    dim = state.shape[1] // 2
    x, fresh = state[:, :dim], math.sqrt(1.0 - keep * keep) * noise.normals
    momentum = keep * state[:, dim:] + fresh[:, :dim]
    proposal, after = leapfrog(log_density, x, momentum, step, leaps)
    log_ratio = energy(log_density, x, momentum) - energy(log_density, proposal, after)
    move = metropolis(torch.cat([x, -momentum], 1), torch.cat([proposal, after], 1), log_ratio, noise.uniforms[:, 0])
    renewed = keep * move.state[:, dim:] + fresh[:, dim:]
    return move._replace(state=torch.cat([move.state[:, :dim], renewed], 1))


def hmc_or_walk(log_density: LogDensity, x: Tensor, noise: Noise, step: float, leaps: int, walk: float, share: float) -> Move:
    """A random walk of step ``walk`` with probability ``share``, and else HMC. Reads d normals and two uniforms.

    Its couplings meet, while those of HMC alone only come close (Heng & Jacob 2019).
    """
    walks = noise.uniforms[:, 1] < share
    return where(walks, random_walk(log_density, x, noise, walk), hmc(log_density, x, noise, step, leaps))


def where(rows: Tensor, one: Move, other: Move) -> Move:
    """The first move in the ``rows`` (n,) that are true, and the second in the others."""
    return Move(*(torch.where(rows if a.ndim == 1 else rows[:, None], a, b) for a, b in zip(one, other, strict=True)))


def pseudo_marginal(log_estimate: Callable[[Tensor, Tensor], Tensor], state: Tensor, noise: Noise, step: float) -> Move:
    """A random walk on an unbiased estimate of the density, which is kept with the state until the next acceptance.

    ``state`` (n, d + 1) holds x and the log of its estimate. ``log_estimate(x, normals)`` estimates the log at x (n, d) from
    normals (n, k). Reads d + k normals and one uniform.
    """
    dim = state.shape[1] - 1
    at = state[:, :dim] + step * noise.normals[:, :dim]
    proposal = torch.cat([at, log_estimate(at, noise.normals[:, dim:])[:, None]], 1)
    return metropolis(state, proposal, proposal[:, dim] - state[:, dim], noise.uniforms[:, 0])


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


def pseudo_marginal_kernel(log_estimate: Callable[[Tensor, Tensor], Tensor], step: float, normals: int, steps: int = 1) -> Kernel:
    """``kernel(state, seed)`` of :func:`pseudo_marginal`, whose estimate reads ``normals`` normals."""
    return Kernel(lambda x, noise: pseudo_marginal(log_estimate, x, noise, step), lambda d: (d - 1 + normals, 1), steps)
