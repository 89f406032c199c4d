"""Wrong on purpose: the controls. Each is the right code with one function replaced; none is a copy of a sampler.

A certificate is worth what it would have caught, so these are what a battery must refute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .noise import Noise, RoundNoise
from .rejections import Rejected, Rejection, gamma, reflection
from .speculative import Speculative
from .verification import block


@dataclass(frozen=True)
class Unweighted:
    """Ignores the weight of a block: the residual (or reflection) of token-wise verification, at every step."""

    rejection: Rejection

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
        return self.rejection(replace(step, log_weight=torch.zeros_like(step.log_weight)), noise, source)


@dataclass(frozen=True)
class Stretched:
    """Scales the part of the emitted noise that is orthogonal to the mean difference."""

    rejection: Rejection
    factor: float = 1.05

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
        state, draws = self.rejection(step, noise, source)
        offset = state - step.mean
        along = (offset * step.axis).sum(-1, keepdim=True) * step.axis
        return step.mean + along + self.factor * (offset - along), draws


def from_target(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """Redraws a rejected step from the target instead of from the residual: accepts q's part twice."""
    return step.mean + step.sigma[:, None] * noise.fresh, 1


def always(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accepts every draft."""
    return lengths, torch.zeros_like(log_ratios[:, 0])


@dataclass(frozen=True)
class Control:
    """``spoil`` turns a right sampler into the wrong one."""

    name: str
    wrong: str
    spoil: Callable[[Speculative], Speculative]


CONTROLS: tuple[Control, ...] = (
    Control(
        "block-with-reflection",
        "Block verification replaces a rejected draft by its reflection, which is the coupling of weight 1.",
        lambda right: replace(right, verifier=block, rejection=Unweighted(reflection)),
    ),
    Control(
        "block-with-unweighted-residual",
        "Block verification draws the residual at weight 1 instead of P_tau.",
        lambda right: replace(right, verifier=block, rejection=Unweighted(gamma)),
    ),
    Control(
        "rejected-from-target",
        "A rejected step is redrawn from the target instead of from the residual.",
        lambda right: replace(right, rejection=from_target),
    ),
    Control(
        "accept-always",
        "Every drafted step is accepted.",
        lambda right: replace(right, verifier=always),
    ),
    Control(
        "orthogonal-stretched",
        "The residual's part orthogonal to the mean difference is scaled by 1.05.",
        lambda right: replace(right, rejection=Stretched(right.rejection)),
    ),
)
