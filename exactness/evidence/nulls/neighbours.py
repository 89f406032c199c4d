"""How many draws lie close to an earlier draw, compared with the known probability that one does."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log
from typing import ClassVar

from .base import Null, Validity
from .counts import divergence, first_above


@dataclass(frozen=True)
class Neighbours(Null):
    """The share of n draws that lie close to some other draws, given which each of the n does so with a known probability.

    ``probability`` is the mean of these probabilities over the n draws, or a bound on it. If it is only a bound (``known`` is
    False), too few neighbours prove nothing. The p-value is Chernoff's bound. Different probabilities do not weaken it: the
    generating function of their mean is the largest (Hoeffding, On the distribution of the number of successes in independent
    trials, 1956).

    >>> round(Neighbours(0.1).p_value(0.15, n=200), 4)
    0.0866
    """

    probability: float
    known: bool = False

    name: ClassVar[str] = "neighbours"
    unit: ClassVar[str] = "share of draws"
    validity: ClassVar[Validity] = "bound"
    of_dependence: ClassVar[bool] = True

    def p_value(self, statistic: float, n: int) -> float:
        p = self.probability
        if statistic <= p and not self.known:
            return 1.0
        if p in (0.0, 1.0):
            return float(statistic == p)
        return min(1.0, (2.0 if self.known else 1.0) * exp(-n * divergence(min(1.0, max(0.0, statistic)), p)))

    def effect(self, statistic: float) -> float:
        return statistic - self.probability

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """How far the share must be above its probability. Chernoff's bound holds for the miss as well."""
        p = self.probability
        if p == 0.0:
            return -log(miss) / n if n > -log(miss) else inf
        threshold = first_above(p, log((2.0 if self.known else 1.0) / alpha) / n, lambda q: divergence(q, p))
        share = first_above(threshold, log(1.0 / miss) / n, lambda q: divergence(threshold, q))
        return share - p if share < 1.0 else inf


@dataclass(frozen=True)
class OwnRepeats(Neighbours):
    """The share of n values that only the judged sampler repeats, among all values that occur twice or more in both samples.

    Two samplers of the same law draw equally often. Given all draws, who made which is a random half. So a value that occurs twice
    or more is the judged sampler's alone with a probability below 1/4, whatever the law. Such events of different values are
    negatively associated, so Chernoff's bound holds (Joag-Dev and Proschan, Negative association of random variables, 1983).

    >>> round(OwnRepeats().p_value(0.5, n=50), 4)
    0.0008
    """

    probability: float = 0.25

    name: ClassVar[str] = "own repeats"
    unit: ClassVar[str] = "share of repeated values"
