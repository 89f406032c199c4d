"""A bounded number of draws, for statistics that are not sums over draws."""

from __future__ import annotations

import numpy as np


class Reservoir:
    """Keeps the ``most`` rows with the smallest random keys: a uniform choice among all rows, whatever their order."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.keys = np.zeros(0)
        self.rows: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: np.ndarray, *columns: np.ndarray) -> None:
        """Add ``keys`` (n,), and any number of arrays (n, ...) whose rows are kept together."""
        rows = list(columns) if self.rows is None else [np.concatenate(pair) for pair in zip(self.rows, columns, strict=True)]
        keys = np.concatenate([self.keys, keys])
        kept = np.argsort(keys, kind="stable")[: self.most]
        self.keys, self.rows = keys[kept], [column[kept] for column in rows]

    def merge(self, other: Reservoir) -> None:
        if other.rows is not None:
            self.add(other.keys, *other.rows)
