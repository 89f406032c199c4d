"""Means of feature vectors: of one sample against the law's own, and of paired differences of two samples."""

from __future__ import annotations

import numpy as np

from ...arrays import Array, double, namespace, to_numpy
from ..nulls import ChiSquareLimit, KernelMean, SymmetricMean
from .base import Summary, Test

# A limit theorem needs few directions of comparable size: of those that vary much less, one outlier is many deviations.
_COMPARABLE = 0.05
_DRAWS_PER_WEIGHT = 20.0
# Directions in which differences vary by less than so many rounding errors, relative to the largest, are left out.
_ROUNDING_UNITS = 1e4


class Differences(Summary):
    """Sum and sum of outer products of paired differences of ``dim`` features."""

    distribution = "symmetric about 0"

    def __init__(self, dim: int) -> None:
        self.dim, self.n, self.rounding = dim, 0, 0.0
        self.sum, self.outer = np.zeros(dim), np.zeros((dim, dim))

    def add(self, differences: Array) -> None:
        """(n, dim). Summed in double where there is double: the smallest directions are as telling as the largest."""
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
        # Which directions are kept depends on the differences up to sign only, so signs stay fair coins.
        scale = np.sqrt(np.maximum(np.diagonal(self.outer), 1e-300))
        value, vector = np.linalg.eigh(self.outer / np.outer(scale, scale))
        kept = value > self.rounding * value.max()
        part = (vector.T @ (self.sum / scale))[kept]
        statistic = min(1.0, float(np.sqrt((part**2 / value[kept]).sum() / self.n)))
        return [Test(SymmetricMean(int(kept.sum())), "all features", statistic, self.n, 1)]


class Embedding(Summary):
    """Sum of bounded features whose mean and covariance the law knows.

    Two tests: the length of the mean's departure (a maximum mean discrepancy, a finite-sample bound), and its Mahalanobis
    length (chi-square in the limit, which does not decide far out).

    Args:
        mean, covariance: (m,) and (m, m), under the law.
        radius, width: the largest distance of a feature vector from the mean, and of two of them.
    """

    distribution = "characteristic function"

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, radius: float, width: float) -> None:
        self.mean, self.n = mean, 0
        self.sum = np.zeros_like(mean)
        value, vector = np.linalg.eigh(covariance)
        kept = value > _COMPARABLE * value.max()
        self._whiten = vector[:, kept] / np.sqrt(value[kept])
        # Where a rare component decides a direction, one draw weighs radius^2/variance: the limit needs many times as many.
        self._fewest = max(ChiSquareLimit.fewest, round(_DRAWS_PER_WEIGHT * radius**2 / float(value[kept].min())))
        self.null = KernelMean(float(value.sum()), float(value.max()), radius, width)

    def add(self, features: Array) -> None:
        """(n, m)."""
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
