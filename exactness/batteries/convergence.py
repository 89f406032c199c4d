"""Tests of pairs of chains: how many have met, and whether both move as the kernel does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import MeetingTimes, PairedMeans, Summary
from ..laws.base import Law, Meeting, Meetings, Moving

# Of as many coordinates, the margins of the coupling are compared.
_MOST_COORDINATES = 12


@dataclass(frozen=True)
class MeetingPairs(Battery):
    """Bounds the share of pairs that have not met, and tests the margins of the coupling.

    One step of each pair is drawn twice from the same states: by the pair, and by the kernel itself, or else by the pair with both
    chains at the state of one of them. Given the states, each chain then has the same law twice, so differences of its coordinates,
    squares and products, and of its move towards the other chain, are symmetric about 0. That the partner keeps the target is
    tested by :class:`Moves`.
    Applies to :class:`exactness.Coupled`.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.Coupled(ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0])), start=[3.0], steps=5)
    >>> def attracted(x, y, seed):
    ...     noise = np.random.default_rng(seed).standard_normal(x.shape)
    ...     return 0.5 * y + 0.75**0.5 * noise, 0.5 * y + 0.75**0.5 * noise
    >>> ex.certify(law.moved_by(attracted), law, batteries=[batteries.MeetingPairs()]).verdict.value
    'refuted'
    """

    name: ClassVar[str] = "meeting pairs"

    def applies(self, law: Law) -> bool:
        return isinstance(law, Meeting) and isinstance(law, Moving)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Meeting)
        assert isinstance(law, Moving)
        few = min(len(law.coordinates), _MOST_COORDINATES)
        exact = law.fresh(1024, int(generator.integers(1 << 31)))[0][:, :few]
        centre, spread = exact.mean(axis=0), exact.std(axis=0)
        spread = np.where(spread > 1e-12 * (1.0 + np.abs(centre)), spread, 1.0)
        names = list(law.coordinates[:few])
        pairs = [(i, j) for i in range(few) for j in range(i, few)]
        left, right = np.array(pairs).T
        rows = [*names, *(f"{names[i]} x {names[j]}" if i != j else f"square of {names[i]}" for i, j in pairs)]
        rows += [f"{a}, by {b} before" for a in names for b in names]
        rows += ["move towards the other", "square of the move towards the other", "square of the move"]
        rows = [f"{who}, {row}" for who in ("chain", "partner") for row in rows]
        times, margins = MeetingTimes(law.steps, law.bounds), PairedMeans(rows)

        def update(sample: Array, noise: np.random.Generator) -> None:
            found = law.meetings(sample)
            times.add(found.unmet)
            columns = []
            for who in (0, 1):
                before, one, other = ((v[:, who, :few] - centre) / spread for v in (found.before, found.one, found.other))
                given = (one - other)[:, :, None] * np.tanh(before)[:, None, :]
                columns += [one - other, one[:, left] * one[:, right] - other[:, left] * other[:, right]]
                columns += [given.reshape(len(given), -1), _towards(found, who, few, spread)]
            margins.add(np.concatenate(columns, axis=1))

        summaries: dict[str, Summary] = {"convergence": times, "margins of the coupling": margins}
        return Evidence(Origin(self, law, generator), summaries, update)


def _towards(found: Meetings, who: int, few: int, spread: np.ndarray) -> np.ndarray:
    """Differences of both draws of a step in the direction of the other chain, and in the length of the move: (n, 3)."""
    gap = (found.before[:, 1 - who, :few] - found.before[:, who, :few]) / spread
    length = np.linalg.norm(gap, axis=1, keepdims=True)
    direction = gap / np.where(length > 0.0, length, 1.0)
    one, other = ((v[:, who, :few] - found.before[:, who, :few]) / spread for v in (found.one, found.other))
    a, b = (one * direction).sum(axis=1), (other * direction).sum(axis=1)
    return np.stack([a - b, a**2 - b**2, np.square(one).sum(axis=1) - np.square(other).sum(axis=1)], axis=1)
