"""Reverse processes: a schedule and a prediction, x_{k-1} | x_k ~ N(a_k x + b_k D_k(x), sigma_k^2 I), k = K..1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from ..schedules import Kind, Schedule

Predict = Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]
"""(steps (m,) int32, states (m, d), condition (m, ...) or None) -> predictions (m, d); rows may be at different steps.

It is traced: no Python branch on its values, and what it closes over is a constant of the compiled sampler."""


@dataclass(frozen=True)
class Process:
    """A schedule with the one expensive thing, ``predict``, whose output is of kind ``kind``.

    ``start(z, condition)`` turns standard normals (n, d) into x_K; without it x_K is the schedule's ``spread`` times z.
    """

    schedule: Schedule
    predict: Predict
    kind: Kind
    dim: int
    start: Callable[[jax.Array, jax.Array | None], jax.Array] | None = None

    @property
    def steps(self) -> int:
        return self.schedule.steps

    def first(self, z: jax.Array, condition: jax.Array | None) -> jax.Array:
        """x_K from standard normals, (n, d)."""
        return float(self.schedule.spread) * z if self.start is None else self.start(z, condition)

    def evaluate(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None) -> jax.Array:
        """The prediction in the states' dtype, whatever the network computes in."""
        return self.predict(steps, x, condition).astype(x.dtype)

    @cached_property
    def _vectors(self) -> dict[str, np.ndarray]:
        a, b = self.schedule.coefficients(self.kind)
        vectors = {"a": a, "b": b, "sigma": self.schedule.sigma}
        for kind in self.schedule.kinds:
            for way, (source, target) in {"to": (self.kind, kind), "from": (kind, self.kind)}.items():
                vectors[f"{way}_{kind}_x"], vectors[f"{way}_{kind}_d"] = self.schedule.conversion(source, target)
        return vectors

    def tables(self, like: jax.Array) -> Tables:
        """The schedule's vectors in the states' dtype."""
        return Tables({name: jnp.asarray(v, like.dtype) for name, v in self._vectors.items()})


@dataclass(frozen=True)
class Tables:
    """Coefficients looked up by step, for rows that are at different steps."""

    vectors: dict[str, jax.Array]

    def at(self, name: str, steps: jax.Array) -> jax.Array:
        return self.vectors[name][steps - 1]

    def mean(self, steps: jax.Array, x: jax.Array, prediction: jax.Array) -> jax.Array:
        """a_k x + b_k D: steps (...), x and D (..., d) -> (..., d)."""
        return self.at("a", steps)[..., None] * x + self.at("b", steps)[..., None] * prediction

    def convert(self, way: str, kind: Kind, steps: jax.Array, x: jax.Array, prediction: jax.Array) -> jax.Array:
        """The network's prediction turned ``to`` another kind, or another kind turned back (``from``)."""
        of_x, of_d = self.at(f"{way}_{kind}_x", steps), self.at(f"{way}_{kind}_d", steps)
        return of_x[..., None] * x + of_d[..., None] * prediction
