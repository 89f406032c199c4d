"""Unadjusted Langevin dynamics, x - gamma grad U(x) + sqrt(2 gamma) z, as a process for speculative sampling.

The claim is equality in law with the unadjusted chain, not with exp(-U), because speculation does not change the discretisation.
Source: De Bortoli et al. 2025, "Accelerated Diffusion Models via Speculative Sampling", on Langevin dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ..schedules import langevin
from .drafters import Memory, Reuse, Seen
from .processes import Process, Tables
from .sequential import Sequential

Potential = Callable[[jax.Array], jax.Array]
"""U, the negative log-density up to a constant, row by row: (m, d) -> (m,)."""


@dataclass(frozen=True)
class Gradient:
    """grad U of a potential, by automatic differentiation: ``predict(steps, x, condition)`` of kind ``gradient``."""

    potential: Potential

    def __call__(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        shape = jax.eval_shape(self.potential, x).shape
        if shape != x.shape[:1]:
            raise ValueError(f"the potential must return one number per state, shape ({len(x)},), not {shape}")
        # Rows are independent, so the gradient of the sum holds the gradient of each row.
        return jax.grad(lambda at: self.potential(at).sum())(x)


def langevin_process(
    potential: Potential, dim: int, steps: int, step_size: float, *, spread: float = 1.0, centre: jax.Array | None = None
) -> Process:
    """Make the process of ``steps`` steps of unadjusted Langevin dynamics on ``potential``, from x_K ~ N(centre, spread^2 I).

    >>> process = langevin_process(lambda x: 0.5 * (x * x).sum(-1), dim=2, steps=10, step_size=0.1)
    >>> process.kind, process.steps
    ('gradient', 10)
    """
    schedule = langevin(steps, step_size, spread)
    start = None
    if centre is not None:
        start = lambda z, condition: jnp.asarray(centre, z.dtype) + spread * z  # noqa: E731
    return Process(schedule, Gradient(potential), "gradient", dim, start)


@dataclass(frozen=True)
class Curved(Reuse):
    """Reuse a gradient and move it along the drafted states with the curvature h (d,) of the potential: g + h (x_k - x_j).

    This corresponds to the posterior drafter of clean samples. The curvature is diagonal, one number per coordinate, and comes from
    :func:`fit_curvature`. A curvature of zero is plain reuse.
    """

    kind: str = "gradient"  # type: ignore[assignment]
    curvature: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "gradient" or not self.curvature:
            raise ValueError("a curved drafter reuses a gradient and needs one curvature per coordinate: see fit_curvature")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-gradient-curved"

    def check(self, process: Process, window: int) -> None:
        super().check(process, window)
        if len(self.curvature) != process.dim:
            raise ValueError(f"{len(self.curvature)} curvatures for {process.dim} coordinates: fit them for this process")

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        return jnp.zeros_like(x), x

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return seen.prediction, seen.x

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        gradient, base = memory
        return gradient + jnp.asarray(self.curvature, x.dtype) * (x - base)


def fit_curvature(process: Process, *, chains: int = 100, seed: int = 0) -> tuple[float, ...]:
    """Fit the curvature (d,) by least squares of gradient differences on state differences in plain pilot chains."""
    paths = Sequential(process).run(chains, jax.random.key(seed, impl="threefry2x32")).paths
    rows = paths.reshape(-1, process.dim)
    gradients = process.evaluate(jnp.ones(len(rows), jnp.int32), rows, None).reshape(paths.shape)
    moves, answers = (np.diff(np.asarray(v, dtype=np.float64), axis=1) for v in (paths, gradients))
    return tuple(((moves * answers).sum((0, 1)) / (moves**2).sum((0, 1))).tolist())
