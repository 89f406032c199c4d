"""The wealth of bets against the law, several per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from ..nulls import Bet
from .base import Summary, Test, worst


class Bets(Summary):
    """Sums of the logarithms by which bets multiply their wealth.

    Args:
        rows: the name of each row. The bets of a row differ in how much they risk.
        bets: the number of bets per row.
    """

    distribution = "fair odds"
    constant = ("rows", "bets")

    def __init__(self, rows: Sequence[str], bets: int) -> None:
        self.rows, self.bets = tuple(rows), bets
        self.sums = np.zeros((len(self.rows), bets))
        self.counts = np.zeros(len(self.rows), dtype=np.int64)

    def add(self, row: int, logs: np.ndarray, n: int) -> None:
        """Add the sums over ``n`` values of the logarithms of each bet of a row, (bets,)."""
        self.sums[row] += logs
        self.counts[row] += n

    def add_by(self, rows: np.ndarray, logs: np.ndarray) -> None:
        """Add the logarithms (bets, n) of each bet on n values of the given rows (n,). Values of negative rows are left out."""
        mine = rows >= 0
        counts = np.bincount(rows[mine], minlength=len(self.rows))
        self.sums += np.stack([np.bincount(rows[mine], each[mine], len(self.rows)) for each in logs], axis=1)
        self.counts += counts

    def merge(self, other: Bets) -> None:
        self.sums += other.sums
        self.counts += other.counts

    def tests(self) -> list[Test]:
        seen = np.flatnonzero(self.counts)
        if not len(seen):
            return []
        wealth = logsumexp(self.sums[seen], axis=1) - np.log(self.bets)
        null = Bet(self.bets)
        return [worst(lambda _: null, [self.rows[r] for r in seen], wealth / self.counts[seen], self.counts[seen], bounded=False)]
