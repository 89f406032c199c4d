"""What every summary of draws can do. A summary keeps sums alone, so the order of shards, stages and machines does not matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..nulls import Null
from ..pictures import Scores


class Row(NamedTuple):
    """The ``statistic`` of ``n`` values in the row called ``where``, and its null distribution."""

    null: Null
    where: str
    statistic: float
    n: int

    def bound(self, paths: int, error: float) -> float | None:
        """An upper confidence bound on the effect in this row after ``paths`` draws. None if its test has no bound.

        A bound counts draws, because the values of one draw may depend on each other. A row with fewer values than draws got them
        from at most as many draws as it has values.
        """
        return self.null.bound(self.statistic, min(paths, self.n), error)


class Test(NamedTuple):
    """The ``statistic`` of ``n`` values in the row called ``where``, which is the most extreme of ``rows``.

    ``bounded`` says whether every draw counts in the statistic, so that a bound over draws makes sense. ``ends`` are rows of which
    one has the largest bound of all rows. It need not be the row with the smallest p-value: a bound counts draws and a p-value
    counts values, and rows may hold different numbers of values. If ``ends`` is empty, the row itself has the largest bound.
    """

    null: Null
    where: str
    statistic: float
    n: int
    rows: int
    bounded: bool = True
    ends: tuple[Row, ...] = ()


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

    def scores(self) -> Scores:
        """Sums divided by their standard deviations under the law, row by row, for the page. Empty if there are none."""
        return {}

    def objection(self) -> str | None:
        """Why a pass would mean nothing, because the sampler did not do what was to be tested. None if there is no such reason."""
        return None

    def table(self) -> tuple[Sequence[str], Sequence[str], np.ndarray] | None:
        """Rows, columns and numbers of a picture by steps, for the page. None if there is none."""
        return None

    def remark(self) -> str | None:
        """A sentence for the certificate about what the sampler did, whatever the verdict. None if there is nothing to say."""
        return None

    def histogram(self, bins: int) -> tuple[str, np.ndarray] | None:
        """``(where, counts)`` of probability integral transforms. None if this summary keeps none, or nothing was added."""
        return None


def worst(
    null: Callable[[int], Null], names: Sequence[str], statistics: np.ndarray, n: np.ndarray | int, bounded: bool = True
) -> Test:
    """The test of the most extreme row, and the rows that may have the largest bound. ``null(i)`` is that of row i.

    Among rows with the same null distribution and equal n, p-values fall and bounds rise towards either end. So one of the two
    ends has the smallest p-value, and one of them has the largest bound.
    """
    tests, counts = [null(i) for i in range(len(statistics))], np.broadcast_to(n, statistics.shape)
    groups: dict[tuple[Null, int], Sequence[int] | np.ndarray] = {}
    if counts.min() == counts.max() and all(test is tests[0] for test in tests):
        groups[tests[0], int(counts[0])] = np.arange(len(tests))
    else:
        for i, key in enumerate(zip(tests, counts.tolist(), strict=True)):
            groups.setdefault(key, []).append(i)  # type: ignore[union-attr]
    ends = []
    for (test, count), members in groups.items():
        values = statistics[members]
        both = dict.fromkeys((int(values.argmax()), int(values.argmin())))
        ends += [Row(test, names[members[at]], float(values[at]), count) for at in both]
    # Very small p-values underflow to 0. Then the larger effect decides.
    first = min(ends, key=lambda row: (row.null.p_value(row.statistic, row.n), -abs(row.null.effect(row.statistic))))
    return Test(*first, len(statistics), bounded, tuple(ends) if bounded and len(ends) > 1 else ())
