"""Values that must equal a known point."""

from __future__ import annotations

from typing import Any

from ...arrays import Array, namespace
from ..nulls import Equality
from .base import Summary, Test

# The judge recomputes a deterministic step, and rounds in another order. Cancellations in a schedule cost digits too.
_ROUNDING_UNITS = 2.0**10


class Points(Summary):
    """The largest relative distance from the point, compared with the rounding of the dtype."""

    distribution = "a point"

    def __init__(self) -> None:
        self.largest, self.rounding, self.n = 0.0, 0.0, 0

    def add(self, distances: Array, dtype: Any) -> None:
        """Add relative ``distances`` (n,) of values that have this ``dtype``."""
        if not int(distances.shape[0]):
            return
        xp = namespace(distances)
        self.largest = max(self.largest, float(xp.max(distances)))
        self.rounding = max(self.rounding, _ROUNDING_UNITS * float(xp.finfo(dtype).eps))
        self.n += int(distances.shape[0])

    def merge(self, other: Points) -> None:
        self.largest, self.rounding = max(self.largest, other.largest), max(self.rounding, other.rounding)
        self.n += other.n

    def tests(self) -> list[Test]:
        return [Test(Equality(self.rounding), "worst", self.largest, self.n, 1)] if self.n else []
