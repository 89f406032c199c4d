"""Two samples, compared by the mean of paired differences. It is symmetric about zero if both follow the same law."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, inf, sqrt
from typing import ClassVar

from scipy.special import chdtrc

from .base import Null, Validity
from .normal import shift_seen

# P(|sum of signed vectors| > u) <= this times the same for normal ones.
_PINELIS = 2.0 * e**3 / 9.0


@dataclass(frozen=True)
class SymmetricMean(Null):
    """The Mahalanobis length of the mean of n differences D_i = f(X_i) - f(Y_i) of ``dim`` features, about zero.

    statistic^2 n = S' (sum D D')^+ S with S = sum D. Given the pairs up to their order, the signs of the D_i are fair coins,
    whatever the features and their tails. Hence P(statistic^2 n >= x) <= (2 e^3/9) P(chi-square(dim) >= x) at every n and level
    (Pinelis, Extremal probabilistic problems and Hotelling's T^2 test under a symmetry condition, 1994).

    >>> round(SymmetricMean(dim=2).p_value(0.1, n=1_000), 4)
    0.0301
    """

    dim: int

    name: ClassVar[str] = "symmetric mean"
    unit: ClassVar[str] = "standard deviations"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, _PINELIS * float(chdtrc(self.dim, n * statistic * statistic)))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The smallest effect s, in standard deviations of the difference about its mean, which is taken to be normal.

        The statistic then is m with m^2 = s^2/(1 + s^2).
        """
        seen = shift_seen(self.dim, alpha / _PINELIS, miss) / n
        return sqrt(seen / (1.0 - seen)) if seen < 1.0 else inf

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return shift_seen(self.dim, alpha / _PINELIS, miss) * (1.0 + effect**2) / effect**2

    def effect(self, statistic: float) -> float:
        return sqrt(statistic**2 / (1.0 - statistic**2)) if statistic < 1.0 else inf
