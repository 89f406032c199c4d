"""What is kept of samples: sums alone, so shards, stages and machines give one and the same evidence in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, chi2_cdf, histogram, namespace, ndtr
from .nulls import BINS, Equality, Kolmogorov, NormalMean, NormalVariance, Null

# A deterministic step is recomputed by the judge in another order of rounding; a schedule's cancellations cost digits too.
_ROUNDING_UNITS = 2.0**10


class Test(NamedTuple):
    """``statistic`` of ``n`` values, in the row called ``where``, the most extreme of ``rows``."""

    null: Null
    where: str
    statistic: float
    n: int
    rows: int


class Summary(ABC):
    """Constant memory; ``merge`` is associative and commutative."""

    distribution: str

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Take in another summary of the same kind and shape."""

    @abstractmethod
    def tests(self) -> list[Test]:
        """Empty if nothing was seen."""

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` of probability integral transforms, where there are any."""
        return None


class Points(Summary):
    """Values that must be equal to a point: the largest relative distance from it, against the rounding of their dtype."""

    distribution = "a point"

    def __init__(self) -> None:
        self.largest, self.rounding, self.n = 0.0, 0.0, 0

    def add(self, distances: Array, dtype: Any) -> None:
        xp = namespace(distances)
        self.largest = max(self.largest, float(xp.max(distances)))
        self.rounding = max(self.rounding, _ROUNDING_UNITS * float(xp.finfo(dtype).eps))
        self.n += int(distances.shape[0])

    def merge(self, other: Points) -> None:
        self.largest, self.rounding = max(self.largest, other.largest), max(self.rounding, other.rounding)
        self.n += other.n

    def tests(self) -> list[Test]:
        return [Test(Equality(self.rounding), "worst", self.largest, self.n, 1)] if self.n else []


class Tally(Summary):
    """Counts of probability integral transforms and power sums, row by row; a row is a step, or a direction.

    Values are uniform, normal or chi-square under the law.

    Args:
        rows: what each row is called.
        null: ``"uniform"``, ``"normal"`` or ``"chi2"`` with ``freedom`` degrees of freedom.
        pooled: whether values of different rows are independent of each other, so that they may be pooled.
    """

    def __init__(self, rows: Sequence[str], null: str, *, freedom: int = 0, pooled: bool) -> None:
        self.rows, self.null, self.freedom, self.pooled = tuple(rows), null, freedom, pooled
        self.distribution = {"uniform": "U(0, 1)", "normal": "N(0, 1)", "chi2": f"chi2({freedom})"}[null]
        self.counts = np.zeros((len(self.rows), BINS), dtype=np.int64)
        self.sums = np.zeros(len(self.rows))
        self.squares = np.zeros(len(self.rows))

    def add(self, row: int, values: Array) -> None:
        """Any shape; sums are taken where the values live."""
        xp = namespace(values)
        if self.null == "normal":
            self.sums[row] += float(xp.sum(values))
            self.squares[row] += float(xp.sum(values * values))
            values = ndtr(values)
        elif self.null == "chi2":
            values = chi2_cdf(values, self.freedom)
        self.counts[row] += histogram(values, BINS)

    def merge(self, other: Tally) -> None:
        self.counts += other.counts
        self.sums += other.sums
        self.squares += other.squares

    def tests(self) -> list[Test]:
        """Pooled, and the row that stands out most."""
        seen = np.flatnonzero(self.counts.sum(1))
        if len(seen) == 0:
            return []
        found: list[Test] = []
        if self.pooled:
            total = self.counts[seen].sum(0)
            n = int(total.sum())
            found.append(Test(Kolmogorov(), "pooled", _distance(total), n, 1))
            if self.null == "normal":
                found.append(Test(NormalMean(), "pooled", float(self.sums[seen].sum()) / n, n, 1))
                found.append(Test(NormalVariance(), "pooled", float(self.squares[seen].sum()) / n, n, 1))
        if len(seen) > 1 or not self.pooled:
            found.append(self._worst(Kolmogorov(), seen, [_distance(self.counts[r]) for r in seen]))
            if self.null == "normal":
                n_rows = self.counts[seen].sum(1)
                found.append(self._worst(NormalMean(), seen, list(self.sums[seen] / n_rows)))
                found.append(self._worst(NormalVariance(), seen, list(self.squares[seen] / n_rows)))
        return found

    def histogram(self, bins: int) -> tuple[str, np.ndarray]:
        """``(where, counts)`` over all rows, or over the row that stands out most if rows may not be pooled."""
        if self.pooled:
            return "pooled", self.counts.sum(0).reshape(bins, -1).sum(1)
        seen = np.flatnonzero(self.counts.sum(1))
        worst = max(seen, key=lambda r: _distance(self.counts[r]) * np.sqrt(self.counts[r].sum()))
        return self.rows[worst], self.counts[worst].reshape(bins, -1).sum(1)

    def _worst(self, null: Null, seen: np.ndarray, statistics: list[float]) -> Test:
        n = [int(self.counts[r].sum()) for r in seen]
        p = [null.p_value(s, m) for s, m in zip(statistics, n, strict=True)]
        # Far out every p-value underflows to 0: the larger effect breaks the tie.
        i = min(range(len(seen)), key=lambda j: (p[j], -abs(null.effect(statistics[j]))))
        return Test(null, self.rows[seen[i]], float(statistics[i]), n[i], len(seen))


def _distance(counts: np.ndarray) -> float:
    """Kolmogorov distance from uniform, over the cells' edges."""
    share = np.cumsum(counts)[:-1] / counts.sum()
    return float(np.abs(share - np.arange(1, BINS) / BINS).max())
