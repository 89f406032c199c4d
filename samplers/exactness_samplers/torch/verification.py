"""Which drafted steps of a window are kept: pure functions of log-ratios and uniforms.

A window drafts y_1..y_L out of y_0; ``log_ratios[:, i-1]`` is log p(y_i | y_{i-1}) / q(y_i | y_{i-1}). Both verifiers return
tau, the number of drafted steps kept, and the log-weight at which step tau + 1 was rejected. They know nothing of Gaussians:
the residual masses come in as numbers, so discrete decoding verifies with the same functions.

``lengths`` says how many of the L columns a chain really drafted; columns past it are ignored.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444, Algorithm 2 (block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .couplings import residual_mass

Verifier = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(log_ratios (m, L), deltas (m, L), uniforms (m, L), lengths (m,)) -> (tau (m,), log_weight (m,))."""


def token_wise(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accept step i with probability min(1, r_i), stop at the first failure; a rejected step has weight 1.

    ``deltas`` is not used: both verifiers have one signature.
    """
    # Strictly below: a step of ratio 0 must fail even at u = 0.
    accepted = (uniforms < torch.exp(log_ratios)) & _drafted(log_ratios, lengths)
    tau = torch.cumprod(accepted.long(), dim=1).sum(1)
    return tau, torch.zeros_like(log_ratios[:, 0])


def block_weights(log_ratios: Tensor) -> Tensor:
    """log P_0 .. log P_L, shape (m, L + 1): P_0 = 1, P_i = min(1, P_{i-1} r_i)."""
    columns = [torch.zeros_like(log_ratios[:, 0])]
    for i in range(log_ratios.shape[1]):
        columns.append(torch.clamp(columns[-1] + log_ratios[:, i], max=0.0))
    return torch.stack(columns, dim=1)


def block_masses(log_weights: Tensor, deltas: Tensor) -> Tensor:
    """Z_i = Z(P_i, delta_{i+1}), i = 1..L-1, from log P_0..P_L; the last column has no next step and holds 0. Shape (m, L)."""
    masses = torch.zeros_like(log_weights[:, 1:])
    masses[:, :-1] = residual_mass(log_weights[:, 1:-1], deltas[:, 1:])
    return masses


def block_thresholds(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """h_1 .. h_L: h_i = Z_i / (Z_i + 1 - P_i) before the last drafted step, h_L = P_L; 0/0 counts as 0. Shape (m, L)."""
    log_p = log_weights[:, 1:]
    total = masses - torch.expm1(log_p)
    inner = torch.where(total > 0.0, masses / torch.where(total > 0.0, total, torch.ones_like(total)), torch.zeros_like(total))
    last = torch.arange(1, log_p.shape[1] + 1, device=log_p.device)[None, :] == lengths[:, None]
    return torch.where(last, torch.exp(log_p), inner)


def block_length(uniforms: Tensor, thresholds: Tensor, lengths: Tensor) -> Tensor:
    """The LARGEST i with u_i < h_i, 0 if there is none: a draw that fails early does not end the window."""
    passed = (uniforms < thresholds) & _drafted(thresholds, lengths)
    position = torch.arange(1, thresholds.shape[1] + 1, device=thresholds.device)
    return (passed * position).amax(dim=1)


def weight_at(log_weights: Tensor, tau: Tensor) -> Tensor:
    """log P_tau, (m,): the weight of the residual to draw from at step tau + 1."""
    return log_weights.gather(1, tau[:, None])[:, 0]


@dataclass(frozen=True)
class Block:
    """tau = the largest i with u_i < h_i, and the weight P_tau of the residual to draw from at step tau + 1.

    Made of the functions above, in the order of their use; a wrong sampler is this with one of them replaced.
    """

    weights: Callable[[Tensor], Tensor] = block_weights
    masses: Callable[[Tensor, Tensor], Tensor] = block_masses
    thresholds: Callable[[Tensor, Tensor, Tensor], Tensor] = block_thresholds
    length: Callable[[Tensor, Tensor, Tensor], Tensor] = block_length
    weight: Callable[[Tensor, Tensor], Tensor] = weight_at
    name: str = "block"

    def __call__(self, log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        log_weights = self.weights(log_ratios)
        thresholds = self.thresholds(log_weights, self.masses(log_weights, deltas), lengths)
        tau = self.length(uniforms, thresholds, lengths)
        return tau, self.weight(log_weights, tau)


block = Block()


def _drafted(like: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device)[None, :] < lengths[:, None]
