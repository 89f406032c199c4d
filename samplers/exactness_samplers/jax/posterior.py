"""The posterior drafter: it reuses a clean sample and corrects it by Bayes' rule along the drafted states.

:mod:`exactness_samplers.forecast` has the formula. Three further ideas cost no extra evaluation:

* The first window is drafted from the prior, so no chain begins with a round that only evaluates the target.
* If a rejected state y was replaced by x at the same step, D(y) is first turned into a guess of D(x), by the derivative of
  E[x_0 | x] (Tweedie's formula with V_j).
* ``secant``: the last two predictions of a window show how D really changed with x. Where it changed more than V_j predicts, this
  direction gets a variance of its own, by the symmetric rank-one update (Broyden 1967) of the gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..forecast import Forecast, check_fit, fit_forecast
from .drafters import Base, Drafter, Memory, Seen, check_base
from .processes import Process, Tables
from .sequential import Sequential

# A secant counts if the change of D has at least this cosine with the move of x. Below, it is rounding or curvature.
_ALIGNED = 0.02
_TINY = 1e-30


@dataclass(frozen=True)
class Posterior(Drafter):
    """The posterior drafter of a process, with a forecast from :func:`fit`.

    ``base`` says where D_j comes from, as for :class:`exactness_samplers.jax.drafters.Reuse`. ``lags`` is at least the window.
    """

    process: Process
    forecast: Forecast
    lags: int
    base: Base = "free"
    secant: bool = True
    primed = True

    def __post_init__(self) -> None:
        check_base(self.base)
        if "sample" not in self.process.schedule.kinds:
            raise ValueError(
                "a posterior drafter needs a process with a clean sample behind it; for this process, use the drafter Reuse"
            )
        self.forecast.check(self.process.schedule, self.process.dim)

    def check(self, process: Process, window: int) -> None:
        if not process.schedule.same(self.process.schedule) or self.lags < window:
            raise ValueError(f"this posterior drafter was made for another schedule, or for windows of at most {self.lags} steps")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-posterior"

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        """The base step, the base state, D there, its last move, the direction of the secant, and the variance along it."""
        centre = jnp.broadcast_to(jnp.asarray(self._tables["centre"], x.dtype), x.shape)
        nothing, prior = jnp.zeros_like(x), jnp.full(len(x), self.process.steps + 1, jnp.int32)
        return prior, x, centre, nothing, nothing, nothing[:, 0]

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        c, j = self._beside(seen.x), seen.steps
        sample = tables.convert("to", "sample", j, seen.x, seen.prediction)
        before = tables.convert("to", "sample", seen.before_steps, seen.before_x, seen.before_prediction)
        # The evaluation of a frozen drafter has no predecessor, so the last known move is that of the window before.
        paired, move = seen.paired, jnp.where(seen.paired[:, None], sample - before, memory[3])
        direction, variance = self._secant(c, seen, sample, before)
        direction = jnp.where(paired[:, None], direction, memory[4])
        variance = jnp.where(paired, variance, memory[5])
        # The state may have been replaced by another one at the same step; this is the difference.
        moved = jnp.where((seen.now_steps == j)[:, None], seen.now_x - seen.x, 0.0)
        turned = c["turn"][j][:, None] * moved + _along(c["axes"], c["turn_along"][j], moved)
        more = jnp.where(variance > 0.0, c["slope"][j] * variance - c["turn"][j], 0.0)
        turned = turned + (more * _dot(direction, moved))[:, None] * direction
        return j, seen.x + moved, sample + turned, move, direction, variance

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        base, base_x, base_sample, move, direction, variance = memory
        c = self._beside(x)
        # The prior has seen nothing, so it forecasts from step K.
        lag = jnp.clip(jnp.minimum(base, self.process.steps) - steps, 0, self.lags)
        b, gain = c["B"][base, lag], c["gain"][base, lag]
        gap = x - c["A"][base, lag][:, None] * base_x - b[:, None] * base_sample
        sample = base_sample + gain[:, None] * gap + (c["momentum"][base] * lag)[:, None] * move
        sample = sample + _along(c["axes"], c["gain_along"][base, lag], gap)
        if self.secant:
            own = variance * b / jnp.maximum(b * b * variance + c["S"][base, lag], _TINY)
            more = jnp.where(variance > 0.0, own - gain, 0.0)
            sample = sample + (more * _dot(direction, gap))[:, None] * direction
        return tables.convert("from", "sample", steps, x, sample)

    def _secant(self, c: dict[str, jax.Array], seen: Seen, sample: jax.Array, before: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A unit vector (m, d), and V along it at the base step (m,). V is 0 where the last two predictions tell nothing."""
        if not self.secant:
            return jnp.zeros_like(sample), jnp.zeros_like(sample[:, 0])
        i = seen.before_steps
        a, b, s, gain = (c[name][i, 1] for name in ("A", "B", "S", "gain"))
        gap = seen.x - a[:, None] * seen.before_x - b[:, None] * before
        surplus = sample - before - gain[:, None] * gap
        square, along = _dot(surplus, surplus), _dot(surplus, gap)
        answered = along > _ALIGNED * jnp.sqrt(square * _dot(gap, gap))
        usable = answered & seen.paired & (s > 0.0) & (square > _TINY)
        # The gain along the secant is turned back into the variance that explains it, and this into the variance a step later.
        own = gain + square / jnp.where(usable, along, 1.0)
        own = jnp.minimum(own, 0.98 / jnp.maximum(b, _TINY))
        at_before = own * s / jnp.maximum(b * (1.0 - own * b), _TINY)
        variance = at_before * s / jnp.maximum(b * b * at_before + s, _TINY)
        usable = usable & jnp.isfinite(variance) & (variance > c["V"][i])
        direction = surplus / jnp.sqrt(jnp.maximum(square, _TINY))[:, None]
        return jnp.where(usable[:, None], direction, 0.0), jnp.where(usable, variance, 0.0)

    @cached_property
    def _tables(self) -> dict[str, np.ndarray]:
        return self.forecast.tables(self.process.schedule, max(self.lags, 1))

    def _beside(self, x: jax.Array) -> dict[str, jax.Array]:
        """The tables of the forecast, in the dtype of the states."""
        return {name: jnp.asarray(v, x.dtype) for name, v in self._tables.items()}


