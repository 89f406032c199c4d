"""Two-sample statistics, compared with those of random relabellings."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..nulls import Permutation
from .base import Summary, Test
from .reservoir import Reservoir


class Permuted(Summary):
    """A reservoir of pairs. Kernel and energy statistics of its two samples are compared with those of shuffled labels.

    Both statistics are s' M s, for a matrix M of the pooled points and labels s = +-1/m. So all shuffles are one matrix product.
    """

    distribution = "that of the trusted sampler"

    def __init__(self, most: int, permutations: int, median: float, seed: int) -> None:
        self.permutations, self.median, self.seed = permutations, median, seed
        self.kept = Reservoir(most)

    def add(self, keys: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Add pairs of ``ours`` (n, d) and ``theirs`` (n, d) with their random keys (n,)."""
        self.kept.add(keys, ours, theirs)

    def merge(self, other: Permuted) -> None:
        self.kept.merge(other.kept)

    def tests(self) -> list[Test]:
        m = len(self.kept)
        if m < 2 or self.kept.rows is None:
            return []
        pooled = np.concatenate(self.kept.rows)
        squared = cdist(pooled, pooled, "sqeuclidean")
        kernel = sum(np.exp(-squared / (2.0 * (f * self.median) ** 2)) for f in (0.25, 0.5, 1.0)) / 3.0
        distance = np.sqrt(squared)
        labels = np.repeat([1.0, -1.0], m) / m
        generator = np.random.default_rng(self.seed)
        shuffled = np.stack([labels, *(generator.permutation(labels) for _ in range(self.permutations))], axis=1)
        found = []
        for name, matrix, scale in (("Gaussian kernels", kernel, 1.0), ("energy distance", -distance, float(distance.max()))):
            values = (shuffled * (matrix @ shuffled)).sum(0)
            # Rounding must not make an equal value smaller, because that would make p-values too small. Its size is that of the
            # terms, and not that of their sum, which vanishes where all points coincide.
            exceeding = int((values[1:] >= values[0] - 1e-12 * np.abs(matrix).max()).sum())
            null = Permutation(exceeding, self.permutations, scale)
            found.append(Test(null, name, float(np.sqrt(max(values[0], 0.0))), m, 1, bounded=False))
        return found
