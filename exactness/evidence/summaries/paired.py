"""Both ends of pairs that may be exchanged: means of their differences, row by row, and how often they differ at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nulls import SymmetricMean
from ..pictures import Scores
from .base import Summary, Test, worst


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
    """How often states moved. It tests nothing, because a kernel that never moves keeps every law.

    ``more`` is what else the certificate says then.
    """

    distribution = "none"

    constant = ("more",)

    def __init__(self, more: str = "") -> None:
        self.n, self.moved, self.more = 0, 0, more

    def add(self, moved: np.ndarray) -> None:
        """Add which states moved, (n,) booleans."""
        self.n += len(moved)
        self.moved += int(moved.sum())

    def merge(self, other: MovedShare) -> None:
        self.n += other.n
        self.moved += other.moved

    def tests(self) -> list[Test]:
        return []

    def remark(self) -> str | None:
        if not self.moved:
            return None
        return f"moved {self.moved / self.n:.2f} of {self.n:,} states{self.more}"

    def objection(self) -> str | None:
        if not self.n or self.moved:
            return None
        return (
            f"moved 0.00: none of {self.n:,} states moved, and a kernel that never moves keeps every law; look for proposals that "
            "are never accepted, or for parameters of which the kernel updates none"
        )
