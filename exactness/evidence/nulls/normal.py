"""Sums of standard normals: means, mean squares, mean vectors. All exact, at every n and level."""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, exp, log, log1p, pi, sqrt
from typing import ClassVar

from scipy.special import chdtr, chdtrc, chdtri, chndtrinc, ndtr, ndtri

from .base import Null, Validity

# Degrees of freedom beyond which chi-square tails are those of the saddlepoint.
_MANY = 100_000
# A bound on the mean of something unbounded does not exist; values are clipped here for bounds (not for p-values).
CLIP = 5.0


@dataclass(frozen=True)
class NormalMean(Null):
    """Mean of n standard normals. The likelihood-ratio test against a shift.

    ``clipped`` and ``variance``: mean and variance over paths of each path's own average of values clipped to +-CLIP, for the
    bound; None if nothing was kept.
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
        """On the mean of values clipped to +-CLIP (0 under the law): empirical Bernstein over paths."""
        if self.clipped is None or self.variance is None or paths < 2:
            return None
        return abs(self.clipped) + empirical_bernstein(self.variance, 2.0 * CLIP, paths, error)


@dataclass(frozen=True)
class NormalVariance(Null):
    """Mean square of n standard normals, times n chi-square. The likelihood-ratio test against a scale.

    ``clipped`` and ``variance`` as for the mean, of squares clipped to CLIP^2.
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
        """On the mean of squares clipped to CLIP^2, less its value under the law: empirical Bernstein over paths."""
        if self.clipped is None or self.variance is None or paths < 2:
            return None
        return abs(self.clipped - CLIPPED_SQUARE) + empirical_bernstein(self.variance, CLIP**2, paths, error)


@dataclass(frozen=True)
class MeanVector(Null):
    """Length of the mean of n standard normal vectors in ``dim`` dimensions; its square times n is chi-square.

    The likelihood-ratio test against a shift in an unknown direction.
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

    Scipy's lower tail is truncated far out at n = 1e7 and beyond (0.37 of the truth at 1e9 and -5 standard deviations); there the
    saddlepoint approximation of Lugannani and Rice 1980 is right to a relative 1/n.
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
    """How far the mean of n independent values in an interval of this width may be from their average, on either side.

    Maurer and Pontil (Empirical Bernstein bounds and sample variance penalization, 2009), theorem 4, with half the error on
    each side; ``variance`` is the sample variance with divisor n - 1.
    """
    t = log(4.0 / error)
    return sqrt(2.0 * variance * t / n) + 7.0 * width * t / (3.0 * (n - 1))


def _clipped_square() -> float:
    """E min(Z^2, CLIP^2) of a standard normal: by parts, 1 - 2 c phi(c) - 2 (1 - c^2) (1 - Phi(c))."""
    density = exp(-0.5 * CLIP**2) / sqrt(2.0 * pi)
    return 1.0 - 2.0 * CLIP * density - 2.0 * (1.0 - CLIP**2) * float(ndtr(-CLIP))


CLIPPED_SQUARE = _clipped_square()
