"""Counts of events, compared with their probabilities under the law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import ClassVar

from scipy.special import betainc, betaincinv, rel_entr

from .base import Null, Validity


@dataclass(frozen=True)
class Share(Null):
    """The share of n draws in which an event of known probability happened. Its null distribution is binomial.

    Planning uses Chernoff's bounds; the exact test is never worse.

    >>> round(Share(probability=0.5).p_value(0.53, n=1_000), 3)
    0.062
    """

    probability: float

    name: ClassVar[str] = "share"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        hits, p = round(statistic * n), self.probability
        if p in (0.0, 1.0):
            return float(hits == round(p * n))
        lower = float(betainc(n - hits, hits + 1, 1.0 - p)) if hits < n else 1.0
        upper = float(betainc(hits, n - hits + 1, p)) if hits > 0 else 1.0
        return min(1.0, 2.0 * min(lower, upper))

    def effect(self, statistic: float) -> float:
        return statistic - self.probability

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The larger of the effects that are seen on the two sides.

        If no outcome refutes on one side, all the room on this side counts, because larger effects lie on the other side alone.
        If this side has the most room, no effect is large enough, and the result is infinite.
        """
        if self.probability in (0.0, 1.0):
            return -log(miss) / n
        sides = [(1.0 - p, self._seen(p, n, alpha, miss)) for p in (self.probability, 1.0 - self.probability)]
        room, seen = max(sides)
        return inf if seen >= room else max(seen for _, seen in sides)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        if self.probability in (0.0, 1.0):
            return -log(miss) / effect
        return super().needed(effect, alpha, miss)

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The bound of Clopper and Pearson 1934, with half the error on each side."""
        hits = round(statistic * paths)
        high = 1.0 if hits >= paths else float(betaincinv(hits + 1, paths - hits, 1.0 - 0.5 * error))
        low = 0.0 if hits <= 0 else float(betaincinv(hits, paths - hits + 1, 0.5 * error))
        return max(high - self.probability, self.probability - low)

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        return 0.5 * log(2.0 / error) * (2.0 / tolerance) ** 2

    @staticmethod
    def _seen(p: float, n: float, alpha: float, miss: float) -> float:
        """How far a true share must be above p to fall below the threshold with a probability of at most ``miss``."""
        threshold = first_above(p, log(2.0 / alpha) / n, lambda q: divergence(q, p))
        return first_above(threshold, log(1.0 / miss) / n, lambda q: divergence(threshold, q)) - p


@dataclass(frozen=True)
class Promised(Null):
    """The mean of n differences between an event, 0 or 1, and its probability given the past.

    ``variance`` is the mean of the variances of these differences given the past, which are known beforehand. The size of each
    difference is at most ``width``. The p-value is Bernstein's inequality given all probabilities (Freedman 1975 where they
    depend on the past).

    >>> round(Promised(variance=0.25).p_value(0.05, n=1_000), 4)
    0.0184
    """

    variance: float
    width: float = 1.0

    name: ClassVar[str] = "promised probability"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        t = abs(statistic)
        if t == 0.0:
            return 1.0
        return min(1.0, 2.0 * exp(-n * t * t / (2.0 * (self.variance + self.width * t / 3.0))))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return self._radius(n, log(2.0 / alpha)) + self.width * sqrt(2.0 * log(1.0 / miss) / n)

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """Hoeffding's bound: the difference of each draw lies in an interval of twice the width."""
        return abs(statistic) + self.width * sqrt(2.0 * log(2.0 / error) / paths)

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        return 2.0 * log(2.0 / error) * (2.0 * self.width / tolerance) ** 2

    def _radius(self, n: float, t: float) -> float:
        b = self.width * t / (3.0 * n)
        return b + sqrt(b * b + 2.0 * self.variance * t / n)


def divergence(q: float, p: float) -> float:
    """The Kullback-Leibler divergence of Bernoulli(q) from Bernoulli(p)."""
    return float(rel_entr(q, p) + rel_entr(1.0 - q, 1.0 - p))


def first_above(p: float, level: float, divergence: Callable[[float], float]) -> float:
    """The q in [p, 1] at which the divergence reaches the level, or 1."""
    low, high = p, 1.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if divergence(middle) < level else (low, middle)
    return high
