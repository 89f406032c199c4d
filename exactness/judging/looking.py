"""Keeps a few draws for the page, next to what the batteries keep. Nothing is decided by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

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


def _of_draws(draws: np.ndarray, exact: np.ndarray | None) -> list[Picture]:
    shown = draws if exact is None or exact.shape[1] != draws.shape[1] else np.concatenate([draws, exact])
    law = None if shown is draws else exact
    edges = [_edges(column) for column in shown.T]
    found = [_counted("density", [i], draws, law, [_spread(edges[i], _CELLS)]) for i in range(draws.shape[1])]
    if draws.shape[1] > 1:
        found.append(_counted("plane", [0, 1], draws, law, [_spread(e, _SIDE) for e in edges]))
    return found


def _edges(values: np.ndarray) -> tuple[float, float, bool]:
    """Where the cells begin and end, and whether each holds one whole number."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
        room = 0.05 * (high - low) or 0.5
        # Beyond 2^52 all numbers are whole, and no cell is as small as one.
        whole = high - low < _SIDE and max(abs(low), abs(high)) < 1e9 and bool(np.all(values == np.round(values)))
    if not math.isfinite(room):
        return -1.0, 1.0, False
    if whole:
        return float(np.floor(low)) - 0.5, float(np.ceil(high)) + 0.5, True
    return float(f"{low - room:.5g}"), float(f"{high + room:.5g}"), False


def _spread(edges: tuple[float, float, bool], cells: int) -> np.ndarray:
    low, high, whole = edges
    if not low < high:  # All draws agree in five digits.
        low, high = low - max(1.0, abs(low)), low + max(1.0, abs(low))
    return np.linspace(low, high, (round(high - low) if whole else cells) + 1)


def _counted(kind: str, which: list[int], draws: np.ndarray, law: np.ndarray | None, edges: list[np.ndarray]) -> Picture:
    def counts(values: np.ndarray) -> np.ndarray:
        return np.histogramdd(values[:, which], bins=edges)[0].reshape(-1, len(edges[-1]) - 1)

    expected = None if law is None else np.round(counts(law) * (len(draws) / len(law)), 1)
    return Picture(
        kind=kind, battery=Looking.name, name=" and ".join(f"coordinate {i}" for i in which),  # type: ignore[arg-type]
        values=table(counts(draws)), law=None if expected is None else table(expected),
        spans=[(float(e[0]), float(e[-1])) for e in edges], n=len(draws), law_draws=0 if law is None else len(law),
    )  # fmt: skip
