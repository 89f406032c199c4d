"""The n at which a test has 99% power: doubling until it does, then bisecting to a quarter of an octave."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..peers import Pair, Refutes
from .memory import peak_memory

# A point passes if at most one repetition in this many fails to refute.
_PASS = 50
# Repetitions behind a power that is reported of a point that does not pass, where the search itself would stop earlier.
_LEAST = 10
# Repetitions for which a pool must suffice at the largest n.
_FEWEST = 8


Draw = Callable[[int, int], Pair]
"""``draw(n, repetition)`` gives the pair of samples of a repetition."""


@dataclass(frozen=True)
class Effort:
    """No test is tried at an n where one call takes longer than ``seconds``, nor beyond the n ``largest``.

    There are ``repetitions`` while a call takes up to 0.1 s, half as many up to 0.5 s, and a fifth beyond.
    """

    repetitions: int
    largest: int
    seconds: float
    pool: int
    level: int
    comparison: int
    limit: int

    def repetitions_at(self, seconds: float) -> int:
        return max(1, self.repetitions // (1 if seconds <= 0.1 else 2 if seconds <= 0.5 else 5))


FULL = Effort(repetitions=100, largest=1 << 18, seconds=5.0, pool=1 << 18, level=200, comparison=200, limit=400)
QUICK = Effort(repetitions=4, largest=1 << 8, seconds=1.0, pool=1 << 10, level=2, comparison=2, limit=4)


@dataclass(frozen=True)
class Point:
    n: int
    refuted: float
    repetitions: int
    passed: bool
    seconds: float
    wall: float


class Clock:
    """Times of calls: processor time, which other work on the machine does not lengthen, and time on the wall."""

    def __init__(self) -> None:
        self.seconds, self.walls = list[float](), list[float]()

    def __len__(self) -> int:
        return len(self.seconds)

    def timed(self, refutes: Refutes, pair: Pair, alpha: float, seed: int) -> float:
        wall, seconds = time.perf_counter(), time.process_time()
        refuted = refutes(pair, alpha, seed)
        self.seconds.append(time.process_time() - seconds)
        self.walls.append(time.perf_counter() - wall)
        return refuted

    def point(self, n: int, refuted: float, passed: bool) -> Point:
        return Point(n, round(refuted, 3), len(self), passed, float(np.median(self.seconds)), float(np.median(self.walls)))


@dataclass(frozen=True)
class Found:
    """``point`` is the smallest n that passed, or the largest that was tried; ``why`` says why no larger n was tried."""

    reached: bool
    at_most: bool
    point: Point
    why: str
    mebibytes: float | None


@dataclass(frozen=True)
class Search:
    """One test and one departure. ``pool`` is the number of draws in all, if the repetitions at one n share them."""

    refutes: Refutes
    draw: Draw
    alpha: float
    effort: Effort
    pool: int | None = None

    def needed(self, smallest: int) -> Found:
        """The smallest n that passes, from ``smallest`` on."""
        self.refutes(self.draw(smallest, 0), self.alpha, 0)  # imports and compilers run here, not in a timing
        largest, why = self.effort.largest, "the largest n tried"
        if self.pool is not None and self.pool // _FEWEST < largest:
            largest, why = self.pool // _FEWEST, "the draws at hand"
        failed: Point | None = None
        n = smallest
        while n <= largest:
            point = self._judge(n)
            if failed is not None and point.seconds > self.effort.seconds:
                why = f"a call takes over {self.effort.seconds:g} s"
                break
            if point.passed:
                return self._refined(failed, point)
            failed = point
            n *= 2
        assert failed is not None
        point = self._judge(failed.n, _LEAST)
        return Found(False, False, point, why, self._memory(failed.n))

    def _refined(self, failed: Point | None, passed: Point) -> Found:
        """Between a point that failed and its double: two bisections, to a factor of 2^(1/4)."""
        low, high = 0, 4 if failed is not None else 1
        while failed is not None and high - low > 1:
            middle = (low + high) // 2
            point = self._judge(round(failed.n * 2 ** (middle / 4)))
            low, high, passed = (low, middle, point) if point.passed else (middle, high, passed)
        return Found(True, failed is None, passed, "", self._memory(passed.n))

    def _judge(self, n: int, least: int = 1) -> Point:
        """Repetitions at one n, until all are done or, after ``least``, too many have failed or a call is too slow."""
        refuted, clock, repetitions = 0.0, Clock(), 1
        while len(clock) < repetitions:
            refuted += clock.timed(self.refutes, self.draw(n, len(clock)), self.alpha, len(clock))
            if len(clock) == 1 and (least > 1 or clock.seconds[0] <= self.effort.seconds):
                most = self.pool // n if self.pool else self.effort.repetitions
                repetitions = min(self.effort.repetitions_at(clock.seconds[0]), most)
            if len(clock) - refuted > repetitions // _PASS and len(clock) >= least:
                break
        return clock.point(n, refuted, len(clock) == repetitions and len(clock) - refuted <= repetitions // _PASS)

    def _memory(self, n: int) -> float | None:
        return peak_memory(self.refutes, self.draw(n, 0), self.alpha)


def rate(refutes: Refutes, draw: Draw, alpha: float, repetitions: int, n: int) -> Point:
    """How often a test refutes at one n."""
    refutes(draw(n, 0), alpha, 0)
    clock = Clock()
    refuted = sum(clock.timed(refutes, draw(n, r), alpha, r) for r in range(repetitions))
    return clock.point(n, refuted, False)
