"""The dependence of innovations on earlier innovations of the same path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import Array, namespace
from ..nulls import MeanProduct
from ..pictures import Scores
from .base import Summary, Test, worst


class Lags(Summary):
    """Sums of products of innovations that are 1, 2, ... steps apart, over all coordinates.

    Args:
        present: for each step in running order, whether it has an innovation. Deterministic steps have none.
        most: the largest lag, in steps.
    """

    distribution = "independent N(0, 1)"
    constant = ("nulls",)

    def __init__(self, present: Sequence[bool], most: int) -> None:
        runs = {lag: _runs(present, lag) for lag in range(1, most + 1)}
        self.nulls = {lag: MeanProduct(tuple(lengths)) for lag, lengths in runs.items() if lengths}
        self.sums = dict.fromkeys(self.nulls, 0.0)
        self.counts = dict.fromkeys(self.nulls, 0)

    def add(self, lag: int, now: Array, before: Array) -> None:
        """Add innovations ``now`` (n, d), and those ``lag`` steps ``before`` them (n, d)."""
        xp = namespace(now)
        self.sums[lag] += float(xp.reshape(now, (-1,)) @ xp.reshape(before, (-1,)))
        self.counts[lag] += int(now.shape[0]) * int(now.shape[1])

    def merge(self, other: Lags) -> None:
        for lag in self.sums:
            self.sums[lag] += other.sums[lag]
            self.counts[lag] += other.counts[lag]

    def scores(self) -> Scores:
        sums, counts = np.array(list(self.sums.values())), np.array(list(self.counts.values()), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"mean product": ([_name(lag) for lag in self.sums], sums / np.sqrt(counts))} if self.sums else {}

    def tests(self) -> list[Test]:
        seen = [lag for lag, count in self.counts.items() if count]
        if not seen:
            return []
        means = np.array([self.sums[lag] / self.counts[lag] for lag in seen])
        counts = np.array([self.counts[lag] for lag in seen])
        names = [_name(lag) for lag in seen]
        # The number of overlapping products depends on the lag, so every row has its own null distribution.
        return [worst(lambda i: self.nulls[seen[i]], names, means, counts)]


def _name(lag: int) -> str:
    return "1 step" if lag == 1 else f"{lag} steps"


def _runs(present: Sequence[bool], lag: int) -> list[int]:
    """The lengths, if above one, of the maximal runs i, i + lag, i + 2 lag, ... of steps that are all present."""
    found = []
    for first in range(lag):
        length = 0
        for here in [*list(present[first::lag]), False]:
            if here:
                length += 1
            else:
                if length > 1:
                    found.append(length)
                length = 0
    return found
