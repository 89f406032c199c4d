"""Tests of the innovations of a chain's paths. They work for every target, including a network.

Under the law, the innovations eps_k = (x_{k-1} - m_k(x_k))/sigma_k are independent N(0, I) across steps and paths. So all n K d
numbers count, and the p-values are exact however small they are. A direction that depends on x_K..x_k alone is predictable, and
the innovation along it is again an independent N(0, 1) sequence. Speculative samplers err along some of these directions: where
the drift has just changed (a reused prediction is stale there), along the previous innovation (when rounds share their
randomness), and along the state. The n paths are also independent of each other, so all innovations of a path are one long vector
whose dependence on those of other paths is looked at.
Source: M. Rosenblatt, Remarks on a multivariate transformation, 1952.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ..arrays import Array, dot, like, namespace, rows_where
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import Dependence
from ..evidence.summaries import Lags, Points, Repeats, Summary, Tally, Vectors
from ..laws.base import Innovating, Innovation, Law, Stepped, frame, unit_directions

# How many steps back the drift is compared. In d = 64, a change over two steps shows the errors of block verification best.
_CHANGES = {1: "along drift change", 2: "along drift change over 2 steps"}
_PREVIOUS, _STATE = "along previous innovation", "along state"
_LARGE = "coordinates of large variance"
# Up to this many dimensions, every coordinate and every pair is tested. Beyond, as many random orthogonal directions are.
_MOST_COORDINATES = 64
# The coordinates of several steps are added together if they are few, because each call of numpy takes a microsecond or more.
_HELD = 1 << 15


@dataclass(frozen=True)
class Innovations(Battery):
    """Tests that a chain's innovations are independent N(0, I), per step and pooled over all steps.

    The tests look at coordinates, norms, predictable directions and the covariance, and at the dependence on earlier innovations
    and on other paths. Applies to a law that knows the innovations of its paths, such as :class:`exactness.GaussianChain`.

    Args:
        directions: the number of fixed random directions, in addition to the predictable ones. It does not matter in one
            dimension, where there is only one line.
        lags: the largest number of steps over which dependence is tested. Choose the window of a speculative sampler, or more.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.ones(4), dim=2)
    >>> def sample(n, seed, spread=1.0):
    ...     noise = np.random.default_rng(seed).standard_normal((5, n, 2))
    ...     path = [noise[0]]
    ...     for k in range(1, 5):
    ...         path.append(0.9 * path[-1] + spread * noise[k])
    ...     return np.stack(path, axis=1)
    >>> plan, chosen = ex.Plan(tolerance=0.2), [batteries.Innovations()]
    >>> ex.certify(sample, law, plan=plan, batteries=chosen).verdict.value
    'certified'
    >>> ex.certify(lambda n, seed: sample(n, seed, 1.2), law, plan=plan, batteries=chosen).verdict.value
    'refuted'
    """

    directions: int = 2
    lags: int = 8
    name: ClassVar[str] = "innovations"
    apart: ClassVar[bool] = True

    def applies(self, law: Law) -> bool:
        return isinstance(law, Innovating)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Innovating)
        looks = _Looks(self, law, generator)

        def update(paths: Array, noise: np.random.Generator) -> None:
            looks.repeats.add(paths)
            batch = _Batch(looks, noise)
            for row, step in enumerate(law.innovations(paths), start=0 if law.noisy[0] else 1):
                batch.take(row, step)
            batch.close()

        return Evidence(Origin(self, law, generator), looks.summaries(), update)


class _Looks:
    """The summaries of a law's innovations, and the directions that are fixed before the first draw."""

    def __init__(self, battery: Innovations, law: Innovating, generator: np.random.Generator) -> None:
        dim, self.most_lags = law.dim, battery.lags
        steps = ["start" if k == law.steps + 1 else f"step {k}" for k in range(law.steps + 1, 0, -1)]
        fixed = unit_directions(battery.directions if dim > 1 else 0, dim, generator)
        self.fixed = fixed.T
        self.frame: np.ndarray | None = None
        if dim > _MOST_COORDINATES:
            self.frame = frame(_MOST_COORDINATES, dim, generator)
        self.random = [f"along random direction {i}" for i in range(len(fixed))]
        names = ["coordinates", *_CHANGES.values(), _PREVIOUS, _STATE, *self.random]
        self.tallies = {name: Tally(steps, "normal", relation="independent") for name in names}
        # A variance that is right on average may be wrong state by state. The states decide how many values there are, so these
        # rows have no bounds.
        self.large: Tally | None = None
        if isinstance(law, Stepped) and law.spread is not None:
            self.large = self.tallies[_LARGE] = Tally([*steps, "all steps"], "normal", relation="disjoint")
        self.tallies["squared norm"] = Tally(steps, "chi2", freedom=dim, relation="independent")
        self.lags = Lags(law.noisy, min(battery.lags, law.steps))
        self.vectors, self.points = Vectors(min(dim, _MOST_COORDINATES)), Points()
        moving = np.flatnonzero(law.noisy[1:])[:, None] + 1
        self.repeats = Repeats((moving * dim + np.arange(dim)).ravel())
        self.dependence = Dependence(dim, generator, noisy=law.noisy, repeats=self.repeats)

    def summaries(self) -> dict[str, Summary]:
        return {
            **self.tallies, "lags": self.lags, "vectors": self.vectors, "deterministic steps": self.points,
            **self.dependence.summaries(),
        }  # fmt: skip


