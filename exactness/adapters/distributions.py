"""Laws of the distributions of torch and numpyro, whose classes have the same names.

A law never comes from the object's own draws, because these are what is judged. It comes from the parameters (normals, counterparts
in scipy, standard constructions), from the inverse of a transformation, or from the log-density, integrated numerically.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import is_array, to_numpy
from ..errors import BadInput
from ..laws import DensityLaw, Law, ProductLaw, RosenblattLaw, UnivariateLaw
from ..laws.base import OnLine
from ..laws.quadrature import every_size
from ..laws.rosenblatt import joined, uniforms_of
from .counterparts import counterpart
from .discrete import discrete_laws
from .libraries import Library, of_another_library, only_draws
from .multivariate import copula, diffusion, family
from .normals import mixing_weights, normals_of


def law_of(distribution: Any, library: Library) -> Law:
    """The law of a distribution of torch or numpyro, from anything but its draws.

    Raises:
        BadInput: if it is not a distribution of the library, if it is a batch of several, or if only its draws are known.
    """
    if not isinstance(distribution, library.module.Distribution):
        raise BadInput(
            f"this must be a distribution of {library.module.__name__}; got {type(distribution).__name__}"
            f"{of_another_library(distribution, beside=library.adapters[0])}"
        )
    if math.prod(distribution.batch_shape) != 1:
        raise BadInput(
            f"a batch of {math.prod(distribution.batch_shape)} distributions, batch_shape {tuple(distribution.batch_shape)}, is "
            f"not one law: if its coordinates are independent, write {library.joined}"
        )
    remedy = only_draws(*library.adapters)
    try:
        laws = laws_of(distribution, library)
    except BadInput as error:
        raise BadInput(f"{error}. {remedy}") from None
    if laws is None:
        raise BadInput(f"nothing but its draws is known of {type(distribution).__name__}. {remedy}")
    return laws[0]


def laws_of(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of distributions, in the order of the batch. Draws are flattened. None if only draws are known."""
    for way in WAYS:
        found = way(distribution, library)
        if found is not None:
            return found
    return None


def _wrapped(distribution: Any, library: Library) -> list[Law] | None:
    """Distributions that repeat, join or mask others."""
    if isinstance(distribution, library.kinds("MaskedDistribution")):
        return laws_of(distribution.base_dist, library)
    if isinstance(distribution, library.kinds("ExpandedDistribution")):
        inner = laws_of(distribution.base_dist, library)
        places = np.arange(math.prod(distribution.base_dist.batch_shape)).reshape(distribution.base_dist.batch_shape)
        return None if inner is None else [inner[i] for i in np.broadcast_to(places, distribution.batch_shape).reshape(-1)]
    if isinstance(distribution, library.kinds("Independent")):
        inner = laws_of(distribution.base_dist, library)
        if inner is None:
            return None
        size = len(inner) // math.prod(distribution.batch_shape)
        return [_product(inner[i : i + size], type(distribution.base_dist).__name__) for i in range(0, len(inner), size)]
    return None


def _product(laws: list[Law], name: str) -> Law:
    if len(laws) == 1:
        return laws[0]
    on_lines: list[Any] = [law for law in laws if isinstance(law, OnLine)]
    return ProductLaw(on_lines) if len(on_lines) == len(laws) else joined(laws, name=f"independent {name}")


def _counterparts(distribution: Any, library: Library) -> list[Law] | None:
    """The parameters of a distribution on the line that scipy has as well."""
    name = type(distribution).__name__
    # A subclass of the user's may differ; only the library's own classes are known.
    found = counterpart(name) if type(distribution) is getattr(library.module, name, None) else None
    if found is None:
        return None
    parameters, make = found
    shape = tuple(distribution.batch_shape)
    values = np.stack([library.numbers(getattr(distribution, p), shape).reshape(-1) for p in parameters], axis=1)
    return [make(*map(float, row)) for row in values]


def _families(distribution: Any, library: Library) -> list[Law] | None:
    """Families in several dimensions with a standard construction."""
    for way in (family, copula, diffusion):
        found = way(distribution, library, laws_of)
        if found is not None:
            return found
    return None


def _mixtures(distribution: Any, library: Library) -> list[Law] | None:
    """Mixtures of distributions on the line."""
    if tuple(distribution.event_shape) or not isinstance(distribution, library.kinds("MixtureSameFamily", "MixtureGeneral")):
        return None
    batch = math.prod(distribution.batch_shape)
    weights = mixing_weights(distribution, library)
    count = weights.shape[-1]
    if hasattr(distribution, "component_distributions"):
        each = [laws_of(part.expand(distribution.batch_shape), library) for part in distribution.component_distributions]
        parts = None if any(p is None for p in each) else [[p[i] for p in each if p is not None] for i in range(batch)]
    else:
        laws = laws_of(distribution.component_distribution, library)
        parts = None if laws is None else [laws[i : i + count] for i in range(0, len(laws), count)]
    if parts is None:
        return None
    rows = np.broadcast_to(weights, (*distribution.batch_shape, count)).reshape(batch, count)
    return [_mixture(w, laws, type(distribution).__name__) for w, laws in zip(rows, parts, strict=True)]


