"""Lengths of means of bounded vectors: Cramer-von Mises, Anderson-Darling, maximum mean discrepancies.

A statistic of this kind is |mean of phi(X_i)| in a Hilbert space, with E phi(X) = 0 under the law. Its asymptotic law is a
weighted sum of chi-squares, of which nothing is known at p = 1e-9 and n = 1,000. Bousquet's inequality is valid at every n and
level, and its tail has the right rate: as n grows it is the Gaussian tail with the largest eigenvalue as variance.
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
    """|mean of n vectors| whose law is known by four numbers.

    ``trace`` = E|phi|^2 and ``top`` (at least the largest eigenvalue of their covariance) under the law; ``radius`` >= |phi|
    and ``width`` >= |phi(x) - phi(y)| everywhere.

    p-value: with Z = |sum phi|, E Z <= sqrt(n trace) and v = n top + 2 radius E Z, P(Z >= E Z + sqrt(2 v t) + radius t / 3) <=
    exp(-t) (Bousquet, A Bennett concentration inequality and its application to suprema of empirical processes, 2002, theorem
    2.3), with the supremum over the unit ball's functions <u, phi>.
    """

    validity: ClassVar[Validity] = "bound"

    @property
    @abstractmethod
    def _numbers(self) -> tuple[float, float, float, float]:
        """trace, top, radius, width."""

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
        """By McDiarmid's inequality: one path moves the mean by width/n at most, and E|mean - truth| <= width / sqrt(2 n).

        A path's own average of phi over its steps keeps within the width, so steps may depend on each other.
        """
        width = self._numbers[3]
        return statistic + width * (sqrt(0.5) + sqrt(0.5 * log(1.0 / error))) / sqrt(paths)

    def _threshold(self, n: float, alpha: float) -> float:
        trace, top, radius, _ = self._numbers
        t, mean = log(1.0 / alpha), sqrt(n * trace)
        return (mean + sqrt(2.0 * t * (n * top + 2.0 * radius * mean)) + radius * t / 3.0) / n


@dataclass(frozen=True)
class CramerVonMises(NormOfMean):
    """Root mean square distance between the empirical and the uniform distribution function over the cells' edges.

    phi(u) is u's indicator function less its mean: a Brownian bridge in the limit, with trace 1/6 and largest eigenvalue
    1/pi^2 (Anderson and Darling 1952), here of the grid.

    A mean of such squares over several functions of the same draws (sliced, over directions) is |mean|^2 in the product of
    the spaces; its covariance's largest eigenvalue is at most the mean of the single ones, so the same numbers hold.
    """

    name: ClassVar[str] = "Cramer-von Mises"
    unit: ClassVar[str] = "rms probability"

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return _grid_numbers(False)


@dataclass(frozen=True)
class AndersonDarling(NormOfMean):
    """The same with each edge weighted by the inverse variance there, 1/(t (1 - t)): sees the tails.

    The largest eigenvalue is 1/2, on a grid too: t (1 - t) is an eigenvector.
    """

    name: ClassVar[str] = "Anderson-Darling"
    unit: ClassVar[str] = "weighted rms probability"

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return _grid_numbers(True)


@dataclass(frozen=True)
class KernelMean(NormOfMean):
    """A maximum mean discrepancy: the distance of the mean embedding of the draws from that of the law."""

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
    """(BINS - 1,): what each edge counts in the mean square."""
    t = np.arange(1, BINS) / BINS
    return 1.0 / (BINS * t * (1.0 - t)) if tails else np.full(BINS - 1, 1.0 / BINS)


@cache
def _grid_numbers(tails: bool) -> tuple[float, float, float, float]:
    t, weight = np.arange(1, BINS) / BINS, edge_weights(tails)
    trace = float((weight * t * (1.0 - t)).sum())
    # The inverse of the bridge's covariance on a grid is BINS times the second difference.
    top = 0.5 if tails else 1.0 / (2.0 * BINS * np.sin(np.pi / (2.0 * BINS))) ** 2
    # A value in cell j has been passed by the edges from j on: |phi|^2 by cumulative sums.
    below = np.concatenate([[0.0], np.cumsum(weight * t**2)])
    above = np.concatenate([[0.0], np.cumsum((weight * (1.0 - t) ** 2)[::-1])])[::-1]
    return trace, float(top), float(np.sqrt((below + above).max())), float(np.sqrt(weight.sum()))
