"""Unadjusted Langevin dynamics, x - gamma grad U(x) + sqrt(2 gamma) z, as a process for speculative sampling.

The claim is equality in law with the unadjusted chain, not with exp(-U), because speculation does not change the discretisation.
Source: De Bortoli et al. 2025, "Accelerated Diffusion Models via Speculative Sampling", on Langevin dynamics.
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
"""U, the negative log-density up to a constant, row by row: (m, d) -> (m,)."""


@dataclass(frozen=True)
class Gradient:
    """grad U of a potential, by automatic differentiation: ``predict(steps, x, condition)`` of kind ``gradient``.

    >>> Gradient(lambda x: 0.5 * (x * x).sum(-1))(torch.tensor([1]), torch.tensor([[2.0, 3.0]]))
    tensor([[2., 3.]])
    """

    potential: Potential

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        with torch.enable_grad():
            at = x.detach().requires_grad_(True)
            value = self.potential(at)
            if value.shape != x.shape[:1]:
                raise ValueError(
                    f"the potential must return one number per state, shape {tuple(x.shape[:1])}, not {tuple(value.shape)}"
                )
            # Rows are independent, so the gradient of the sum holds the gradient of each row.
            return torch.autograd.grad(value.sum(), at)[0]


def langevin_process(
    potential: Potential, dim: int, steps: int, step_size: float, *, spread: float = 1.0, centre: Tensor | None = None
) -> Process:
    """Make the process of ``steps`` steps of unadjusted Langevin dynamics on ``potential``, from x_K ~ N(centre, spread^2 I).

    >>> process = langevin_process(lambda x: 0.5 * (x * x).sum(-1), dim=2, steps=10, step_size=0.1)
    >>> process.kind, process.steps
    ('gradient', 10)
    """
    schedule = langevin(steps, step_size, spread)
    start = None
    if centre is not None:
        start = lambda z, condition: centre.to(z) + spread * z  # noqa: E731
    return Process(schedule, Gradient(potential), "gradient", dim, start)


@dataclass(frozen=True)
class Curved(Reuse):
    """Reuse a gradient and move it along the drafted states with the curvature h (d,) of the potential: g + h (x_k - x_j).

    This corresponds to the posterior drafter of clean samples. The curvature is diagonal, one number per coordinate, and comes from
    :func:`fit_curvature`. A curvature of zero is plain reuse.
    """

    kind: str = "gradient"  # type: ignore[assignment]
    curvature: tuple[float, ...] = ()
    _at: _Placed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "gradient" or not self.curvature:
            raise ValueError("a curved drafter reuses a gradient and needs one curvature per coordinate: see fit_curvature")

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
    """Fit the curvature (d,) by least squares of gradient differences on state differences in plain pilot chains.

    >>> process = langevin_process(lambda x: x.square().sum(-1), dim=2, steps=5, step_size=0.1)
    >>> [round(h, 6) for h in fit_curvature(process, chains=10)]
    [2.0, 2.0]
    """
    from .sequential import Sequential

    paths = Sequential(process).run(chains, torch.Generator().manual_seed(seed)).paths
    gradients = torch.stack([process.evaluate(torch.full((chains,), 1), x, None) for x in paths.unbind(1)], 1)
    moves, answers = paths.diff(dim=1), gradients.diff(dim=1)
    slope = (moves * answers).sum((0, 1)) / moves.square().sum((0, 1))
    return tuple(slope.tolist())