def fit(
    process: Process, window: int, *, chains: int = 300, rank: int = 0, seed: int = 0, condition: jax.Array | None = None,
    dtype: Any = None,
) -> Forecast:  # fmt: skip
    """Fit a forecast for windows of this length, from pilot chains of the plain sampler.

    Args:
        process: the process of the target.
        window: the largest window.
        chains: the number of pilot chains, a few hundred. Each costs 2 K evaluations of the target.
        rank: see :func:`exactness_samplers.forecast.fit_forecast`.
        seed: the seed of the pilot chains.
        condition: (chains, ...), passed to the prediction row by row.
        dtype: the dtype of the pilot chains. The default is the widest that is enabled.

    Raises:
        ValueError: if the process has no clean sample behind it, or a number is out of range.
    """
    check_fit(process.schedule, process.dim, window=window, chains=chains, rank=rank)
    key = jax.random.key(seed, impl="threefry2x32")
    paths = Sequential(process).run(chains, key, condition=condition, dtype=dtype).paths
    tables = process.tables(paths)

    def sample(at: tuple[jax.Array, jax.Array]) -> jax.Array:
        k, x = at
        steps = jnp.broadcast_to(k, (chains,))
        return tables.convert("to", "sample", steps, x, process.evaluate(steps, x, condition))

    # x_1..x_K, in the order of rising steps.
    turns = jnp.arange(1, process.steps + 1, dtype=jnp.int32), jnp.moveaxis(paths[:, -2::-1], 1, 0)
    samples = np.asarray(lax.map(sample, turns), dtype=np.float64)
    nothing = np.zeros_like(samples[:1])
    return fit_forecast(
        process.schedule, np.asarray(paths, dtype=np.float64), np.concatenate([nothing, samples]), lags=window, rank=rank
    )


def _along(axes: jax.Array, factors: jax.Array, x: jax.Array) -> jax.Array:
    """The part of x along each of the axes (d, r), multiplied by its factor (m, r): (m, d) -> (m, d)."""
    if axes.shape[1] == 0:
        return jnp.zeros_like(x)
    within = jnp.matmul(x, axes, precision=lax.Precision.HIGHEST)
    return jnp.matmul(within * factors, axes.T, precision=lax.Precision.HIGHEST)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return (a * b).sum(-1)
