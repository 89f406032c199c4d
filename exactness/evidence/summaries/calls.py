"""How the calls of a sampler differ from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import VarianceRatio
from .base import Summary, Test, worst


class Calls(Summary):
    """The variation of the means of calls, compared with the variation within them, and the call with the most unusual size.

    Each row holds vectors of independent N(0, 1). Rows may depend on each other.
    """

    distribution = "independent calls"
    # The dictionary of sizes is replaced, and never written into.
    constant = ("rows", "dims", "sizes")

    def __init__(self, rows: Sequence[str], dims: Sequence[int]) -> None:
        self.rows, self.dims = tuple(rows), np.asarray(dims)
        count = len(self.rows)
        self.n, self.calls = 0, 0
        # The sums of the squares of all values, and of n_c |mean of call c|^2.
        self.squares, self.between = np.zeros(count), np.zeros(count)
        self.totals = np.zeros(sum(dims))
        # For each length of a call: how many there were, and the smallest and the largest sum of squares of a call in each row.
        self.sizes: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
        self._now: tuple[int, ...] | None = None

    def open(self, calls: tuple[int, ...]) -> None:
        self._now = calls

    def add(self, sums: Sequence[np.ndarray], squares: np.ndarray) -> None:
        """Add the calls of a batch: each row's ``sums`` (calls, d) of vectors, and the sums of their ``squares`` (rows, calls)."""
        lengths = np.asarray(self._now)
        self.n += int(lengths.sum())
        self.calls += len(lengths)
        self.squares += squares.sum(axis=1)
        self.totals += np.concatenate([of_calls.sum(axis=0) for of_calls in sums])
        for row, of_calls in enumerate(sums):
            self.between[row] += float(((of_calls**2).sum(axis=1) / lengths).sum())
        for m in np.unique(lengths):
            here = squares[:, lengths == m]
            self._extremes(int(m), here.shape[1], here.min(axis=1), here.max(axis=1))

    def _extremes(self, m: int, count: int, low: np.ndarray, high: np.ndarray) -> None:
        before = self.sizes.get(m)
        if before is not None:
            count, low, high = before[0] + count, np.minimum(before[1], low), np.maximum(before[2], high)
        self.sizes = {**self.sizes, m: (count, low, high)}

    def merge(self, other: Calls) -> None:
        self.n += other.n
        self.calls += other.calls
        self.squares += other.squares
        self.between += other.between
        self.totals += other.totals
        for m, (count, low, high) in other.sizes.items():
            self._extremes(m, count, low, high)

    def tests(self) -> list[Test]:
        found: list[Test] = []
        if self.calls < 2:
            return found
        if self.n > self.calls:
            ratios, nulls = [], []
            totals = np.split(self.totals, np.cumsum(self.dims)[:-1])
            for row, dim in enumerate(self.dims):
                common = float(totals[row] @ totals[row]) / self.n
                above, below = int((self.calls - 1) * dim), int((self.n - self.calls) * dim)
                between, within = self.between[row] - common, self.squares[row] - self.between[row]
                ratios.append(_ratio(between / above, within / below))
                nulls.append(VarianceRatio((above, below)))
            names = [f"means of {self.calls} calls" + (f", {row}" if row else "") for row in self.rows]
            counts = np.array([null.freedom[0] for null in nulls])
            found.append(worst(lambda i: nulls[i], names, np.array(ratios), counts, bounded=False))
        names, nulls, ratios = [], [], []
        for m, (_, low, high) in sorted(self.sizes.items()):
            for row, dim in enumerate(self.dims):
                one, rest = int(m * dim), int((self.n - m) * dim)
                for what, value in (("smallest", low[row]), ("largest", high[row])):
                    ratios.append(_ratio(value / one, (self.squares[row] - value) / rest))
                    nulls.append(VarianceRatio((one, rest)))
                    names.append(f"{what} of the calls of {m}" + (f", {self.rows[row]}" if self.rows[row] else ""))
        counts = np.array([null.freedom[0] for null in nulls])
        extreme = worst(lambda i: nulls[i], names, np.array(ratios), counts, bounded=False)
        # Every call is a row of its own, and was looked at on both sides by the same p-value.
        return [*found, extreme._replace(rows=self.calls * len(self.rows))]


def _ratio(above: float, below: float) -> float:
    """A ratio of two mean squares, which may both be 0 if a sampler is wrong."""
    return float(above / below) if below > 0.0 else (1e300 if above > 0.0 else 1.0)
