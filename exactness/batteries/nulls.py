"""The tests under every battery, each with its faces: the p-value, the smallest effect it sees, the n it needs, the bound.

``n`` counts the values that are independent if the law is right; ``paths`` counts the draws that are independent in any case.
``alpha`` and ``miss`` are the two error probabilities: of refuting the truth, and of not refuting the effect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import e, log, sqrt
from typing import Literal

from scipy.special import chdtr, chdtrc, chdtri, ndtr, ndtri

Validity = Literal["exact", "bound", "asymptotic"]

# Distribution functions are compared at the edges of so many equal cells of [0, 1].
BINS = 1024


class Null(ABC):
    """A test of one number against its distribution under the law."""

    name: str
    unit: str
    validity: Validity

    @abstractmethod
    def p_value(self, statistic: float, n: int) -> float: ...

    def p_over_rows(self, statistic: float, n: int, rows: int) -> float:
        """The p-value of the most extreme of ``rows`` statistics (Bonferroni)."""
        return min(1.0, rows * self.p_value(statistic, n))

    @abstractmethod
    def effect(self, statistic: float) -> float:
        """The statistic in ``unit``: 0 if it is what the law says."""

    @abstractmethod
    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The smallest effect that a level-``alpha`` test refutes with probability 1 - ``miss``, if values stay independent."""

    @abstractmethod
    def needed(self, effect: float, alpha: float, miss: float) -> float:
        """The n at which ``detectable`` is ``effect``. Not rounded, so that the two invert each other."""

    def bound(self, statistic: float, paths: int, error: float) -> float | None:
        """An upper confidence bound on the effect at level 1 - ``error``, whatever the sampler does; None if there is none."""
        return None


@dataclass(frozen=True)
class Kolmogorov(Null):
    """Largest distance between the empirical and the claimed distribution function, over a fixed grid.

    p-value: Dvoretzky-Kiefer-Wolfowitz with the constant of Massart 1990, valid at every n and level; on a grid the distance
    is never larger than over the line, so the bound holds a fortiori. The tails of that bound are those of the exact law to
    first order, so little is lost.
    """

    name: str = "Kolmogorov"
    unit: str = "probability"
    validity: Validity = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * e ** (-2.0 * n * statistic * statistic))

    def effect(self, statistic: float) -> float:
        return statistic

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # At the worst point the empirical value misses the true one by more than the second term with probability <= miss.
        return (sqrt(log(2.0 / alpha)) + sqrt(log(1.0 / miss))) / sqrt(2.0 * n)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 0.5 * ((sqrt(log(2.0 / alpha)) + sqrt(log(1.0 / miss))) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The observed distance plus 1/BINS plus a + 1/(4 n a), where a = sqrt(log(2/error)/(2 n)) is the DKW radius of n paths.

        Between two edges both distribution functions are monotone and the claimed one rises by 1/BINS, so the distance over the
        line exceeds that over the edges by no more.

        One path may give many dependent values (its steps). Pick one of each path at random: DKW holds for those n, and the
        distance of the average over all picks is at most the average distance. With D that distance for one pick and
        x = a + 1/(4na), Markov's inequality for (D - a)_+ gives P(average >= x) <= 4na int_a^inf 2 exp(-2ns^2) ds
        <= 2 exp(-2na^2) = error.
        """
        a = sqrt(log(2.0 / error) / (2.0 * paths))
        return min(1.0, statistic + 1.0 / BINS + a + 1.0 / (4.0 * paths * a))


@dataclass(frozen=True)
class NormalMean(Null):
    """Mean of n standard normals. The likelihood-ratio test against a shift."""

    name: str = "mean"
    unit: str = "standard deviations"
    validity: Validity = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return float(2.0 * ndtr(-abs(statistic) * sqrt(n)))

    def effect(self, statistic: float) -> float:
        return statistic

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return float(-ndtri(alpha / 2.0) - ndtri(miss)) / sqrt(n)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return (float(-ndtri(alpha / 2.0) - ndtri(miss)) / effect) ** 2


@dataclass(frozen=True)
class NormalVariance(Null):
    """Mean square of n standard normals, times n chi-square. The likelihood-ratio test against a scale."""

    name: str = "variance"
    unit: str = "relative variance"
    validity: Validity = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * min(float(chdtr(n, n * statistic)), float(chdtrc(n, n * statistic))))

    def effect(self, statistic: float) -> float:
        return statistic - 1.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return float(chdtri(n, alpha / 2.0) / chdtri(n, 1.0 - miss)) - 1.0

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        from scipy.optimize import brentq  # slow to import, and only planning needs it

        return e ** float(brentq(lambda log_n: self.detectable(e**log_n, alpha, miss) - effect, 0.0, 30.0, xtol=1e-12))


@dataclass(frozen=True)
class Equality(Null):
    """A deterministic step: the largest relative distance from the point it must give, against a stated rounding error."""

    tolerance: float
    name: str = "equality"
    unit: str = "relative distance"
    validity: Validity = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return 1.0 if statistic <= self.tolerance else 0.0

    def effect(self, statistic: float) -> float:
        return statistic

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return self.tolerance

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return 1.0
