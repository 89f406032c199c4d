"""Draws that occur twice. Draws of a continuous law never do, so a single repetition refutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array, at_hand, device, namespace, to_numpy
from ..nulls import Distinct
from .base import Summary, Test
from .reservoir import Reservoir

_KEPT = 1 << 16
# With this many random bits per draw, the probability that any two of the kept draws agree is below 2^-97.
_BITS = 128


class Repeats(Summary):
    """Compares some entries of each draw, bit by bit.

    A bounded number of draws is kept. They are chosen by these entries, so that a draw and its repetition are either both kept or
    both left out. ``places`` are the entries of a flattened draw that are continuous under the law.
    """

    distribution = "all different"
    constant = ("places",)

    def __init__(self, places: Sequence[int] | np.ndarray) -> None:
        self.places = np.asarray(places, dtype=np.int64)
        self.kept = Reservoir(_KEPT)

    def add(self, sample: Array) -> None:
        """Add draws (n, ...). Nothing is kept if the draws have too few bits to tell them apart."""
        wanted = math.ceil(_BITS / -math.log2(float(namespace(sample).finfo(sample.dtype).eps)))
        if wanted > len(self.places):
            return
        chosen = self.places[np.linspace(0, len(self.places) - 1, wanted).astype(np.int64)]
        sample = at_hand(sample)
        xp = namespace(sample)
        flat = xp.reshape(sample, (int(sample.shape[0]), -1))
        bits = _bits(to_numpy(flat[:, xp.asarray(chosen, device=device(flat))]))
        self.kept.add(_mixed(bits).astype(np.float64), bits)

    def merge(self, other: Any) -> None:
        self.kept.merge(other.kept)

    def tests(self) -> list[Test]:
        if not len(self.kept) or self.kept.rows is None:
            return []
        bits = self.kept.rows[0]
        # Only the draws that were kept count, because no others were compared.
        return [Test(Distinct(), "worst", float(len(bits) - len(np.unique(bits, axis=0))), len(bits), 1, bounded=False)]


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
