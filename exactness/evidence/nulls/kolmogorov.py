"""Largest distances between distribution functions, by Dvoretzky, Kiefer and Wolfowitz, with one sample and with two."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, inf, log, sqrt
from typing import ClassVar

from .base import Null, Validity

# Distribution functions are compared at the edges of this many equal cells of [0, 1].
BINS = 1024


@dataclass(frozen=True)
class Kolmogorov(Null):
    """The largest distance between the empirical and the claimed distribution function, over a fixed grid.

    The p-value is the inequality of Dvoretzky, Kiefer and Wolfowitz with the constant of Massart 1990. It is valid at every n and
    level. On a grid the distance is never larger than on the line, so the inequality holds there too. Its tails are those of the
    exact law to first order, so little power is lost.

    >>> round(Kolmogorov().p_value(0.05, n=1_000), 5)
    0.01348
    >>> round(Kolmogorov().bound(0.01, paths=10_000, error=1e-3), 4)
    0.0318
    """

    name: ClassVar[str] = "Kolmogorov"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * e ** (-2.0 * n * statistic * statistic))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # At the worst point, the empirical value misses the true one by more than the second term with probability <= miss.
        return _possible((sqrt(log(2.0 / alpha)) + sqrt(log(1.0 / miss))) / sqrt(2.0 * n))

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 0.5 * ((sqrt(log(2.0 / alpha)) + sqrt(log(1.0 / miss))) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The observed distance plus 1/BINS plus a + 1/(4 n a), where a = sqrt(log(2/error)/(2 n)) is the DKW radius of n paths.

        Between two edges both distribution functions are monotone, and the claimed one rises by 1/BINS. The distance over the
        line therefore exceeds the distance over the edges by at most 1/BINS.

        One path may give many dependent values (its steps). Pick one value of each path at random. DKW holds for these n values,
        and the distance of the average over all picks is at most the average distance. Let D be the distance for one pick and
        x = a + 1/(4na). Markov's inequality for (D - a)_+ gives P(average >= x) <= 4na int_a^inf 2 exp(-2ns^2) ds
        <= 2 exp(-2na^2) = error.
        """
        a = sqrt(log(2.0 / error) / (2.0 * paths))
        return min(1.0, statistic + 1.0 / BINS + a + 1.0 / (4.0 * paths * a))

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        # The observed distance of n values rarely exceeds the radius that is added to it.
        room = tolerance - 1.0 / BINS
        return inf if room <= 0.0 else 0.5 * log(2.0 / error) * (2.0 / room) ** 2


@dataclass(frozen=True)
class TwoSampleKolmogorov(Null):
    """The largest distance between two empirical distribution functions of n values each, over a fixed grid.

    The p-value is the inequality of Wei and Dudley (Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities, 2012, theorem 1),
    P(D >= x) <= C exp(-n x^2). The constant C is 2 from n = 458 on, and e for n from 4 to 457. For smaller n the inequality says
    nothing.

    >>> round(TwoSampleKolmogorov().p_value(0.05, n=2_000), 5)
    0.01348
    """

    name: ClassVar[str] = "two-sample Kolmogorov"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0 if n < 4 else min(1.0, (2.0 if n >= 458 else e) * e ** (-n * statistic * statistic))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # The difference of two independent empirical values is an average of n differences of range 2, so Hoeffding applies.
        return _possible((sqrt(log(e / alpha)) + sqrt(2.0 * log(1.0 / miss))) / sqrt(n))

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return ((sqrt(log(e / alpha)) + sqrt(2.0 * log(1.0 / miss))) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The observed distance plus the DKW radius of each sample, at half the error each, over the edges of the cells."""
        return min(1.0, statistic + 2.0 * sqrt(log(4.0 / error) / (2.0 * paths)))

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        return log(4.0 / error) * ((1.0 + sqrt(2.0)) / tolerance) ** 2


def _possible(distance: float) -> float:
    """The distance, or infinity if it exceeds 1: no two distributions are further apart than 1."""
    return distance if distance <= 1.0 else inf
