"""Tests of samplers that propose and accept. They hold given the past, so draws need not be independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import RankedDependence
from ..evidence.summaries import Points, Promises, Summary, Tally, Vectors
from ..laws.base import Law, Proposals, Proposing

# In more dimensions than this, so many coordinates are looked at.
_MOST_DIMENSIONS = 16
# The upper quartile of N(0, 1): half of all noise is larger in size.
_QUARTILE = 0.6744897501960817


@dataclass(frozen=True)
class Steps(Battery):
    """Tests the noise of proposals and the coins of acceptance, each against what is known before it.

    The noise must be N(0, I), whatever the state, and sum g (accepted - probability) is a martingale for every function g of the
    state and the proposal. Walkers that share noise or coins are seen. Applies to :class:`exactness.Transition`.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.Transition(lambda x: -np.abs(x[:, 0]), propose=1.0, dim=1)
    >>> def forgets(x, seed):
    ...     y = x + np.random.default_rng(seed).standard_normal(x.shape)
    ...     return y, y, np.ones(len(x), dtype=bool)
    >>> sampler = law.moved_by(forgets, start=[0.0])
    >>> ex.certify(sampler, law, batteries=[batteries.Steps()]).leading.name
    'steps: acceptance, promised probability'
    """

    name: ClassVar[str] = "steps"

    def applies(self, law: Law) -> bool:
        return isinstance(law, Proposing)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Proposing)
        few = min(law.dim, _MOST_DIMENSIONS)
        noise_rows = [f"noise {i}" for i in range(few)]
        noise = Tally(noise_rows, "normal", relation="independent")
        norm = Tally(["all"], "chi2", freedom=law.dim, relation="independent")
        vectors = Vectors(few)
        weights = ["all", "where the ratio is below 1", "where the ratio is above 1", "by the size of the noise"]
        weights += [f"by state {i}" for i in range(few)] + [f"by noise {i}" for i in range(few)]
        weights += [f"by state {i} times noise {i}" for i in range(few)]
        # A coin less its probability lies in an interval of length 1.
        coins = Promises(weights, [1.0] * len(weights), span=1.0)
        given = [f"{what} of noise {i}, by state {j}" for what in ("sign", "size") for i in range(few) for j in range(few)]
        depends = Promises(given, [0.5] * len(given), span=1.0)
        points = Points()
        dependence = RankedDependence(["noise 0", "acceptance"])
        # Steps within a run are another thing to look at than draws of a law.
        watched = dependence.summaries()
        for name, summary in watched.items():
            summary.once = f"{name} of steps"

        def update(sample: Array, generator: np.random.Generator) -> None:
            steps = law.proposals(sample)
            z = steps.noise[:, :few]
            noise.add(range(few), z.T)
            norm.add(0, np.square(steps.noise).sum(axis=1))
            vectors.add(z)
            points.add(steps.mismatch, np.dtype(np.float64))
            # A coin placed at random within its share of [0, 1] is uniform given the past, whatever its probability.
            v, a = generator.random(len(z)), steps.probability
            places = np.where(steps.accepted == 1.0, a * v, a + (1.0 - a) * v)
            dependence.add(np.column_stack([z[:, 0], places]), generator)
            g = _weights(steps, few)
            p = steps.probability[:, None]
            coins.add(g * (steps.accepted[:, None] - p), np.square(g) * p * (1.0 - p))
            state = np.tanh(steps.state[:, :few])
            events = np.concatenate([z > 0.0, np.abs(z) > _QUARTILE], axis=1)
            left = (events - 0.5)[:, :, None] * state[:, None, :]
            depends.add(
                left.reshape(len(z), -1), np.repeat(0.25 * np.square(state)[:, None, :], 2 * few, axis=1).reshape(len(z), -1)
            )

        summaries: dict[str, Summary] = {
            "noise of proposals": noise, "squared norm of the noise": norm, "vectors of the noise": vectors, "acceptance": coins,
            "noise given the state": depends, "next states": points,
        }  # fmt: skip
        return Evidence(Origin(self, law, generator), {**summaries, **watched}, update)


def _weights(steps: Proposals, few: int) -> np.ndarray:
    """Functions of the past and of the proposal, from -1 to 1, (n, rows)."""
    state, noise = np.tanh(steps.state[:, :few]), np.tanh(steps.noise[:, :few])
    size = np.tanh(np.square(steps.noise).mean(axis=1, keepdims=True) - 1.0)
    low = (steps.log_ratio < 0.0)[:, None].astype(np.float64)
    return np.concatenate([np.ones_like(low), low, 1.0 - low, size, state, noise, state * noise], axis=1)
