"""Sums of standard normals: means, mean squares and mean vectors. All p-values are exact, at every n and level."""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, exp, log, log1p, pi, sqrt
from typing import ClassVar

from scipy.special import chdtr, chdtrc, chdtri, chndtrinc, ndtr, ndtri

from .base import Null, Validity

# Beyond this many degrees of freedom, chi-square tails are computed by the saddlepoint approximation.
_MANY = 100_000
# The mean of unbounded values has no bound. For bounds, but not for p-values, values are clipped here.
CLIP = 5.0


@dataclass(frozen=True)
class NormalMean(Null):
    """The mean of n standard normals. This is the likelihood-ratio test against a shift.

    ``clipped`` and ``variance`` serve the bound. Each path has an average of its values, clipped to +-CLIP. They are the mean and
    the variance of this average over the paths, or None if it was not kept.

    >>> round(NormalMean().p_value(0.1, n=1_000), 6)
    0.001565
    """

    clipped: float | None = None
    variance: float | None = None

    name: ClassVar[str] = "mean"
    unit: ClassVar[str] = "standard deviations"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return float(2.0 * ndtr(-abs(statistic) * sqrt(n)))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return float(-ndtri(alpha / 2.0) - ndtri(miss)) / sqrt(n)

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return (float(-ndtri(alpha / 2.0) - ndtri(miss)) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float | None:
        """A bound on the mean of values clipped to +-CLIP (0 under the law), by the empirical Bernstein inequality over paths."""
        if self.clipped is None or self.variance is None or paths < 2:
            return None
        return abs(self.clipped) + empirical_bernstein(self.variance, 2.0 * CLIP, paths, error)


@dataclass(frozen=True)
class NormalVariance(Null):
    """The mean square of n standard normals; n times it is chi-square. This is the likelihood-ratio test against a scale.

    ``clipped`` and ``variance`` are those of :class:`NormalMean`, but of squares clipped to CLIP^2.

    >>> round(NormalVariance().detectable(n=10_000, alpha=1e-6, miss=0.01), 4)
    0.1068
    """

    clipped: float | None = None
    variance: float | None = None

    name: ClassVar[str] = "variance"
    unit: ClassVar[str] = "relative variance"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, 2.0 * min(chi_square_tails(n, n * statistic)))

    def effect(self, statistic: float) -> float:
        return statistic - 1.0

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return float(chdtri(n, alpha / 2.0) / chdtri(n, 1.0 - miss)) - 1.0

    def bound(self, statistic: float, paths: int, error: float) -> float | None:
        """A bound on the mean of squares clipped to CLIP^2, minus its value under the law, by empirical Bernstein over paths."""
        if self.clipped is None or self.variance is None or paths < 2:
            return None
        return abs(self.clipped - CLIPPED_SQUARE) + empirical_bernstein(self.variance, CLIP**2, paths, error)


@dataclass(frozen=True)
class MeanVector(Null):
    """The length of the mean of n standard normal vectors in ``dim`` dimensions; n times its square is chi-square.

    This is the likelihood-ratio test against a shift in an unknown direction.

    >>> round(MeanVector(dim=3).needed(effect=0.05, alpha=1e-6, miss=0.01))
    23783
    """

    dim: int

    name: ClassVar[str] = "mean vector"
    unit: ClassVar[str] = "standard deviations"
    validity: ClassVar[Validity] = "exact"

    def p_value(self, statistic: float, n: int) -> float:
        return float(chdtrc(self.dim, n * statistic * statistic))

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        return float(sqrt(shift_seen(self.dim, alpha, miss) / n))

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return float(shift_seen(self.dim, alpha, miss)) / effect**2


def chi_square_tails(n: int, x: float) -> tuple[float, float]:
    """P(chi-square(n) <= x) and P(chi-square(n) >= x).

    From n = 1e7 on, scipy's lower tail is wrong far out: at n = 1e9 and -5 standard deviations it is 0.37 of the true value.
    The saddlepoint approximation of Lugannani and Rice 1980 has a relative error of 1/n there.
    """
    if n <= _MANY or x <= 0.0:
        return float(chdtr(n, x)), float(chdtrc(n, x))
    ratio = x / n - 1.0
    # n (ratio - log(1 + ratio)), without cancellation where x is close to n.
    near = ratio**2 * (0.5 - ratio / 3.0 + ratio**2 / 4.0 - ratio**3 / 5.0)
    excess = n * (ratio - log1p(ratio) if abs(ratio) > 1e-4 else near)
    w, u = copysign(sqrt(max(excess, 0.0)), ratio), sqrt(0.5 * n) * ratio
    correction = 0.0 if abs(w) < 1e-3 else exp(-0.5 * w * w) / sqrt(2.0 * pi) * (1.0 / u - 1.0 / w)
    return float(ndtr(w)) - correction, float(ndtr(-w)) + correction


def shift_seen(freedom: int, alpha: float, miss: float) -> float:
    """The non-centrality at which a level-``alpha`` chi-square test refutes with probability 1 - ``miss``."""
    return float(chndtrinc(chdtri(freedom, alpha), freedom, miss))


def empirical_bernstein(variance: float, width: float, n: int, error: float) -> float:
    """The largest distance, on either side, of the mean from the average of n independent values in an interval of this width.

    Maurer and Pontil (Empirical Bernstein bounds and sample variance penalization, 2009), theorem 4, with half the error on
    each side. ``variance`` is the sample variance with divisor n - 1.
    """
    t = log(4.0 / error)
    return sqrt(2.0 * variance * t / n) + 7.0 * width * t / (3.0 * (n - 1))


def _clipped_square() -> float:
    """E min(Z^2, CLIP^2) for a standard normal Z. Integration by parts gives 1 - 2 c phi(c) - 2 (1 - c^2) (1 - Phi(c))."""
    density = exp(-0.5 * CLIP**2) / sqrt(2.0 * pi)
    return 1.0 - 2.0 * CLIP * density - 2.0 * (1.0 - CLIP**2) * float(ndtr(-CLIP))


CLIPPED_SQUARE = _clipped_square()
