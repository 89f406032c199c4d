"""Means of products of standard normals, at a lag or of different coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from math import exp, log, sqrt
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from .base import Null, Validity


@dataclass(frozen=True)
class MeanProduct(Null):
    """The mean of n products of neighbours in independent runs of independent standard normals.

    ``lengths`` are the lengths of the runs, which repeat; (2,) stands for independent pairs. For a run z of m values,
    sum z_i z_{i+1} is a quadratic form with eigenvalues cos(pi j/(m + 1)), so its cumulant generating function is known. Near
    rho = 0 this is the likelihood-ratio test against a correlation rho of neighbours.

    The p-value is Chernoff's bound with that function, on either side. Compared with the exact tail it loses a factor that does
    not grow exponentially with n.

    >>> round(MeanProduct().p_value(0.1, n=1_000), 4)
    0.0138
    """

    lengths: tuple[int, ...] = (2,)

    name: ClassVar[str] = "product"
    unit: ClassVar[str] = "correlation"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * exp(-n * self._rate(abs(statistic))))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The detectable correlation. Products with correlation rho have variance 1 + rho^2, and their mean is taken as normal."""
        rho = _inverse_rate(self, log(2.0 / alpha) / n)
        spread = float(-ndtri(miss)) / sqrt(n)
        # rho' = rho + spread sqrt(1 + rho'^2), solved for rho'.
        if spread >= 1.0:
            return float("inf")
        return (rho + spread * sqrt(1.0 - spread * spread + rho * rho)) / (1.0 - spread * spread)

    def _rate(self, rho: float) -> float:
        """The supremum over t of t rho - K(t), where K is the cumulant generating function per product."""
        # For small rho the rate is rho^2/2. The judge itself refuses NaN.
        if not rho > 1e-150:
            return 0.0
        # Beyond this, one product is enough for a p-value of 0, and squares would overflow.
        rho = min(rho, 1e9)
        t = self._slope(rho)
        return max(0.0, t * rho - self._cumulant(t)[0])

    def _slope(self, rho: float) -> float:
        """The t at which K'(t) = rho: K' rises from 0 to infinity as t goes from 0 to 1/largest eigenvalue."""
        c = self._eigenvalues()
        if len(c) == 1:
            # With one eigenvalue, as for pairs, this is a quadratic equation. Most tests of a certificate need only this case.
            a, scaled = 4.0 * float(c[0]) ** 2, rho * sum(m - 1 for m in self.lengths)
            return 2.0 * scaled / (a + sqrt(a * (a + 4.0 * scaled * scaled)))
        from scipy.optimize import brentq

        high = 1.0 / (2.0 * float(c[0]))
        # The rate is stationary in t, so half the digits of t are enough for all of its own.
        return float(brentq(lambda t: self._cumulant(t)[1] - rho, 0.0, high, xtol=1e-9 * min(rho, high), rtol=1e-9))

    def _cumulant(self, t: float) -> tuple[float, float]:
        """K(t) = -1/2 sum log(1 - 2 c_j t) per product, over the eigenvalues c_j of the forms, and its derivative."""
        c, products = self._eigenvalues(), sum(m - 1 for m in self.lengths)
        # Eigenvalues come in pairs +-c.
        x = np.minimum((2.0 * t * c) ** 2, 1.0 - 1e-15)
        return -0.5 * float(np.log1p(-x).sum()) / products, float((4.0 * t * c * c / (1.0 - x)).sum()) / products

    def _eigenvalues(self) -> np.ndarray:
        """The positive eigenvalues of sum z_i z_{i+1}, largest first."""
        return _cosines(tuple(self.lengths))


@cache
def _cosines(lengths: tuple[int, ...]) -> np.ndarray:
    return np.sort(np.concatenate([np.cos(np.pi * np.arange(1, m // 2 + 1) / (m + 1)) for m in lengths]))[::-1]


@lru_cache(maxsize=1024)
def _inverse_rate(null: MeanProduct, rate: float) -> float:
    """The rho at which the rate has this value; the rate also rises with t.

    The results are cached, because a run asks the same for all claims of the same shape.
    """
    low, high = 0.0, 1.0 / (2.0 * float(null._eigenvalues()[0]))
    for _ in range(45):
        middle = 0.5 * (low + high)
        value, slope = null._cumulant(middle)
        if middle * slope - value < rate:
            low = middle
        else:
            high = middle
    return null._cumulant(low)[1]
