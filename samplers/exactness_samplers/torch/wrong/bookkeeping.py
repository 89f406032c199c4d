"""Wrong indices, means and states: each replaces one part of a round, or the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..drafters import Memory, Reuse
from ..noise import Noise, RoundNoise
from ..processes import Process, Tables
from ..rejections import Rejection
from ..speculative import Chains, Verified, emit, target_means

DraftedMean = Callable[[Tensor, Tensor], Tensor]
_CROSSED = 1e-3


def stale_means(
    tables: Tables, steps: Tensor, y: Tensor, predictions: Tensor, lengths: Tensor, drafted_mean: DraftedMean
) -> Tensor:
    """Each mean is made from the prediction one position earlier."""
    earlier = torch.cat([predictions[:, :1], predictions[:, :-1]], 1)
    return target_means(tables, steps, y, earlier, lengths, drafted_mean)


def means_of_neighbour(
    tables: Tables, steps: Tensor, y: Tensor, predictions: Tensor, lengths: Tensor, drafted_mean: DraftedMean
) -> Tensor:
    """The coefficients of the step before."""
    before = torch.clamp(steps + 1, max=len(tables.vectors["a"]))
    return target_means(tables, before, y, predictions, lengths, drafted_mean)


def extra_from_draft(
    tables: Tables, steps: Tensor, y: Tensor, predictions: Tensor, lengths: Tensor, drafted_mean: DraftedMean
) -> Tensor:
    """The mean after a full window is the drafter's; a window of no drafts keeps its own."""
    means = target_means(tables, steps, y, predictions, lengths, drafted_mean)
    row = torch.arange(len(y), device=y.device)
    drafted = drafted_mean(steps[row, lengths], y[row, lengths])
    means[row, lengths] = torch.where((lengths > 0)[:, None], drafted, means[row, lengths])
    return means


@dataclass(frozen=True)
class SpreadDraft:
    """Draws with another standard deviation than the verification assumes."""

    factor: float

    def __call__(self, mean: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
        return mean + self.factor * sigma[:, None] * z


def keep_rejected(rejection: Rejection, window: Verified, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
    """Goes on from the drafted state that was rejected."""
    state, draws = emit(rejection, window, noise, source)
    row, rejected = torch.arange(len(state), device=state.device), window.tau < window.lengths
    drafted = window.y[row, torch.minimum(window.tau + 1, window.lengths)]
    return torch.where(rejected[:, None], drafted, state), draws


def cross(rejection: Rejection, window: Verified, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
    """One full window in 1,000 ends in the state of the row before. The coin is one that a full window does not use."""
    state, draws = emit(rejection, window, noise, source)
    crossed = (noise.residual < _CROSSED) & (window.tau == window.lengths)
    return torch.where(crossed[:, None], state.roll(1, 0), state), draws


def label_of_next(condition: Tensor, chains: Chains) -> Tensor:
    """The labels move on by one row a round."""
    return condition[(chains.chain + chains.rounds) % len(condition)]


def with_sigma(process: Process, sigma: np.ndarray) -> Process:
    """Another standard deviation at each step; a deterministic one stays so."""
    right = process.schedule.sigma
    return replace(process, schedule=replace(process.schedule, sigma=np.where(right > 0, sigma, 0.0)))


def neighbouring_sigma(process: Process) -> Process:
    sigma = process.schedule.sigma
    return with_sigma(process, np.append(sigma[1:], sigma[-1]))


def scaled_last_sigma(process: Process, factor: float) -> Process:
    """Of the last stochastic step alone."""
    sigma = process.schedule.sigma.copy()
    sigma[np.flatnonzero(sigma > 0)[0]] *= factor
    return with_sigma(process, sigma)


@dataclass(frozen=True)
class ReuseOfNeighbour(Reuse):
    """Drafts with what the row before remembers: right, since a draft may be any function of the past of all chains."""

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        return super().prediction(tables, steps, x, (memory[0].roll(1, 0),), condition)


@dataclass(frozen=True)
class Failing:
    """A prediction that is NaN where the state's first coordinate is positive."""

    process: Process

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None) -> Tensor:
        return torch.where(x[:, :1] > 0, torch.nan, self.process.evaluate(steps, x, condition))
