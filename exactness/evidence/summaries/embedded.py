"""The distance of draws' mean embedding from the law's, with a Gaussian kernel."""

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
    """A reservoir of draws against the closed-form embedding, one test per bandwidth.

    Under the law |phi|^2 has mean k(0) - E k(X, X'); the largest eigenvalue of the covariance is at most its Hilbert-Schmidt
    norm, whose square is E (centred kernel)^2 <= E k(X, X')^2 - (E k(X, X'))^2.
    """

    distribution = "the law's embedding"

    def __init__(self, law: Embedded, bandwidths: Mapping[str, float], most: int) -> None:
        self.law, self.bandwidths, self.kept = law, dict(bandwidths), Reservoir(most)
        # E k(X, X') and the same of k^2, which is the kernel with a smaller bandwidth.
        self._means = {h: (law.kernel_between(h), law.kernel_between(h / sqrt(2.0))) for h in self.bandwidths.values()}

    def add(self, keys: np.ndarray, draws: np.ndarray) -> None:
        """(n,), (n, d)."""
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
