"""Which drafted steps of a window are kept: pure functions of log-ratios and uniforms.

A window drafts y_1..y_L out of y_0, steps of a diffusion or tokens of a language model; ``log_ratios[:, i-1]`` is
log p(y_i)/q(y_i), both laws given y_0..y_{i-1}. Both verifiers return tau, the number of drafted steps that are kept, and log w,
the log-weight at which step tau + 1 was rejected: it is drawn again from the residual, which is proportional to (w p - q)_+.

Block verification also asks how much mass the next residual has: ``masses(log_weights)`` takes log P_0..log P_L, shape (m, L + 1),
and returns Z_1..Z_L, shape (m, L). Z_i is the mass of (P_i p - q)_+ under the laws p and q of y_{i+1}, given y_0..y_i. The
last column has no next step, and nothing reads it: let it be 0. For Gaussian steps ``couplings.GaussianMasses`` is such a
function; for tokens Z_i is a sum over the vocabulary.

``lengths`` (m,) says how many of the L columns a chain really drafted; columns past it are ignored.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444, Algorithm 2 (block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Masses = Callable[[Tensor], Tensor]
"""log_weights (m, L + 1) -> the masses of the next residuals (m, L)."""

Verifier = Callable[[Tensor, Masses, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(log_ratios (m, L), masses, uniforms (m, L), lengths (m,)) -> (tau (m,), log_weight (m,))."""


def token_wise(log_ratios: Tensor, masses: Masses, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accepts step i with probability min(1, r_i) and stops at the first failure; a rejected step has weight 1.

    ``masses`` is never called: it is here because both verifiers have one signature.
    """
    # Strictly below: a step of ratio 0 must fail even at u = 0.
    accepted = (uniforms < torch.exp(log_ratios)) & _drafted(log_ratios, lengths)
    tau = torch.cumprod(accepted.long(), dim=1).sum(1)
    return tau, torch.zeros_like(log_ratios[:, 0])


def block_weights(log_ratios: Tensor) -> Tensor:
    """log P_0, ..., log P_L, shape (m, L + 1): P_0 = 1, P_i = min(1, P_{i-1} r_i)."""
    columns = [torch.zeros_like(log_ratios[:, 0])]
    for i in range(log_ratios.shape[1]):
        columns.append(torch.clamp(columns[-1] + log_ratios[:, i], max=0.0))
    return torch.stack(columns, dim=1)


def block_thresholds(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """h_1, ..., h_L: h_i = Z_i / (Z_i + 1 - P_i) before the last drafted step, h_L = P_L; 0/0 counts as 0. Shape (m, L)."""
    log_p = log_weights[:, 1:]
    total = masses - torch.expm1(log_p)
    inner = torch.where(total > 0.0, masses / torch.where(total > 0.0, total, torch.ones_like(total)), torch.zeros_like(total))
    last = torch.arange(1, log_p.shape[1] + 1, device=log_p.device)[None, :] == lengths[:, None]
    return torch.where(last, torch.exp(log_p), inner)


def block_length(uniforms: Tensor, thresholds: Tensor, lengths: Tensor) -> Tensor:
    """The LARGEST i with u_i < h_i, or 0 without such an i: a draw that fails early does not end the window."""
    passed = (uniforms < thresholds) & _drafted(thresholds, lengths)
    position = torch.arange(1, thresholds.shape[1] + 1, device=thresholds.device)
    return (passed * position).amax(dim=1)


def weight_at(log_weights: Tensor, tau: Tensor) -> Tensor:
    """log P_tau, (m,): the weight of the residual to draw from at step tau + 1."""
    return log_weights.gather(1, tau[:, None])[:, 0]


@dataclass(frozen=True)
class Block:
    """Block verification: tau is the largest i with u_i < h_i, and the residual at step tau + 1 has the weight P_tau.

    It keeps at least as many steps on average as :func:`token_wise` does. It is made of the functions above, in the order of
    their use; a wrong sampler is this with one of them replaced.

    Source: Sun et al. 2024, arXiv 2403.10444, Algorithm 2.

    Example:
        Two tokens that were drafted from q, whatever came before. Block verification keeps both; the other would reject the first.

        >>> import torch
        >>> p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
        >>> def masses(log_weights):
        ...     excess = torch.clamp(torch.exp(log_weights[:, 1:-1, None]) * p - q, min=0.0).sum(-1)
        ...     return torch.cat([excess, torch.zeros(len(excess), 1)], dim=1)
        >>> drafts, uniforms = torch.tensor([[2, 0]]), torch.tensor([[0.9, 0.5]])
        >>> tau, log_weight = block(torch.log(p / q)[drafts], masses, uniforms, torch.tensor([2]))
        >>> tau.tolist(), log_weight.exp().tolist()
        ([2], [1.0])
        >>> token_wise(torch.log(p / q)[drafts], masses, uniforms, torch.tensor([2]))[0].tolist()
        [0]
    """

    weights: Callable[[Tensor], Tensor] = block_weights
    thresholds: Callable[[Tensor, Tensor, Tensor], Tensor] = block_thresholds
    length: Callable[[Tensor, Tensor, Tensor], Tensor] = block_length
    weight: Callable[[Tensor, Tensor], Tensor] = weight_at
    name: str = "block"

    def __call__(self, log_ratios: Tensor, masses: Masses, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        log_weights = self.weights(log_ratios)
        mass = masses(log_weights)
        if mass.shape != log_ratios.shape:
            raise ValueError(
                f"masses gave shape {tuple(mass.shape)} for log-ratios of {tuple(log_ratios.shape)}: it gives one mass for each "
                "drafted step, and 0 for the last one"
            )
        thresholds = self.thresholds(log_weights, mass, lengths)
        tau = self.length(uniforms, thresholds, lengths)
        return tau, self.weight(log_weights, tau)


block = Block()


def _drafted(like: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device)[None, :] < lengths[:, None]
