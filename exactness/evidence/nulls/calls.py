"""How much calls of a sampler differ from each other, compared with how much the draws of a call differ."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, inf, sqrt
from typing import ClassVar

from scipy.special import fdtr, fdtrc, fdtri, ndtri

from .base import Null, Validity

# With more degrees of freedom, planning takes the logarithm of the ratio as normal. scipy's quantiles end at about 1e15.
_MANY = 1e12


@dataclass(frozen=True)
class VarianceRatio(Null):
    """The ratio of two mean squares of independent normals, which is F-distributed. This is the analysis of variance.

    ``freedom`` are the degrees of freedom above and below the line. Both mean squares have the same scale, so a wrong variance
    alone does not change the ratio. A small ratio counts as well: draws that balance each other within a call make the calls too
    much alike. Source: R. A. Fisher, Statistical Methods for Research Workers, 1925.

    >>> round(VarianceRatio((10, 1_000)).p_value(2.0, n=10), 4)
    0.0608
    """

    freedom: tuple[int, int]

    name: ClassVar[str] = "variance ratio"
    unit: ClassVar[str] = "relative variance"
    validity: ClassVar[Validity] = "exact"
    of_dependence: ClassVar[bool] = True

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * min(float(fdtr(*self.freedom, statistic)), float(fdtrc(*self.freedom, statistic))))

    def effect(self, statistic: float) -> float:
        return statistic - 1.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The excess of the upper variance that is seen if it has n degrees of freedom, and the lower one as many more as now."""
        below = n * self.freedom[1] / self.freedom[0]
        if n > _MANY:
            deviations = float(-ndtri(alpha / 2.0) - ndtri(miss))
            return expm1(deviations * sqrt(2.0 / n + 2.0 / below))
        low = float(fdtri(n, below, miss))
        return float(fdtri(n, below, 1.0 - alpha / 2.0)) / low - 1.0 if low > 0.0 else inf
