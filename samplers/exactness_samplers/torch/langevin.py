"""Unadjusted Langevin dynamics, x - gamma grad U(x) + sqrt(2 gamma) z, as a process: speculation serves it like any other.

The claim is equality in law with the unadjusted chain, not with exp(-U): the discretisation stays what it was. Source: De Bortoli
et al. 2025, "Accelerated Diffusion Models via Speculative Sampling", on Langevin dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..schedules import langevin
from .denoisers import _Placed
from .drafters import Memory, Reuse, Seen
from .processes import Process, Tables

Potential = Callable[[Tensor], Tensor]
"""(m, d) -> (m,): U, the negative log density up to a constant, row by row."""


@dataclass(frozen=True)
class Gradient:
    """grad U of a potential, by automatic differentiation; callable as ``predict(steps, x, condition)`` of kind ``gradient``."""

    potential: Potential

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        with torch.enable_grad():
            at = x.detach().requires_grad_(True)
            value = self.potential(at)
            if value.shape != x.shape[:1]:
                raise ValueError(
                    f"the potential must return one number a state, shape {tuple(x.shape[:1])}, not {tuple(value.shape)}"
                )
            # Rows do not touch each other, so the sum's gradient is each row's own.
            return torch.autograd.grad(value.sum(), at)[0]


def langevin_process(
    potential: Potential, dim: int, steps: int, step_size: float, *, spread: float = 1.0, centre: Tensor | None = None
) -> Process:
    """``steps`` of unadjusted Langevin dynamics on ``potential``, from x_K ~ N(centre, spread^2 I)."""
    schedule = langevin(steps, step_size, spread)
    start = None
    if centre is not None:
        start = lambda z, condition: centre.to(z) + spread * z  # noqa: E731
    return Process(schedule, Gradient(potential), "gradient", dim, start)


@dataclass(frozen=True)
class Curved(Reuse):
    """Reuse of a gradient, moved along the drafted states by a curvature of the potential: g + h (x_k - x_j), diagonal h (d,).

    What the posterior is to a clean sample: one number a coordinate, from :func:`fit_curvature`; zero is plain reuse.
    """

    kind: str = "gradient"  # type: ignore[assignment]
    curvature: tuple[float, ...] = ()
    _at: _Placed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "gradient" or not self.curvature:
            raise ValueError("a curved drafter reuses a gradient and needs one curvature a coordinate: see fit_curvature")

        object.__setattr__(self, "_at", _Placed(curvature=np.array(self.curvature)))

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-gradient-curved"

    def check(self, process: Process, window: int) -> None:
        super().check(process, window)
        if len(self.curvature) != process.dim:
            raise ValueError(f"{len(self.curvature)} curvatures for {process.dim} coordinates: fit them for this process")

    def start(self, tables: Tables, x: Tensor) -> Memory:
        return torch.zeros_like(x), x

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return seen.prediction, seen.x

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        gradient, base = memory
        return gradient + self._at.beside(x)["curvature"] * (x - base)


def fit_curvature(process: Process, *, chains: int = 100, seed: int = 0) -> tuple[float, ...]:
    """Least squares of gradient differences on state differences between neighbouring steps of plain pilot chains, (d,)."""
    from .sequential import Sequential

    paths = Sequential(process).run(chains, torch.Generator().manual_seed(seed)).paths
    gradients = torch.stack([process.evaluate(torch.full((chains,), 1), x, None) for x in paths.unbind(1)], 1)
    moves, answers = paths.diff(dim=1), gradients.diff(dim=1)
    slope = (moves * answers).sum((0, 1)) / moves.square().sum((0, 1))
    return tuple(slope.tolist())
