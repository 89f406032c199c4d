"""The correlation of standard normals that must be independent, at a lag or in any other arrangement of disjoint runs."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p, sqrt
from typing import ClassVar

from scipy.special import ndtri

from .base import Null, Validity

ROUNDING = 1e-6


@dataclass(frozen=True)
class SerialCorrelation(Null):
    """The correlation of n pairs of neighbours in runs of independent normals of mean zero, whatever their variance.

    The statistic is r = sum x_i x_{i+1}/sum (x_i^2 + x_{i+1}^2)/2, summed over the n pairs of all runs. If the x are independent
    N(0, 1), then for every rho in (0, 1)

        E exp(t sum (x_i x_{i+1} - rho (x_i^2 + x_{i+1}^2)/2)) = (1 - rho^2)^(n/2)   at t = rho/(1 - rho^2),

    exactly, at every n and however the pairs form runs: the exponential is, up to this factor, the likelihood ratio of the
    stationary autoregression with correlation rho. So Markov's inequality gives P(|r| >= rho) <= 2 (1 - rho^2)^(n/2). The ratio r
    does not change with the scale, so a wrong variance alone does not make it large.
    Products are rounded, so |r| counts as at most 1 - ROUNDING.

    >>> round(SerialCorrelation().p_value(0.1, n=1_000), 4)
    0.0131
    """

    name: ClassVar[str] = "serial correlation"
    unit: ClassVar[str] = "correlation"
    validity: ClassVar[Validity] = "bound"
    of_dependence: ClassVar[bool] = True

    def p_value(self, statistic: float, n: int) -> float:
        size = min(abs(statistic), 1.0 - ROUNDING)
        return min(1.0, 2.0 * exp(0.5 * n * log1p(-size * size)))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The correlation that is seen. The standard deviation of r is at most about 1/sqrt(n)."""
        seen = sqrt(-expm1(-2.0 * log(2.0 / alpha) / n)) + float(-ndtri(miss)) / sqrt(n)
        return seen if seen < 1.0 else inf
