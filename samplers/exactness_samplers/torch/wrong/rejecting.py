"""Wrong ways to replace a rejected draft."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..noise import Noise, RoundNoise
from ..rejections import Rejected, Rejection


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


@dataclass(frozen=True)
class Shared:
    """Two rows take the fresh noise of the first of them."""

    rejection: Rejection

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
        row = torch.arange(len(noise.fresh), device=noise.fresh.device)
        return self.rejection(step, replace(noise, fresh=noise.fresh[row - row % 2]), source)


def from_target(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """Redraws a rejected step from the target instead of from the residual: accepts q's part twice."""
    return step.mean + step.sigma[:, None] * noise.fresh, 1


def unreflected(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """The rejected draft's noise, at the target's mean."""
    return step.mean + step.sigma[:, None] * step.draft, 1


def about_first_axis(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """Reflects about the first coordinate's axis."""
    mirrored = torch.cat([-step.draft[:, :1], step.draft[:, 1:]], 1)
    return step.mean + step.sigma[:, None] * mirrored, 1


def without_mean_shift(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """The reflected noise, added to the draft's mean."""
    along = (step.axis * step.draft).sum(-1, keepdim=True) * step.axis
    shift = step.delta.to(step.mean.dtype)[:, None] * step.axis
    return step.mean + step.sigma[:, None] * (shift + step.draft - 2 * along), 1


def cut_off(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
    """The target below the edge of the residual, at weight 1."""
    edge = 0.5 * step.delta.double()
    s = torch.special.ndtri(noise.residual * torch.special.ndtr(edge)).to(step.mean.dtype)
    orthogonal = noise.fresh - (step.axis * noise.fresh).sum(-1, keepdim=True) * step.axis
    return step.mean + step.sigma[:, None] * (s[:, None] * step.axis + orthogonal), 1
