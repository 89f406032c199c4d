"""Keeps a few draws for the page, next to what the batteries keep. Nothing is decided by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from ..arrays import Array, device_of, namespace, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.pictures import Picture, table
from ..evidence.summaries import Summary, Test
from ..evidence.summaries.reservoir import Reservoir
from ..laws.base import Drawable, Law, Projected, Transformed

# The numbers of draws that are kept for densities, of their coordinates, and of exact draws of the law.
_KEPT, _COORDINATES, _LAW = 4_096, 2, 16_384
# The number of draws that are kept whole, and how many numbers these may hold: small images.
_WHOLE, _IMAGE = 6, range(16, 257)
_CELLS, _SIDE = 40, 20
# A picture shows this share of the draws on either side of the middle. A few draws far out would leave the rest no room.
_TAIL = 0.005


@dataclass(frozen=True)
class Looking(Battery):
    """Keeps some draws of every law. It has no tests, and it is not among the batteries that a user chooses."""

    name: ClassVar[str] = "pictures"

    def applies(self, law: Law) -> bool:
        return True

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        kept = Kept()

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            # The choice of the draws that are kept does not depend on their values.
            kept.add(noise.random(int(draws.shape[0])), draws)

        return Evidence(Origin(self, law, generator), {"draws": kept}, update)


class Kept(Summary):
    """A uniform choice of draws: two coordinates of some thousands, and a few small images whole."""

    distribution = "none"

    def __init__(self) -> None:
        self.columns, self.whole = Reservoir(_KEPT), Reservoir(_WHOLE)

    def add(self, keys: np.ndarray, draws: Array) -> None:
        """Add draws (n, ...) with their random keys (n,)."""
        if device_of(draws) == "cpu":
            draws = to_numpy(draws)
        flat = namespace(draws).reshape(draws, (int(draws.shape[0]), -1))
        self.columns.add(keys, to_numpy(flat[:, :_COORDINATES]).astype(np.float64))
        if int(flat.shape[1]) in _IMAGE:
            first = np.argsort(keys, kind="stable")[:_WHOLE]
            self.whole.add(keys[first], to_numpy(flat)[first].astype(np.float64))

    def merge(self, other: Kept) -> None:
        self.columns.merge(other.columns)
        self.whole.merge(other.whole)

    def tests(self) -> list[Test]:
        return []


def pictures_of(evidence: Sequence[Evidence], law: Law) -> list[Picture]:
    """The pictures of all batteries, and those of the draws that were kept, next to the law where it is known."""
    found = [picture for one in evidence for picture in one.pictures()]
    for one in evidence:
        for kept in one.summaries.values():
            if isinstance(kept, Kept) and kept.columns.rows is not None:
                found += _of_draws(kept.columns.rows[0], _exact(law))
                if kept.whole.rows is not None:
                    images = np.array([[float(f"{v:.3g}") for v in row] for row in kept.whole.rows[0]])
                    found.append(Picture(kind="draws", battery=Looking.name, name="a few draws", values=table(images)))
    return found


def _exact(law: Law) -> np.ndarray | None:
    """Coordinates of exact draws, of a law that is known independently of its draws. None for other laws."""
    known = law.output_law
    if not (isinstance(known, Drawable) and isinstance(known, (Transformed, Projected))):
        return None
    try:
        draws = to_numpy(known.output(known.sample(_LAW, 0)))
        return draws.reshape(len(draws), -1)[:, :_COORDINATES].astype(np.float64)
    except Exception:  # A user's own law may fail here. A picture must not cost a verdict.
        return None


class _Cells(NamedTuple):
    """Equal cells of one coordinate, from ``low`` to ``high``."""

    low: float
    high: float
    number: int


def _of_draws(draws: np.ndarray, exact: np.ndarray | None) -> list[Picture]:
    law = exact if exact is not None and exact.shape[1] == draws.shape[1] else None
    shown = draws if law is None else np.concatenate([draws, law])
    found = [_counted("density", [i], draws, law, [_cells(shown[:, i], _CELLS)]) for i in range(draws.shape[1])]
    if draws.shape[1] > 1:
        found.append(_counted("plane", [0, 1], draws, law, [_cells(column, _SIDE) for column in shown.T]))
    return found


def _cells(values: np.ndarray, most: int) -> _Cells:
    """Cells for all but the most extreme values. If these are few whole numbers, each has a cell of its own."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = (float(q) for q in np.quantile(values, [_TAIL, 1.0 - _TAIL]))
        room = 0.05 * (high - low) or 0.5
    if not math.isfinite(room):
        return _Cells(-1.0, 1.0, most)
    # Beyond 2^52 all numbers are whole, and no cell is as small as one.
    if high - low < most and max(abs(low), abs(high)) < 1e9 and bool(np.all(values == np.round(values))):
        low, high = math.floor(low) - 0.5, math.ceil(high) + 0.5
        return _Cells(low, high, round(high - low))
    low, high = float(f"{low - room:.5g}"), float(f"{high + room:.5g}")
    if not low < high:  # All draws agree in five digits.
        low, high = low - max(1.0, abs(low)), low + max(1.0, abs(low))
    return _Cells(low, high, most)


def _counted(
    kind: Literal["density", "plane"], which: list[int], draws: np.ndarray, law: np.ndarray | None, cells: list[_Cells]
) -> Picture:
    expected = None if law is None else np.round(_counts(law[:, which], cells) * (len(draws) / len(law)), 1)
    return Picture(
        kind=kind, battery=Looking.name, name=" and ".join(f"coordinate {i}" for i in which),
        values=table(_counts(draws[:, which], cells)), law=None if expected is None else table(expected),
        spans=[(c.low, c.high) for c in cells], n=len(draws), law_draws=0 if law is None else len(law),
    )  # fmt: skip


def _counts(values: np.ndarray, cells: list[_Cells]) -> np.ndarray:
    """Counts of (n, k) values: k = 1 in a single row, k = 2 with rows for the first coordinate."""
    place, inside = np.zeros(len(values)), np.ones(len(values), dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for column, c in zip(values.T, cells, strict=True):
            # Each is divided first, because the width of a cell may be more than a double holds.
            at = np.floor((column / 2 - c.low / 2) / (c.high / 2 - c.low / 2) * c.number)
            inside &= (at >= 0) & (at < c.number)
            place = place * c.number + at
    total = math.prod(c.number for c in cells)
    return np.bincount(place[inside].astype(np.int64), minlength=total).reshape(-1, cells[-1].number)
