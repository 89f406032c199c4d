"""Reverse processes, made of a schedule and a prediction: x_{k-1} | x_k ~ N(a_k x + b_k D_k(x), sigma_k^2 I), k = K..1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from ..schedules import Kind, Schedule

Predict = Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]
"""(steps (m,) int32, states (m, d), condition (m, ...) or None) -> predictions (m, d). Rows may be at different steps.

It is traced, so no Python branch may depend on its values. Variables that it closes over are constants of the compiled sampler.
"""


@dataclass(frozen=True)
class Process:
    """A schedule together with the expensive target, ``predict``, whose output is of kind ``kind``.

    ``start(z, condition)`` turns standard normals (n, d) into x_K. By default x_K is the schedule's ``spread`` times z.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> Process(ddpm(cosine_betas(6)), lambda steps, x, condition: 0.5 * x, "sample", dim=2).steps
    6
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
        """Make x_K from standard normals, (n, d)."""
        return float(self.schedule.spread) * z if self.start is None else self.start(z, condition)

    def evaluate(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None) -> jax.Array:
        """The prediction in the dtype of the states, whatever dtype the network uses."""
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
        """The vectors of the schedule, in the dtype of the states."""
        return Tables({name: jnp.asarray(v, like.dtype) for name, v in self._vectors.items()})


@dataclass(frozen=True)
class Tables:
    """Coefficients that are looked up by step, for rows at different steps."""

    vectors: dict[str, jax.Array]

    def at(self, name: str, steps: jax.Array) -> jax.Array:
        return self.vectors[name][steps - 1]

    def mean(self, steps: jax.Array, x: jax.Array, prediction: jax.Array) -> jax.Array:
        """a_k x + b_k D: steps (...), x and D (..., d) -> (..., d)."""
        return self.at("a", steps)[..., None] * x + self.at("b", steps)[..., None] * prediction

    def convert(self, way: str, kind: Kind, steps: jax.Array, x: jax.Array, prediction: jax.Array) -> jax.Array:
        """Turn the network's prediction ``to`` another kind, or turn another kind back (``from``)."""
        of_x, of_d = self.at(f"{way}_{kind}_x", steps), self.at(f"{way}_{kind}_d", steps)
        return of_x[..., None] * x + of_d[..., None] * prediction
