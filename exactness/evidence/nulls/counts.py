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
    difference is at most ``width``. The p-value is Bernstein's inequality given all probabilities. Where they depend on the past,
    it takes the sum of the variances as fixed, and the inequality of Freedman (1975) bounds both sums together: a sampler that
    stops to move once its differences add up can be refuted by chance a few times as often as stated. Each difference lies in an
    interval whose length is at most ``span``, which is twice the width if it is left out: the bound needs it.

    >>> round(Promised(variance=0.25).p_value(0.05, n=1_000), 4)
    0.0184
    """

    variance: float
    width: float = 1.0
    span: float | None = None

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
        """The bound of Hoeffding (1963), which holds for differences that depend on the past too (Azuma 1967)."""
        return abs(statistic) + self._span * sqrt(0.5 * log(2.0 / error) / paths)

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        return 0.5 * log(2.0 / error) * (2.0 * self._span / tolerance) ** 2

    @property
    def _span(self) -> float:
        return 2.0 * self.width if self.span is None else self.span

    def _radius(self, n: float, t: float) -> float:
        b = self.width * t / (3.0 * n)
        return b + sqrt(b * b + 2.0 * self.variance * t / n)


@dataclass(frozen=True)
class Unmet(Null):
    """The share of n pairs of chains that have not met. Any share is possible, so it refutes nothing; it has a bound.

    >>> round(Unmet().bound(0.01, paths=10_000, error=1e-3), 4)
    0.0135
    """

    name: ClassVar[str] = "pairs that have not met"
    too_far: ClassVar[str] = "not shown to converge; run the chains for more steps, or couple them so that they meet sooner"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return inf

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The upper bound of Clopper and Pearson 1934, on one side."""
        hits = round(statistic * paths)
        return 1.0 if hits >= paths else float(betaincinv(hits + 1, paths - hits, 1.0 - error))

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        """If half as many pairs as are tolerated do not meet (Chernoff)."""
        return log(1.0 / error) / divergence(0.5 * tolerance, tolerance)


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
