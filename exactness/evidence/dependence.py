"""How draws depend on each other: what batteries keep of it, whatever else they look at.

Certificates count independent draws, so their independence is part of every claim. A battery that turns draws into independent
normals passes them to :class:`Dependence`. Where nothing of the law is known, :class:`RankedDependence` does the same with ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincc, ndtr, ndtri

from ..arrays import Array, to_numpy
from .summaries import Calls, Neighbours, Repeats, RepeatsOfBoth, Serial, Summary, UnusualCalls
from .summaries.neighbours import MOST_DIMENSIONS

# Under the law no value is as large, except by rounding: a number that underflows to 0 has the uniform 0. Larger values say nothing
# about dependence, and other tests see them. They count as 0 here.
_LARGEST = 8.0
_MOST_CALLS = 64
_SIZES, _SUM = "sizes", "sum over steps"


class _Watch:
    """The summaries of rows of independent normals: one sequence per call, and one sequence of the sums of calls."""

    def __init__(self, rows: Sequence[tuple[str, int]], calls: Sequence[tuple[str, int]], near: dict[str, int]) -> None:
        self.serial = Serial([name for name, _ in rows], [dim for _, dim in rows])
        self.calls = Calls([name for name, _ in calls], [dim for _, dim in calls])
        self.unusual = UnusualCalls([name for name, _ in calls], [dim for _, dim in calls])
        self.between = Serial([name for name, _ in calls], [dim for _, dim in calls], _MOST_CALLS, "calls {} apart")
        self.near = {name: Neighbours(dim) for name, dim in near.items()}
        self.repeats: Repeats | RepeatsOfBoth | None = None

    @property
    def silent(self) -> bool:
        """Whether an earlier battery looks at how the draws of this law depend on each other."""
        return self.serial.silent

    def summaries(self) -> dict[str, Summary]:
        """The summaries to be kept by the battery."""
        found: dict[str, Summary] = {
            "dependence at a lag": self.serial, "dependence within calls": self.calls, "unusual calls": self.unusual,
            "dependence between calls": self.between,
            **{f"close draws, {name}" if name else "close draws": near for name, near in self.near.items()},
            **({} if self.repeats is None else {"repeated draws": self.repeats}),
        }  # fmt: skip
        for name, summary in found.items():
            summary.once = name.partition(",")[0]
        return found

    def _calls(self, rows: Sequence[np.ndarray]) -> None:
        """Add the sums over each call of rows (n, d)."""
        assert self.serial.calls is not None
        lengths = np.asarray(self.serial.calls)
        starts = np.cumsum(lengths) - lengths
        sums = [np.add.reduceat(v, starts, axis=0) for v in rows]
        squares = np.stack([np.add.reduceat(np.einsum("id,id->i", v, v), starts) for v in rows])
        self.calls.add(lengths, sums, squares)
        self.unusual.add(lengths, squares)
        weights = np.sqrt(lengths)
        self.between.begin((len(lengths),), weights)
        for row, of_calls in enumerate(sums):
            self.between.add(row, of_calls / weights[:, None], weights=weights)
        self.between.end()


class Dependence(_Watch):
    """Looks at how draws depend on each other, when each is turned into independent N(0, 1).

    Args:
        dim: the number of normals of a draw, or of one step of a path.
        generator: the judge's. The directions for distances are drawn from a generator of their own that is spawned from it.
        noisy: for a path, whether each step has noise. A draw that is no path is a single step.
        repeats: also looks for repeated draws, if they are not expected to repeat.

    >>> watch = Dependence(2, np.random.default_rng(0))
    >>> z = np.random.default_rng(1).standard_normal((500, 2))
    >>> z[1:] += z[:-1]
    >>> for summary in watch.summaries().values():
    ...     summary.open((500,))
    >>> watch.add(z, np.random.default_rng(2))
    >>> [(test.where, test.null.p_value(test.statistic, test.n) < 1e-6) for test in watch.serial.tests()]
    [('lag 1', True)]
    """

    def __init__(
        self, dim: int, generator: np.random.Generator, *, noisy: Sequence[bool] = (True,), repeats: Repeats | None = None
    ) -> None:
        self.dim, self.noisy = dim, np.flatnonzero(noisy)
        steps = len(self.noisy)
        rows = [("", dim * steps), (_SIZES, 1)]
        if steps > 1:
            rows += [(_SUM, dim), ("start" if noisy[0] else "first noisy step", dim), ("last noisy step", dim)]
        summed = (_SUM if steps > 1 else "", dim)
        most = min(dim, MOST_DIMENSIONS)
        super().__init__(rows, [summed, (_SIZES, 1)], {"": most, **({"first coordinate": 1} if dim > 1 else {})})
        self.repeats = repeats
        self._frame = None if dim <= most else np.linalg.qr(generator.spawn(1)[0].standard_normal((dim, most)))[0]
        self._total: np.ndarray | None = None
        self._squared: np.ndarray | None = None
        self._place = 0

    def add(self, z: Array, noise: np.random.Generator, draws: Array | None = None) -> None:
        """Add draws that are no paths: ``z`` (n, dim), independent N(0, 1) under the law, and the judge's ``noise``.

        ``draws`` are the same draws as they came, in which repeats are looked for.
        """
        self.take(z)
        self.close(noise)
        if isinstance(self.repeats, Repeats) and draws is not None and not self.repeats.silent:
            # Many numbers may be rounded to the same end of a distribution, and these are no repeats.
            inside = np.all(np.abs(to_numpy(z)) <= _LARGEST, axis=1)
            self.repeats.add(draws if inside.all() else to_numpy(draws)[inside])

    def take(self, z: Array, squared: Array | None = None) -> None:
        """Add the next noisy step of all paths of a batch, ``z`` (n, dim), with its squared norms (n,) if they are known."""
        if self.silent:
            return
        if self._place == 0:
            self.serial.begin()
        exact = to_numpy(z)
        exact = np.where(np.abs(exact) > _LARGEST, 0.0, exact)
        q = np.einsum("id,id->i", exact, exact, dtype=np.float64) if squared is None else to_numpy(squared).astype(np.float64)
        # Correlations need no more digits than these, and the transform is faster.
        v = exact.astype(np.float32, copy=False)
        self.serial.add(0, v, first=self._place * self.dim)
        last = len(self.noisy) - 1
        if last > 0 and self._place in (0, last):
            self.serial.add(3 if self._place == 0 else 4, v)
        # Sums over steps are in double precision, and in an array of their own.
        self._total = exact.astype(np.float64) if self._total is None else np.add(self._total, exact, out=self._total)
        self._squared = q if self._squared is None else self._squared + q
        self._place += 1

    def close(self, noise: np.random.Generator) -> None:
        """Finish the batch."""
        if self.silent or self._total is None or self._squared is None:
            return
        total, sizes = self._total / self._place**0.5, sizes_as_normals(self._squared, self.dim * self._place)[:, None]
        self.serial.add(1, sizes)
        if len(self.noisy) > 1:
            self.serial.add(2, total)
        self.serial.end()
        self._calls([total, sizes])
        self.near[""].add(total if self._frame is None else total @ self._frame, noise)
        if "first coordinate" in self.near:
            self.near["first coordinate"].add(total[:, :1], noise)
        self._total, self._squared, self._place = None, None, 0


class RankedDependence(_Watch):
    """Looks at how draws of an unknown law depend on each other, by some numbers of each draw.

    Under independence, the ranks of a number among the draws of a batch, with ties broken at random, are a uniformly random
    permutation, whatever the law. So if the draw of rank k gets the k-th smallest of as many independent N(0, 1), made by the
    judge, then the draws get independent N(0, 1) exactly.
    Source: Bell and Doksum, Some new distribution-free statistics, 1965.

    Args:
        names: the name of each number. Numbers of the same draw may depend on each other.

    >>> watch = RankedDependence(["coordinate 0"])
    >>> throws = np.random.default_rng(0).integers(1, 7, size=(500, 1)).repeat(2, axis=0)
    >>> for summary in watch.summaries().values():
    ...     summary.open((1000,))
    >>> watch.add(throws, np.random.default_rng(1))
    >>> [(test.where, test.null.p_value(test.statistic, test.n) < 1e-6) for test in watch.serial.tests()]
    [('lag 1, coordinate 0', True)]
    """

    def __init__(self, names: Sequence[str], repeats: Repeats | RepeatsOfBoth | None = None) -> None:
        self.names = tuple(names)
        rows = [(name, 1) for name in self.names]
        rows += [(f"{_SIZES} of {name}", 1) for name in self.names]
        super().__init__(rows, rows, {self.names[0]: 1})
        self.repeats = repeats

    def add(self, columns: Array, noise: np.random.Generator) -> None:
        """Add draws: ``columns`` (n, names), of any law, and the judge's ``noise``."""
        if self.silent:
            return
        values = to_numpy(columns)
        scores = np.stack([random_normal_scores(column, noise) for column in values.T])
        rows = [v[:, None] for v in (*scores, *sizes_as_normals(scores**2, 1))]
        self.serial.begin()
        for row, v in enumerate(rows):
            self.serial.add(row, v)
        self.serial.end()
        self._calls(rows)
        self.near[self.names[0]].add(rows[0], noise)


