"""Tests of Markov kernels that are started at exact states: both ends of a move follow the same law, given what the move keeps.

If the kernel is reversible, the two ends of a move may be exchanged. Then every difference f(X1) - f(X0) is symmetric about 0, and
its mean has a finite-sample tail bound (:class:`exactness.evidence.nulls.SymmetricMean`), whatever f is. The two ends resemble each
other, so their differences are small, and small errors show. If the kernel is not reversible, X1 is compared with a fresh state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, histogram
from ..errors import BadInput
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import RankedDependence
from ..evidence.nulls import PairedKolmogorov, TwoSampleKolmogorov
from ..evidence.summaries import Differences, MovedShare, PairedMeans, PairTally, Summary
from ..laws.base import Law, Meeting, Moving, frame

_PILOT = 1024
# In more dimensions than this, as many random orthogonal directions are tested instead of the coordinates.
_MOST_DIMENSIONS = 12
_MOST_CONTEXT = 4
_CELLS = 128
# Of as many columns, and of as many of their moves, dependence between rows is looked at.
_MOST_RANKED = 3
# Of as many columns, every pair is tested for exchangeability.
_MOST_EXCHANGED = 6
# Two ends that agree up to this many rounding errors are equal: a rotation that keeps |x| keeps it only so far.
_ROUNDINGS = 2.0**10


@dataclass(frozen=True)
class Moves(Battery):
    """Compares both ends of the moves of a kernel, by the means of many features and by distribution functions.

    The features are the coordinates, the quantities that the law names, their squares and products, products with directions of
    the data, and characteristic functions of all of them together at three bandwidths. For reversible kernels, exchangeability
    itself is tested too. The certificate says how often states moved, and which coordinates never did, since a
    kernel that never moves one of them cannot converge. If a kernel uses the same noise for several rows, their moves
    depend on each other, and this is tested. Applies to :class:`exactness.KernelInvariance` and :class:`exactness.JointLaw`.

    Args:
        frequencies: the number of random frequencies at each bandwidth: 1/4, 1/2 and 1 times the median distance.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0]))
    >>> def langevin(x, seed, step=1.0):
    ...     return (1 - step / 2) * x + step**0.5 * np.random.default_rng(seed).standard_normal(x.shape)
    >>> judged = ex.certify(law.moved_by(langevin), law, batteries=[batteries.Moves()])
    >>> judged.verdict.value, judged.reasons[1].split(";")[0]
    ('refuted', 'moved 1.00 of 4,000 states')
    """

    frequencies: int = 16
    name: ClassVar[str] = "moves"

    def applies(self, law: Law) -> bool:
        return isinstance(law, Moving)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Moving)
        view = _View(law, generator)
        names, pairs = view.names, view.pairs
        waves = {
            factor: generator.standard_normal((view.width, self.frequencies)) / (factor * view.median)
            for factor in (0.25, 0.5, 1.0)
        }
        caveat = "" if isinstance(law, Meeting) else "; what is judged is invariance, and convergence is not shown"
        share = MovedShare(law.coordinates, caveat)
        means = PairedMeans(names)
        second = PairedMeans([f"{a} x {b}" if a != b else f"square of {a}" for a, b in pairs])
        together = Differences(len(names))
        fields = {factor: Differences(2 * self.frequencies) for factor in waves}
        tally = PairTally(names, _CELLS, PairedKolmogorov() if law.reversible else TwoSampleKolmogorov())
        tally.distribution = "that of the other end" if law.reversible else "that of fresh states"
        exchanged = PairedMeans(view.antisymmetric if law.reversible else [])
        ranked = names[:_MOST_RANKED]
        dependence = RankedDependence([*ranked, *(f"move of {name}" for name in ranked)])
        # The moves of rows are another thing to look at than the states that a battery of the target looks at.
        depends = dependence.summaries()
        for name, summary in depends.items():
            summary.once = f"{name} of moves"

        def update(sample: Array, noise: np.random.Generator) -> None:
            ends = law.ends(sample)
            after, context = view(ends.after), view.of_context(ends.context)
            before, other = view(ends.before), context
            dependence.add(np.concatenate([after[:, :_MOST_RANKED], (after - before)[:, :_MOST_RANKED]], axis=1), noise)
            share.add(ends.moved, ends.before[:, : len(law.coordinates)])
            if law.reversible:
                exchanged.add(view.exchange(before, after, sample))
            else:
                columns, data = law.fresh(len(after), int(noise.integers(1 << 31)))
                before, other = view(columns), view.of_context(data)
            same = view.same(before, after, sample)
            tally.add(np.stack([view.cells(after), view.cells(before)]), len(after))
            difference = np.where(same, 0.0, after - before)
            means.add(difference)
            together.add(difference)
            second.add(view.products(after, context, same, before, other))
            x, y = view.all(after, context), view.all(before, other)
            for factor, field in fields.items():
                a, b = x @ waves[factor], y @ waves[factor]
                field.add(np.concatenate([np.cos(a) - np.cos(b), np.sin(a) - np.sin(b)], axis=1))

        summaries: dict[str, Summary] = {"share that moved": share, "means": means, "means together": together, "products": second}
        summaries |= {f"characteristic function, bandwidth {factor:g} x median": field for factor, field in fields.items()}
        summaries |= {"distribution functions": tally}
        if law.reversible:
            summaries |= {"exchange of both ends": exchanged}
        return Evidence(Origin(self, law, generator), {**summaries, **depends}, update)


class _View:
    """Columns and context, scaled by exact states that are not used again, and the features made of them."""

    def __init__(self, law: Moving, generator: np.random.Generator) -> None:
        columns, context = law.fresh(_PILOT, int(generator.integers(1 << 31)))
        if not np.all(np.isfinite(columns)):
            raise BadInput("a quantity is not finite at exact states of the law: leave it out, or take its logarithm")
        d = len(law.coordinates)
        self._axes, labels = _axes(d, list(law.coordinates), _MOST_DIMENSIONS, "direction {}", generator)
        self.names = [*labels, *law.quantity_names]
        self._dim = d
        raw = np.concatenate([_scaled(columns[:, :d])[0], columns[:, d:]], axis=1)
        self._state = _scaled(columns[:, :d])[1]
        self._centre, self._spread = _middle(np.concatenate([raw[:, :d] @ self._axes, columns[:, d:]], axis=1))
        numbers = [f"number {i} of the data" for i in range(context.shape[1])]
        self._data_axes, data = _axes(context.shape[1], numbers, _MOST_CONTEXT, "direction {} of the data", generator)
        self._data = _middle(context)
        z, c = self(columns), self.of_context(context)
        self._edges = [np.quantile(column, np.arange(1, _CELLS) / _CELLS) for column in z.T]
        everything = self.all(z, c)
        self.width = everything.shape[1]
        half = _PILOT // 2
        self.median = float(np.median(np.linalg.norm(everything[:half] - everything[half:], axis=1))) or 1.0
        # All pairs of coordinates, the squares of quantities, and coordinates with directions of the data.
        k = len(labels)
        inside = [(i, j) for i in range(k) for j in range(i, k)] + [(i, i) for i in range(k, len(self.names))]
        self._left = np.array([i for i, _ in inside], dtype=int)
        self._right = np.array([j for _, j in inside], dtype=int)
        self._across = [(i, j) for i in range(len(self.names)) for j in range(c.shape[1])]
        self.pairs = [(self.names[i], self.names[j]) for i, j in inside]
        self.pairs += [(self.names[i], data[j]) for i, j in self._across]
        few = range(min(len(self.names), _MOST_EXCHANGED))
        self._exchanged = [(i, j) for i in few for j in few]
        self.antisymmetric = [
            f"{self.names[i]} and {'its square' if i == j else self.names[j] if i < j else f'the square of {self.names[j]}'}"
            for i, j in self._exchanged
        ]

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Columns (n, m) -> (n, names): coordinates (or directions) and quantities in units of their own spread."""
        d = self._dim
        states = ((columns[:, :d] - self._state[0]) / self._state[1]) @ self._axes
        return (np.concatenate([states, columns[:, d:]], axis=1) - self._centre) / self._spread

    def of_context(self, context: np.ndarray) -> np.ndarray:
        """Context (n, c) -> (n, at most 4)."""
        return ((context - self._data[0]) / self._data[1]) @ self._data_axes

    def all(self, z: np.ndarray, context: np.ndarray) -> np.ndarray:
        return np.concatenate([z, context], axis=1)

    def cells(self, z: np.ndarray) -> np.ndarray:
        """Counts of each column in the cells between the quantiles of exact states, (names, cells)."""
        found = np.stack([np.searchsorted(edges, column) for edges, column in zip(self._edges, z.T, strict=True)])
        return histogram((found + 0.5) / _CELLS, _CELLS)

    def same(self, before: np.ndarray, after: np.ndarray, sample: Array) -> np.ndarray:
        """Where both ends agree up to rounding. This does not depend on which end is which."""
        unit = float(np.finfo(np.float32 if "32" in str(sample.dtype) else np.float64).eps)
        size = np.abs(before) + np.abs(after) + np.abs(self._centre / self._spread)
        return np.abs(after - before) <= _ROUNDINGS * unit * (1.0 + size)

    def products(
        self, after: np.ndarray, context: np.ndarray, same: np.ndarray, before: np.ndarray, other: np.ndarray
    ) -> np.ndarray:
        """Differences of squares and products, (n, pairs)."""
        left, right = self._left, self._right
        kept = same[:, left] & same[:, right]
        own = np.where(kept, 0.0, after[:, left] * after[:, right] - before[:, left] * before[:, right])
        if not self._across:
            return own
        i, j = np.array(self._across).T
        return np.concatenate([own, after[:, i] * context[:, j] - before[:, i] * other[:, j]], axis=1)

    def exchange(self, before: np.ndarray, after: np.ndarray, sample: Array) -> np.ndarray:
        """f(X1) g(X0) - f(X0) g(X1), bounded, for pairs of features (n, pairs)."""
        same = self.same(before, after, sample)
        a, b = np.tanh(before), np.tanh(after)
        i, j = np.array(self._exchanged).T
        f = lambda x: x[:, i]  # noqa: E731
        g = lambda x: np.where(i < j, x[:, j], np.square(x[:, j]))  # noqa: E731
        return np.where(same[:, i] & same[:, j], 0.0, f(b) * g(a) - f(a) * g(b))


def _axes(size: int, names: list[str], most: int, label: str, generator: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Orthonormal axes (size, kept) with their names: the coordinates themselves, or random directions if there are too many."""
    if size <= most:
        return np.eye(size), names
    # The first of them is the mean of all.
    return frame(most, size, generator, first=np.full((size, 1), size**-0.5)), [label.format(i) for i in range(most)]


def _middle(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and spread of each column. A constant column is not scaled, so that a difference there is seen as it is."""
    centre = np.median(values, axis=0)
    spread = np.quantile(np.abs(values - centre), 0.75, axis=0) * 0.87 if len(values) else np.ones(values.shape[1])
    return centre, np.where(spread > 1e-12 * (1.0 + np.abs(centre)), spread, 1.0)


def _scaled(values: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    centre, spread = _middle(values)
    return (values - centre) / spread, (centre, spread)
