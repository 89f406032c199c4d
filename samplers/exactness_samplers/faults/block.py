"""Faults of block verification: each replaces a function that ``Block`` is made of, or its masses, or forgets its weight.

P_i are the block's weights, Z_i the residual masses and h_i the thresholds of the uniforms; tau is how many drafted steps are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .base import IN_BLOCK, Array, Backend, Masses, row
from .unspoiled import poor, stale


@row(
    "block-with-reflection", "block",
    "Block verification replaces a rejected draft by its reflection, which is the coupling of weight 1.",
    touches=IN_BLOCK, replaces="rejection", spoils=stale, standard=True,
)  # fmt: skip
def block_with_reflection(of: Backend, step: Any, noise: Any, source: Any) -> tuple[Array, Array | int]:
    return of.rejections.reflection(_unweighted(of, step), noise, source)


@row(
    "block-with-unweighted-residual", "block", "Block verification draws the residual at weight 1 instead of P_tau.",
    touches=IN_BLOCK, replaces="rejection", spoils=stale, standard=True, seen=("vllm-ascend#7807", "vllm-ascend#7808"),
)  # fmt: skip
def block_with_unweighted_residual(of: Backend, step: Any, noise: Any, source: Any) -> tuple[Array, Array | int]:
    return of.rejections.gamma(_unweighted(of, step), noise, source)


@row(
    "block-stops-at-first-failure", "block", "tau is the last i before the first draw that fails, not the largest that passes.",
    touches=IN_BLOCK, replaces="block.length", spoils=stale, standard=True, seen=("vllm-ascend#11985",),
)  # fmt: skip
def block_stops_at_first_failure(of: Backend, uniforms: Array, thresholds: Array, lengths: Array) -> Array:
    xp = of.xp
    failures = xp.cumulative_sum(xp.astype(~(uniforms < thresholds), lengths.dtype), axis=1, dtype=lengths.dtype)
    passed = xp.sum(xp.astype(failures == 0, lengths.dtype), axis=1, dtype=lengths.dtype)
    return xp.minimum(passed, lengths)


@row(
    "block-first-pass-as-tau", "block", "tau is the smallest i whose draw passes, not the largest.",
    touches=IN_BLOCK, replaces="block.length", spoils=stale,
)  # fmt: skip
def block_first_pass_as_tau(of: Backend, uniforms: Array, thresholds: Array, lengths: Array) -> Array:
    xp = of.xp
    passed = xp.astype((uniforms < thresholds) & (of.arange(thresholds.shape[1], thresholds) < lengths[:, None]), lengths.dtype)
    first = xp.astype(xp.argmax(passed, axis=1), lengths.dtype) + 1
    return xp.max(passed, axis=1) * first


@row(
    "block-weights-without-min", "block",
    "P_i is the product of all ratios, capped at 1 only at the end: the cap inside the recursion is forgotten.",
    touches=IN_BLOCK, replaces="block.weights", spoils=stale, seen=("vllm-ascend#7839",),
)  # fmt: skip
def block_weights_without_min(of: Backend, log_ratios: Array) -> Array:
    capped = of.xp.clip(of.xp.cumulative_sum(log_ratios, axis=1), None, 0.0)
    return of.xp.concat([of.xp.zeros_like(log_ratios[:, :1]), capped], axis=1)


@row(
    "block-thresholds-without-rest", "block", "h_i = Z_i / Z_i: the 1 - P_i in the denominator is forgotten.",
    touches=IN_BLOCK, replaces="block.thresholds", spoils=stale,
)  # fmt: skip
def block_thresholds_without_rest(of: Backend, log_weights: Array, masses: Array, lengths: Array) -> Array:
    return _before_last(of, log_weights, of.xp.astype(masses > 0, masses.dtype), lengths)


@row(
    "block-thresholds-unnormalised", "block", "h_i = Z_i: the whole denominator is forgotten.",
    touches=IN_BLOCK, replaces="block.thresholds", spoils=stale,
)  # fmt: skip
def block_thresholds_unnormalised(of: Backend, log_weights: Array, masses: Array, lengths: Array) -> Array:
    return _before_last(of, log_weights, masses, lengths)


@row(
    "block-thresholds-high", "block", "h_i is 3% too large.",
    touches=IN_BLOCK, replaces="block.thresholds", spoils=poor,
)  # fmt: skip
def block_thresholds_high(of: Backend, log_weights: Array, masses: Array, lengths: Array) -> Array:
    return 1.03 * of.verification.block_thresholds(log_weights, masses, lengths)


@row(
    "block-thresholds-low", "block", "h_i is 3% too small.",
    touches=IN_BLOCK, replaces="block.thresholds", spoils=poor,
)  # fmt: skip
def block_thresholds_low(of: Backend, log_weights: Array, masses: Array, lengths: Array) -> Array:
    return 0.97 * of.verification.block_thresholds(log_weights, masses, lengths)


@row(
    "block-weight-of-next", "block", "The residual's weight is P_{tau+1} instead of P_tau.",
    touches=IN_BLOCK, replaces="block.weight", spoils=stale, standard=True, seen=("transformers#28166",),
)  # fmt: skip
def block_weight_of_next(of: Backend, log_weights: Array, tau: Array) -> Array:
    return of.verification.weight_at(log_weights, of.xp.clip(tau + 1, 0, log_weights.shape[1] - 1))


@row(
    "block-weight-of-last", "block", "The residual's weight is P_{tau-1} instead of P_tau.",
    touches=IN_BLOCK, replaces="block.weight", spoils=stale,
)  # fmt: skip
def block_weight_of_last(of: Backend, log_weights: Array, tau: Array) -> Array:
    return of.verification.weight_at(log_weights, of.xp.clip(tau - 1, 0, log_weights.shape[1] - 1))


@row(
    "block-mass-of-current", "block", "Z_i is taken at the displacement of step i instead of step i + 1.",
    touches=IN_BLOCK, replaces="round.masses", spoils=stale,
)  # fmt: skip
def block_mass_of_current(of: Backend, deltas: Array) -> Masses:
    return of.speculative.masses(of.xp.concat([deltas[:, :1], deltas[:, :-1]], axis=1))


@row(
    "block-short-window-as-full", "block",
    "The last, short windows get the thresholds of a full one, which has no h_L = P_L where they end.",
    touches="the last steps of a chain", replaces="block.thresholds", spoils=stale, seen=("openvino.genai#4190",),
)  # fmt: skip
def block_short_window_as_full(of: Backend, log_weights: Array, masses: Array, lengths: Array) -> Array:
    return of.verification.block_thresholds(log_weights, masses, of.xp.full_like(lengths, masses.shape[1]))


def _unweighted(of: Backend, step: Any) -> Any:
    """The rejected step at weight 1, as token by token."""
    return replace(step, log_weight=of.xp.zeros_like(step.log_weight))


def _before_last(of: Backend, log_weights: Array, inner: Array, lengths: Array) -> Array:
    """h_L = P_L where a window ends, ``inner`` before."""
    last = of.arange(inner.shape[1], inner) + 1 == lengths[:, None]
    return of.xp.where(last, of.xp.exp(log_weights[:, 1:]), inner)
