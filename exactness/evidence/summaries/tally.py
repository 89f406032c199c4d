"""Values of a known distribution, kept as counts of their probability integral transforms and as power sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...arrays import Array, chi2_cdf, clip, dot, histogram, namespace, ndtr, row_sums, to_numpy
from ..nulls import BINS, AndersonDarling, CramerVonMises, Kolmogorov, NormalMean, NormalVariance, Null
from ..nulls.hilbert import edge_weights
from ..nulls.normal import CLIP, CLIPPED_SQUARE
from ..pictures import Scores
from .base import Summary, Test, worst

_EDGES = np.arange(1, BINS) / BINS
_FLAT, _TAILS = edge_weights(False), edge_weights(True)


Relation = Literal["independent", "dependent", "disjoint", "paired"]


class Tally(Summary):
    """Counts of probability integral transforms, and power sums, row by row. A row is a step or a direction, for example.

    The values are uniform, normal or chi-square under the law.

    Args:
        rows: the name of each row.
        null: the distribution under the law: ``"uniform"``, ``"normal"``, or ``"chi2"`` with ``freedom`` degrees of freedom.
        relation: the relation of the rows to each other. ``"independent"`` rows hold independent values of the same draws, which
            may be pooled. ``"dependent"`` rows may not be pooled, but their distances are averaged (sliced). ``"disjoint"`` rows
            hold different draws, and chance decides how many; their bounds would be those of few draws, so they have none. Each
            value of ``"paired"`` rows comes from two draws; bounds count draws, so they have none either.
    """

    constant = ("rows", "null", "freedom", "relation", "distribution", "measures")

    def __init__(self, rows: Sequence[str], null: str, *, relation: Relation, freedom: int = 0) -> None:
        self.rows, self.null, self.freedom, self.relation = tuple(rows), null, freedom, relation
        self.distribution = {"uniform": "U(0, 1)", "normal": "N(0, 1)", "chi2": f"chi2({freedom})"}[null]
        self.counts = np.zeros((len(self.rows), BINS), dtype=np.int64)
        self.sums = np.zeros(len(self.rows))
        self.squares = np.zeros(len(self.rows))
        # Each draw has an average of its clipped values, and one of their squares. Kept of each average: the number of draws, the
        # sum and the sum of squares. The last row is the average over all rows.
        self.averages = np.zeros((len(self.rows) + 1, 2, 3))
        self._open: tuple[Array, int] | None = None

    def add(self, rows: int | Sequence[int], values: Array) -> None:
        """Add values of some rows, (rows, n) or (rows, n, m), or of one row, (n,) or (n, m). They are summed on their device."""
        if isinstance(rows, int):
            rows, values = [rows], values[None]
        if not values.shape[0] or not values.shape[1]:
            return
        if self.null == "normal":
            self._moments(list(rows), values)
            values = ndtr(values)
        elif self.null == "chi2":
            values = chi2_cdf(values, self.freedom)
        self.counts[list(rows)] += histogram(values, BINS)

    def close(self) -> None:
        if self._open is not None:
            mean = self._open[0] / self._open[1]
            self.averages[-1] += _three_sums(mean[:, None])[0]
        self._open = None

    def _moments(self, rows: list[int], values: Array) -> None:
        xp = namespace(values)
        flat = xp.reshape(values, (len(rows), int(values.shape[1]), -1))
        clipped, width = clip(flat, -CLIP, CLIP), int(flat.shape[2])
        if width == 1:
            own = xp.stack([clipped[:, :, 0], clipped[:, :, 0] ** 2])
        else:
            own = xp.stack([row_sums(clipped), dot(clipped, clipped)]) / width
        self.averages[rows] += _three_sums(own)
        flat = xp.reshape(flat, (len(rows), -1))
        sums = to_numpy(xp.stack([xp.sum(flat, axis=1), dot(flat, flat)]))
        self.sums[rows] += sums[0]
        self.squares[rows] += sums[1]
        if self.relation in ("independent", "dependent"):
            # Rows may hold different numbers of values. The average of a draw is over all of them. Rows are added one by one, so
            # that it does not matter how many come at a time.
            total, count = self._open or (0.0, 0)
            for row in range(len(rows)):
                total = total + width * own[:, row]
            self._open = total, count + width * len(rows)

    def merge(self, other: Tally) -> None:
        self.counts += other.counts
        self.sums += other.sums
        self.squares += other.squares
        self.averages += other.averages

    def tests(self) -> list[Test]:
        """The tests of all rows pooled (or averaged), and of the most extreme row."""
        seen = np.flatnonzero(self.counts.sum(1))
        if len(seen) == 0:
            return []
        found: list[Test] = []
        if self.relation == "independent":
            n = int(self.counts[seen].sum())
            for null, (statistic,) in _distances(self.counts[seen].sum(0)[None]):
                found.append(Test(null, "pooled", float(statistic), n, 1))
            if self.null == "normal":
                mean, square = self.sums[seen].sum() / n, self.squares[seen].sum() / n
                found.append(Test(NormalMean(*self._kept([-1], 0)), "pooled", float(mean), n, 1))
                found.append(Test(NormalVariance(*self._kept([-1], 1)), "pooled", float(square), n, 1))
        if len(seen) > 1 or self.relation != "independent":
            bounded = self.relation in ("independent", "dependent")
            names, n_rows = [self.rows[r] for r in seen], self.counts[seen].sum(1)
            for null, statistics in _distances(self.counts[seen]):
                found.append(worst(lambda _, null=null: null, names, statistics, n_rows, bounded))  # type: ignore[misc]
                if self.relation == "dependent" and len(seen) > 1 and isinstance(null, CramerVonMises):
                    sliced = float(np.sqrt((statistics**2).mean()))
                    found.append(Test(null, f"mean of {len(seen)} rows", sliced, int(n_rows.min()), 1))
            if self.null == "normal":
                # All rows share one pair of numbers, so that the recorded bound holds for each of them.
                mean_test, square_test = NormalMean(*self._kept(seen, 0)), NormalVariance(*self._kept(seen, 1))
                found.append(worst(lambda _: mean_test, names, self.sums[seen] / n_rows, n_rows, bounded))
                found.append(worst(lambda _: square_test, names, self.squares[seen] / n_rows, n_rows, bounded))
        return found

    def monitored(self) -> list[tuple[Null, int]]:
        nulls: list[Null] = [Kolmogorov(), CramerVonMises(), AndersonDarling()]
        nulls += [NormalMean(), NormalVariance()] if self.null == "normal" else []
        return [(null, len(self.rows) + 1) for null in nulls] if self.relation in ("independent", "dependent") else []

    def scores(self) -> Scores:
        """Of the mean and the variance of normal values, else of the mean of the probability integral transforms."""
        n = self.counts.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.null == "normal":
                mean, variance = self.sums / np.sqrt(n), (self.squares - n) / np.sqrt(2.0 * n)
                return {"mean": (self.rows, mean), "variance": (self.rows, variance)}
            middles = (np.arange(BINS) + 0.5) / BINS
            return {"mean transform": (self.rows, (self.counts @ middles / n - 0.5) * np.sqrt(12.0 * n))}

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` over all rows, or of the most extreme row if rows may not be pooled."""
        if not self.counts.any():
            return None
        if self.relation == "independent":
            return "pooled", self.counts.sum(0).reshape(bins, -1).sum(1)
        seen = np.flatnonzero(self.counts.sum(1))
        distances = np.abs(_gaps(self.counts[seen])).max(1)
        row = seen[int((distances * np.sqrt(self.counts[seen].sum(1))).argmax())]
        return self.rows[row], self.counts[row].reshape(bins, -1).sum(1)

    def _kept(self, rows: Sequence[int] | np.ndarray, power: int) -> tuple[float, float] | tuple[None, None]:
        """The most extreme mean, and the largest variance over rows, of the averages of clipped values of each draw."""
        n, total, squares = self.averages[np.asarray(rows), power].T
        if not n.all():
            return None, None
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0.0) / np.maximum(n - 1.0, 1.0)
        middle = mean - (0.0 if power == 0 else CLIPPED_SQUARE)
        return float(mean[np.abs(middle).argmax()]), float(variance.max())


def _three_sums(own: Array) -> np.ndarray:
    """The number, sum and sum of squares over draws: (powers, rows, n) -> (rows, powers, 3)."""
    xp = namespace(own)
    found = to_numpy(xp.stack([xp.sum(own, axis=2), dot(own, own)]))
    return np.stack([np.full(found.shape[1:], float(own.shape[2])), found[0], found[1]], axis=-1).swapaxes(0, 1)


def _gaps(counts: np.ndarray) -> np.ndarray:
    """The empirical minus the claimed distribution function at the edges of the cells: (rows, BINS) -> (rows, BINS - 1)."""
    return np.cumsum(counts, axis=1)[:, :-1] / counts.sum(1, keepdims=True) - _EDGES


def _distances(counts: np.ndarray) -> list[tuple[Null, np.ndarray]]:
    """Three distances from the uniform distribution, each of shape (rows,)."""
    gaps = _gaps(counts)
    squares = gaps * gaps
    return [
        (Kolmogorov(), np.abs(gaps).max(1)),
        (CramerVonMises(), np.sqrt(squares @ _FLAT)),
        (AndersonDarling(), np.sqrt(squares @ _TAILS)),
    ]
