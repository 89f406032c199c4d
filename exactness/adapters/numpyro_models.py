"""The joint law of the parameters and data of a numpyro model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws import JointLaw
from ..laws.moves import Kind, MovedBy, Quantity
from .numpyro_kernels import NumpyroKernel
from .numpyro_programs import Program, _listed


def from_numpyro_model(
    model: Callable[..., Any],
    *args: Any,
    observed: str | Sequence[str] | Mapping[str, str | None] | None = None,
    steps: int = 1,
    quantities: Mapping[str, Quantity] | None = None,
    reversible: bool = True,
    name: str | None = None,
    **kwargs: Any,
) -> ModelLaw:
    """Make the joint law of a numpyro model, which judges kernels that claim to keep its posterior.

    Prior draws, simulated data, log joint density and log-likelihood all come from the model, by numpyro's handlers. Many
    simulations are run together, so the shapes of sites must not depend on what is drawn. Discrete latent sites, plates, bounded
    supports, and several sites with data are fine.

    Args:
        model: the model, which is called as ``model(*args, **kwargs)``. Leave out the arguments that take data, or give None.
        observed: the name of the site that holds the data, or several names. If the model has an argument of that name, the
            kernel gets its data through it, as when you run it yourself; otherwise the site is conditioned on its data. A mapping
            of sites to arguments says so where the names differ. An empty tuple stands for a model without data.
        steps: the number of kernel steps from theta to theta'.
        quantities: functions of parameters and data, (theta, data) -> (n,). The default is the log joint density and the
            log-likelihood.
        reversible: whether the kernel is reversible. HMC and NUTS are. Kernels that update some sites before others are not,
            such as DiscreteHMCGibbs and MixedHMC.
        name: the name of the law in certificates; the default is that of the model.

    Returns:
        A :class:`exactness.JointLaw`. Parameters (n, p) are the latent sites in the order of the model, with their values in the
        model (not unconstrained), and data are a dict of arrays (n, ...).

    Raises:
        BadInput: if observed= is missing or names no site; if the model cannot be drawn from, because a prior is improper, or a
            site is masked, scaled or observed besides; if shapes depend on draws.

    >>> import numpyro
    >>> import numpyro.distributions as dist
    >>> def model(y=None):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
    >>> law = from_numpyro_model(model, observed="y")
    >>> law.coordinates, law.quantity_names
    (['x'], ['log joint', 'log likelihood'])
    """
    if observed is None:
        sites = Program(model, args, kwargs)
        raise BadInput(
            f"observed= must name the sites of {sites.name} that hold data; it has {_listed(s.name for s in sites.latents)}"
            + (f", and observes {_listed(s.name for s in sites.others)}" if sites.others else "")
            + "; give an empty tuple for a model without data"
        )
    program = Program(model, args, kwargs, (observed,) if isinstance(observed, str) else observed)
    program.simulated_exactly()
    return ModelLaw(program, steps=steps, quantities=quantities, reversible=reversible, name=name)


class ModelLaw(JointLaw):
    """The joint law of a numpyro model. :func:`from_numpyro_model` makes it."""

    def __init__(
        self,
        program: Program,
        *,
        steps: int,
        quantities: Mapping[str, Quantity] | None,
        reversible: bool,
        name: str | None,
    ) -> None:
        self.program = program
        self._last: tuple[Any, Any, np.ndarray] | None = None
        if quantities is None:
            quantities = {"log joint": self.log_joint}
            if program.data:
                quantities["log likelihood"] = self.log_likelihood
        super().__init__(
            program.prior, program.simulate, quantities=quantities, steps=steps, reversible=reversible, name=name or program.name
        )

    @property
    def coordinates(self) -> list[str]:
        return self.program.coordinates

    def starts(self, n: int, seed: int) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Parameters (n, p), and the data that they made. Both come from one run of the model."""
        theta, data = self.program.draws(n, seed)
        if not np.all(np.isfinite(theta)):
            name = self.coordinates[int(np.argwhere(~np.isfinite(theta))[0, 1])]
            raise BadInput(f"the prior of {name} drew NaN or infinity: narrow it, or let JAX compute in double precision")
        return theta, (data,)

    def log_joint(self, theta: np.ndarray, data: Mapping[str, np.ndarray]) -> np.ndarray:
        """The log-density of parameters (n, p) and their data, with respect to the sites as they are, (n,)."""
        return self._densities(theta, data)[:, 0]

    def log_likelihood(self, theta: np.ndarray, data: Mapping[str, np.ndarray]) -> np.ndarray:
        """The log-density of data given parameters (n, p), (n,)."""
        return self._densities(theta, data)[:, 1]

    def describe(self) -> dict[str, object]:
        sites = {site.name: list(site.shape) for site in self.program.latents}
        return super().describe() | {"model": self.program.name, "prior": sites, "simulate": [s.name for s in self.program.data]}

    def place(self, index: tuple[int, ...]) -> str:
        at, p = index[-1], self.dim
        if at >= 2 * p:
            return super().place(index)
        return f"row {index[0]}, {self.coordinates[at % p]}{' after the move' if at >= p else ''}"

    def moved_by(self, kernel: Callable[[Any, Any, int], Any], *, arrays: Kind = "numpy") -> MovedBy:
        """See :meth:`exactness.JointLaw.moved_by`. A kernel of :func:`numpyro_kernel` gets the arguments of this law's model."""
        if isinstance(kernel, NumpyroKernel):
            kernel = kernel.on(self.program, self.reversible)
        return super().moved_by(kernel, arrays=arrays)

    def _densities(self, theta: np.ndarray, data: Mapping[str, np.ndarray]) -> np.ndarray:
        # Both quantities come from one evaluation of the model.
        if self._last is None or self._last[0] is not theta or self._last[1] is not data:
            self._last = (theta, data, self.program.log_densities(theta, data))
        return self._last[2]
