"""What is kept of samples: sums alone, so shards, stages and machines give one and the same evidence in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..nulls import Null


class Test(NamedTuple):
    """``statistic`` of ``n`` values, in the row called ``where``, the most extreme of ``rows``.

    ``bounded``: whether every draw counts in it, so that a bound over draws makes sense.
    """

    null: Null
    where: str
    statistic: float
    n: int
    rows: int
    bounded: bool = True


THE_DRAW = "F(x)"
"""What a summary measures if it holds the probability integral transform of a draw that is one number."""


class Summary(ABC):
    """What is kept of samples in constant memory, so that summaries of separate draws merge into one.

    To add one: ``add`` (any arguments) takes values in where they live and keeps sums of them on the host; ``tests`` turns the
    sums into tests.
    """

    distribution: str

    measures: str | None = None
    """The quantity that is tested, where several summaries may hold the same one. Its tests are then counted once."""

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Take in another summary of the same kind and shape."""

    @abstractmethod
    def tests(self) -> list[Test]:
        """Empty if nothing was seen."""

    def monitored(self) -> list[tuple[Null, int]]:
        """Tests that have bounds, with at most so many rows: for planning."""
        return []

    def close(self) -> None:  # noqa: B027  (most summaries have nothing to do)
        """Called once all rows of a batch of draws have been added."""

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` of probability integral transforms; None where there are none, or nothing was seen."""
        return None


def worst(
    null: Callable[[int], Null], names: Sequence[str], statistics: np.ndarray, n: np.ndarray | int, bounded: bool = True
) -> Test:
    """The most extreme row. ``null(i)`` is the test of row i; rows of equal n differ in nothing else that p-values see."""
    counts = np.broadcast_to(n, statistics.shape)
    candidates = range(len(statistics))
    if counts.min() == counts.max() and len(statistics) > 2:
        # p-values are monotone on either side: only the two ends can be the most extreme.
        candidates = (int(statistics.argmax()), int(statistics.argmin()))  # type: ignore[assignment]
    best: tuple[tuple[float, float], int, Null] | None = None
    for i in candidates:
        test = null(i)
        # Far out every p-value underflows to 0: the larger effect breaks the tie.
        rank = (test.p_value(float(statistics[i]), int(counts[i])), -abs(test.effect(float(statistics[i]))))
        if best is None or rank < best[0]:
            best = rank, i, test
    assert best is not None, "no rows, no test"
    _, i, test = best
    return Test(test, names[i], float(statistics[i]), int(counts[i]), len(statistics), bounded)
