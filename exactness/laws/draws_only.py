"""Two rules for laws that are known only by draws: they do not judge themselves, and certificates say what they are worth."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

from ..arrays import is_array, to_numpy
from ..errors import BadInput
from .base import Discrete, Drawable, Innovating, Law, Mixed, Projected, Scored, Transformed

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)
# Classes that Python code has defined; what others hold cannot be looked at.
_DEFINED_IN_PYTHON = 1 << 9


def known_by_draws(law: Law) -> bool:
    """Whether the only thing that is known of a law is how to draw from it."""
    output, more = law.output_law, (Discrete, Mixed, Projected, Scored, Transformed)
    return isinstance(output, Drawable) and not isinstance(output, more) and not isinstance(law, Innovating)


def caveat_of(law: Law) -> str | None:
    """The sentence that a certificate adds if its law is known only by draws; None for other laws."""
    if not known_by_draws(law):
        return None
    return (
        f"the law is known only by the draws of {getattr(law, 'name', type(law).__name__)}, which nobody checked: an error that "
        "both samplers share is not seen"
    )


def refuse_itself(sample: object, law: Law) -> None:
    """Raise ``BadInput`` if a sampler would be certified by its own draws."""
    if not known_by_draws(law):
        return
    assert isinstance(law.output_law, Drawable)
    if same_sampler(sample, getattr(law, "trusted", None)) or same_sampler(sample, law.output_law.sample):
        raise BadInput(
            "this sampler would be compared with itself, so whatever it does would be certified: give another sampler, or a law "
            "that does not come from its draws (exactness.DensityLaw, UnivariateLaw, RosenblattLaw, DiscreteLaw; from_torch, "
            "from_numpyro and from_scipy make one of a distribution)"
        )


def same_sampler(one: object, other: object) -> bool:
    """Whether two functions are the same code with the same data: the one rule for what "the same sampler" means.

    Functions are compared by their code, defaults and closures, bound methods and partial functions by their parts, and objects by
    their class and what they hold. A function that merely calls the other one counts as another sampler.

    >>> import numpy as np
    >>> def normals(scale):
    ...     return lambda n, seed: scale * np.random.default_rng(seed).standard_normal((n, 1))
    >>> same_sampler(normals(1.0), normals(1.0)), same_sampler(normals(1.0), normals(1.1))
    (True, False)
    """
    return callable(one) and callable(other) and _same(one, other, set())


def _same(a: Any, b: Any, seen: set[tuple[int, int]]) -> bool:
    if a is b or (id(a), id(b)) in seen:
        return True
    if type(a) is not type(b):
        return False
    seen.add((id(a), id(b)))
    if isinstance(a, _PLAIN):
        return bool(a == b) or bool(a != a and b != b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y, seen) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], seen) for key in a)
    if isinstance(a, (types.FunctionType, types.MethodType, functools.partial)):
        return all(_same(x, y, seen) for x, y in zip(_parts(a), _parts(b), strict=True))
    if isinstance(a, types.CodeType):
        return a == b
    if isinstance(a, types.CellType):
        return _same(_content(a), _content(b), seen)
    if is_array(a):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)
    known = all(kind is object or kind.__flags__ & _DEFINED_IN_PYTHON for kind in type(a).__mro__)
    return known and hasattr(a, "__dict__") and _same(vars(a), vars(b), seen)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # The variable has no value yet.
        return None


def _parts(function: Any) -> tuple[object, ...]:
    if isinstance(function, functools.partial):
        return function.func, function.args, function.keywords
    if isinstance(function, types.MethodType):
        return function.__func__, function.__self__
    # Functions of the same module share their globals.
    return function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__, function.__module__
