"""Reverse processes, made of a schedule and a prediction: x_{k-1} | x_k ~ N(a_k x + b_k D_k(x), sigma_k^2 I), k = K..1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..schedules import Kind, Schedule

Predict = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(steps (m,) int64, states (m, d), condition (m, ...) or None) -> predictions (m, d). Rows may be at different steps."""


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
    start: Callable[[Tensor, Tensor | None], Tensor] | None = None

    @property
    def steps(self) -> int:
        return self.schedule.steps

    def first(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """Make x_K from standard normals, (n, d)."""
        return self.schedule.spread * z if self.start is None else self.start(z, condition)

    def evaluate(self, steps: Tensor, x: Tensor, condition: Tensor | None) -> Tensor:
        """The prediction in the dtype of the states, whatever dtype the network uses."""
        return self.predict(steps, x, condition).to(x.dtype)

    @cached_property
    def _vectors(self) -> dict[str, np.ndarray]:
        a, b = self.schedule.coefficients(self.kind)
        vectors = {"a": a, "b": b, "sigma": self.schedule.sigma}
        for kind in self.schedule.kinds:
            vectors["to_" + kind + "_x"], vectors["to_" + kind + "_d"] = self.schedule.conversion(self.kind, kind)
            vectors["from_" + kind + "_x"], vectors["from_" + kind + "_d"] = self.schedule.conversion(kind, self.kind)
        return vectors

    def tables(self, like: Tensor) -> Tables:
        """The vectors of the schedule, on the device and in the dtype of the states."""
        return Tables({name: torch.as_tensor(v, dtype=like.dtype, device=like.device) for name, v in self._vectors.items()})


@dataclass(frozen=True)
class Tables:
    """Coefficients that are looked up by step, for rows at different steps."""

    vectors: dict[str, Tensor]

    def at(self, name: str, steps: Tensor) -> Tensor:
        return self.vectors[name][steps - 1]

    def mean(self, steps: Tensor, x: Tensor, prediction: Tensor) -> Tensor:
        """a_k x + b_k D: (m,), (m, d), (m, d) -> (m, d)."""
        return self.at("a", steps)[:, None] * x + self.at("b", steps)[:, None] * prediction

    def convert(self, way: str, kind: Kind, steps: Tensor, x: Tensor, prediction: Tensor) -> Tensor:
        """Turn the network's prediction ``to`` another kind, or turn another kind back (``from``)."""
        return self.at(f"{way}_{kind}_x", steps)[:, None] * x + self.at(f"{way}_{kind}_d", steps)[:, None] * prediction
