"""Tables of mass functions on a lattice whose support may be infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput

LogMass = Callable[[np.ndarray], object]

# A table has at most about this many values.
_MOST = 1 << 18
# Values further out are not looked at: doubles do not tell them apart.
_FARTHEST = 2.0**52
# A value of this log-probability ends a table. No sample will ever hold it.
_NOTHING = -80.0
# A table that leaves out more than this says too little about a sampler.
_MOST_ELSEWHERE = 0.5
# The least number of values that are looked at before a table ends.
_CHUNK = 64
# Mass functions of libraries sum to 1 only up to this.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Table:
    """Consecutive values, their probabilities, and the probability of all other values together."""

    values: np.ndarray
    probabilities: np.ndarray
    elsewhere: float


def tabulate(log_mass: LogMass, support: tuple[float, float], name: str) -> Table:
    """Tabulate a mass function around its modes, until nothing is left, or until the table is full.

    The modes are found on a grid whose steps grow by a fifth from either end of the support, or from 0. So a mode must be wider
    than a fifth of its distance from there, or the mass function must rise towards it. What this misses shows in the sum.

    Raises:
        BadInput: if the mass function cannot be used, or does not sum to 1.
    """
    ask = _Asked(log_mass, support, name)
    low, high = ask.low, ask.high
    if high - low < _MOST:
        first, last = low, high
    else:
        first, last = _modes(ask)
    logs = ask(first, last)
    step = _CHUNK
    while len(logs) < _MOST:
        more_left, more_right = first > low and _goes_on(logs[:_CHUNK]), last < high and _goes_on(logs[-_CHUNK:])
        if not more_left and not more_right:
            break
        step = min(step, max(1, (_MOST - len(logs)) // (more_left + more_right)))
        if more_left:
            start = max(low, first - step)
            logs, first = np.concatenate([ask(start, first - 1), logs]), start
        if more_right:
            stop = min(high, last + step)
            logs, last = np.concatenate([logs, ask(last + 1, stop)]), stop
        step *= 2
    p = np.exp(logs)
    total = float(math.fsum(p))
    open_ends = [end for end in (0, -1) if (first > low, last < high)[end]]
    full = any(_goes_on(logs[:_CHUNK] if end == 0 else logs[-_CHUNK:]) for end in open_ends)
    if total > 1.0 + _ROUNDING or (not full and total < 1.0 - _ROUNDING):
        raise BadInput(
            f"the mass function of {name} sums to {total:.6g} over the values {ask.origin + first:g} to {ask.origin + last:g}, not "
            "to 1: it is not normalised, its values are not one apart, or it has too few digits"
        )
    beyond = sum(_beyond(logs[::-1] if end == 0 else logs) for end in open_ends)
    # The difference of two numbers near 1 has few digits, which suffice where a full table leaves much out.
    rest = max(1.0 - total, min(beyond, _ROUNDING)) if full else beyond
    if rest > _MOST_ELSEWHERE:
        raise BadInput(
            f"{rest:.2g} of the probability of {name} lies outside of the {len(p):,} values {ask.origin + first:g} to "
            f"{ask.origin + last:g}, and more are not tabulated: judge groups of values, such as x // 1000, by their probabilities"
        )
    return Table(ask.origin + np.arange(first, last + 1, dtype=np.float64), p * ((1.0 - rest) / total), rest)


class _Asked:
    """A mass function of i = value - origin, i in [low, high]; what it does wrong is said as such."""

    def __init__(self, log_mass: LogMass, support: tuple[float, float], name: str) -> None:
        if not callable(log_mass):
            raise BadInput(f"log_mass must be a function, (n,) -> (n,); got {type(log_mass).__name__}")
        low, high = (float(end) for end in support)
        if not low <= high:
            raise BadInput(f"support must be two ends, the lower one first; got {support}")
        self._log_mass, self.name = log_mass, name
        self.origin = low if math.isfinite(low) else high if math.isfinite(high) else 0.0
        reach = lambda end: int(min(max(round(end - self.origin), -_FARTHEST), _FARTHEST)) if math.isfinite(end) else None  # noqa: E731
        self.low = -int(_FARTHEST) if (at := reach(low)) is None else at
        self.high = int(_FARTHEST) if (at := reach(high)) is None else at

    def at(self, i: np.ndarray) -> np.ndarray:
        """log P(X = origin + i), (n,) -> (n,); not checked, because far out a function may overflow."""
        try:
            found = np.asarray(self._log_mass(self.origin + i.astype(np.float64)), dtype=np.float64)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the mass function of {self.name} raised {type(error).__name__}: {error}") from error
        if found.shape != i.shape:
            raise BadInput(f"the mass function of {self.name} must turn (n,) values into (n,) log-probabilities")
        return found

    def __call__(self, first: int, last: int) -> np.ndarray:
        logs = self.at(np.arange(first, last + 1))
        if np.any(np.isnan(logs)) or np.any(logs > _ROUNDING):
            raise BadInput(
                f"the mass function of {self.name} returned {float(logs[np.isnan(logs) | (logs > _ROUNDING)][0]):g} as the "
                "logarithm of a probability"
            )
        return logs


def _modes(ask: _Asked) -> tuple[int, int]:
    """The least and the largest mode that counts; the highest one alone if they are too far apart for one table."""
    steps = np.unique(np.round(1.2 ** np.arange(0, 200)).astype(np.float64))
    steps = np.append(0, steps[steps <= _FARTHEST]).astype(np.int64)
    grid = np.unique(np.concatenate([steps, -steps, ask.low + steps, ask.high - steps]))
    grid = grid[(grid >= ask.low) & (grid <= ask.high)]
    heights = np.nan_to_num(ask.at(grid), nan=-math.inf, posinf=-math.inf)
    padded = np.concatenate([[-math.inf], heights, [-math.inf]])
    peaks = np.flatnonzero((heights >= padded[:-2]) & (heights >= padded[2:]) & (heights > -math.inf))
    climbed = [_climb(ask, int(grid[max(0, p - 1)]), int(grid[min(len(grid) - 1, p + 1)])) for p in peaks.tolist()]
    if not climbed:
        raise BadInput(f"the mass function of {ask.name} is 0 wherever it was looked at: give its support")
    _, best = max(climbed)
    near = [place for height, place in climbed if height > _NOTHING]
    return (min(near), max(near)) if near and max(near) - min(near) < _MOST // 2 else (best, best)


def _climb(ask: _Asked, low: int, high: int) -> tuple[float, int]:
    """The height and the place of a mode between two points, for a function with one mode there."""
    while True:
        points = np.unique(np.linspace(low, high, _CHUNK + 1).round().astype(np.int64))
        heights = np.nan_to_num(ask.at(points), nan=-math.inf, posinf=-math.inf)
        best = int(heights.argmax())
        if high - low <= _CHUNK:
            return float(heights[best]), int(points[best])
        low, high = int(points[max(0, best - 1)]), int(points[min(len(points) - 1, best + 1)])


def _goes_on(end: np.ndarray) -> bool:
    """Whether values at this end of a table still count."""
    return len(end) < _CHUNK or bool(end.max() > _NOTHING)


def _beyond(logs: np.ndarray) -> float:
    """About the probability beyond the last value, if the ratio of neighbours stays what it is there; twice that, to be safe."""
    if len(logs) < 2 or not logs[-2] > -math.inf:
        return 0.0
    ratio = min(math.exp(min(0.0, logs[-1] - logs[-2])), 1.0 - 1e-9)
    return 2.0 * math.exp(logs[-1]) * ratio / (1.0 - ratio)
