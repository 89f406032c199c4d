"""Pairs of standard normals that must not depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import Array, namespace
from ..nulls import MeanProduct
from ..pictures import Scores
from .base import Summary, Test, worst


class Products(Summary):
    """Sums of products of two standard normals that are independent under the law, row by row.

    Within a row, all pairs are independent of each other. Different rows may depend on each other, and chance may decide how many
    pairs they have.
    """

    distribution = "independent N(0, 1)"
    constant = ("rows",)

    def __init__(self, rows: Sequence[str]) -> None:
        self.rows = tuple(rows)
        self.sums, self.counts = np.zeros(len(self.rows)), np.zeros(len(self.rows), dtype=np.int64)

    def add(self, row: int, left: Array, right: Array) -> None:
        """Add ``left`` and ``right`` to a row: both (n,) or (n, m), paired entry by entry."""
        self.sums[row] += float(namespace(left).sum(left * right))
        self.counts[row] += int(np.prod(left.shape))

    def merge(self, other: Products) -> None:
        self.sums += other.sums
        self.counts += other.counts

    def scores(self) -> Scores:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"mean product": (self.rows, self.sums / np.sqrt(self.counts))}

    def tests(self) -> list[Test]:
        seen = np.flatnonzero(self.counts)
        if len(seen) == 0:
            return []
        product, n = MeanProduct(), self.counts[seen]
        return [worst(lambda _: product, [self.rows[i] for i in seen], self.sums[seen] / n, n, bounded=False)]
