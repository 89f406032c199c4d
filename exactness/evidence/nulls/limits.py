"""Tests whose null distribution is known only in the limit, or only as far as it was simulated. Each states its reach."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import ClassVar

from scipy.special import chdtrc

from .base import Null, Validity
from .normal import shift_seen


@dataclass(frozen=True)
class ChiSquareLimit(Null):
    """The Mahalanobis length of a mean of ``dim`` features whose mean and covariance the law knows. Its limit is chi-square.

    ``smallest`` is the smallest p-value and ``fewest`` the smallest n that were calibrated (``make calibrate``,
    reports/calibration.md). The test claims nothing beyond them, so it never decides there.

    >>> ChiSquareLimit(dim=2).p_value(0.5, n=1_000)
    0.001
    """

    dim: int
    smallest: float = 1e-3
    fewest: int = 1_000

    name: ClassVar[str] = "chi-square limit"
    unit: ClassVar[str] = "standard deviations"
    validity: ClassVar[Validity] = "asymptotic"

    @property
    def reach(self) -> float:
        return self.smallest

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0 if n < self.fewest else max(self.smallest, float(chdtrc(self.dim, n * statistic * statistic)))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return inf if alpha < self.smallest or n < self.fewest else sqrt(shift_seen(self.dim, alpha, miss) / n)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return inf if alpha < self.smallest else max(self.fewest, shift_seen(self.dim, alpha, miss) / effect**2)


@dataclass(frozen=True)
class Permutation(Null):
    """The rank of a statistic among those of random relabellings of the same two samples.

    The p-value (1 + exceeding)/(1 + permutations) is exact. ``scale`` is the largest possible square of the statistic on these
    points. Planning uses sqrt(scale) times the deviation of Gretton et al. (A kernel two-sample test, 2012, theorem 7) on both
    sides, which is generous.

    >>> Permutation(exceeding=0, permutations=999, scale=1.0).p_value(0.3, n=100)
    0.001
    """

    exceeding: int
    permutations: int
    scale: float

    name: ClassVar[str] = "permutation"
    unit: ClassVar[str] = "kernel units"
    validity: ClassVar[Validity] = "exact"

    @property
    def reach(self) -> float:
        return 1.0 / (self.permutations + 1)

    def p_value(self, statistic: float, n: int) -> float:
        return (1 + self.exceeding) / (1 + self.permutations)

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        if alpha < self.reach:
            return inf
        return self._deviation(n, alpha) + self._deviation(n, miss)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        if alpha < self.reach:
            return inf
        return (self._deviation(1.0, alpha) + self._deviation(1.0, miss)) ** 2 / effect**2

    def _deviation(self, n: float, error: float) -> float:
        return sqrt(2.0 * self.scale / n) * (1.0 + sqrt(2.0 * log(1.0 / error)))
