"""Wrong on purpose: the controls. Each is the right code with one function replaced; none is a copy of a sampler.

A certificate is worth what it would have caught, so these are what a battery must refute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from .drafters import Free, Independent
from .noise import Noise, RoundNoise
from .processes import Predict, Process
from .rejections import Rejected, Rejection, gamma, reflection
from .speculative import Speculative
from .verification import block, token_wise


@dataclass(frozen=True)
class Unweighted:
    """Ignores the weight of a block: the residual (or reflection) of token-wise verification, at every step."""

    rejection: Rejection

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[jax.Array, jax.Array | int]:
        return self.rejection(replace(step, log_weight=jnp.zeros_like(step.log_weight)), noise, source)


@dataclass(frozen=True)
class Stretched:
    """Scales the part of the emitted noise that is orthogonal to the mean difference."""

    rejection: Rejection
    factor: float = 1.05

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[jax.Array, jax.Array | int]:
        state, draws = self.rejection(step, noise, source)
        offset = state - step.mean
        along = (offset * step.axis).sum(-1, keepdims=True) * step.axis
        return step.mean + along + self.factor * (offset - along), draws


def from_target(step: Rejected, noise: RoundNoise, source: Noise) -> tuple[jax.Array, int]:
    """Redraws a rejected step from the target instead of from the residual: accepts q's part twice."""
    return step.mean + step.sigma[:, None] * noise.fresh, 1


def always(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accepts every draft."""
    return lengths, jnp.zeros_like(log_ratios[:, 0])


@dataclass(frozen=True)
class ScaledThresholds:
    """Block verification with h_i scaled: u < factor h is u/factor < h."""

    factor: float = 1.03

    def __call__(
        self, log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return block(log_ratios, deltas, uniforms / self.factor, lengths)


@dataclass(frozen=True)
class Control:
    """``build(process, coarse)`` is the wrong sampler, in a configuration where its error shows: long windows with many
    rejections late in them for the block controls, a poor independent draft (``coarse``) where each rejection counts.
    """

    name: str
    wrong: str
    build: Callable[[Process, Predict], Speculative]


def _stale(process: Process) -> Speculative:
    """A right sampler whose drafts go stale: the noise prediction reused over windows as long as the chain."""
    return Speculative(process, max(1, min(process.steps - 1, 20)), Free("noise"), block, gamma)


def _poor(process: Process, coarse: Predict) -> Speculative:
    """A right sampler whose drafts come from a poor model."""
    return Speculative(process, 8, Independent(coarse), token_wise, gamma)


CONTROLS: tuple[Control, ...] = (
    Control(
        "block-with-reflection",
        "Block verification replaces a rejected draft by its reflection, which is the coupling of weight 1.",
        lambda process, coarse: replace(_stale(process), rejection=Unweighted(reflection)),
    ),
    Control(
        "block-with-unweighted-residual",
        "Block verification draws the residual at weight 1 instead of P_tau.",
        lambda process, coarse: replace(_stale(process), rejection=Unweighted(gamma)),
    ),
    Control(
        "rejected-from-target",
        "A rejected step is redrawn from the target instead of from the residual.",
        lambda process, coarse: replace(_stale(process), rejection=from_target),
    ),
    Control(
        "accept-always",
        "Every drafted step is accepted.",
        lambda process, coarse: replace(_poor(process, coarse), verifier=always),
    ),
    Control(
        "orthogonal-stretched",
        "The residual's part orthogonal to the mean difference is scaled by 1.05.",
        lambda process, coarse: replace(_poor(process, coarse), rejection=Stretched(gamma)),
    ),
)
