"""How often events happened, compared with their known conditional probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import Array, namespace, to_numpy
from ..nulls import Null, Promised
from ..pictures import Scores
from .base import Summary, Test


class Promises(Summary):
    """Sums of the differences (what happened - its probability given the past), and of their variances, row by row.

    ``width`` is the largest size of a difference in each row, and ``span`` the length of an interval that holds each of them.
    """

    distribution = "a martingale"
    constant = ("rows", "width", "span")

    def __init__(self, rows: Sequence[str], width: Sequence[float], span: float | None = None) -> None:
        self.rows, self.width, self.span = tuple(rows), np.asarray(width, dtype=np.float64), span
        self.sums, self.variances, self.n = np.zeros(len(self.rows)), np.zeros(len(self.rows)), 0

    def add(self, differences: Array, variances: Array) -> None:
        """Add ``differences`` (n, rows) and their conditional ``variances`` (n, rows)."""
        xp = namespace(differences)
        self.sums += to_numpy(xp.sum(differences, axis=0))
        self.variances += to_numpy(xp.sum(variances, axis=0))
        self.n += int(differences.shape[0])

    def merge(self, other: Promises) -> None:
        self.sums += other.sums
        self.variances += other.variances
        self.n += other.n

    def scores(self) -> Scores:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"share against promise": (self.rows, self.sums / np.sqrt(self.variances))}

    def monitored(self) -> list[tuple[Null, int]]:
        return [(Promised(0.25, float(w), self.span), 1) for w in self.width]

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        return [
            Test(Promised(float(v / self.n), float(w), self.span), name, float(s / self.n), self.n, 1)
            for name, s, v, w in zip(self.rows, self.sums, self.variances, self.width, strict=True)
        ]
