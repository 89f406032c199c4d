"""Values of a known distribution: counts of their probability integral transforms, and their power sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...arrays import Array, chi2_cdf, clip, dot, histogram, namespace, ndtr, row_sums, to_numpy
from ..nulls import BINS, AndersonDarling, CramerVonMises, Kolmogorov, NormalMean, NormalVariance, Null
from ..nulls.hilbert import edge_weights
from ..nulls.normal import CLIP, CLIPPED_SQUARE
from .base import Summary, Test, worst

_EDGES = np.arange(1, BINS) / BINS
_FLAT, _TAILS = edge_weights(False), edge_weights(True)


Relation = Literal["independent", "dependent", "disjoint", "paired"]


class Tally(Summary):
    """Counts of probability integral transforms and power sums, row by row; a row is a step, or a direction.

    Values are uniform, normal or chi-square under the law.

    Args:
        rows: what each row is called.
        null: ``"uniform"``, ``"normal"`` or ``"chi2"`` with ``freedom`` degrees of freedom.
        relation: of the rows to each other. ``"independent"`` values of the same draws may be pooled. ``"dependent"`` ones may
            not, but their distances are averaged (sliced). ``"disjoint"`` rows come from different draws, in numbers that
            chance decides; their bounds would be those of few draws, so they have none. ``"paired"`` rows are made of two draws
            each: bounds count draws, so they have none either.
    """

    def __init__(self, rows: Sequence[str], null: str, *, relation: Relation, freedom: int = 0) -> None:
        self.rows, self.null, self.freedom, self.relation = tuple(rows), null, freedom, relation
        self.distribution = {"uniform": "U(0, 1)", "normal": "N(0, 1)", "chi2": f"chi2({freedom})"}[null]
        self.counts = np.zeros((len(self.rows), BINS), dtype=np.int64)
        self.sums = np.zeros(len(self.rows))
        self.squares = np.zeros(len(self.rows))
        # Of each draw's own average of clipped values and of their squares: how many, sum, sum of squares. The last row is
        # the average over all rows.
        self.averages = np.zeros((len(self.rows) + 1, 2, 3))
        self._open: tuple[Array, int] | None = None

    def add(self, rows: int | Sequence[int], values: Array) -> None:
        """Values of some rows, (rows, n) or (rows, n, m); for one row, (n,) or (n, m). Sums are taken where they live."""
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
            # Rows may hold different numbers of values: a draw's average is over all of them.
            total, count = self._open or (0.0, 0)
            self._open = total + width * xp.sum(own, axis=1), count + width * len(rows)

    def merge(self, other: Tally) -> None:
        self.counts += other.counts
        self.sums += other.sums
        self.squares += other.squares
        self.averages += other.averages

    def tests(self) -> list[Test]:
        """Pooled (or sliced), and the row that stands out most."""
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
                # One pair of numbers for all rows, so that the bound that is written holds for each of them.
                mean_test, square_test = NormalMean(*self._kept(seen, 0)), NormalVariance(*self._kept(seen, 1))
                found.append(worst(lambda _: mean_test, names, self.sums[seen] / n_rows, n_rows, bounded))
                found.append(worst(lambda _: square_test, names, self.squares[seen] / n_rows, n_rows, bounded))
        return found

    def monitored(self) -> list[tuple[Null, int]]:
        nulls: list[Null] = [Kolmogorov(), CramerVonMises(), AndersonDarling()]
        nulls += [NormalMean(), NormalVariance()] if self.null == "normal" else []
        return [(null, len(self.rows) + 1) for null in nulls] if self.relation in ("independent", "dependent") else []

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` over all rows, or over the row that stands out most if rows may not be pooled."""
        if not self.counts.any():
            return None
        if self.relation == "independent":
            return "pooled", self.counts.sum(0).reshape(bins, -1).sum(1)
        seen = np.flatnonzero(self.counts.sum(1))
        distances = np.abs(_gaps(self.counts[seen])).max(1)
        row = seen[int((distances * np.sqrt(self.counts[seen].sum(1))).argmax())]
        return self.rows[row], self.counts[row].reshape(bins, -1).sum(1)

    def _kept(self, rows: Sequence[int] | np.ndarray, power: int) -> tuple[float, float] | tuple[None, None]:
        """The farthest mean and the largest variance, over rows, of the draws' own averages of clipped values."""
        n, total, squares = self.averages[np.asarray(rows), power].T
        if not n.all():
            return None, None
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0.0) / np.maximum(n - 1.0, 1.0)
        middle = mean - (0.0 if power == 0 else CLIPPED_SQUARE)
        return float(mean[np.abs(middle).argmax()]), float(variance.max())


def _three_sums(own: Array) -> np.ndarray:
    """How many, sum and sum of squares over draws: (powers, rows, n) -> (rows, powers, 3)."""
    xp = namespace(own)
    found = to_numpy(xp.stack([xp.sum(own, axis=2), dot(own, own)]))
    return np.stack([np.full(found.shape[1:], float(own.shape[2])), found[0], found[1]], axis=-1).swapaxes(0, 1)


def _gaps(counts: np.ndarray) -> np.ndarray:
    """Empirical less claimed distribution function at the cells' edges, (rows, BINS) -> (rows, BINS - 1)."""
    return np.cumsum(counts, axis=1)[:, :-1] / counts.sum(1, keepdims=True) - _EDGES


def _distances(counts: np.ndarray) -> list[tuple[Null, np.ndarray]]:
    """Three distances from uniform, each (rows,)."""
    gaps = _gaps(counts)
    squares = gaps * gaps
    return [
        (Kolmogorov(), np.abs(gaps).max(1)),
        (CramerVonMises(), np.sqrt(squares @ _FLAT)),
        (AndersonDarling(), np.sqrt(squares @ _TAILS)),
    ]
