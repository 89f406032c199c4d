"""Innovations of a chain's paths: the test that works for every target, networks included.

Under the law eps_k = (x_{k-1} - m_k(x_k))/sigma_k are independent N(0, I), across steps and paths, so all n K d numbers count
and p-values are exact however far out. A direction that is a function of x_K..x_k only is predictable, and the innovation
along it is again an independent N(0, 1) sequence. Speculation errs along some of them: where the drift has just changed (a
reused prediction is stale there), along the previous innovation (rounds coupled by their randomness), along the state. The
paths themselves are n independent ones: what one innovates says nothing of another's, and none comes twice.
Source: Rosenblatt 1952.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ..arrays import Array, dot, like, namespace
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import Lags, Points, Repeats, Summary, Tally, Vectors
from ..laws.base import Law, unit_directions
from ..laws.chains import GaussianChain

# How many steps back a stale prediction is looked for. In d = 64, two steps see block verification's errors best.
_CHANGES = (1, 2)
# Coordinates and their pairs are looked at up to so many dimensions; beyond, so many random orthogonal directions.
_MOST_COORDINATES = 64
# Whose innovations say nothing of a path's: shared draws and antithetic ones come in neighbours or in halves.
_WHO = ("next path", "half a batch on")


@dataclass(frozen=True)
class Innovations(Battery):
    """Coordinates, norms, predictable directions, covariance, dependence on earlier innovations and on other paths; per step and
    pooled. The other paths are of the same batch: the same shards give the same sums in any order, other shards other pairs.

    Args:
        directions: how many fixed random ones besides the predictable ones (none in one dimension: there is only one line).
        lags: the largest number of steps over which dependence is looked for; the window of a speculation, or more.
    """

    directions: int = 2
    lags: int = 8
    name: ClassVar[str] = "innovations"

    def applies(self, law: Law) -> bool:
        return isinstance(law, GaussianChain)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, GaussianChain)
        steps = ["start" if k == law.steps + 1 else f"step {k}" for k in range(law.steps + 1, 0, -1)]
        fixed = unit_directions(self.directions if law.dim > 1 else 0, law.dim, generator)
        frame = np.eye(law.dim)
        if law.dim > _MOST_COORDINATES:
            frame = np.linalg.qr(generator.standard_normal((law.dim, _MOST_COORDINATES)))[0]
        changes = {lag: "along drift change" + ("" if lag == 1 else f" over {lag} steps") for lag in _CHANGES}
        names = ["coordinates", *changes.values(), "along previous innovation", "along state"]
        random = [f"along random direction {i}" for i in range(len(fixed))]
        names += random
        tallies = {name: Tally(steps, "normal", relation="independent") for name in names}
        tallies["squared norm"] = Tally(steps, "chi2", freedom=law.dim, relation="independent")
        present = [law.start is not None, *(law.sigma[::-1] > 0)]
        lags = Lags(present, min(self.lags, law.steps))
        vectors, points = Vectors(frame.shape[1]), Points()
        pairs = Tally([f"{who}, {what}" for what in ("same step", "all steps") for who in _WHO], "normal", relation="paired")
        moving = np.flatnonzero(law.sigma[::-1] > 0)[:, None] + 1
        repeats = Repeats((moving * law.dim + np.arange(law.dim)).ravel())

        def update(paths: Array) -> None:
            noises: deque[Array | None] = deque(maxlen=max(self.lags, 1))
            drifts: deque[Array] = deque(maxlen=max(_CHANGES))
            # One number a draw and step: gathered over the steps, and summed up in one go.
            lines: dict[str, dict[int, Array]] = {"squared norm": {}, **{name: {} for name in random}}
            along: dict[str, dict[int, Along]] = {
                name: {} for name in ("along previous innovation", "along state", *changes.values())
            }
            beside: dict[int, list[Along]] = {row: [] for row in range(len(_WHO))}
            together: Array | None = None
            previous: Array | None = None
            count = 0
            repeats.add(paths)
            for row, step in enumerate(law.innovations(paths), start=0 if law.start is not None else 1):
                if step.noise is None:
                    assert step.state is not None
                    points.add(step.mismatch, step.state.dtype)
                else:
                    noise, square = step.noise, step.squared
                    assert square is not None
                    # A copy, as a view would keep the noise of every step.
                    first = noise[:, 0] + 0.0
                    tallies["coordinates"].add(row, noise)
                    lines["squared norm"][row] = square
                    vectors.add(noise if frame.shape[1] == law.dim else noise @ like(frame, noise))
                    if random:
                        inner = noise @ like(fixed.T, noise)
                        for i, name in enumerate(random):
                            lines[name][row] = inner[:, i]
                    if step.state is not None:
                        along["along state"][row] = _along(noise, step.state, first)
                    if noises and noises[-1] is not None:
                        along["along previous innovation"][row] = _along(noise, noises[-1], first, previous)
                    together, count = noise if together is None else together + noise, count + 1
                    for which, later, earlier in _beside(int(noise.shape[0])):
                        beside[which].append(_along(noise[later], noise[earlier], first[later], square[earlier]))
                    for lag, before in enumerate(reversed(noises), start=1):
                        if before is not None and lag in lags.sums:
                            lags.add(lag, noise, before)
                    for lag, name in changes.items():
                        if len(drifts) >= lag:
                            along[name][row] = _along(noise, step.drift - drifts[-lag], first)
                noises.append(step.noise)
                previous = step.squared
                if step.drift is not None:
                    drifts.append(step.drift)
            for name, rows in lines.items():
                if rows:
                    tallies[name].add(list(rows), namespace(next(iter(rows.values()))).stack(list(rows.values())))
            for name in list(along):
                directed = along.pop(name)
                if directed:
                    tallies[name].add(list(directed), _scaled(list(directed.values())))
            for which in list(beside):
                parts = beside.pop(which)
                if parts:
                    values = _scaled(parts)
                    pairs.add(which, namespace(values).reshape(values, (-1,)))
            # What two paths share may stand at another step of each.
            if together is not None:
                together = together / count**0.5
                for which, later, earlier in _beside(int(together.shape[0])):
                    pairs.add(len(_WHO) + which, _scaled([_along(together[later], together[earlier], together[later, 0])])[0])

        summaries: dict[str, Summary] = {
            **tallies, "along neighbouring path": pairs, "lags": lags, "vectors": vectors, "deterministic steps": points,
            "repeated draws": repeats,
        }  # fmt: skip
        return Evidence(Origin(self, law, generator), summaries, update)


def _beside(n: int) -> list[tuple[int, slice, slice]]:
    """For each of ``_WHO``, its place and which of n draws are the later and the earlier of each pair."""
    half = n // 2
    found = [(0, slice(1, n), slice(0, n - 1))] if n > 1 else []
    return found + ([(1, slice(half, 2 * half), slice(0, half))] if half > 1 else [])


class Along(NamedTuple):
    """A projection before it is divided: <noise, v>, |v|^2 and the first coordinate of the noise, (n,) each."""

    inner: Array
    square: Array
    first: Array


def _along(noise: Array, direction: Array, first: Array, square: Array | None = None) -> Along:
    """Of (n, d) along (n, d); ``square``: |v|^2 if it is known."""
    return Along(dot(noise, direction), dot(direction, direction) if square is None else square, first)


def _scaled(rows: list[Along]) -> Array:
    """<noise, v/|v|>, (rows, n); where v = 0 the first coordinate serves: that choice is predictable too."""
    xp = namespace(rows[0].inner)
    inner, square, first = (xp.stack(list(column)) for column in zip(*rows, strict=True))
    # A square that under- or overflows is no length to divide by.
    good = (square > 0) & xp.isfinite(square)
    return xp.where(good, inner / xp.sqrt(xp.where(good, square, xp.ones_like(square))), first)