def _mixture(weights: np.ndarray, laws: list[Law], name: str) -> Law:
    parts = [uniforms_of(law) for law in laws]
    ends = [getattr(law, "support", (-math.inf, math.inf)) for law in laws]

    def cdf(t: np.ndarray) -> np.ndarray:
        return np.sum([w * part(t[:, None])[:, 0] for w, part in zip(weights, parts, strict=True)], axis=0)

    return UnivariateLaw(cdf, support=(min(low for low, _ in ends), max(high for _, high in ends)), name=name)


def _transformed(distribution: Any, library: Library) -> list[Law] | None:
    """Invertible transformations of a distribution whose law is known."""
    kinds = library.kinds("TransformedDistribution")
    if not isinstance(distribution, kinds) or any(type(t).__name__ == "AbsTransform" for t in distribution.transforms):
        return None
    base, batch = distribution.base_dist, tuple(distribution.batch_shape)
    laws = laws_of(base, library) if tuple(base.batch_shape) == batch else None
    if laws is None:
        return None
    event, count = tuple(distribution.event_shape), math.prod(batch)

    def undone(y: Any) -> tuple[Any, Any]:
        inside = distribution.support.check(y)
        for transform in reversed(distribution.transforms):
            y = transform.inv(y)
        return y, inside

    undo = library.compiled(undone)

    def inverse(x: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Undo the transformations of x (n, size), as the member in this place of the batch, and say which x are possible."""
        with library.precise():
            # All members of the batch see the same points, and one of them is kept.
            y, inside = map(to_numpy, undo(library.array(np.repeat(x, count, axis=0).reshape(len(x), *batch, *event))))
        return np.asarray(y, dtype=np.float64).reshape(len(x), count, -1)[:, place], np.all(inside.reshape(len(x), -1), axis=1)

    return [_of_inverse(partial(inverse, place=i), law, math.prod(event), distribution) for i, law in enumerate(laws)]


def _of_inverse(inverse: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], law: Law, size: int, distribution: Any) -> Law:
    uniforms, name = uniforms_of(law), type(distribution).__name__
    if size == 1:
        low, high = _ends(distribution.support) or (-math.inf, math.inf)
        points = every_size(low, high)[:, None]
        before, inside = inverse(points)
        good = inside & np.isfinite(before[:, 0])
        falls = bool(np.median(np.sign(np.diff(before[good, 0]))) < 0.0)

        def cdf(t: np.ndarray) -> np.ndarray:
            u = uniforms(np.nan_to_num(inverse(t[:, None])[0], nan=0.0))[:, 0]
            return 1.0 - u if falls else u

        return UnivariateLaw(cdf, support=(low, high), name=name)
    dim = uniforms(np.zeros((0, *law.event_shape))).shape[1]
    facts: dict[str, object] = {"of": law.describe(), "by": [type(t).__name__ for t in distribution.transforms]}
    return RosenblattLaw(
        lambda x: uniforms(inverse(x)[0]),
        shape=size,
        dim=dim,
        varying=range(size),
        inside=lambda x: inverse(x)[1],
        name=name,
        facts=facts,
    )


# log_prob is always evaluated at this many points at a time, because JAX compiles anew for each number.
_POINTS = 1 << 13
# Libraries compute their normalisers in single precision.
_ACCURACY = 1e-6


def _integrated(distribution: Any, library: Library) -> list[Law] | None:
    """Distributions on the line, by integrating their log-density."""
    batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
    ends = None if math.prod(event) != 1 or distribution.support.is_discrete else _ends(distribution.support)
    if ends is None:
        return None
    count, log_prob = math.prod(batch), library.compiled(distribution.log_prob)

    def log_density(t: np.ndarray, place: int) -> np.ndarray:
        found = []
        for i in range(0, len(t), _POINTS):
            part = t[i : i + _POINTS]
            full = np.repeat(np.pad(part, (0, _POINTS - len(part)), mode="edge"), count).reshape(_POINTS, *batch, *event)
            with library.precise():
                values = np.asarray(to_numpy(log_prob(library.array(full))), dtype=np.float64)
            found.append(values.reshape(_POINTS, count)[: len(part), place])
        return np.concatenate(found)

    try:
        log_density(np.array([0.5]), 0)
    except NotImplementedError:
        return None
    except ValueError:  # outside the support
        pass
    name = type(distribution).__name__
    return [
        DensityLaw(partial(log_density, place=i), support=ends, normalised=True, accuracy=_ACCURACY, name=name)
        for i in range(count)
    ]


def _ends(constraint: Any) -> tuple[float, float] | None:
    """The ends of the interval that a constraint describes; None for other constraints."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    name = type(constraint).__name__.strip("_").lower()
    if name == "real":
        return -math.inf, math.inf
    ends = getattr(constraint, "lower_bound", -math.inf), getattr(constraint, "upper_bound", math.inf)
    if ends == (-math.inf, math.inf) or any(np.size(to_numpy(end) if is_array(end) else end) != 1 for end in ends):
        return None
    low, high = (float(end) for end in ends)
    return (low, high) if low < high else None


WAYS = (discrete_laws, normals_of, _wrapped, _counterparts, _families, _mixtures, _transformed, _integrated)
"""The ways to the law of a distribution, the best first."""
