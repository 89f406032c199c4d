"""How often events of known probability happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import Null, Share
from ..pictures import Scores
from .base import Summary, Test, worst


class Shares(Summary):
    """Counts of draws in which an event of known probability happened, with one row per event."""

    distribution = "binomial"
    constant = ("events", "nulls")

    def __init__(self, events: Sequence[str], probabilities: Sequence[float] | np.ndarray) -> None:
        self.events = tuple(events)
        self.nulls = [Share(float(p)) for p in probabilities]
        self.counts, self.n = np.zeros(len(self.events), dtype=np.int64), 0

    def add(self, counts: np.ndarray, n: int) -> None:
        """Add ``counts`` (events,) of ``n`` draws."""
        self.counts += np.asarray(counts, dtype=np.int64)
        self.n += n

    def merge(self, other: Shares) -> None:
        self.counts += other.counts
        self.n += other.n

    def scores(self) -> Scores:
        p = np.array([null.probability for null in self.nulls])
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"share": (self.events, (self.counts - self.n * p) / np.sqrt(self.n * p * (1.0 - p)))}

    def monitored(self) -> list[tuple[Null, int]]:
        return [(self.nulls[0], len(self.nulls))]

    def tests(self) -> list[Test]:
        if self.n == 0:
            return []
        return [worst(lambda i: self.nulls[i], self.events, self.counts / self.n, self.n)]
