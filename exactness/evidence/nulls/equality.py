"""Equalities that must hold without any randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Null, Validity


@dataclass(frozen=True)
class Equality(Null):
    """The largest relative distance of a deterministic step from its claimed result, compared with a stated rounding error."""

    tolerance: float

    name: ClassVar[str] = "equality"
    unit: ClassVar[str] = "relative distance"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0 if statistic <= self.tolerance else 0.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return self.tolerance

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 1.0
