"""Distribution functions of two samples of equal size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import Null, TwoSampleKolmogorov
from .base import Summary, Test, worst


class PairTally(Summary):
    """Counts of both samples in the same cells, with one row per projection."""

    distribution = "that of the trusted sampler"
    constant = ("rows",)

    def __init__(self, rows: Sequence[str], cells: int) -> None:
        self.rows, self.n = tuple(rows), 0
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
        null = TwoSampleKolmogorov()
        return [worst(lambda _: null, self.rows, np.abs(gap).max(1), self.n)]

    def monitored(self) -> list[tuple[Null, int]]:
        return [(TwoSampleKolmogorov(), len(self.rows))]
