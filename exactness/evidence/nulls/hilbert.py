"""Lengths of means of bounded vectors: Cramer-von Mises, Anderson-Darling, maximum mean discrepancies.

A statistic of this kind is |mean of phi(X_i)| in a Hilbert space, with E phi(X) = 0 under the law. Its limit distribution is a
weighted sum of chi-squares, which says nothing about p = 1e-9 at n = 1,000. Bousquet's inequality is valid at every n and level,
and its tail has the right rate: as n grows, it becomes the Gaussian tail whose variance is the largest eigenvalue.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from math import exp, log, sqrt
from typing import ClassVar

import numpy as np

from .base import Null, Validity
from .kolmogorov import BINS


class NormOfMean(Null):
    """The length |mean of n vectors phi(X_i)|, of whose law four numbers are known.

    Under the law, ``trace`` is E|phi|^2, and ``top`` is at least the largest eigenvalue of the covariance of phi. Everywhere,
    ``radius`` >= |phi| and ``width`` >= |phi(x) - phi(y)|.

    The p-value is Bousquet's inequality. Let Z = |sum phi|, so that E Z <= sqrt(n trace), and v = n top + 2 radius E Z. Then
    P(Z >= E Z + sqrt(2 v t) + radius t / 3) <= exp(-t) (Bousquet, A Bennett concentration inequality and its application to
    suprema of empirical processes, 2002, theorem 2.3, for the supremum over the functions <u, phi> with u in the unit ball).
    """

    validity: ClassVar[Validity] = "bound"

    @property
    @abstractmethod
    def _numbers(self) -> tuple[float, float, float, float]:
        """The four numbers trace, top, radius and width."""

    def p_value(self, statistic: float, n: int) -> float:
        trace, top, radius, _ = self._numbers
        excess = n * statistic - sqrt(n * trace)
        if excess <= 0.0:
            return 1.0
        # radius/3 y^2 + sqrt(2 v) y = excess, at y = sqrt(t).
        a, b = radius / 3.0, sqrt(2.0 * (n * top + 2.0 * radius * sqrt(n * trace)))
        y = 2.0 * excess / (b + sqrt(b * b + 4.0 * a * excess))
        return exp(-y * y)

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # |mean| is at least its component along the true mean, an average of n values in an interval of length width.
        return self._threshold(n, alpha) + self._numbers[3] * sqrt(log(1.0 / miss) / (2.0 * n))

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """A bound by McDiarmid's inequality: one path moves the mean by at most width/n, and E|mean - truth| <= width / sqrt(2 n).

        The average of phi over the steps of one path stays within the width, so steps may depend on each other.
        """
        width = self._numbers[3]
        return statistic + width * (sqrt(0.5) + sqrt(0.5 * log(1.0 / error))) / sqrt(paths)

    def _threshold(self, n: float, alpha: float) -> float:
        trace, top, radius, _ = self._numbers
        t, mean = log(1.0 / alpha), sqrt(n * trace)
        return (mean + sqrt(2.0 * t * (n * top + 2.0 * radius * mean)) + radius * t / 3.0) / n


@dataclass(frozen=True)
class CramerVonMises(NormOfMean):
    """The root mean square distance between the empirical and the uniform distribution function over the edges of the cells.

    phi(u) is the indicator function of u minus its mean. Its limit is a Brownian bridge, with trace 1/6 and largest eigenvalue
    1/pi^2 (Anderson and Darling 1952); here the numbers are those of the grid.

    A mean of such squares over several functions of the same draws, for example over directions, is |mean|^2 in the product of
    the spaces. The largest eigenvalue of its covariance is at most the mean of the single ones, so the same numbers hold.

    >>> CramerVonMises().p_value(0.001, n=1_000)
    1.0
    """

    name: ClassVar[str] = "Cramer-von Mises"
    unit: ClassVar[str] = "rms probability"

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return _grid_numbers(False)


@dataclass(frozen=True)
class AndersonDarling(NormOfMean):
    """The distance of :class:`CramerVonMises`, with each edge weighted by 1/(t (1 - t)), the inverse variance. It sees the tails.

    The largest eigenvalue is 1/2, also on a grid, because t (1 - t) is an eigenvector.
    """

    name: ClassVar[str] = "Anderson-Darling"
    unit: ClassVar[str] = "weighted rms probability"

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return _grid_numbers(True)


@dataclass(frozen=True)
class KernelMean(NormOfMean):
    """The maximum mean discrepancy: the distance between the mean embedding of the draws and that of the law."""

    trace: float
    top: float
    radius: float
    width: float

    name: ClassVar[str] = "maximum mean discrepancy"
    unit: ClassVar[str] = "kernel units"

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return self.trace, self.top, self.radius, self.width


def edge_weights(tails: bool) -> np.ndarray:
    """The weight of each edge in the mean square, (BINS - 1,)."""
    t = np.arange(1, BINS) / BINS
    return 1.0 / (BINS * t * (1.0 - t)) if tails else np.full(BINS - 1, 1.0 / BINS)


@cache
def _grid_numbers(tails: bool) -> tuple[float, float, float, float]:
    t, weight = np.arange(1, BINS) / BINS, edge_weights(tails)
    trace = float((weight * t * (1.0 - t)).sum())
    # The inverse of the bridge's covariance on a grid is BINS times the second difference.
    top = 0.5 if tails else 1.0 / (2.0 * BINS * np.sin(np.pi / (2.0 * BINS))) ** 2
    # A value in cell j lies below the edges from j on, so |phi|^2 is a cumulative sum.
    below = np.concatenate([[0.0], np.cumsum(weight * t**2)])
    above = np.concatenate([[0.0], np.cumsum((weight * (1.0 - t) ** 2)[::-1])])[::-1]
    return trace, float(top), float(np.sqrt((below + above).max())), float(np.sqrt(weight.sum()))
