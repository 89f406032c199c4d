"""Wrong ways to decide what is kept, token by token and in a block. All have the signature of a verifier or of a part of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import RoundNoise
from ..verification import Verifier, block_masses, block_thresholds, token_wise, weight_at

_COIN_BITS = 11


def always(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accepts every draft."""
    return lengths, torch.zeros_like(log_ratios[:, 0])


def never(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accepts no draft: right, if what follows is drawn from the target."""
    return torch.zeros_like(lengths), torch.zeros_like(log_ratios[:, 0])


@dataclass(frozen=True)
class Tempered:
    """Accepts with probability min(1, r^power)."""

    power: float

    def __call__(self, log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return token_wise(self.power * log_ratios, deltas, uniforms, lengths)


@dataclass(frozen=True)
class Clipped:
    """Accepts with probability min(1, max(r, least))."""

    least: float = 0.01

    def __call__(self, log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return token_wise(log_ratios.clamp(min=math.log(self.least)), deltas, uniforms, lengths)


def in_bfloat16(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The ratio has eight significant bits."""
    rounded = torch.exp(log_ratios.clamp(max=0.0)).to(torch.bfloat16).to(log_ratios.dtype)
    return token_wise(torch.log(rounded), deltas, uniforms, lengths)


def at_coin_zero(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Coins of 11 bits, and a coin equal to the ratio lets the draft pass."""
    coins = torch.floor(uniforms * 2**_COIN_BITS) / 2**_COIN_BITS
    # `coin <= ratio` differs from `coin < ratio` where they are equal; a coin of 0 meets ratios of 0.
    return token_wise(log_ratios, deltas, torch.where(coins == 0, -1.0, coins), lengths)


def typical(log_ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Accepts whatever is likely enough, without a coin."""
    return token_wise(log_ratios, deltas, torch.full_like(uniforms, 0.3), lengths)


@dataclass(frozen=True)
class ScaledThresholds:
    """Block verification with h_i scaled, as ``Block.thresholds``."""

    factor: float = 1.03

    def __call__(self, log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
        return self.factor * block_thresholds(log_weights, masses, lengths)


def weights_without_min(log_ratios: Tensor) -> Tensor:
    """P_i = min(1, r_1 .. r_i): the cap is not inside the recursion."""
    start = torch.zeros_like(log_ratios[:, :1])
    return torch.cat([start, log_ratios.cumsum(1).clamp(max=0.0)], 1)


def masses_of_current(log_weights: Tensor, deltas: Tensor) -> Tensor:
    """Z(P_i, delta_i) instead of Z(P_i, delta_{i+1})."""
    return block_masses(log_weights, torch.cat([deltas[:, :1], deltas[:, :-1]], 1))


def thresholds_without_rest(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """h_i = Z_i / Z_i."""
    return _before_last(log_weights, (masses > 0).to(masses.dtype), lengths)


def thresholds_unnormalised(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """h_i = Z_i."""
    return _before_last(log_weights, masses, lengths)


def thresholds_of_full(log_weights: Tensor, masses: Tensor, lengths: Tensor) -> Tensor:
    """As if every window were full: where a short one ends there is no h_L = P_L."""
    return block_thresholds(log_weights, masses, torch.full_like(lengths, masses.shape[1]))


def until_first_failure(uniforms: Tensor, thresholds: Tensor, lengths: Tensor) -> Tensor:
    """How many draws pass before the first that fails."""
    return torch.minimum((uniforms < thresholds).long().cumprod(1).sum(1), lengths)


def first_pass(uniforms: Tensor, thresholds: Tensor, lengths: Tensor) -> Tensor:
    """The smallest i whose draw passes, 0 if there is none."""
    place = torch.arange(thresholds.shape[1], device=thresholds.device)
    passed = (uniforms < thresholds) & (place < lengths[:, None])
    return torch.where(passed.any(1), passed.long().argmax(1) + 1, 0)


@dataclass(frozen=True)
class WeightBeside:
    """The weight of another index: ``Block.weight`` at tau + ``by``."""

    by: int

    def __call__(self, log_weights: Tensor, tau: Tensor) -> Tensor:
        return weight_at(log_weights, (tau + self.by).clamp(0, log_weights.shape[1] - 1))


@dataclass(frozen=True)
class AlwaysLate:
    """``Round.verify`` that accepts everything once a chain has come so far."""

    since: float = 0.75

    def __call__(
        self, verifier: Verifier, log_ratios: Tensor, deltas: Tensor, noise: RoundNoise, lengths: Tensor, progress: Tensor
    ) -> tuple[Tensor, Tensor]:
        tau, weight = verifier(log_ratios, deltas, noise.accept, lengths)
        return torch.where(progress >= self.since, lengths, tau), weight


def _before_last(log_weights: Tensor, inner: Tensor, lengths: Tensor) -> Tensor:
    """h_L = P_L where a window ends, ``inner`` before."""
    last = torch.arange(1, inner.shape[1] + 1, device=inner.device)[None, :] == lengths[:, None]
    return torch.where(last, torch.exp(log_weights[:, 1:]), inner)
