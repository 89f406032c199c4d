"""Draws that are close to other draws of the same batch, or to their mirror images, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy.special import chdtr, chdtri, gammaln, ndtr, xlogy

from ..nulls import Neighbours as Null
from .base import Summary, Test

# The dimensions in which distances are measured, and the numbers of draws from which and to which they are measured.
MOST_DIMENSIONS = 16
_FROM, _TO = 1024, 512
# A draw should have a neighbour within each of the radii with about these probabilities.
_CHANCES = (1e-3, 0.03, 0.3)


class Neighbours(Summary):
    """Counts the draws of a batch that lie within some radius of any of a number of other draws, or of their mirror images.

    Given these other draws, the remaining ones are independent of them. So each lies near one of them with at most the sum of the
    masses of the balls around them; in one dimension, with exactly the mass of the union of intervals, so that too few neighbours
    show as well: draws that avoid each other are too evenly spread.
    """

    distribution = "independent N(0, 1)"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        shape = (2, len(_CHANCES))
        self.near, self.expected, self.n = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def add(self, vectors: np.ndarray, noise: np.random.Generator) -> None:
        """Add vectors (n, dim) of independent N(0, 1). The ``noise`` of the judge chooses which are compared with which."""
        n = len(vectors)
        if n < 4:
            return
        order = noise.permutation(n)
        count = min(_TO, n // 2)
        others, ours = vectors[order[:count]].astype(np.float64), vectors[order[count : count + _FROM]].astype(np.float64)
        chances = [chance / count for chance in _CHANCES]
        if self.dim == 1:
            nearest, masses = _on_a_line(ours[:, 0], others[:, 0], chances)
        else:
            nearest, masses = _in_balls(ours, others, chances)
        self.near += nearest
        self.expected += len(ours) * masses
        self.n += len(ours)

    def merge(self, other: Neighbours) -> None:
        self.near += other.near
        self.expected += other.expected
        self.n += other.n

    def tests(self) -> list[Test]:
        if not self.n.any():
            return []
        nulls, shares, names = [], [], []
        for image, what in enumerate(("other draws", "mirror images of other draws")):
            for scale in range(len(_CHANCES)):
                n = self.n[image, scale]
                # The last digits of a probability do not matter, and rounding up keeps a bound a bound.
                p = self.expected[image, scale] / n
                nulls.append(Null(min(1.0, ceil(p * 1e12) / 1e12), known=self.dim == 1))
                shares.append(self.near[image, scale] / n)
                names.append(f"near {what}, radius {scale + 1} of {len(_CHANCES)}")
        n = int(self.n[0, 0])
        tests = [(null.p_value(float(share), n), i) for i, (null, share) in enumerate(zip(nulls, shares, strict=True))]
        _, i = min(tests)
        return [Test(nulls[i], names[i], float(shares[i]), n, len(nulls), bounded=False)]


def _on_a_line(ours: np.ndarray, others: np.ndarray, chances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """How many of ours (n,) are near one of the others (m,) and near one of their mirror images, and how probable that is.

    Both are (2, radii). ``chances`` say how probable it should be, roughly, for one of the others.
    """
    near, masses = np.zeros((2, len(chances))), np.zeros((2, len(chances)))
    for image, centres in enumerate((np.sort(others), np.sort(-others))):
        place = np.searchsorted(centres, ours)
        left, right = centres[np.maximum(place - 1, 0)], centres[np.minimum(place, len(centres) - 1)]
        nearest = np.minimum(np.abs(ours - left), np.abs(ours - right))
        middle = 0.5 * (centres[1:] + centres[:-1])
        for scale, chance in enumerate(chances):
            # Two independent N(0, 1) lie within r of each other with a probability of about r/sqrt(pi).
            radius = chance * np.sqrt(np.pi)
            near[image, scale] = (nearest <= radius).sum()
            # Where two intervals overlap, both end in the middle between their centres.
            high = np.minimum(centres + radius, np.append(middle, np.inf))
            low = np.maximum(centres - radius, np.insert(middle, 0, -np.inf))
            masses[image, scale] = (ndtr(high) - ndtr(low)).sum()
    return near, masses


def _in_balls(ours: np.ndarray, others: np.ndarray, chances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The same for vectors (n, d) and (m, d), whose probability is the sum of the masses of all balls, or less."""
    lengths, own = (others**2).sum(axis=1), (ours**2).sum(axis=1)
    # The nearest neighbour b of a maximises <a, b> - |b|^2/2.
    inner = ours @ others.T
    nearest = [own - 2.0 * (sign * inner - 0.5 * lengths).max(axis=1) for sign in (1.0, -1.0)]
    # The difference of two independent draws is N(0, 2 I).
    squared = [2.0 * float(chdtri(others.shape[1], 1.0 - chance)) for chance in chances]
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
