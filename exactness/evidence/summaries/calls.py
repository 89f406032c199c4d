"""How the calls of a sampler differ from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import VarianceRatio
from .base import Summary, Test, worst


class Calls(Summary):
    """The variation of the means of calls, compared with the variation within them.

    Each row holds vectors of independent N(0, 1). Rows may depend on each other.
    """

    distribution = "independent calls"
    constant = ("rows", "dims")

    def __init__(self, rows: Sequence[str], dims: Sequence[int]) -> None:
        self.rows, self.dims, self.n, self.calls = tuple(rows), np.asarray(dims), 0, 0
        # The sums of the squares of all values, and of n_c |mean of call c|^2; and the sums of all vectors.
        self.squares, self.between = np.zeros(len(self.rows)), np.zeros(len(self.rows))
        self.totals = np.zeros(sum(dims))

    def add(self, lengths: np.ndarray, sums: Sequence[np.ndarray], squares: np.ndarray) -> None:
        """Add calls of these ``lengths``: each row's ``sums`` (calls, d) of vectors, and the sums of ``squares`` (rows, calls)."""
        self.n += int(lengths.sum())
        self.calls += len(lengths)
        self.squares += squares.sum(axis=1)
        self.totals += np.concatenate([of_calls.sum(axis=0) for of_calls in sums])
        self.between += [float(((of_calls**2).sum(axis=1) / lengths).sum()) for of_calls in sums]

    def merge(self, other: Calls) -> None:
        self.n += other.n
        self.calls += other.calls
        self.squares += other.squares
        self.between += other.between
        self.totals += other.totals

    def tests(self) -> list[Test]:
        if not 1 < self.calls < self.n:
            return []
        ratios, nulls = [], []
        for row, (dim, total) in enumerate(zip(self.dims, np.split(self.totals, np.cumsum(self.dims)[:-1]), strict=True)):
            common = float(total @ total) / self.n
            above, below = int((self.calls - 1) * dim), int((self.n - self.calls) * dim)
            between, within = self.between[row] - common, self.squares[row] - self.between[row]
            ratios.append(_ratio(between / above, within / below))
            nulls.append(VarianceRatio((above, below)))
        names = [f"means of {self.calls} calls" + (f", {row}" if row else "") for row in self.rows]
        counts = np.array([null.freedom[0] for null in nulls])
        return [worst(lambda i: nulls[i], names, np.array(ratios), counts, bounded=False)]


class UnusualCalls(Summary):
    """The call whose draws are largest, or smallest, compared with those of all other calls. Rows are those of :class:`Calls`."""

    distribution = "independent calls"
    # The dictionary of sizes is replaced, and never written into.
    constant = ("rows", "dims", "sizes")

    def __init__(self, rows: Sequence[str], dims: Sequence[int]) -> None:
        self.rows, self.dims, self.n, self.calls = tuple(rows), np.asarray(dims), 0, 0
        self.squares = np.zeros(len(self.rows))
        # For each length of a call: the smallest and the largest sum of squares of a call in each row.
        self.sizes: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, lengths: np.ndarray, squares: np.ndarray) -> None:
        """Add calls of these ``lengths``: the sums of the ``squares`` of their values, (rows, calls)."""
        self.n += int(lengths.sum())
        self.calls += len(lengths)
        self.squares += squares.sum(axis=1)
        found = [(int(m), squares[:, lengths == m]) for m in np.unique(lengths)]
        self._extremes({m: (here.min(axis=1), here.max(axis=1)) for m, here in found})

    def _extremes(self, sizes: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
        both = {
            m: (np.minimum(low, sizes[m][0]), np.maximum(high, sizes[m][1])) for m, (low, high) in self.sizes.items() if m in sizes
        }
        self.sizes = {**self.sizes, **sizes, **both}

    def merge(self, other: UnusualCalls) -> None:
        self.n += other.n
        self.calls += other.calls
        self.squares += other.squares
        self._extremes(dict(other.sizes))

    def tests(self) -> list[Test]:
        if self.calls < 2:
            return []
        names, nulls, ratios = [], [], []
        for m, extremes in sorted(self.sizes.items()):
            for row, dim in enumerate(self.dims):
                one, rest = int(m * dim), int((self.n - m) * dim)
                for what, values in zip(("smallest", "largest"), extremes, strict=True):
                    ratios.append(_ratio(values[row] / one, (self.squares[row] - values[row]) / rest))
                    nulls.append(VarianceRatio((one, rest)))
                    names.append(f"{what} of the calls of {m}" + (f", {self.rows[row]}" if self.rows[row] else ""))
        counts = np.array([null.freedom[0] for null in nulls])
        extreme = worst(lambda i: nulls[i], names, np.array(ratios), counts, bounded=False)
        # Every call is a row of its own, and was looked at on both sides by the same p-value.
        return [extreme._replace(rows=self.calls * len(self.rows))]


def _ratio(above: float, below: float) -> float:
    """A ratio of two mean squares, which may both be 0 if a sampler is wrong."""
    return float(above / below) if below > 0.0 else (1e300 if above > 0.0 else 1.0)
