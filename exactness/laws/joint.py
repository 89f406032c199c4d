"""Posterior samplers and Markov kernels for posteriors, judged by the joint law of parameters and data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, is_array, to_numpy
from ..errors import BadInput
from .base import Drawable, Ends, Law
from .moves import Kind, MovedBy, Quantity, at_exact_states, checked_quantities, evaluated, named, whole

Data = Any
"""An array (n, ...), or a dict of such arrays."""


class JointLaw(Law):
    """The claim that a kernel keeps the posterior of a model, for data that the model itself makes.

    theta is drawn from the prior and y from the model given theta, so theta is an exact draw from the posterior given y. The kernel
    starts there. If it keeps the posterior, (theta', y) has the same joint law as (theta, y) after any number of steps, and if it
    is reversible, theta and theta' are exchangeable given y. Nothing is burnt in and nothing is thinned. A draw is a row that holds
    theta, theta' and y.

    An independent posterior sampler, such as a neural or a conjugate one, is a kernel that ignores where it starts. This is
    simulation-based calibration without ranks.

    Args:
        prior: ``prior(n, seed)`` -> (n, p), or a law that can be drawn.
        simulate: ``simulate(theta, seed)`` -> data (n, ...), or a dict of such arrays. Rows are independent.
        quantities: functions of parameters and data, (theta, data) -> (n,), such as the log-likelihood. Without one that looks at
            the data, a kernel that ignores the data may go unseen. Coordinates of theta and their products with directions of the
            data are always looked at.
        steps: the number of kernel steps from theta to theta'.
        reversible: whether the kernel, or the independent sampler, is reversible given the data.
        name: the name of the law in certificates.

    Raises:
        BadInput: if prior or simulator cannot be used, or if an argument makes no sense.

    Sources: Geweke, Getting it right: joint distribution tests of posterior simulators, 2004; Gandy and Scott 2020; Modrak et al.,
    Simulation-based calibration checking for Bayesian computation, 2023, for quantities that depend on the data.

    >>> import numpy as np
    >>> import exactness as ex
    >>> def prior(n, seed):
    ...     return np.random.default_rng(seed).standard_normal((n, 1))
    >>> def simulate(theta, seed):
    ...     return theta + np.random.default_rng(seed).standard_normal((len(theta), 4))
    >>> def posterior(theta, data, seed, observations=4):
    ...     noise = np.random.default_rng(seed).standard_normal(theta.shape)
    ...     return data[:, :observations].sum(1, keepdims=True) / (1 + observations) + noise / np.sqrt(1 + observations)
    >>> law, plan = ex.JointLaw(prior, simulate), ex.Plan(tolerance=0.1)
    >>> ex.certify(law.moved_by(posterior), law, plan=plan).verdict.value
    'certified'
    >>> forgets = law.moved_by(lambda theta, data, seed: posterior(theta, data, seed, 3))
    >>> ex.certify(forgets, law, plan=plan).verdict.value
    'refuted'
    """

    dtypes = ("float64",)
    of_data: ClassVar[bool] = True

    def __init__(
        self,
        prior: Callable[[int, int], Any] | Law,
        simulate: Callable[[Any, int], Data],
        *,
        quantities: Mapping[str, Quantity] | None = None,
        steps: int = 1,
        reversible: bool = True,
        name: str = "joint law",
    ) -> None:
        if isinstance(prior, Law) and not isinstance(prior, Drawable):
            raise BadInput("the prior must be a law that can be drawn, or a function prior(n, seed)")
        if not isinstance(prior, Law) and not callable(prior):
            raise BadInput(f"the prior must be a function prior(n, seed) or a law; got {type(prior).__name__}")
        if not callable(simulate):
            raise BadInput(f"simulate must be a function simulate(theta, seed); got {type(simulate).__name__}")
        if not isinstance(reversible, bool):
            raise BadInput(f"reversible must be True or False, not {reversible!r}")
        self.prior, self.simulate, self.name = prior, simulate, name
        self.steps, self.reversible = whole("steps", steps), reversible
        self.quantities = checked_quantities(quantities)
        self._layout: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] | None = None
        self._dim, self._names = 0, list[str]()

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (2 * self.dim + sum(math.prod(shape) for shape, _ in self._known().values()),)

    @property
    def output_law(self) -> Law | None:
        """None: what is claimed is about states and data together."""
        return None

    @property
    def dim(self) -> int:
        """p, the number of parameters."""
        self._known()
        return self._dim

    @property
    def coordinates(self) -> list[str]:
        return [f"parameter {i}" for i in range(self.dim)]

    @property
    def quantity_names(self) -> list[str]:
        self._known()
        return self._names

    def describe(self) -> dict[str, object]:
        data = {key or "data": list(shape) for key, (shape, _) in self._known().items()}
        prior = self.prior.describe() if isinstance(self.prior, Law) else named(self.prior)
        return {
            "kind": "JointLaw", "name": self.name, "prior": prior, "simulate": named(self.simulate), "parameters": self.dim,
            "data": data, "steps": self.steps, "reversible": self.reversible, "quantities": list(self.quantities),
        }  # fmt: skip

    def place(self, index: tuple[int, ...]) -> str:
        at, p = index[-1], self.dim
        what = (
            f"parameter {at}"
            if at < p
            else f"parameter {at - p} after the move"
            if at < 2 * p
            else f"number {at - 2 * p} of the data"
        )
        return f"row {index[0]}, {what}"

    def moved_by(self, kernel: Callable[[Any, Any, int], Any], *, arrays: Kind = "numpy") -> MovedBy:
        """The sampler of a kernel: it draws parameters and data, and moves the parameters.

        Args:
            kernel: ``kernel(theta, data, seed)`` takes parameters (n, p) and their data, and returns the next parameters, or
                ``(next, costs)``. Rows are independent, each has data of its own, and all randomness must come from the seed.
            arrays: the kind of array that the kernel is given.
        """
        if not callable(kernel):
            raise BadInput(f"a kernel must be a function kernel(theta, data, seed); got {type(kernel).__name__}")
        return MovedBy(self, kernel, arrays)

    def starts(self, n: int, seed: int) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Parameters (n, p), and the data that they made."""
        first, second = (int(s) & 0x7FFFFFFF for s in np.random.SeedSequence(seed).generate_state(2))
        theta = _parameters(self.prior, n, first)
        try:
            data = self.simulate(theta.copy(), second)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"simulate raised {type(error).__name__}: {error}; it takes (theta, seed) and returns data") from error
        parts = {key: _part(key, value, n) for key, value in _as_dict(data).items()}
        self._same(parts)
        return theta, (parts if isinstance(data, dict) else parts[""],)

    def pack(self, before: np.ndarray, after: np.ndarray, given: tuple[Any, ...]) -> np.ndarray:
        """Parameters before and after the move and the data, (n, 2 p + q)."""
        data = [np.asarray(to_numpy(part)).reshape(len(before), -1) for _, part in sorted(_as_dict(given[0]).items())]
        return np.concatenate([before, after, *data], axis=1).astype(np.float64)

    def ends(self, sample: Array) -> Ends:
        """See :class:`.base.Moving`."""
        rows, p = to_numpy(sample), self.dim
        before, after, flat = rows[:, :p], rows[:, p : 2 * p], rows[:, 2 * p :]
        data = self._data(flat)
        columns = [np.concatenate([x, evaluated(self.quantities, x, data)[1]], axis=1) for x in (before, after)]
        return Ends(columns[0], columns[1], flat, before != after)

    def fresh(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`.base.Moving`."""
        theta, given = self.starts(n, seed)
        with at_exact_states():
            found = self.ends(self.pack(theta, theta, given))
        return found.after, found.context

    def _data(self, flat: np.ndarray) -> Data:
        """The data as the simulator returned them, from rows of numbers."""
        found, at = {}, 0
        for key, (shape, dtype) in self._known().items():
            size = math.prod(shape)
            found[key] = flat[:, at : at + size].reshape(len(flat), *shape).astype(dtype)
            at += size
        return found[""] if list(found) == [""] else found

    def _same(self, parts: dict[str, np.ndarray]) -> None:
        """Raise ``BadInput`` unless data have the names and shapes of the data that were drawn first."""
        if self._layout is None:
            return
        found = {key: value.shape[1:] for key, value in sorted(parts.items())}
        first = {key: shape for key, (shape, _) in self._layout.items()}
        if found != first:
            raise BadInput(
                f"simulate returned data of shapes {first} per row at first, and {found} later: give all data one shape, and "
                "fill up or mark what is missing"
            )

    def _known(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shapes and dtypes of the data, which are found out by drawing."""
        if self._layout is None:
            theta, given = self.starts(2, 0)
            self._dim = theta.shape[1]
            self._layout = {key: (value.shape[1:], value.dtype) for key, value in sorted(_as_dict(given[0]).items())}
            with at_exact_states():
                self._names = evaluated(self.quantities, theta, given[0])[0]
        return self._layout


def _as_dict(data: Data) -> dict[str, Any]:
    return data if isinstance(data, dict) else {"": data}


def _parameters(prior: Any, n: int, seed: int) -> np.ndarray:
    try:
        drawn = prior.sample(n, seed) if isinstance(prior, Drawable) else prior(n, seed)
    except Exception as error:  # This is the user's own function, so the message says whose it is.
        raise BadInput(
            f"the prior raised {type(error).__name__}: {error}; it takes (n, seed) and returns parameters (n, p)"
        ) from error
    theta = np.asarray(to_numpy(drawn), dtype=np.float64) if is_array(drawn) else None
    if theta is None or theta.ndim != 2 or len(theta) != n or not theta.size:
        shape = tuple(drawn.shape) if is_array(drawn) else type(drawn).__name__
        raise BadInput(f"prior(n={n}, seed) must return parameters of shape ({n}, p), one row per draw; got {shape}")
    if not np.all(np.isfinite(theta)):
        raise BadInput("the prior drew NaN or infinity: an improper prior cannot be drawn from, so use a proper one")
    return theta


def _part(key: str, value: Any, n: int) -> np.ndarray:
    what = f"the data {key!r}" if key else "the data"
    if not is_array(value) or len(value.shape) < 1 or int(value.shape[0]) != n:
        shape = tuple(value.shape) if is_array(value) else type(value).__name__
        raise BadInput(f"simulate must return {what} as an array with one row per parameter, ({n}, ...); got {shape}")
    found = np.asarray(to_numpy(value))
    if found.dtype.kind not in "fiub":
        raise BadInput(f"simulate must return {what} as numbers; got dtype {found.dtype}")
    if not np.all(np.isfinite(found)):
        at = int(np.argwhere(~np.isfinite(found.reshape(n, -1)))[0, 0])
        raise BadInput(
            f"simulate must return {what} as finite numbers; got NaN or infinity at row {at}: if this is rare, the prior reaches "
            "where the model cannot be computed, so narrow it"
        )
    return found
