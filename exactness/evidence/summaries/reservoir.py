"""What cannot be a sum keeps a bounded number of draws."""

from __future__ import annotations

import numpy as np


class Reservoir:
    """The ``most`` rows with the smallest keys: a uniform choice among all rows seen, in whatever order they came."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.keys = np.zeros(0)
        self.rows: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: np.ndarray, *columns: np.ndarray) -> None:
        """``keys`` (n,), and any number of arrays (n, ...) that are kept together."""
        rows = list(columns) if self.rows is None else [np.concatenate(pair) for pair in zip(self.rows, columns, strict=True)]
        keys = np.concatenate([self.keys, keys])
        kept = np.argsort(keys, kind="stable")[: self.most]
        self.keys, self.rows = keys[kept], [column[kept] for column in rows]

    def merge(self, other: Reservoir) -> None:
        if other.rows is not None:
            self.add(other.keys, *other.rows)
