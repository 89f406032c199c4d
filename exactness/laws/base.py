"""What every law says of itself, and what some of them know besides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, is_array, namespace, to_numpy
from ..errors import BadInput, InvalidSample


class Law(ABC):
    """A claim about the output of a sampler.

    To add one: say the shape of one draw (``event_shape``) and what identifies it (``describe``); implement ``Projected`` if
    functions of the output have known distributions, so that batteries can look along them.
    """

    atomless: bool = False
    """Whether two draws never coincide, but for rounding: saved draws that do are then copies, no evidence."""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw: a sample of n has shape (n, *event_shape)."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What a reader of a certificate must know to identify the law. JSON types only."""

    @property
    def output_law(self) -> Law | None:
        """The law of the last state, where it is known in closed form or numerically."""
        return self

    def output(self, sample: Array) -> Array:
        """The last states of a sample, (n, d)."""
        return sample

    def place(self, index: tuple[int, ...]) -> str:
        """Where in a sample an entry sits, in words."""
        return f"row {index[0]}"

    def readable(self, sample: Array) -> Array:
        """Which entries are numbers that this law can judge, booleans of the sample's shape: the finite ones, as a rule."""
        return namespace(sample).isfinite(sample)

    def accept(self, sample: object, n: int) -> Array:
        """The sample, if it can be judged: right type, shape, dtype and finite. Raises ``InvalidSample`` with the remedy."""
        if not is_array(sample):
            raise InvalidSample(
                f"sample(n, seed) returned {type(sample).__name__}; return a numpy, torch or JAX array "
                "(or such an array and a dict of costs)"
            )
        if isinstance(sample, np.ma.MaskedArray):
            raise InvalidSample("sample(n, seed) returned a masked array; return all draws, as a plain array: none may be left out")
        wanted = (n, *self.event_shape)
        if tuple(sample.shape) != wanted:  # type: ignore[attr-defined]
            raise InvalidSample(f"sample(n={n}, seed) has shape {tuple(sample.shape)}; this law needs {wanted}")  # type: ignore[attr-defined]
        xp = namespace(sample)
        if str(sample.dtype).removeprefix("torch.") not in ("float32", "float64"):  # type: ignore[attr-defined]
            raise InvalidSample(
                f"sample(n, seed) has dtype {sample.dtype}; return float32 or float64: "  # type: ignore[attr-defined]
                "the states of a path in fewer bits do not hold the noise that is to be judged"
            )
        finite = self.readable(sample)
        if not bool(xp.all(finite)):
            bad = np.argwhere(~to_numpy(finite))
            first = tuple(int(i) for i in bad[0])
            rows = len(np.unique(bad[:, 0]))
            raise InvalidSample(
                f"{rows} of {n} draws hold NaN or infinity, the first at {self.place(first)}; "
                "look for a division by zero or an overflow there"
            )
        return sample


@dataclass(frozen=True)
class Projections:
    """Functions of the output, each uniform on [0, 1] if the law is right: ``transform`` is (n, d) -> one (n,) a name."""

    names: list[str]
    transform: Callable[[Array], list[Array]]


class Projected(ABC):
    """Mixin of laws that know the distribution of some one-dimensional functions of their output."""

    @abstractmethod
    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The coordinates (or axes) and ``random`` directions drawn from ``generator``."""


def unit_directions(count: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform on the sphere, shape (count, dim)."""
    v = generator.standard_normal((count, dim))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def checked_weights(weights: object) -> np.ndarray:
    """A vector of probabilities. Raises ``BadInput``."""
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or len(w) == 0:
        raise BadInput(f"weights must be a vector, one entry a component; got shape {w.shape}")
    if not np.all(np.isfinite(w)) or np.any(w < 0):
        raise BadInput("weights must be finite and not negative")
    if abs(w.sum() - 1.0) > 1e-8:
        raise BadInput(f"weights sum to {w.sum():.10g}, not to 1; divide them by their sum if that is what you mean")
    return w / w.sum()
