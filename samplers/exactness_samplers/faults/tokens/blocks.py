"""Faults of block verification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import block
from ..base import Array, Backend, Bound
from .base import Given, Verified, emit, rows

row = rows("tokens: block")
HSD = "hierarchical speculative decoding, the authors' code at b8575e2 with its indentation repaired"


def with_thresholds(of: Backend, given: Given, thresholds: Callable[[Array, Array, Array], Array]) -> Verified:
    """Block verification with other thresholds, a function of log-ratios, log-weights and masses."""

    def keeps(ratios: Array, masses: Callable[[Array], Array], uniforms: Array, lengths: Array) -> Verified:
        log_weights = of.verification.block_weights(ratios)
        kept = of.verification.block_length(uniforms, thresholds(ratios, log_weights, masses(log_weights)), lengths)
        return kept, of.verification.weight_at(log_weights, kept)

    return emit(of, given, keeps)


@row(
    "block-last-ratio-uncapped", "The last draft is accepted with the uncapped product min(1, R_1 ... R_L).",
    last_first=True, seen=(HSD,), standard=True,
)  # fmt: skip
def block_last_ratio_uncapped(of: Backend, given: Given) -> Verified:
    def thresholds(ratios: Array, log_weights: Array, masses: Array) -> Array:
        right = of.verification.block_thresholds(log_weights, masses, given.lengths)
        columns = of.arange(ratios.shape[1], ratios)[None, :]
        there = of.xp.where(columns < given.lengths[:, None], ratios, of.xp.zeros_like(ratios))
        product = of.xp.exp(of.xp.clip(of.xp.sum(there, axis=1), None, 0.0))
        return of.xp.where(columns + 1 == given.lengths[:, None], product[:, None], right)

    return with_thresholds(of, given, thresholds)


@row(
    "block-residual-unweighted", "The residual after a block is (p - q)_+ instead of (w p - q)_+.",
    last_first=True, least_vocabulary=3, seen=("vllm-ascend#7807", "vllm-ascend#7808"), standard=True,
)  # fmt: skip
def block_residual_unweighted(of: Backend, given: Given) -> Verified:
    def keeps(*parts: Any) -> Verified:
        kept, log_weight = of.verification.block(*parts)
        return kept, of.xp.zeros_like(log_weight)

    return emit(of, given, keeps)


@row(
    "block-stops-at-first-failed-draft", "The first draft that fails ends the block, although a later one may pass.",
    seen=("vllm-ascend#11985",), standard=True,
)  # fmt: skip
def block_stops_at_first_failed_draft(of: Backend, given: Given) -> Verified:
    stops = Bound(of, block.block_stops_at_first_failure.instead, "stops at the first failure")
    return emit(of, given, of.verification.Block(length=stops))


@row(
    "block-threshold-is-the-weight", "Every draft of a block is accepted with its weight P instead of h.",
    last_first=True, standard=True,
)  # fmt: skip
def block_threshold_is_the_weight(of: Backend, given: Given) -> Verified:
    return with_thresholds(of, given, lambda ratios, log_weights, masses: of.xp.exp(log_weights[:, 1:]))
