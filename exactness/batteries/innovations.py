"""Innovations of a chain's paths: the test that works for every target, networks included.

Under the law eps_k = (x_{k-1} - m_k(x_k))/sigma_k are independent N(0, I), across steps and paths, so all n K d numbers count
and p-values are exact however far out. A direction that is a function of x_K..x_k only is predictable, and the innovation
along it is again an independent N(0, 1) sequence. Speculation errs along some of them: where the drift has just changed (a
reused prediction is stale there), along the previous innovation (rounds coupled by their randomness), along the state.
Source: Rosenblatt 1952.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, like, namespace
from ..laws.base import Law, unit_directions
from ..laws.chain import GaussianChain
from .base import Battery, Evidence
from .summaries import Points, Tally

# How many steps back a stale prediction is looked for. In d = 64, two steps see block verification's errors best.
_LAGS = (1, 2)


@dataclass(frozen=True)
class Innovations(Battery):
    """``directions``: how many fixed random ones besides the predictable ones (none in one dimension: there is only one line)."""

    directions: int = 2
    name: ClassVar[str] = "innovations"

    def applies(self, law: Law) -> bool:
        return isinstance(law, GaussianChain)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, GaussianChain)
        steps = ["start" if k == law.steps + 1 else f"step {k}" for k in range(law.steps + 1, 0, -1)]
        fixed = unit_directions(self.directions if law.dim > 1 else 0, law.dim, generator)
        changes = {lag: "along drift change" + ("" if lag == 1 else f" over {lag} steps") for lag in _LAGS}
        names = ["coordinates", *changes.values(), "along previous innovation", "along state"]
        names += [f"along random direction {i}" for i in range(len(fixed))]
        tallies = {name: Tally(steps, "normal", pooled=True) for name in names}
        tallies["squared norm"] = Tally(steps, "chi2", freedom=law.dim, pooled=True)

        points = Points()

        def update(paths: Array) -> None:
            previous_noise: Array | None = None
            drifts: deque[Array] = deque(maxlen=max(_LAGS))
            for row, step in enumerate(law.innovations(paths), start=0 if law.start is not None else 1):
                if step.noise is None:
                    points.add(step.mismatch, paths.dtype)
                else:
                    noise = step.noise
                    tallies["coordinates"].add(row, noise)
                    tallies["squared norm"].add(row, namespace(noise).sum(noise * noise, axis=1))
                    for i, v in enumerate(fixed):
                        tallies[f"along random direction {i}"].add(row, noise @ like(v, noise))
                    if step.state is not None:
                        tallies["along state"].add(row, _along(noise, step.state))
                    if previous_noise is not None:
                        tallies["along previous innovation"].add(row, _along(noise, previous_noise))
                    for lag, name in changes.items():
                        if len(drifts) >= lag:
                            tallies[name].add(row, _along(noise, step.drift - drifts[-lag]))
                previous_noise = step.noise
                if step.drift is not None:
                    drifts.append(step.drift)

        return Evidence(self.name, {**tallies, "deterministic steps": points}, update)


def _along(noise: Array, direction: Array) -> Array:
    """<noise, v/|v|>, (n,); where v = 0 the first coordinate serves: that choice is predictable too."""
    xp = namespace(noise)
    largest = xp.max(xp.abs(direction), axis=1, keepdims=True)
    direction = direction / xp.where(largest > 0, largest, xp.ones_like(largest))
    length = xp.sqrt(xp.sum(direction * direction, axis=1))
    inner = xp.sum(noise * direction, axis=1)
    return xp.where(length > 0, inner / xp.where(length > 0, length, xp.ones_like(length)), noise[:, 0])
