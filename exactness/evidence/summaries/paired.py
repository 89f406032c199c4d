"""Both ends of pairs that may be exchanged: means of their differences, row by row, and how often they differ at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import SymmetricMean
from ..pictures import Scores
from .base import Summary, Test, worst

# A message names at most as many coordinates.
_MOST_NAMES = 4


class PairedMeans(Summary):
    """Sums of differences, and of their squares, with one row per feature.

    Under the law, every difference is symmetric about 0, however the rows depend on each other.
    """

    distribution = "symmetric about 0"
    constant = ("rows",)

    def __init__(self, rows: Sequence[str]) -> None:
        self.rows, self.n = tuple(rows), 0
        self.sums, self.squares = np.zeros(len(self.rows)), np.zeros(len(self.rows))

    def add(self, differences: np.ndarray) -> None:
        """Add differences (n, rows)."""
        self.sums += differences.sum(axis=0)
        self.squares += np.square(differences).sum(axis=0)
        self.n += len(differences)

    def merge(self, other: PairedMeans) -> None:
        self.sums += other.sums
        self.squares += other.squares
        self.n += other.n

    def scores(self) -> Scores:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"mean difference": (self.rows, np.where(self.squares > 0.0, self.sums / np.sqrt(self.squares), 0.0))}

    def tests(self) -> list[Test]:
        if self.n == 0 or not self.rows:
            return []
        with np.errstate(divide="ignore", invalid="ignore"):
            signed = np.where(self.squares > 0.0, self.sums / np.sqrt(self.squares * self.n), 0.0)
        null = SymmetricMean(1)
        return [worst(lambda _: null, self.rows, np.clip(signed, -1.0, 1.0), self.n)]


class MovedShare(Summary):
    """How often states moved, and which coordinates never did. It tests nothing: a kernel that never moves keeps every law.

    ``rows`` are the names of the coordinates, and ``more`` is what else the certificate says.
    """

    distribution = "none"

    constant = ("rows", "more")

    def __init__(self, rows: Sequence[str], more: str = "") -> None:
        self.rows, self.more = tuple(rows), more
        self.n, self.moved, self.each = 0, 0, np.zeros(len(self.rows), dtype=int)
        self.least, self.most = np.full(len(self.rows), np.inf), np.full(len(self.rows), -np.inf)

    def add(self, moved: np.ndarray, before: np.ndarray) -> None:
        """Add which coordinates moved, (n, d) booleans, and where they stood before, (n, d)."""
        self.n += len(moved)
        self.moved += int(moved.any(axis=1).sum())
        self.each += moved.sum(axis=0)
        self.least = np.minimum(self.least, before.min(axis=0, initial=np.inf))
        self.most = np.maximum(self.most, before.max(axis=0, initial=-np.inf))

    def merge(self, other: MovedShare) -> None:
        self.n += other.n
        self.moved += other.moved
        self.each = self.each + other.each
        self.least, self.most = np.minimum(self.least, other.least), np.maximum(self.most, other.most)

    def tests(self) -> list[Test]:
        return []

    def still(self) -> str:
        """The coordinates that never moved although their starts differ, in words. Empty if there are none."""
        names = [name for name, at in zip(self.rows, (self.each == 0) & (self.most > self.least), strict=True) if at]
        return ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")

    def remark(self) -> str | None:
        if not self.moved:
            return None
        never = f"moved 0.00 of {still}; " if (still := self.still()) else ""
        return f"{never}moved {self.moved / self.n:.2f} of {self.n:,} states{self.more}"

    def objection(self) -> str | None:
        if not self.n or not (still := self.still()):
            return None
        if self.moved:
            return (
                f"moved 0.00 of {still}: {self.n:,} states moved, but never there, and a kernel that leaves a coordinate where it "
                "is keeps every law of it and cannot converge; judge it together with the kernel that moves the rest"
            )
        return (
            f"moved 0.00: none of {self.n:,} states moved, and a kernel that never moves keeps every law; look for proposals that "
            "are never accepted, or for parameters of which the kernel updates none"
        )
