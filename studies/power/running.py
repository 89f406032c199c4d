"""One run of the study: it measures the rows that are asked for and keeps the others from earlier results."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from ..peers import Row
from .search import Draw, Effort, Search, rate

ALPHA = 1e-3
POWER = 0.99


@dataclass(frozen=True)
class Run:
    """Rows whose names do not hold ``only`` are taken from the ``earlier`` results, by case and name, where these have them."""

    effort: Effort
    seed: int
    quick: bool
    only: str
    earlier: dict[tuple[str, str], dict[str, Any]]

    def search(self, case: str, row: Row, draw: Draw, pool: int | None = None) -> dict[str, Any]:
        """Measure the n that a test needs."""
        search = Search(row.refutes, draw, ALPHA, self.effort, pool)
        return self._line(case, row, lambda: asdict(search.needed(row.smallest)))

    def rate(self, case: str, row: Row, draw: Draw, n: int, alpha: float, repetitions: int) -> dict[str, Any]:
        """Measure how often a test refutes at one n."""
        return self._line(case, row, lambda: asdict(rate(row.refutes, draw, alpha, repetitions, n))) | {"n": n}

    def _line(self, case: str, row: Row, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self.only not in row.name and (case, row.name) in self.earlier:
            return self.earlier[case, row.name]
        line: dict[str, Any] = {"name": row.name, "against": row.against, "installed": row.installed}
        progress(f"{case}: {row.name}" + ("" if row.installed else ", not installed"))
        return line | (measure() if row.installed else {})


def normal_limit(null: tuple[float, float], other: tuple[float, float], alpha: float) -> float:
    """The n at which the mean of n values is told apart, given (mean, variance) of one value under either law."""
    return ((-ndtri(alpha) * math.sqrt(null[1]) + ndtri(POWER) * math.sqrt(other[1])) / (other[0] - null[0])) ** 2


def seed_of(*key: int) -> int:
    """A seed that depends on all numbers of the key."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def progress(what: str) -> None:
    """Say on standard error what is measured now."""
    print(what, file=sys.stderr, flush=True)
