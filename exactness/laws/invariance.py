"""Markov kernels that must keep a law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, to_numpy
from ..errors import BadInput
from .base import Discrete, Ends, Law
from .moves import Kind, MovedBy, Quantity, at_exact_states, checked_quantities, drawable, evaluated, flipped, keeps_shape, whole


class KernelInvariance(Law):
    """The claim that a Markov kernel leaves ``target`` invariant: if X0 follows it, so does X1, some steps later.

    Starts are exact draws of the target, so there is no burn-in, nothing is thinned, and every row is independent. A draw has shape
    (2, d): X0 and X1. X1 is judged by everything that the target knows. If the kernel is reversible, X0 and X1 are exchangeable,
    so that every difference f(X1) - f(X0) is symmetric about 0, which sees much smaller errors.

    The bounds are of the law of X1. They are not of the law that a wrong kernel would end in: an error that is within the tolerance
    after one small step may be large after many, so judge kernels of small steps with more of them.

    A kernel that never moves keeps every law. Certificates say how often states moved, and that convergence is another claim
    (:class:`exactness.Coupled`).

    Args:
        target: any law that can be drawn and whose draws are rows (d,).
        steps: the number of steps from X0 to X1.
        reversible: whether the kernel satisfies detailed balance with respect to the target, as Metropolis-Hastings, random-scan
            Gibbs and slice sampling do. A systematic scan does not. It is never guessed; if it is claimed, it is tested too.
        flip: for a kernel on positions and momenta that is reversible up to a flip of the momenta: d signs, -1 for a momentum, or
            a function of states (n, d).
        quantities: functions of states, (n, d) -> (n,), that are compared besides the coordinates, such as a log-density.
        name: the name of the law in certificates; the default is that of the target.

    Raises:
        BadInput: if the target cannot be drawn, or if an argument makes no sense.

    Sources: Gandy and Scott, Unit testing for MCMC and other Monte Carlo methods, 2020, section 3; Besag and Clifford,
    Generalized Monte Carlo significance tests, 1989.

    >>> import numpy as np
    >>> import exactness as ex
    >>> target = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> def walk(x, seed, slope=0.5):
    ...     rng = np.random.default_rng(seed)
    ...     y = x + rng.standard_normal(x.shape)
    ...     ratio = np.exp(slope * (x**2 - y**2))[:, 0]
    ...     return np.where((rng.random(len(x)) < ratio)[:, None], y, x)
    >>> law, plan = ex.KernelInvariance(target), ex.Plan(tolerance=0.1)
    >>> ex.certify(law.moved_by(walk), law, plan=plan).verdict.value
    'certified'
    >>> ex.certify(law.moved_by(lambda x, seed: walk(x, seed, 0.4)), law, plan=plan).verdict.value
    'refuted'
    """

    of_data: ClassVar[bool] = False

    def __init__(
        self,
        target: Law,
        *,
        steps: int = 1,
        reversible: bool = True,
        flip: Sequence[float] | Callable[[np.ndarray], Any] | None = None,
        quantities: Mapping[str, Quantity] | None = None,
        name: str | None = None,
    ) -> None:
        drawable(target, "the target of a kernel")
        if not isinstance(reversible, bool):
            raise BadInput(f"reversible must be True or False, not {reversible!r}; a flip of momenta is given by flip=")
        if flip is not None and not reversible:
            raise BadInput("flip= is for kernels that are reversible up to it: leave it out, or leave out reversible=False")
        self.target, self.steps, self.reversible = target, whole("steps", steps), reversible
        self.dim = int(target.event_shape[0])
        self.name = name or str(getattr(target, "name", type(target).__name__))
        self.dtypes = target.dtypes  # type: ignore[misc]
        self.why_dtypes = target.why_dtypes  # type: ignore[misc]
        self._flips, self._flip = flip is not None, flipped(flip, self.dim)
        if callable(flip):
            keeps_shape(self._flip, self.starts(64, 0)[0])
        self.quantities = checked_quantities(quantities)
        log_density = getattr(target, "log_density", None)
        if callable(log_density):
            self.quantities.setdefault("log-density", log_density)
        elif isinstance(target, Discrete):
            self.quantities.setdefault("log-probability", self._log_mass)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (2, self.dim)

    @property
    def output_law(self) -> Law | None:
        return self.target

    def output(self, sample: Array) -> Array:
        return sample[:, 1]

    @property
    def coordinates(self) -> list[str]:
        return [f"coordinate {i}" for i in range(self.dim)]

    @property
    def quantity_names(self) -> list[str]:
        with at_exact_states():
            return self._of(self.starts(2, 0)[0])[0]

    def describe(self) -> dict[str, object]:
        return {
            "kind": "KernelInvariance", "name": self.name, "target": self.target.describe(), "steps": self.steps,
            "reversible": "up to a flip" if self._flips else self.reversible, "quantities": list(self.quantities),
        }  # fmt: skip

    def place(self, index: tuple[int, ...]) -> str:
        return f"row {index[0]}, {'the state before the move' if index[1] == 0 else 'the state after the move'}"

    def moved_by(self, kernel: Callable[[Any, int], Any], *, arrays: Kind = "numpy") -> MovedBy:
        """The sampler of a kernel: it draws X0 and moves it.

        Args:
            kernel: ``kernel(x, seed)`` takes states (n, d), whose rows are independent chains, and returns the next ones, or
                ``(next, costs)``. All randomness must come from the seed, and every row needs noise of its own.
            arrays: the kind of array that the kernel is given.
        """
        if not callable(kernel):
            raise BadInput(f"a kernel must be a function kernel(x, seed); got {type(kernel).__name__}")
        return MovedBy(self, kernel, arrays)

    def starts(self, n: int, seed: int) -> tuple[np.ndarray, tuple[Any, ...]]:
        """n exact states (n, d), and nothing besides."""
        draws = self.target.sample(n, seed)  # type: ignore[attr-defined]
        return to_numpy(draws), ()

    def pack(self, before: np.ndarray, after: np.ndarray, given: tuple[Any, ...]) -> np.ndarray:
        """Both ends as a sample, (n, 2, d)."""
        return np.stack([before, after], axis=1)

    def ends(self, sample: Array) -> Ends:
        """See :class:`.base.Moving`. States before the move are flipped."""
        both = to_numpy(sample)
        before, after = self._flip(both[:, 0]), both[:, 1]
        columns = [np.concatenate([x.astype(np.float64), self._of(x)[1]], axis=1) for x in (before, after)]
        return Ends(columns[0], columns[1], np.zeros((len(both), 0)), both[:, 0] != after)

    def fresh(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`.base.Moving`."""
        x = self.starts(n, seed)[0]
        with at_exact_states():
            return np.concatenate([x.astype(np.float64), self._of(x)[1]], axis=1), np.zeros((n, 0))

    def _of(self, x: np.ndarray) -> tuple[list[str], np.ndarray]:
        return evaluated(self.quantities, x)

    def _log_mass(self, x: np.ndarray) -> np.ndarray:
        assert isinstance(self.target, Discrete)
        cells = self.target.cells(x)
        with np.errstate(divide="ignore"):
            return np.where(cells < 0, -np.inf, np.log(self.target.masses)[cells])
