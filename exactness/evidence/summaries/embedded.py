"""The distance between the mean embedding of the draws and that of the law, with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
from scipy.spatial.distance import cdist

from ...laws.base import Embedded
from ..nulls import KernelMean
from .base import Summary, Test
from .reservoir import Reservoir


class EmbeddedDraws(Summary):
    """Compares a reservoir of draws with the law's embedding in closed form. There is one test per bandwidth.

    Under the law, the squared norm |phi|^2 of a centred feature has mean k(0) - E k(X, X'). The largest eigenvalue of the features'
    covariance is at most its Hilbert-Schmidt norm, whose square is E (centred kernel)^2 <= E k(X, X')^2 - (E k(X, X'))^2.
    """

    constant = ("law", "bandwidths", "_means")
    distribution = "the law's embedding"

    def __init__(self, law: Embedded, bandwidths: Mapping[str, float], most: int) -> None:
        self.law, self.bandwidths, self.kept = law, dict(bandwidths), Reservoir(most)
        # E k(X, X') and E k(X, X')^2: the square of the kernel is the kernel with a smaller bandwidth.
        self._means = {h: (law.kernel_between(h), law.kernel_between(h / sqrt(2.0))) for h in self.bandwidths.values()}

    def add(self, keys: np.ndarray, draws: np.ndarray) -> None:
        """Add draws (n, d) with their random keys (n,)."""
        self.kept.add(keys, draws)

    def merge(self, other: EmbeddedDraws) -> None:
        self.kept.merge(other.kept)

    def tests(self) -> list[Test]:
        if self.kept.rows is None or not len(self.kept):
            return []
        (draws,) = self.kept.rows
        squared = cdist(draws, draws, "sqeuclidean")
        found = []
        for name, h in self.bandwidths.items():
            mean, mean_square = self._means[h]
            gap = np.exp(-squared / (2.0 * h * h)).mean() - 2.0 * self.law.kernel_at(draws, h).mean() + mean
            null = KernelMean(1.0 - mean, sqrt(max(mean_square - mean**2, 0.0)), sqrt(1.0 + mean), sqrt(2.0))
            found.append(Test(null, name, sqrt(max(gap, 0.0)), len(draws), 1, bounded=False))
        return found
