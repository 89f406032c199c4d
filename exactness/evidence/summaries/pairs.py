"""Distribution functions of two samples of equal size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import Null, TwoSampleKolmogorov
from .base import Summary, Test, worst


class PairTally(Summary):
    """Counts of both samples in the same cells, with one row per projection.

    ``null`` is the test of their distribution functions: of independent samples, or of both ends of pairs.
    """

    distribution = "that of the trusted sampler"
    constant = ("rows", "null")

    def __init__(self, rows: Sequence[str], cells: int, null: Null | None = None) -> None:
        self.rows, self.n, self.null = tuple(rows), 0, null or TwoSampleKolmogorov()
        self.counts = np.zeros((2, len(self.rows), cells), dtype=np.int64)

    def add(self, counts: np.ndarray, n: int) -> None:
        """Add ``counts`` (2, rows, cells) of n draws of each sample."""
        self.counts += counts
        self.n += n

    def merge(self, other: PairTally) -> None:
        self.counts += other.counts
        self.n += other.n

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        gap = np.cumsum(self.counts[0] - self.counts[1], axis=1) / self.n
        return [worst(lambda _: self.null, self.rows, np.abs(gap).max(1), self.n)]

    def monitored(self) -> list[tuple[Null, int]]:
        return [(self.null, len(self.rows))]
