"""Faults of the coupling: what replaces a rejected draft.

A replaced rejection rule takes ``step`` (a ``Rejected``), the round's noise and the source of noise; it returns states (m, d) and
the number of draws that it took.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .base import AFTER_REJECTION, Array, Backend, row
from .unspoiled import poor

Emitted = tuple[Array, Array | int]


@row(
    "no-reflection", "coupling", "A rejected draft keeps its noise and moves to the target's mean, without the reflection.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, standard=True,
)  # fmt: skip
def no_reflection(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    return step.mean + step.sigma[:, None] * step.draft, 1


@row(
    "reflected-about-wrong-axis", "coupling", "The reflection is about the first coordinate's axis, not the mean difference.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, least_dim=2,
)  # fmt: skip
def reflected_about_wrong_axis(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    mirrored = of.xp.concat([-step.draft[:, :1], step.draft[:, 1:]], axis=1)
    return step.mean + step.sigma[:, None] * mirrored, 1


@row(
    "reflected-without-mean-shift", "coupling", "The reflected noise is added to the draft's mean instead of the target's.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor,
)  # fmt: skip
def reflected_without_mean_shift(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    shift = of.xp.astype(step.delta, step.mean.dtype)[:, None] * step.axis
    return step.mean + step.sigma[:, None] * (shift + step.draft - 2 * _along(of, step, step.draft)), 1


@row(
    "rejected-from-target", "coupling", "A rejected step is redrawn from the target instead of from the residual.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, standard=True,
    seen=("transformers#28508", "flashinfer#425"),
)  # fmt: skip
def rejected_from_target(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    """This emits twice the part of the law that the draft already covers."""
    return step.mean + step.sigma[:, None] * noise.fresh, 1


@row(
    "rejected-from-truncated-normal", "coupling",
    "The residual is replaced by the target cut off at the edge: the draft's density is not subtracted.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor,
)  # fmt: skip
def rejected_from_truncated_normal(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    """The edge is that of weight 1."""
    quantile = of.own.ndtri(noise.residual * of.own.ndtr(0.5 * step.delta))
    s = of.xp.astype(quantile, step.mean.dtype)
    orthogonal = noise.fresh - _along(of, step, noise.fresh)
    return step.mean + step.sigma[:, None] * (s[:, None] * step.axis + orthogonal), 1


@row(
    "orthogonal-stretched", "coupling", "The residual's part orthogonal to the mean difference is scaled by 1.05.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, least_dim=2,
)  # fmt: skip
def orthogonal_stretched(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    return _scaled_across(1.05, of, step, noise, source)


@row(
    "orthogonal-shrunk", "coupling", "The residual's part orthogonal to the mean difference is scaled by 0.95.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, least_dim=2,
)  # fmt: skip
def orthogonal_shrunk(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    return _scaled_across(0.95, of, step, noise, source)


@row(
    "orthogonal-zeroed", "coupling", "The residual's part orthogonal to the mean difference is left out.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, least_dim=2, standard=True,
    seen=("a check that looks only along the mean difference flagged 0 of 40",),
)  # fmt: skip
def orthogonal_zeroed(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    return _scaled_across(0.0, of, step, noise, source)


@row(
    "orthogonal-shared-by-two", "coupling",
    "Two chains of a batch share the residual's part orthogonal to the mean difference: each path is right, but the pair is not.",
    touches=AFTER_REJECTION, replaces="rejection", spoils=poor, least_dim=2,
)  # fmt: skip
def orthogonal_shared_by_two(of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    """Two rows take the fresh noise of the first of them."""
    index = of.arange(len(noise.fresh), noise.fresh)
    return of.rejections.gamma(step, replace(noise, fresh=noise.fresh[index - index % 2]), source)


def _along(of: Backend, step: Any, z: Array) -> Array:
    """The part of z along the mean difference, (m, d)."""
    return of.xp.sum(step.axis * z, axis=-1, keepdims=True) * step.axis


def _scaled_across(factor: float, of: Backend, step: Any, noise: Any, source: Any) -> Emitted:
    """The right residual, with its part orthogonal to the mean difference scaled."""
    state, draws = of.rejections.gamma(step, noise, source)
    offset = state - step.mean
    along = _along(of, step, offset)
    return step.mean + along + factor * (offset - along), draws