def random_normal_scores(values: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """N(0, 1) in the order of the values (n,), with ties in random order. Independent if the values are (Bell and Doksum 1965)."""
    order = np.lexsort((noise.random(len(values)), values))
    found = np.empty(len(values))
    found[order] = np.sort(noise.standard_normal(len(values)))
    return found


def sizes_as_normals(squared: np.ndarray, freedom: int) -> np.ndarray:
    """Chi-square values with ``freedom`` degrees of freedom, turned into N(0, 1) by their distribution function.

    Values below -3 become -3. A rounded number may be 0, which no distribution function tells from very small numbers. This moves
    the mean by 0.0004 and the variance by as little.
    """
    upper = 2.0 * ndtr(-np.sqrt(squared)) if freedom == 1 else gammaincc(0.5 * freedom, 0.5 * squared)
    return np.maximum(-ndtri(np.clip(upper, 1e-300, 1.0 - 1e-16)), -3.0)


def labels_as_normals(labels: Array, z: Array, weights: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """z (n, d) with one more column of N(0, 1): the label of each draw, placed at random within its share of [0, 1]."""
    label = to_numpy(labels)
    share = np.cumsum(weights)[label] - weights[label] * noise.random(len(label))
    return np.column_stack([to_numpy(z), ndtri(np.clip(share, 1e-300, 1.0 - 1e-16))])