class _Batch:
    """One batch of paths, taken through the steps one by one.

    Projections are collected over the steps and summed at the end, because one sum over all steps is much cheaper than many.
    """

    def __init__(self, looks: _Looks, judge: np.random.Generator) -> None:
        self.looks, self.judge = looks, judge
        self.noises: deque[Array | None] = deque(maxlen=max(looks.most_lags, 1))
        self.drifts: deque[Array] = deque(maxlen=max(_CHANGES))
        self.held: dict[int, Array] = {}
        self.lines: dict[str, dict[int, Array]] = {"squared norm": {}, **{name: {} for name in looks.random}}
        self.along: dict[str, dict[int, Along]] = {name: {} for name in (_PREVIOUS, _STATE, *_CHANGES.values())}
        self.squared: Array | None = None

    def take(self, row: int, step: Innovation) -> None:
        """Take in the next step of all paths."""
        if step.noise is None:
            assert step.state is not None
            self.looks.points.add(step.mismatch, step.state.dtype)
        else:
            self._project(row, step, step.noise)
            self.looks.dependence.take(step.noise, step.squared)
            for lag, before in enumerate(reversed(self.noises), start=1):
                if before is not None and lag in self.looks.lags.sums:
                    self.looks.lags.add(lag, step.noise, before)
        self.noises.append(step.noise)
        self.squared = step.squared
        if step.drift is not None:
            self.drifts.append(step.drift)

    def _project(self, row: int, step: Innovation, noise: Array) -> None:
        """Add the noise itself, and its projections on the directions that are known before the step."""
        looks = self.looks
        # This makes a copy, because a view would keep the noise of every step in memory.
        first = noise[:, 0] + 0.0
        self.held[row] = noise
        if len(self.held) * math.prod(noise.shape) > _HELD:
            self._release()
        if step.large is not None and looks.large is not None:
            values = rows_where(_flat(noise), _flat(step.large))
            for where in (row, len(looks.large.rows) - 1):
                looks.large.add(where, values)
        looks.vectors.add(noise if looks.frame is None else noise @ like(looks.frame, noise))
        self.lines["squared norm"][row] = step.squared
        if looks.random:
            inner = noise @ like(looks.fixed, noise)
            for i, name in enumerate(looks.random):
                self.lines[name][row] = inner[:, i]
        if step.state is not None:
            self.along[_STATE][row] = _along(noise, step.state, first)
        if self.noises and self.noises[-1] is not None:
            self.along[_PREVIOUS][row] = _along(noise, self.noises[-1], first, self.squared)
        for lag, name in _CHANGES.items():
            if len(self.drifts) >= lag:
                self.along[name][row] = _along(noise, step.drift - self.drifts[-lag], first)

    def _release(self) -> None:
        """Add the coordinates of the steps that are held."""
        if self.held:
            noises = list(self.held.values())
            self.looks.tallies["coordinates"].add(list(self.held), namespace(noises[0]).stack(noises))
            self.held.clear()

    def close(self) -> None:
        """Sum what was collected. Each group is released as soon as it is summed, because memory limits the size of a batch."""
        self._release()
        tallies = self.looks.tallies
        for name, rows in self.lines.items():
            if rows:
                tallies[name].add(list(rows), namespace(next(iter(rows.values()))).stack(list(rows.values())))
        for name in list(self.along):
            directed = self.along.pop(name)
            if directed:
                tallies[name].add(list(directed), _scaled(list(directed.values())))
        self.looks.dependence.close(self.judge)


def _flat(x: Array) -> Array:
    return namespace(x).reshape(x, (-1,))


class Along(NamedTuple):
    """A projection before the division by |v|: <noise, v>, |v|^2 and the first coordinate of the noise, each of shape (n,)."""

    inner: Array
    square: Array
    first: Array


def _along(noise: Array, direction: Array, first: Array, square: Array | None = None) -> Along:
    """The projection of noise (n, d) on directions (n, d). ``square`` is |v|^2, if it is known already."""
    return Along(dot(noise, direction), dot(direction, direction) if square is None else square, first)


def _scaled(rows: list[Along]) -> Array:
    """<noise, v/|v|>, of shape (rows, n). Where v = 0, it is the first coordinate of the noise: that choice is predictable too."""
    xp = namespace(rows[0].inner)
    inner, square, first = (xp.stack(list(column)) for column in zip(*rows, strict=True))
    # Dividing by a square that underflows or overflows would make no sense.
    good = (square > 0) & xp.isfinite(square)
    return xp.where(good, inner / xp.sqrt(xp.where(good, square, xp.ones_like(square))), first)
