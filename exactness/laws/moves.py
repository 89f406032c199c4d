"""What laws of Markov kernels share: a kernel is started at an exact state, and what it returns is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from ..arrays import Array, as_kind, is_array, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Drawable, Law

Kind = Literal["numpy", "torch", "jax"]
Quantity = Callable[..., Any]
"""A function of states (n, d), or of parameters and data, that returns one number per row, (n,), or several, (n, k)."""

# A log-density may be minus infinity where a kernel should not have gone. It counts as a very small number.
_LEAST = -1e30


@runtime_checkable
class Startable(Protocol):
    """A law that starts kernels at states of its own."""

    steps: int
    of_data: ClassVar[bool]
    """Whether states are parameters, and kernels are given data besides."""

    def starts(self, n: int, seed: int) -> tuple[np.ndarray, tuple[Any, ...]]:
        """n exact states (n, d), and what the kernel is given besides."""

    def pack(self, before: np.ndarray, after: np.ndarray, given: tuple[Any, ...]) -> np.ndarray:
        """The sample that this law judges."""


@dataclass(frozen=True)
class MovedBy:
    """The sampler of a kernel: ``sample(n, seed)`` draws n states from the law, moves them, and returns both ends.

    Laws make it with ``moved_by``. The kernel gets copies of the states and of the data, so that it may write into them.
    """

    law: Startable
    kernel: Callable[..., Any]
    arrays: Kind = "numpy"

    def __post_init__(self) -> None:
        known_kind(self.arrays)

    def __call__(self, n: int, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        seeds = seeds_of(seed, self.law.steps + 1)
        before, given = self.law.starts(n, seeds[0])
        state: Array = before.copy()
        costs: dict[str, float] = {}
        for step in range(self.law.steps):
            state, more = moved(self.kernel, as_kind(state, self.arrays), handed(given, self.arrays), seeds[step + 1])
            for key, value in more.items():
                costs[key] = costs.get(key, 0.0) + value
        after = to_numpy(state)
        if after.dtype != before.dtype and np.issubdtype(after.dtype, np.floating):
            # Both ends are rounded alike.
            before = before.astype(after.dtype)
        costs.setdefault("kernel_steps", float(n * self.law.steps))
        return self.law.pack(before, after, given), costs


def moved(kernel: Callable[..., Any], state: Array, given: tuple[Any, ...], seed: int) -> tuple[Array, Mapping[str, float]]:
    """One step of a kernel, and its costs. Raises ``InvalidSample`` if it does not return states."""
    shape = tuple(int(size) for size in state.shape)
    costs: dict[str, float] = {}
    output = kernel(state, *given, seed)
    if isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], dict):
        output, costs = output
    if not is_array(output) or tuple(output.shape) != shape:
        found = f"an array of shape {tuple(output.shape)}" if is_array(output) else type(output).__name__
        raise InvalidSample(
            f"the kernel got states of shape {shape} and returned {found}; return the new states, one row per chain, in an array "
            "of the same shape (or such an array and a dict of costs)"
        )
    return output, costs


def handed(given: tuple[Any, ...], arrays: Kind) -> tuple[Any, ...]:
    """Copies of the arrays that a kernel is given besides states, and of those in dicts, as arrays of one kind."""

    def copied(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: copied(value) for key, value in part.items()}
        return as_kind(np.array(to_numpy(part)), arrays) if is_array(part) else part

    return tuple(copied(part) for part in given)


def known_kind(arrays: object) -> None:
    """Raise ``BadInput`` unless it names a kind of array."""
    if arrays not in get_args(Kind):
        raise BadInput(f"arrays must be one of {', '.join(get_args(Kind))}, not {arrays!r}")


def seeds_of(seed: int, count: int) -> list[int]:
    """Seeds of separate streams, below 2^31, so that all libraries accept them."""
    return [int(s) & 0x7FFFFFFF for s in np.random.SeedSequence(seed).generate_state(count)]


def whole(label: str, value: object) -> int:
    """A number of steps. Raises ``BadInput`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise BadInput(f"{label} must be an integer of at least 1, not {value!r}")
    return int(value)


def checked_quantities(quantities: Mapping[str, Quantity] | None) -> dict[str, Quantity]:
    """The quantities by name. Raises ``BadInput`` if they are not functions."""
    found = dict(quantities or {})
    for name, function in found.items():
        if not isinstance(name, str) or not callable(function):
            raise BadInput(f"quantities must map names to functions; {name!r} is mapped to {type(function).__name__}")
    return found


def evaluated(quantities: Mapping[str, Quantity], *arguments: Any) -> tuple[list[str], np.ndarray]:
    """The names and values of quantities: one column each, or several if a quantity returns several numbers. (n, k)"""
    names: list[str] = []
    columns = []
    n = len(arguments[0])
    # A function may write into what it is given, so it gets copies.
    arguments = handed(arguments, "numpy")
    for name, function in quantities.items():
        try:
            value = function(*arguments)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the quantity {name!r} raised {type(error).__name__}: {error}") from error
        column = np.asarray(to_numpy(value) if is_array(value) else value, dtype=np.float64)
        if column.shape[:1] != (n,) or column.ndim > 2:
            raise BadInput(f"the quantity {name!r} returned shape {column.shape} for {n} rows; return one number per row, ({n},)")
        column = column.reshape(n, -1)
        if np.any(np.isnan(column)):
            raise InvalidSample(f"the quantity {name!r} is NaN at row {int(np.argwhere(np.isnan(column))[0, 0])}")
        names += [name] if column.shape[1] == 1 else [f"{name}, entry {i}" for i in range(column.shape[1])]
        columns.append(np.clip(column, _LEAST, -_LEAST))
    return names, np.concatenate([np.zeros((n, 0)), *columns], axis=1)


@contextmanager
def at_exact_states() -> Iterator[None]:
    """A context in which a quantity that is NaN is bad input: the states are the law's own, and no sampler's."""
    try:
        yield
    except InvalidSample as error:
        raise BadInput(f"at exact states of the law, {error}: leave the quantity out, or make it finite there") from error


def named(function: object) -> str:
    """The name of a function, for a law's description."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def drawable(target: Law, what: str) -> None:
    """Raise ``BadInput`` unless the law can be drawn, and its draws are rows of numbers."""
    if not isinstance(target, Law):
        raise BadInput(f"{what} must be an exactness law, such as exactness.GaussianMixture; got {type(target).__name__}")
    if not isinstance(target, Drawable):
        raise BadInput(
            f"{what} must be a law that can be drawn exactly, because its draws start the kernel: give it sample(n, seed)"
        )
    if len(target.event_shape) != 1:
        raise BadInput(f"{what} must be a law of rows (d,), and its draws have shape {target.event_shape}")


def flipped(flip: Sequence[float] | Callable[[np.ndarray], Any] | None, dim: int) -> Callable[[np.ndarray], np.ndarray]:
    """The flip as a function of states (n, d). Raises ``BadInput`` if it is not one."""
    if flip is None:
        return lambda x: x
    if callable(flip):
        return lambda x: np.asarray(flip(x.copy()))
    signs = np.asarray(flip, dtype=np.float64)
    if signs.shape != (dim,) or not np.all(np.abs(signs) == 1.0):
        raise BadInput(f"flip must be a function of states, or {dim} signs, 1 for a coordinate that stays and -1 for a momentum")
    return lambda x: (x * signs).astype(x.dtype, copy=False)


def keeps_shape(flip: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> None:
    """Raise ``BadInput`` unless a flip of the states x (n, d) gives states, and undoes itself."""
    try:
        once = flip(x)
        twice = flip(once) if once.shape == x.shape else x
    except Exception as error:  # This is the user's own function, so the message says whose it is.
        raise BadInput(f"flip raised {type(error).__name__}: {error}; it takes states (n, d) and returns states") from error
    if once.shape != x.shape or not np.all(np.isfinite(once)):
        raise BadInput(f"flip must return finite states of shape {x.shape}; got shape {once.shape}, or NaN or infinity")
    if not np.allclose(twice, x, rtol=1e-6, atol=1e-6 * float(np.abs(x).max(initial=0.0))):
        raise BadInput("flip must undo itself, as a change of signs does: flipping a state twice does not give it back")
