"""Faults of the bookkeeping: wrong indices, means and states. Each replaces one part of a round, or the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .base import AFTER_REJECTION, ALL, DRAFTED, Array, Backend, row
from .unspoiled import good, poor

DraftedMean = Callable[[Array, Array], Array]
_CROSSED = 1e-3


@row(
    "verified-with-stale-mean", "bookkeeping", "The target's mean is made from the prediction one position earlier.",
    touches=DRAFTED, replaces="round.target_means", spoils=poor, standard=True,
    seen=("transformers#28166", "TensorRT-LLM#15098"),
)  # fmt: skip
def verified_with_stale_mean(
    of: Backend, tables: Any, steps: Array, y: Array, predictions: Array, lengths: Array, drafted_mean: DraftedMean
) -> Array:
    earlier = of.xp.concat([predictions[:, :1], predictions[:, :-1]], axis=1)
    return of.speculative.target_means(tables, steps, y, earlier, lengths, drafted_mean)


@row(
    "sigma-of-neighbouring-step", "bookkeeping", "Each step has the standard deviation of the step before it.",
    touches=ALL, replaces="process", spoils=poor, standard=True, seen=("diffusers#9261",),
)  # fmt: skip
def sigma_of_neighbouring_step(of: Backend, process: Any) -> Any:
    sigma = process.schedule.sigma
    return with_sigma(process, np.append(sigma[1:], sigma[-1]))


@row(
    "mean-of-neighbouring-step", "bookkeeping", "The target's mean has the coefficients of the step before it.",
    touches=ALL, replaces="round.target_means", spoils=poor, seen=("diffusers#9261", "transformers#28166"),
)  # fmt: skip
def mean_of_neighbouring_step(
    of: Backend, tables: Any, steps: Array, y: Array, predictions: Array, lengths: Array, drafted_mean: DraftedMean
) -> Array:
    before = of.xp.clip(steps + 1, None, len(tables.vectors["a"]))
    return of.speculative.target_means(tables, before, y, predictions, lengths, drafted_mean)


@row(
    "draft-wider-than-said", "bookkeeping", "Drafts are drawn with 1.05 times the standard deviation that their ratio assumes.",
    touches=DRAFTED, replaces="round.step", spoils=good, standard=True, seen=("transformers#32867", "transformers#47932"),
)  # fmt: skip
def draft_wider_than_said(of: Backend, mean: Array, sigma: Array, z: Array) -> Array:
    return mean + 1.05 * sigma[:, None] * z


@row(
    "draft-narrower-than-said", "bookkeeping", "Drafts are drawn with 0.95 times the standard deviation that their ratio assumes.",
    touches=DRAFTED, replaces="round.step", spoils=good, seen=("transformers#47961", "jaymody/speculative-sampling#3"),
)  # fmt: skip
def draft_narrower_than_said(of: Backend, mean: Array, sigma: Array, z: Array) -> Array:
    return mean + 0.95 * sigma[:, None] * z


@row(
    "extra-step-from-draft", "bookkeeping", "After a full window the extra step is the draft's instead of the target's.",
    touches="the step after a full window", replaces="round.target_means", spoils=poor, standard=True,
)  # fmt: skip
def extra_step_from_draft(
    of: Backend, tables: Any, steps: Array, y: Array, predictions: Array, lengths: Array, drafted_mean: DraftedMean
) -> Array:
    """A window of no drafts keeps its own mean."""
    means = of.speculative.target_means(tables, steps, y, predictions, lengths, drafted_mean)
    index = of.arange(len(y), y)
    drafted = drafted_mean(steps[index, lengths], y[index, lengths])
    extra = (of.arange(y.shape[1], y) == lengths[:, None]) & (lengths > 0)[:, None]
    return of.xp.where(extra[..., None], drafted[:, None], means)


@row(
    "rejected-state-kept", "bookkeeping", "After a rejection the chain continues from the drafted state that was rejected.",
    touches=AFTER_REJECTION, replaces="round.emit", spoils=poor, standard=True, seen=("openvino.genai#4190",),
)  # fmt: skip
def rejected_state_kept(of: Backend, rejection: Any, window: Any, noise: Any, source: Any) -> tuple[Array, Array | int]:
    state, draws = of.speculative.emit(rejection, window, noise, source)
    drafted = window.y[of.arange(len(state), state), of.xp.minimum(window.tau + 1, window.lengths)]
    return of.xp.where((window.tau < window.lengths)[:, None], drafted, state), draws


@row(
    "label-of-another-chain", "bookkeeping",
    "The labels move on by one row in each round, so each chain is led by the labels of others.",
    touches="every step after the first round", replaces="round.conditioned", spoils=good, labelled=True,
)  # fmt: skip
def label_of_another_chain(of: Backend, condition: Array, chains: Any) -> Array:
    return condition[(chains.chain + chains.rounds) % len(condition)]


@row(
    "state-of-another-chain", "bookkeeping", "After one full window in 1,000 a chain continues from its neighbour's state.",
    touches="one window in 1,000", replaces="round.emit", spoils=good,
)  # fmt: skip
def state_of_another_chain(of: Backend, rejection: Any, window: Any, noise: Any, source: Any) -> tuple[Array, Array | int]:
    """The coin is one that a full window does not use."""
    state, draws = of.speculative.emit(rejection, window, noise, source)
    crossed = (noise.residual < _CROSSED) & (window.tau == window.lengths)
    return of.xp.where(crossed[:, None], of.xp.roll(state, 1, axis=0), state), draws


def with_sigma(process: Any, sigma: np.ndarray) -> Any:
    """The process with another standard deviation at each step, (K,); a deterministic step stays deterministic."""
    right = process.schedule.sigma
    return replace(process, schedule=replace(process.schedule, sigma=np.where(right > 0, sigma, 0.0)))
