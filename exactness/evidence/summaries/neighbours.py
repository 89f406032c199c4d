"""Draws that are close to other draws of the same batch, or to their mirror images, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, pi, sqrt
from typing import ClassVar

import numpy as np
from scipy.special import chdtr, chdtri, gammaln, ndtr, xlogy

from ..nulls import Neighbours as Null
from .base import Summary, Test
from .reservoir import Reservoir

# The dimensions in which distances are measured, the numbers of draws from which and to which they are measured within a batch, and
# either number for draws of all batches.
MOST_DIMENSIONS = 16
_FROM, _TO = 1024, 256
_KEPT = 512
# A draw should have a neighbour within each of the radii with about these probabilities.
_CHANCES = (1e-3, 0.03, 0.3)


class Neighbours(Summary):
    """Counts the draws that lie within some radius of any of a number of other draws, or of their mirror images.

    This is done within each batch, and once more for a bounded number of draws of all batches. Given the other draws, the remaining
    ones are independent of them. So each lies near one of them with at most the sum of the masses of the balls around them; in one
    dimension, with exactly the mass of the union of intervals, so that too few neighbours show as well: draws that avoid each other
    are too evenly spread.
    """

    distribution = "independent N(0, 1)"

    def __init__(self, dim: int) -> None:
        self.dim, self.batches = dim, 0
        self.within, self.kept = np.zeros(_Counts.numbers), Reservoir(2 * _KEPT)

    def add(self, vectors: np.ndarray, noise: np.random.Generator) -> None:
        """Add vectors (n, dim) of independent N(0, 1). The ``noise`` of the judge chooses which are compared with which."""
        keys = noise.random(len(vectors))
        order, v = np.argsort(keys), vectors.astype(np.float64)
        self.kept.add(keys, v)
        self.batches += 1
        count = min(_TO, len(v) // 2)
        self.within += _Counts.of(v[order[count : count + _FROM]], v[order[:count]])

    def merge(self, other: Neighbours) -> None:
        self.batches += other.batches
        self.within += other.within
        self.kept.merge(other.kept)

    def tests(self) -> list[Test]:
        rows = _Counts(self.dim, self.within).rows("of the same batch")
        if self.batches > 1 and self.kept.rows is not None:
            # The kept draws are in the order of their keys, which says nothing about them.
            (v,) = self.kept.rows
            rows += _Counts(self.dim, _Counts.of(v[len(v) // 2 :], v[: len(v) // 2])).rows("of all batches")
        if not rows:
            return []
        _, test = min(((row.null.p_value(row.statistic, row.n), row) for row in rows), key=lambda pair: pair[0])
        return [test._replace(rows=len(rows))]


class _Counts:
    """How many draws have neighbours, and how many should, for draws and for their mirror images and for each radius.

    Rounded draws lie on a lattice. How coarse it is follows from how often first coordinates are equal, and the probabilities give
    way by as much as the lattice can matter.
    """

    # Both kinds of neighbours for each radius, how many were expected, the radii times the draws, draws, pairs and equal pairs.
    numbers: ClassVar[int] = 5 * len(_CHANCES) + 3

    def __init__(self, dim: int, numbers: np.ndarray) -> None:
        scales = len(_CHANCES)
        near, expected, self.radii, counts = np.split(numbers, np.cumsum([2 * scales, 2 * scales, scales]))
        self.n, self.pairs, self.ties = (round(float(count)) for count in counts)
        self.dim, self.near, self.expected = dim, near.reshape(2, scales), expected.reshape(2, scales)

    @staticmethod
    def of(ours: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Count which of ours (n, dim) are near which of the others (m, dim). These numbers add up over batches."""
        if not len(ours) or not len(others):
            return np.zeros(_Counts.numbers)
        dim, chances = ours.shape[1], [chance / len(others) for chance in _CHANCES]
        if dim == 1:
            # Two independent N(0, 1) lie within r of each other with a probability of about r/sqrt(pi).
            radii = [sqrt(pi) * chance for chance in chances]
            near, masses = _on_a_line(ours[:, 0], others[:, 0], radii)
        else:
            # The difference of two independent draws is N(0, 2 I).
            radii = [sqrt(2.0 * float(chdtri(dim, 1.0 - chance))) for chance in chances]
            near, masses = _in_balls(ours, others, radii)
        n, equal = len(ours), np.unique(np.concatenate([ours[:, 0], others[:, 0]]), return_counts=True)[1]
        total = int(equal.sum())
        ties = int((equal * (equal - 1)).sum()) // 2
        return np.concatenate([near.ravel(), n * masses.ravel(), n * np.asarray(radii), [n, total * (total - 1) // 2, ties]])

    def rows(self, of: str) -> list[Test]:
        if not self.n:
            return []
        # On a lattice, two independent N(0, 1) are equal with a probability of its spacing/(2 sqrt(pi)).
        spacing = 2.0 * sqrt(pi) * (self.ties + 3.0 * sqrt(self.ties)) / self.pairs
        found = []
        for image, what in enumerate(("near other draws", "near mirror images of other draws")):
            for scale in range(len(_CHANCES)):
                share, p = float(self.near[image, scale] / self.n), float(self.expected[image, scale] / self.n)
                slack = 0.5 * spacing * sqrt(self.dim) / float(self.radii[scale] / self.n)
                # The last digits of a probability do not matter, and rounding up keeps a bound a bound.
                probability = min(1.0, ceil(p * (1.0 + slack) ** self.dim * 1e12) / 1e12)
                if self.dim == 1:
                    probability = min(max(share, p * max(0.0, 1.0 - slack)), probability)
                where = f"{what} {of}, radius {scale + 1} of {len(_CHANCES)}"
                found.append(Test(Null(probability, known=self.dim == 1), where, share, self.n, 1, bounded=False))
        return found


def _on_a_line(ours: np.ndarray, others: np.ndarray, radii: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """How many of ours (n,) are near one of the others (m,) and near one of their mirror images, and how probable that is.

    Both are (2, radii).
    """
    near, masses = np.zeros((2, len(radii))), np.zeros((2, len(radii)))
    for image, centres in enumerate((np.sort(others), np.sort(-others))):
        place = np.searchsorted(centres, ours)
        left, right = centres[np.maximum(place - 1, 0)], centres[np.minimum(place, len(centres) - 1)]
        nearest = np.minimum(np.abs(ours - left), np.abs(ours - right))
        middle = 0.5 * (centres[1:] + centres[:-1])
        for scale, radius in enumerate(radii):
            near[image, scale] = (nearest <= radius).sum()
            # Where two intervals overlap, both end in the middle between their centres.
            high = np.minimum(centres + radius, np.append(middle, np.inf))
            low = np.maximum(centres - radius, np.insert(middle, 0, -np.inf))
            masses[image, scale] = (ndtr(high) - ndtr(low)).sum()
    return near, masses


def _in_balls(ours: np.ndarray, others: np.ndarray, radii: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The same for vectors (n, d) and (m, d), whose probability is the sum of the masses of all balls, or less."""
    lengths, own = (others**2).sum(axis=1), (ours**2).sum(axis=1)
    # The nearest neighbour b of a maximises <a, b> - |b|^2/2, an inner product as well.
    targets = np.column_stack([others, -0.5 * lengths]).T
    nearest = [own - 2.0 * (np.column_stack([sign * ours, np.ones(len(ours))]) @ targets).max(axis=1) for sign in (1.0, -1.0)]
    squared = [radius**2 for radius in radii]
    masses = [min(1.0, float(ball_masses(lengths, s, others.shape[1]).sum())) for s in squared]
    return np.array([[(d <= s).sum() for s in squared] for d in nearest], dtype=np.float64), np.array([masses, masses])


def ball_masses(lengths: np.ndarray, squared: float, dim: int) -> np.ndarray:
    """P(|Z - a|^2 <= squared) for Z ~ N(0, I) and each |a|^2 of ``lengths`` (n,), rounded up by less than 1e-15.

    |Z - a|^2 is chi-square with dim + 2 J degrees of freedom, where J is Poisson with mean |a|^2/2. scipy's function takes a
    thousand times as long.
    """
    inner = chdtr(dim + 2.0 * np.arange(400), squared)
    inner = inner[: max(1, int((inner > 1e-15).sum()))]
    j, mean = np.arange(len(inner)), 0.5 * np.minimum(lengths, 1e4)[:, None]
    return np.exp(xlogy(j, mean) - mean - gammaln(j + 1.0)) @ inner + 1e-15
