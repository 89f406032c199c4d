"""Tests of standard normal vectors: of their mean vector, every coordinate, and every pair of coordinates."""

from __future__ import annotations

import numpy as np

from ...arrays import Array, namespace, to_numpy
from ..nulls import MeanProduct, MeanVector, NormalMean, NormalVariance
from .base import Summary, Test, worst


class Vectors(Summary):
    """The sum, and the sum of outer products, of vectors (dim,) that are independent N(0, I) under the law."""

    constant = ("dim", "distribution", "_pairs")

    def __init__(self, dim: int) -> None:
        self.dim, self.n = dim, 0
        self.distribution = f"N(0, I) in d = {dim}"
        self.sum, self.outer = np.zeros(dim), np.zeros((dim, dim))
        self._pairs = np.triu_indices(dim, 1)

    def add(self, vectors: Array) -> None:
        """Add vectors of shape (n, dim)."""
        if not int(vectors.shape[0]):
            return
        xp = namespace(vectors)
        self.sum += to_numpy(xp.sum(vectors, axis=0))
        self.outer += to_numpy(xp.matmul(xp.matrix_transpose(vectors), vectors))
        self.n += int(vectors.shape[0])

    def merge(self, other: Vectors) -> None:
        self.sum += other.sum
        self.outer += other.outer
        self.n += other.n

    def tests(self) -> list[Test]:
        # In one dimension, the pooled mean and variance of the coordinates say it all.
        if self.n == 0 or self.dim == 1:
            return []
        mean, second = self.sum / self.n, self.outer / self.n
        names = [f"coordinate {i}" for i in range(self.dim)]
        i, j = self._pairs
        pairs = [f"coordinates {a} and {b}" for a, b in zip(i, j, strict=True)]
        shift, scale, product = NormalMean(), NormalVariance(), MeanProduct()
        return [
            Test(MeanVector(self.dim), "all coordinates", float(np.linalg.norm(mean)), self.n, 1),
            worst(lambda _: shift, names, mean, self.n),
            worst(lambda _: scale, names, np.diagonal(second), self.n),
            worst(lambda _: product, pairs, second[i, j], self.n),
        ]
