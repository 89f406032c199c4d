"""Draws of a continuous law are all different."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Null, Validity


@dataclass(frozen=True)
class Distinct(Null):
    """The number of repeats, bit by bit, among the n draws that were inspected. Under a continuous law it is 0."""

    name: ClassVar[str] = "distinct"
    unit: ClassVar[str] = "repeated draws"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0 if statistic == 0 else 0.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return 1.0

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 1.0
