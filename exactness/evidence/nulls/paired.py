"""Distribution functions of two ends of the same pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import ClassVar

from .base import Null, Validity


@dataclass(frozen=True)
class PairedKolmogorov(Null):
    """The largest distance between two empirical distribution functions of n values each, however the two depend on each other.

    Each of them is as far from the common law as the inequality of Dvoretzky, Kiefer and Wolfowitz (with Massart's constant) says,
    so P(D >= x) <= 4 exp(-n x^2/2). It is a bound in the first place: paired means see much smaller differences.

    >>> round(PairedKolmogorov().p_value(0.1, n=2_000), 5)
    0.00018
    """

    name: ClassVar[str] = "paired Kolmogorov"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 4.0 * exp(-0.5 * n * statistic * statistic))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # At the worst point, the difference is an average of n differences of range 2, so Hoeffding applies.
        found = (sqrt(2.0 * log(4.0 / alpha)) + sqrt(2.0 * log(1.0 / miss))) / sqrt(n)
        return found if found <= 1.0 else inf

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 2.0 * ((sqrt(log(4.0 / alpha)) + sqrt(log(1.0 / miss))) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The observed distance plus the radius of each sample, at half the error each, over the edges of the cells."""
        return min(1.0, statistic + 2.0 * sqrt(log(4.0 / error) / (2.0 * paths)))

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        """Two rows of differences of a right kernel are rarely further apart than half the radius."""
        return 2.0 * log(4.0 / error) * (1.5 / tolerance) ** 2
