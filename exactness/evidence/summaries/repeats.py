"""Draws that occur twice. Draws of a continuous law do so only by rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array, at_hand, device, namespace, to_numpy
from ..nulls import Distinct, OwnRepeats
from .base import Summary, Test
from .reservoir import Reservoir

_KEPT = 1 << 16
# With this many random bits per draw, the probability that any two of the kept draws agree is below 2^-97.
_BITS = 128
# As few random bits make the numbers of some generators, even where they return double precision.
_RANDOM_BITS = 22
# With 20 binary digits, numbers of 22 random bits between 0 and 1 and exact ones coincide equally often, but for 1 in 100.
_DIGITS_LOST = np.uint64((1 << 32) - 1)
_HALF = np.uint64(1 << 31)
_ENTRIES = math.ceil(_BITS / _RANDOM_BITS)


class Repeats(Summary):
    """Compares some entries of each draw, bit by bit.

    A bounded number of draws is kept. They are chosen by these entries, so that a draw and its repetition are either both kept or
    both left out. If the entries have too few bits to tell all draws apart, as many repeats as rounding may cause are allowed.

    Args:
        places: the entries of a flattened draw that are continuous under the law.
        free: the number of them that are independent given the others: rounding must make all of them equal.
    """

    distribution = "all different"
    constant = ("places",)

    def __init__(self, places: Sequence[int] | np.ndarray, free: int | None = None) -> None:
        self.places = np.asarray(places, dtype=np.int64)
        self.free = len(self.places) if free is None else free
        self.kept, self.seen = Reservoir(_KEPT), 0

    def add(self, sample: Array) -> None:
        """Add draws (n, ...)."""
        if not len(self.places):
            return
        chosen = self.places[np.linspace(0, len(self.places) - 1, min(len(self.places), _ENTRIES)).astype(np.int64)]
        sample = at_hand(sample)
        xp = namespace(sample)
        flat = xp.reshape(sample, (int(sample.shape[0]), -1))
        bits = _bits(to_numpy(flat[:, xp.asarray(chosen, device=device(flat))]))
        self.kept.add(_mixed(bits).astype(np.float64), bits)
        self.seen += len(bits)

    def merge(self, other: Any) -> None:
        self.kept.merge(other.kept)
        self.seen += other.seen

    def tests(self) -> list[Test]:
        if not len(self.kept) or self.kept.rows is None:
            return []
        bits = np.unique(self.kept.rows[0], axis=0)
        # Only the draws that were kept count, but each of them may repeat any earlier draw: all that equal it were kept.
        n = len(self.kept)
        return [Test(Distinct(self._chance(bits)), "bit by bit", float(n - len(bits)), n, 1, bounded=False)]

    def _chance(self, bits: np.ndarray) -> float:
        """A bound on the probability that rounding makes a draw equal to an earlier one, on average over the draws."""
        free = min(self.free, bits.shape[1])
        if free >= _ENTRIES:
            return 0.0
        # A number that is large compared with its spread has fewer digits to spare.
        low, middle, high = np.quantile(bits.view(np.float64), [0.25, 0.5, 0.75], axis=0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            coarse = np.where(high > low, np.maximum(1.0, np.abs(middle) / (high - low)), 1.0)
        chance = 0.5 * self.seen * 2.0 ** (-free * _RANDOM_BITS) * float(np.prod(np.sort(coarse)[-free:]))
        return min(1.0, chance)


class RepeatsOfBoth(Summary):
    """Values that come twice or more, in the judged draws and in as many of a trusted sampler: nothing else of the law is known.

    A bounded number of draws is kept, chosen by their values, so that equal draws are all kept or all left out. If the judged draws
    hold no more than single precision, both are rounded to 20 binary digits.
    """

    distribution = "that of the trusted sampler"

    def __init__(self) -> None:
        self.kept = Reservoir(_KEPT)
        self.complete = True

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Add draws (n, D) of either sampler, in the same dtype."""
        bits = np.concatenate([_bits(ours), _bits(theirs)])
        with np.errstate(over="ignore"):
            single = np.array_equal(ours.astype(np.float32), ours)
        if single:
            # Both samples get as few digits, because numbers of few random bits repeat more often than those of many.
            bits = (bits + _HALF) & ~_DIGITS_LOST
        wide = np.stack([_mixed(bits), _mixed(bits[:, ::-1] + np.uint64(1))], axis=1)
        self._keep(wide[:, 0].astype(np.float64), wide, np.repeat([True, False], len(ours)))

    def _keep(self, keys: np.ndarray, *columns: np.ndarray) -> None:
        self.complete = self.complete and len(self.kept) + len(keys) <= self.kept.most
        self.kept.add(keys, *columns)

    def merge(self, other: RepeatsOfBoth) -> None:
        self.complete = self.complete and other.complete
        if other.kept.rows is not None:
            self._keep(other.kept.keys, *other.kept.rows)

    def tests(self) -> list[Test]:
        if self.kept.rows is None:
            return []
        values, ours = self.kept.rows
        # Of the last value, some draws may have been left out.
        whole = np.full(len(values), True) if self.complete else self.kept.keys < self.kept.keys.max()
        place = np.unique(values[whole], axis=0, return_inverse=True)[1].ravel()
        count, own = np.bincount(place), np.bincount(place, weights=ours[whole])
        repeated = count > 1
        n = int(repeated.sum())
        if not n:
            return []
        alone = int((own == count)[repeated].sum())
        return [Test(OwnRepeats(), "values that occur twice or more", alone / n, n, 1, bounded=False)]


def _bits(values: np.ndarray) -> np.ndarray:
    """The bits of (n, m) floats, as (n, m) integers."""
    return np.ascontiguousarray(values.astype(np.float64)).view(np.uint64)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """One well-mixed number per row: the finaliser of splitmix64 (Steele, Lea and Flood 2014), folded over the columns."""
    found = np.zeros(len(bits), dtype=np.uint64)
    for column in bits.T:
        found = (found ^ column) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found
