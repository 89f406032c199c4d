"""Means of feature vectors: of one sample against those of the law, and of paired differences of two samples."""

from __future__ import annotations

import numpy as np

from ...arrays import Array, double, namespace, to_numpy
from ..nulls import ChiSquareLimit, KernelMean, SymmetricMean
from .base import Summary, Test

# A limit theorem needs few directions of comparable size. Where a direction varies much less than the others, a single outlier is
# many standard deviations away, so such directions are left out.
_COMPARABLE = 0.05
_DRAWS_PER_WEIGHT = 20.0
# Directions in which the differences vary by less than this many rounding errors, relative to the largest, are left out.
_ROUNDING_UNITS = 1e4


class Differences(Summary):
    """The sum, and the sum of outer products, of paired differences of ``dim`` features."""

    distribution = "symmetric about 0"

    def __init__(self, dim: int) -> None:
        self.dim, self.n, self.rounding = dim, 0, 0.0
        self.sum, self.outer = np.zeros(dim), np.zeros((dim, dim))

    def add(self, differences: Array) -> None:
        """Add differences (n, dim). Sums are in double precision where possible: the smallest directions matter as much."""
        xp = namespace(differences)
        self.rounding = max(self.rounding, _ROUNDING_UNITS * float(xp.finfo(differences.dtype).eps))
        differences = double(differences)
        self.sum += to_numpy(xp.sum(differences, axis=0))
        self.outer += to_numpy(xp.matmul(xp.matrix_transpose(differences), differences))
        self.n += int(differences.shape[0])

    def merge(self, other: Differences) -> None:
        self.sum += other.sum
        self.outer += other.outer
        self.n += other.n
        self.rounding = max(self.rounding, other.rounding)

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        if not (np.all(np.isfinite(self.outer)) and np.all(np.isfinite(self.sum))):
            return [Test(SymmetricMean(self.dim), "all features", float("nan"), self.n, 1)]
        # The choice of directions does not depend on the signs of the differences, so the signs stay fair coins.
        scale = np.sqrt(np.maximum(np.diagonal(self.outer), 1e-300))
        value, vector = np.linalg.eigh(self.outer / np.outer(scale, scale))
        kept = value > self.rounding * value.max()
        part = (vector.T @ (self.sum / scale))[kept]
        statistic = min(1.0, float(np.sqrt((part**2 / value[kept]).sum() / self.n)))
        return [Test(SymmetricMean(int(kept.sum())), "all features", statistic, self.n, 1)]


class Embedding(Summary):
    """The sum of bounded features whose mean and covariance the law knows.

    There are two tests of the difference between the mean of the draws and that of the law. The first is of its length, which is
    a maximum mean discrepancy and has a finite-sample bound. The second is of its Mahalanobis length, which is chi-square in the
    limit and therefore cannot support very small p-values.

    Args:
        mean, covariance: (m,) and (m, m), under the law.
        radius, width: the largest distance of a feature vector from the mean, and of two feature vectors from each other.
    """

    distribution = "characteristic function"
    constant = ("mean", "null", "_whiten")

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, radius: float, width: float) -> None:
        self.mean, self.n = mean, 0
        self.sum = np.zeros_like(mean)
        value, vector = np.linalg.eigh(covariance)
        kept = value > _COMPARABLE * value.max()
        self._whiten = vector[:, kept] / np.sqrt(value[kept])
        # Where a rare component decides a direction, one draw weighs radius^2/variance. The limit needs many times as many draws.
        self._fewest = max(ChiSquareLimit.fewest, round(_DRAWS_PER_WEIGHT * radius**2 / float(value[kept].min())))
        self.null = KernelMean(float(value.sum()), float(value.max()), radius, width)

    def add(self, features: Array) -> None:
        """Add features of shape (n, m)."""
        self.sum += to_numpy(namespace(features).sum(features, axis=0))
        self.n += int(features.shape[0])

    def merge(self, other: Embedding) -> None:
        self.sum += other.sum
        self.n += other.n

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        gap = self.sum / self.n - self.mean
        white = gap @ self._whiten
        return [
            Test(self.null, "all frequencies", float(np.linalg.norm(gap)), self.n, 1),
            Test(ChiSquareLimit(len(white), fewest=self._fewest), "all frequencies", float(np.linalg.norm(white)), self.n, 1),
        ]
