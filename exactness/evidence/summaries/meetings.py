"""How many pairs of chains had not met, after each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import Null, Unmet
from .base import Summary, Test

# The bounds that a certificate prints besides the one that decides, each at this confidence.
_CONFIDENCE = 0.999
_PRINTED = 6


class MeetingTimes(Summary):
    """Counts of pairs by the last step after which they differed, 0 to ``steps``. ``of`` says of what the bounds are."""

    distribution = "any"
    constant = ("steps", "of")

    def __init__(self, steps: int, of: str = "for this target") -> None:
        self.steps, self.of = steps, of
        self.counts = np.zeros(steps + 1, dtype=np.int64)

    def add(self, unmet: np.ndarray) -> None:
        """Add the last steps after which pairs differed, (n,) integers."""
        self.counts += np.bincount(unmet, minlength=self.steps + 1)

    def merge(self, other: MeetingTimes) -> None:
        self.counts += other.counts

    def unmet(self) -> np.ndarray:
        """The number of pairs that differed after step t or later, for t = 0, 1, ..., steps."""
        return self.counts[::-1].cumsum()[::-1]

    def tests(self) -> list[Test]:
        n = int(self.counts.sum())
        return [Test(Unmet(), f"after {self.steps} steps", float(self.counts[-1] / n), n, 1)] if n else []

    def monitored(self) -> list[tuple[Null, int]]:
        return [(Unmet(), 1)]

    def table(self) -> tuple[Sequence[str], Sequence[str], np.ndarray] | None:
        n = int(self.counts.sum())
        if not n:
            return None
        unmet, at = self.unmet()[self._shown()], self._shown()
        bounds = [Unmet().bound(k / n, n, 1.0 - _CONFIDENCE) for k in unmet]
        numbers = np.array([[float(f"{v:.3g}") for v in row] for row in (unmet / n, bounds)])
        return ["pairs that had not met", f"upper bound, confidence {_CONFIDENCE:g}"], [str(t) for t in at], numbers

    def _shown(self) -> list[int]:
        """Some numbers of steps, up to all of them."""
        return sorted({max(1, round(self.steps ** (i / _PRINTED))) for i in range(1, _PRINTED + 1)})

    def remark(self) -> str | None:
        n = int(self.counts.sum())
        if not n:
            return None
        unmet = self.unmet()
        said = ", ".join(f"{t}: {Unmet().bound(unmet[t] / n, n, 1.0 - _CONFIDENCE):.2g}" for t in self._shown())
        shown = f"{100.0 * unmet[self.steps] / n:.3g}% of {n:,} pairs of chains had not met after {self.steps} steps"
        bounds = f"upper bounds on the total variation distance {self.of}, by steps"
        return f"{shown}; {bounds}, each at confidence {_CONFIDENCE:g}: {said}"
