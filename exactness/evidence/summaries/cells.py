"""Counts of the cells of a discrete law: all of them together, and the draws that lie in none."""

from __future__ import annotations

import numpy as np

from ...laws.discrete import written
from ..nulls import Null, Share, TotalVariation, Wager
from ..nulls.cells import log_wealth
from .base import Summary, Test

# This many different values outside the support are remembered, so that a finding can name them.
_NAMED = 3


class Cells(Summary):
    """How many draws fell into each cell.

    Args:
        masses: the probability of each cell, (cells,), all positive.
        few: up to this many cells, the total variation is tested and bounded too.
    """

    distribution = "multinomial"
    constant = ("masses",)

    def __init__(self, masses: np.ndarray, few: int) -> None:
        self.masses, self.few = masses, few
        self.counts = np.zeros(len(masses), dtype=np.int64)

    def add(self, counts: np.ndarray) -> None:
        """Add ``counts`` (cells,)."""
        self.counts += counts

    def merge(self, other: Cells) -> None:
        self.counts += other.counts

    def monitored(self) -> list[tuple[Null, int]]:
        return [(self._variation(), 1)] if self._is_few() else []

    def tests(self) -> list[Test]:
        n = int(self.counts.sum())
        if n == 0 or len(self.masses) < 2:
            return []
        found = [Test(Wager(len(self.masses)), "all cells", log_wealth(self.counts, self.masses) / n, n, 1)]
        if self._is_few():
            distance = 0.5 * float(np.abs(self.counts / n - self.masses).sum())
            found.append(Test(self._variation(), "all events", distance, n, 1))
        return found

    def _is_few(self) -> bool:
        return 2 <= len(self.masses) <= self.few

    def _variation(self) -> TotalVariation:
        return TotalVariation(len(self.masses), float(np.sqrt(self.masses * (1.0 - self.masses)).sum()))


class Support(Summary):
    """How many draws have probability 0 under the law. A single one refutes, and the finding names it."""

    distribution = "impossible"

    def __init__(self) -> None:
        self.hits, self.n = 0, 0
        self.named: list[tuple[float, ...]] = []

    def add(self, outside: np.ndarray, n: int) -> None:
        """Add the draws that lie outside the support, (m, ...), among ``n`` draws."""
        self.hits += len(outside)
        self.n += n
        if len(outside):
            self._name([tuple(row) for row in np.unique(outside.reshape(len(outside), -1), axis=0)[:_NAMED].tolist()])

    def merge(self, other: Support) -> None:
        self.hits += other.hits
        self.n += other.n
        self._name(other.named)

    def monitored(self) -> list[tuple[Null, int]]:
        return [(Share(0.0), 1)]

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        where = ", ".join(written(np.array(row)) for row in self.named)
        where = f"value{'s' if len(self.named) > 1 else ''} {where}" if self.hits else "outside the support"
        return [Test(Share(0.0), where, self.hits / self.n, self.n, 1)]

    def _name(self, rows: list[tuple[float, ...]]) -> None:
        # The smallest values are remembered, whatever the order in which evidence is merged.
        self.named = sorted({*self.named, *rows})[:_NAMED]
