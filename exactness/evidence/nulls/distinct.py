"""Draws of a continuous law are all different, but for rounding."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import ClassVar

from .base import Null, Validity
from .counts import divergence, first_above
from .neighbours import Neighbours


@dataclass(frozen=True)
class Distinct(Null):
    """The number of repeats, bit by bit, among the n draws that were inspected. Under a continuous law it is 0, but for rounding.

    ``probability`` bounds the probability that rounding makes a draw equal to an earlier one, on average over the draws. Given the
    past, each draw repeats one with at most some probability, so Chernoff's bound holds.

    >>> Distinct().p_value(1, n=100), Distinct(probability=0.01).p_value(1, n=100)
    (0.0, 1.0)
    """

    probability: float = 0.0

    name: ClassVar[str] = "distinct"
    unit: ClassVar[str] = "repeated draws"
    validity: ClassVar[Validity] = "bound"
    of_dependence: ClassVar[bool] = True

    def p_value(self, statistic: float, n: int) -> float:
        return Neighbours(self.probability).p_value(statistic / n, n)

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        p = self.probability
        if p == 0.0:
            return 1.0
        threshold = first_above(p, log(1.0 / alpha) / n, lambda q: divergence(q, p))
        return n * threshold if threshold < 1.0 else inf

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        """Repeats count, and not draws: the same number of repeats among fewer draws is stronger evidence."""
        return 1.0
