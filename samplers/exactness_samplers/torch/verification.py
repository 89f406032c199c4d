"""Verification: pure functions of log-ratios and uniforms that decide which drafted steps of a window are kept.

A window drafts y_1..y_L from y_0, and ``log_ratios[:, i-1]`` is log p(y_i | y_{i-1}) / q(y_i | y_{i-1}). Both verifiers return
tau, the number of drafted steps that are kept, and the log-weight at which step tau + 1 was rejected. They know nothing about
Gaussians: the residual masses are passed in as numbers, so discrete decoding uses the same functions.

``lengths`` says how many of the L columns a chain really drafted; later columns are ignored.

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
    """Accept step i with probability min(1, r_i) and stop at the first failure. A rejected step has weight 1.

    ``deltas`` is not used; both verifiers have the same signature.

    >>> uniforms = torch.tensor([[0.2, 0.9]])
    >>> tau, log_weight = token_wise(torch.log(torch.tensor([[0.5, 0.5]])), uniforms, uniforms, torch.tensor([2]))
    >>> int(tau[0]), float(log_weight[0])
    (1, 0.0)
    """
    # Strictly below, so that a step of ratio 0 fails even at u = 0.
    accepted = (uniforms < torch.exp(log_ratios)) & _drafted(log_ratios, lengths)
    tau = torch.cumprod(accepted.long(), dim=1).sum(1)
    return tau, torch.zeros_like(log_ratios[:, 0])


def block_weights(log_ratios: Tensor) -> Tensor:
    """log P_0, ..., log P_L, shape (m, L + 1), with P_0 = 1 and P_i = min(1, P_{i-1} r_i).

    >>> block_weights(torch.log(torch.tensor([[0.5, 4.0]]))).exp()
    tensor([[1.0000, 0.5000, 1.0000]])
    """
    columns = [torch.zeros_like(log_ratios[:, 0])]
    for i in range(log_ratios.shape[1]):
        columns.append(torch.clamp(columns[-1] + log_ratios[:, i], max=0.0))
    return torch.stack(columns, dim=1)


def block_masses(log_weights: Tensor, deltas: Tensor) -> Tensor:
    """Z_i = Z(P_i, delta_{i+1}) for i = 1..L-1, from log P_0..P_L, shape (m, L). The last column has no next step and is 0."""
    masses = torch.zeros_like(log_weights[:, 1:])
    masses[:, :-1] = residual_mass(log_weights[:, 1:-1], deltas[:, 1:])
    return masses


def block_thresholds(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """The thresholds h_1, ..., h_L, shape (m, L).

    h_i is Z_i / (Z_i + 1 - P_i) before the last drafted step, where 0/0 counts as 0. At the last drafted step it is P_i.
    """
    log_p = log_weights[:, 1:]
    total = masses - torch.expm1(log_p)
    inner = torch.where(total > 0.0, masses / torch.where(total > 0.0, total, torch.ones_like(total)), torch.zeros_like(total))
    last = torch.arange(1, log_p.shape[1] + 1, device=log_p.device)[None, :] == lengths[:, None]
    return torch.where(last, torch.exp(log_p), inner)


def block_length(uniforms: Tensor, thresholds: Tensor, lengths: Tensor) -> Tensor:
    """The LARGEST i with u_i < h_i, or 0 if no i has it: an early failure does not end the window.

    >>> int(block_length(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]]), torch.tensor([2]))[0])
    2
    """
    passed = (uniforms < thresholds) & _drafted(thresholds, lengths)
    position = torch.arange(1, thresholds.shape[1] + 1, device=thresholds.device)
    return (passed * position).amax(dim=1)


def weight_at(log_weights: Tensor, tau: Tensor) -> Tensor:
    """log P_tau, shape (m,): the log-weight of the residual at step tau + 1."""
    return log_weights.gather(1, tau[:, None])[:, 0]


@dataclass(frozen=True)
class Block:
    """Block verification: tau is the largest i with u_i < h_i, and P_tau is the weight of the residual at step tau + 1.

    It is made of the functions above, in the order of their use. A fault replaces one of them.

    >>> log_ratios, deltas, uniforms = torch.log(torch.tensor([[0.5, 4.0]])), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.9, 0.9]])
    >>> tau, log_weight = Block()(log_ratios, deltas, uniforms, torch.tensor([2]))
    >>> int(tau[0]), float(log_weight[0])  # token by token, the first draft would have been rejected
    (2, 0.0)
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
