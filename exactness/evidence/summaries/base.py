"""What every summary of draws can do. A summary keeps sums alone, so the order of shards, stages and machines does not matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..nulls import Null


class Test(NamedTuple):
    """The ``statistic`` of ``n`` values in the row called ``where``, which is the most extreme of ``rows``.

    ``bounded`` says whether every draw counts in the statistic, so that a bound over draws makes sense.
    """

    null: Null
    where: str
    statistic: float
    n: int
    rows: int
    bounded: bool = True


THE_DRAW, COMPONENT_NOISE = "F(x)", "noise within components"
"""Quantities that several summaries may hold: the transform of a draw that is one number, and coordinates of whitened draws."""


class Summary(ABC):
    """What is kept of the draws, in constant memory. Summaries of separate draws merge into one.

    To add a summary, write three methods. ``add`` (with any arguments) takes in values on their own device and keeps sums of them
    on the host. ``merge`` adds another summary. ``tests`` turns the sums into tests.
    """

    distribution: str

    constant: ClassVar[tuple[str, ...]] = ()
    """Attributes that never change, such as a law, and need not be copied."""

    measures: str | None = None
    """The quantity that is tested, where several summaries may hold the same one. Its tests are then counted only once."""

    once: str | None = None
    """What the summary looks at, if looking is dear and one battery per law is enough: see :func:`exactness.evidence.base.once`."""

    silent: bool = False
    """Whether another battery looks at the same, so that nothing need be added."""

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Add another summary of the same kind and shape."""

    @abstractmethod
    def tests(self) -> list[Test]:
        """The tests of everything that was added. The list is empty if nothing was."""

    def monitored(self) -> list[tuple[Null, int]]:
        """The tests that will have bounds, each with the largest number of its rows. Plans are made with them."""
        return []

    def open(self, calls: tuple[int, ...]) -> None:  # noqa: B027
        """Called before a batch of draws is added, with the number of draws of each call of the sampler in it."""

    def close(self) -> None:  # noqa: B027  (most summaries have nothing to do)
        """Called once all rows of a batch of draws have been added."""

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` of probability integral transforms. None if this summary keeps none, or nothing was added."""
        return None


def worst(
    null: Callable[[int], Null], names: Sequence[str], statistics: np.ndarray, n: np.ndarray | int, bounded: bool = True
) -> Test:
    """The test of the most extreme row. ``null(i)`` is the null distribution of row i; rows of equal n share their p-values."""
    counts = np.broadcast_to(n, statistics.shape)
    candidates = range(len(statistics))
    if counts.min() == counts.max() and len(statistics) > 2:
        # p-values are monotone on either side, so only the two ends can be the most extreme.
        candidates = (int(statistics.argmax()), int(statistics.argmin()))  # type: ignore[assignment]
    best: tuple[tuple[float, float], int, Null] | None = None
    for i in candidates:
        test = null(i)
        # Very small p-values underflow to 0. Then the larger effect decides.
        rank = (test.p_value(float(statistics[i]), int(counts[i])), -abs(test.effect(float(statistics[i]))))
        if best is None or rank < best[0]:
            best = rank, i, test
    assert best is not None, "a test needs at least one row"
    _, i, test = best
    return Test(test, names[i], float(statistics[i]), int(counts[i]), len(statistics), bounded)
