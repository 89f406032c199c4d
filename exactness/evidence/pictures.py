"""Pictures: small tables of numbers that a certificate keeps of the evidence, for the page to draw.

They are made of sums and of a bounded number of draws, so they cost constant memory and some kilobytes in a certificate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np

MOST_ROWS = 64
"""The largest number of rows of a heat map. Where there are more, neighbours share a row, which shows the most extreme of them."""

Number = Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)] | Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A table of numbers to be drawn. It decides nothing.

    Attributes:
        kind: what the numbers are:

            - ``"z-scores"``: sums divided by their standard deviations under the law, a row per step or direction and a column
              per function that is looked at. They are roughly standard normal if the law is right.
            - ``"density"``: counts of the draws in equal cells of one coordinate, in a single row.
            - ``"plane"``: the same in two coordinates. Rows are cells of the first.
            - ``"draws"``: a few draws, one per row.
            - ``"steps"``: shares and their upper bounds after a number of steps. Columns are numbers of steps.
        battery, name: where the numbers come from.
        rows, columns: labels. Those of cells are left out, because ``spans`` says where they lie.
        values: the numbers, rows x columns. None where nothing was seen.
        law: what the law says, in the same form. None if it is not known.
        spans: the first edge of the first cell and the last edge of the last, of each coordinate.
        n: the number of draws that the counts are of.
        law_draws: the number of exact draws from which ``law`` was counted, scaled to ``n``.
    """

    kind: Literal["z-scores", "density", "plane", "draws", "steps"]
    battery: str
    name: str
    values: list[list[Number | None]]
    rows: list[str] = []
    columns: list[str] = []
    law: list[list[Number | None]] | None = None
    spans: list[tuple[float, float]] = []
    n: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    law_draws: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0


Scores = Mapping[str, tuple[Sequence[str], np.ndarray]]
"""Z-scores by quantity (``"mean"``, ``"variance"``): the names of the rows, and a number per row, NaN where nothing was seen."""


def heat_maps(battery: str, scores: Mapping[str, Scores]) -> list[Picture]:
    """The z-scores of a battery, by quantity and rows. ``scores``: those of each summary, by its name, which becomes a column.

    >>> (picture,) = heat_maps("mine", {"along x": {"mean": (["step 2", "step 1"], np.array([0.123, -7.0]))}})
    >>> picture.rows, picture.columns, picture.values
    (['step 2', 'step 1'], ['along x'], [[0.12], [-7]])
    """
    groups: dict[tuple[str, tuple[str, ...]], dict[str, np.ndarray]] = {}
    for column, quantities in scores.items():
        for quantity, (rows, z) in quantities.items():
            if len(rows) == 0:
                continue
            groups.setdefault((quantity, tuple(rows)), {})[column] = z
    return [
        Picture(
            kind="z-scores", battery=battery, name=quantity, rows=_labels(rows), columns=list(columns),
            values=table(np.stack([_extremes(z) for z in columns.values()], axis=1)),
        )
        for (quantity, rows), columns in groups.items()
    ]  # fmt: skip


def table(numbers: np.ndarray) -> list[list[Number | None]]:
    """The rows of a matrix as JSON holds them in the fewest characters: whole numbers as integers, and NaN as None."""
    return [[None if not np.isfinite(v) else int(v) if v == int(v) and abs(v) < 1e15 else float(v) for v in row] for row in numbers]


def _groups(count: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), min(count, MOST_ROWS))


def _labels(rows: Sequence[str]) -> list[str]:
    return [rows[g[0]] if len(g) == 1 else f"{rows[g[0]]} to {rows[g[-1]]}" for g in _groups(len(rows))]


def _extremes(z: np.ndarray) -> np.ndarray:
    """The most extreme number of each group of neighbours, to two decimals. NaN where nothing was seen."""
    return np.round([z[g][np.argmax(np.nan_to_num(np.abs(z[g]), nan=-1.0))] for g in _groups(len(z))], 2)
