"""How libraries are imported, and the facts about them that laws of their distributions need."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..errors import BadInput
from ..laws import Law


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """A context for importing the libraries of this extra. Raises ``BadInput`` with the command that installs a missing one."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadInput(f"{error.name} is not installed, and this adapter needs it: pip install 'exactness[{extra}]'") from error


def only_draws(make: str, sampler: str) -> str:
    """What to do about a distribution of which only draws are known. The names are those of the functions for its law and draws."""
    return (
        "A law made of its draws would certify them by themselves. If you trust them, judge another sampler by them, with "
        f"exactness.TrustedSampler({sampler}(distribution)) instead of {make}(distribution); or write down the law: "
        "exactness.DensityLaw, exactness.RosenblattLaw"
    )


def of_another_library(distribution: Any, *, beside: str) -> str:
    """The end of a message that names the function for distributions of this kind, if it is not ``beside``; else empty."""
    for module, make in (
        ("torch.distributions", "from_torch"),
        ("numpyro.distributions", "from_numpyro"),
        ("scipy.stats", "from_scipy"),
    ):
        if make != beside and any(kind.__module__.startswith(module) for kind in type(distribution).__mro__):
            return f"; it is a distribution of {module}, whose law {make} makes"
    return ""


@dataclass(frozen=True)
class Library:
    """The facts about a library that the laws of its distributions need.

    Attributes:
        module: ``torch.distributions`` or ``numpyro.distributions``.
        array: turns a numpy array into one of the library in double precision, on the device of the distribution.
        precise: a context in which the library computes in double precision.
        compiled: makes a function of arrays faster, where the library can: JAX otherwise compiles each operation by itself.
        joined: the expression with which the library makes one distribution out of a batch.
        adapters: the names of the functions that make a law and a sampler.
    """

    module: Any
    array: Callable[[np.ndarray], Any]
    precise: Callable[[], contextlib.AbstractContextManager[Any]]
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
    joined: str
    adapters: tuple[str, str]

    def double(self, value: Any) -> np.ndarray:
        """A parameter in double precision. Raises ``BadInput`` if its draws would be too coarse to be judged."""
        kind = str(getattr(value, "dtype", "float64")).removeprefix("torch.")
        if kind in ("bfloat16", "float16"):
            raise BadInput(f"draws in {kind} are too coarse to be judged: give the distribution parameters in float32 or float64")
        return np.asarray(to_numpy(value), dtype=np.float64)

    def numbers(self, value: Any, shape: Sequence[int]) -> np.ndarray:
        """A parameter in double precision, broadcast to this shape."""
        return np.broadcast_to(self.double(value), tuple(shape))

    def kinds(self, *names: str) -> tuple[Any, ...]:
        """Those of the named classes that this version of the library has."""
        return tuple(kind for name in names if isinstance(kind := getattr(self.module, name, None), type))


LawsOf = Callable[[Any, Library], list[Law] | None]
"""The function that finds the laws of a batch of distributions, for those that are made of others."""
