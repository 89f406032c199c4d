"""The laws of the catalogue's Markov kernels: targets that can be drawn, a model, and pairs of chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import as_kind, to_numpy
from ..laws import Coupled, GaussianProposal, JointLaw, KernelInvariance, Law, Transition

if TYPE_CHECKING:
    from exactness_samplers.faults import Backend
    from exactness_samplers.faults.markov import KernelFault, Regression, Target

# Where chains start whose convergence is bounded, and after how many steps it is.
STARTS: dict[int, tuple[list[float], int]] = {1: ([3.0], 40), 2: ([3.0, -3.0], 40)}


class Known(Law):
    """A target of kernels: a log-density, and exact draws."""

    def __init__(self, target: Target, of: Backend) -> None:
        self.target, self.name, self._density = target, target.name, target.log_density(of)
        self._kind = of.name

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.target.dim,)

    def describe(self) -> dict[str, object]:
        return {"kind": "Known", "name": self.name, "dim": self.target.dim}

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n exact draws, (n, d)."""
        return self.target.draws(n, seed)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """The log-density up to a constant, (n, d) -> (n,)."""
        return to_numpy(self._density(as_kind(x, self._kind)))


def law_of(fault: KernelFault, of: Backend) -> Law:
    """The claim that a kernel, right or wrong, is judged by."""
    if fault.kind == "joint":
        return joint_law(fault.target, of)  # type: ignore[arg-type]
    target = Known(fault.target, of)  # type: ignore[arg-type]
    if fault.seen_by == "transition":
        return declared(fault, target, of)
    # The catalogue's own features of a target are quantities like any others.
    own = getattr(fault.target, "own_features", None)
    invariance = KernelInvariance(
        target,
        reversible=fault.reversible is not False,
        flip=signs(fault.target) if fault.reversible == "flip" else None,  # type: ignore[arg-type]
        quantities=None if own is None else {"own feature": own},
    )
    if fault.kind != "pair":
        return invariance
    start, steps = STARTS[invariance.dim]
    return Coupled(invariance, start=start, steps=steps, kernel=fault.one_chain(of.name) if fault.margin else None)


def signs(target: Target) -> list[float]:
    """-1 for a momentum, 1 for other coordinates."""
    return [-1.0 if i in target.flip else 1.0 for i in range(target.dim)]


def joint_law(model: Regression, of: Backend) -> JointLaw:
    """The model of the faults of posteriors, with its log joint and log likelihood."""

    def quantity(function: Callable[..., Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        return lambda theta, data: to_numpy(function(of, as_kind(theta, of.name), as_kind(data, of.name)))

    quantities = {"log joint": quantity(model.log_joint), "log likelihood": quantity(model.log_likelihood)}
    return JointLaw(model.prior, model.simulate, quantities=quantities, name="a line through six observations")


def declared(fault: KernelFault, target: Known, of: Backend) -> Transition:
    """Langevin proposals, and the acceptance that they need."""
    from exactness_samplers.faults.markov.metropolis import SMALL

    def drift(x: np.ndarray) -> np.ndarray:
        return to_numpy(of.markov.drifted(target.target.log_density(of), as_kind(x, of.name), SMALL))

    return Transition(target, GaussianProposal(SMALL**0.5, mean=drift), name=target.name)
