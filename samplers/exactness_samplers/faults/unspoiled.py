"""The right samplers that faults spoil: configurations in which errors show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .base import Array, Backend


@dataclass(frozen=True)
class Offset:
    """The target's own prediction, moved in the direction of the state until the draft's mean is ``sigmas`` of the step away."""

    of: Backend
    process: Any
    sigmas: float = 1.0

    def __call__(self, steps: Array, x: Array, condition: Array | None) -> Array:
        xp, tables = self.of.xp, self.process.tables(x)
        sigma, b = tables.at("sigma", steps), tables.at("b", steps)
        # A step that ignores its prediction cannot be moved.
        size = xp.where(b == 0, xp.zeros_like(b), self.sigmas * sigma / xp.where(b == 0, xp.ones_like(b), b))
        length = xp.clip(xp.linalg.norm(x, axis=-1, keepdims=True), 1e-12, None)
        return self.process.evaluate(steps, x, condition) + size[:, None] * (x / length)


def stale(of: Backend, process: Any) -> Any:
    """Drafts go stale: the first kind of prediction is reused over windows as long as the chain, and verified as a block."""
    drafter = of.drafters.Free(process.schedule.kinds[0])
    window = max(1, min(process.steps - 1, 20))
    return of.speculative.Speculative(process, window, drafter, of.verification.block, of.rejections.gamma)


def poor(of: Backend, process: Any, sigmas: float = 1.0) -> Any:
    """Every draft is a standard deviation off, so that many are rejected, token by token."""
    drafter = of.drafters.Independent(Offset(of, process, sigmas))
    return of.speculative.Speculative(process, 8, drafter, of.verification.token_wise, of.rejections.gamma)


def hopeless(of: Backend, process: Any) -> Any:
    """Drafts lie fifty standard deviations away, so that none is ever accepted."""
    return replace(poor(of, process, 50.0), window=1)


def good(of: Backend, process: Any) -> Any:
    """Drafts are mostly kept."""
    kinds = process.schedule.kinds
    drafter = of.drafters.Free("sample" if "sample" in kinds else kinds[0])
    return of.speculative.Speculative(process, 8, drafter, of.verification.token_wise, of.rejections.gamma)
