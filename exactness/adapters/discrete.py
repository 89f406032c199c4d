"""Laws of the discrete distributions of scipy, torch and numpyro, from their mass functions and never from their samplers."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, to_numpy
from ..laws import DiscreteLaw, Law

if TYPE_CHECKING:
    from .libraries import Library

# torch has the first of these classes, and numpyro the others.
_LABELS = ("Categorical", "CategoricalProbs", "CategoricalLogits")
_ONE_HOT = ("OneHotCategorical",)
_MULTINOMIAL = ("Multinomial", "MultinomialProbs", "MultinomialLogits", "DirichletMultinomial")
# Random vectors are judged as values of their own if they have at most this many.
_MOST_VECTORS = 1 << 16
# JAX compiles a mass function again for each number of values, so this is made to be one of few.
_LEAST_VALUES = 256

LogMass = Callable[[np.ndarray], np.ndarray]
"""A function of values (m, *event_shape) -> log-probabilities (m, batch)."""


def discrete_laws(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of discrete distributions of torch or numpyro, from their mass functions in double precision.

    None for other distributions, and for random vectors with too many values. Draws are flattened.
    """
    if not _is_discrete(distribution):
        return None
    name, count = type(distribution).__name__, math.prod(distribution.batch_shape)
    log_mass = (
        _log_mass_of_torch(distribution) if library.module.__name__.startswith("torch") else _log_mass_of_jax(distribution, library)
    )
    if tuple(distribution.event_shape):
        vectors = _vectors(distribution, library) if count == 1 else None
        if vectors is None:
            return None
        p = np.exp(log_mass(vectors)[:, 0])
        if isinstance(distribution, library.kinds(*_ONE_HOT)):
            p = np.asarray(to_numpy(distribution.probs), dtype=np.float64).reshape(-1)
        return [DiscreteLaw(p / p.sum(), values=vectors.reshape(len(vectors), -1), name=name)]
    if isinstance(distribution, library.kinds(*_LABELS)):
        # Not by log_prob: torch replaces probabilities of 0 by the rounding of its dtype.
        p = np.asarray(to_numpy(distribution.probs), dtype=np.float64)
        return [DiscreteLaw(row / row.sum(), name=name) for row in p.reshape(count, -1)]
    ends = [np.broadcast_to(end, tuple(distribution.batch_shape)).reshape(-1) for end in _ends(distribution.support)]
    return [
        DiscreteLaw.from_log_mass(lambda k, i=i: log_mass(k)[:, i], support=(float(low), float(high)), name=name)  # type: ignore[misc]
        for i, (low, high) in enumerate(zip(*ends, strict=True))
    ]


def discrete_law_of_scipy(distribution: Any, name: str) -> DiscreteLaw | None:
    """The law of a discrete distribution of scipy, a frozen one or a random variable of scipy >= 1.15; None for all others."""
    from scipy import stats

    family = getattr(distribution, "dist", distribution)
    if isinstance(family, stats.rv_discrete) and hasattr(family, "xk"):
        loc = float(distribution.support()[0]) - float(family.xk[0])
        return DiscreteLaw(np.asarray(family.pk), values=np.asarray(family.xk) + loc, name=name)
    kinds = {kind.__name__ for kind in type(distribution).__mro__}
    if not (isinstance(family, stats.rv_discrete) or "DiscreteDistribution" in kinds) or np.ndim(distribution.support()[0]):
        return None
    low, high = (float(end) for end in distribution.support())
    # Without a support, the parameters are out of range, and the caller says so.
    return DiscreteLaw.from_log_mass(distribution.logpmf, support=(low, high), name=name) if low <= high else None


def law_of_counts(log_mass: Callable[[np.ndarray], Any], total: int, size: int, name: str) -> DiscreteLaw | None:
    """The law of ``size`` counts with this total and mass function, (V, size) -> (V,). None if they have too many values."""
    vectors = _counts(total, size)
    if vectors is None:
        return None
    p = np.exp(np.asarray(log_mass(vectors.astype(np.int64)), dtype=np.float64))
    return DiscreteLaw(p / p.sum(), values=vectors, name=name)


def whole_numbers(draws: Array) -> Array:
    """Draws as the library returned them, but with booleans as integers."""
    narrow = str(draws.dtype).removeprefix("torch.") == "bool"
    return draws + 0 if narrow else draws


def _is_discrete(distribution: Any) -> bool:
    try:
        return bool(distribution.support.is_discrete)
    except (NotImplementedError, AttributeError):
        return False


def _ends(support: Any) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of a constraint: an interval of integers, a half line, or the booleans."""
    inner = getattr(support, "base_constraint", support)
    if not hasattr(inner, "lower_bound") and not hasattr(inner, "upper_bound"):
        boolean = "boolean" in type(inner).__name__.lower()
        return np.array(0.0 if boolean else -math.inf), np.array(1.0 if boolean else math.inf)
    low, high = (
        np.asarray(to_numpy(end) if hasattr(end, "dtype") else end, dtype=np.float64)
        for end in (getattr(inner, "lower_bound", -math.inf), getattr(inner, "upper_bound", math.inf))
    )
    return low, high


def _vectors(distribution: Any, library: Library) -> np.ndarray | None:
    """All values of a random vector, (V, d). None if there are too many, or if they are not known."""
    (size, *more) = distribution.event_shape
    if more:
        return None
    if isinstance(distribution, library.kinds(*_ONE_HOT)):
        return np.eye(size) if size * size <= _MOST_VECTORS * 256 else None
    if isinstance(distribution, library.kinds(*_MULTINOMIAL)):
        return _counts(int(distribution.total_count), size)
    if isinstance(distribution, library.kinds("Independent")):
        low, high = (np.broadcast_to(end, (size,)) for end in _ends(distribution.base_dist.support))
        if not np.prod(high - low + 1.0) <= _MOST_VECTORS:
            return None
        return np.array(list(itertools.product(*(np.arange(a, b + 1.0) for a, b in zip(low, high, strict=True)))))
    return None


def _counts(total: int, size: int) -> np.ndarray | None:
    """All ways to divide a total into counts, (V, size). None if there are too many."""
    if math.comb(total + size - 1, size - 1) > _MOST_VECTORS:
        return None
    # Each choice of size - 1 bars among total + size - 1 places divides the total into counts.
    bars = np.array(list(itertools.combinations(range(total + size - 1), size - 1)), dtype=np.float64).reshape(-1, size - 1)
    edges = np.column_stack([np.full(len(bars), -1.0), bars, np.full(len(bars), total + size - 1.0)])
    return np.diff(edges, axis=1) - 1.0


def _log_mass_of_torch(distribution: Any) -> LogMass:
    import torch

    exact, event, batch = _in_double(distribution), tuple(distribution.event_shape), tuple(distribution.batch_shape)
    place = next((v.device for v in vars(distribution).values() if isinstance(v, torch.Tensor)), None)

    def log_mass(k: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            points = torch.as_tensor(k, dtype=torch.float64, device=place).reshape(len(k), *(1 for _ in batch), *event)
            return to_numpy(exact.log_prob(points.expand(len(k), *batch, *event))).reshape(len(k), -1)

    return log_mass


def _in_double(distribution: Any) -> Any:
    """A copy of a torch distribution whose parameters are in double precision, and which does not check its values."""
    import torch

    found = copy.copy(distribution)
    found.__dict__["_validate_args"] = False
    for key, value in vars(distribution).items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            found.__dict__[key] = value.detach().double()
        elif isinstance(value, torch.distributions.Distribution):
            found.__dict__[key] = _in_double(value)
    return found


def _log_mass_of_jax(distribution: Any, library: Library) -> LogMass:
    import jax
    import jax.numpy as jnp

    event, batch = tuple(distribution.event_shape), tuple(distribution.batch_shape)

    def doubled(leaf: Any) -> Any:
        array = np.asarray(leaf)
        return jnp.asarray(array, dtype=jnp.float64) if np.issubdtype(array.dtype, np.floating) else leaf

    def log_mass(k: np.ndarray) -> np.ndarray:
        with library.precise(), library.module.distribution.validation_enabled(False):
            exact = jax.tree_util.tree_map(doubled, distribution)
            size = max(_LEAST_VALUES, 4 ** math.ceil(math.log(len(k), 4)))
            padded = jnp.asarray(np.resize(k, (size, *k.shape[1:]))).reshape(size, *(1 for _ in batch), *event)
            found = exact.log_prob(jnp.broadcast_to(padded, (size, *batch, *event)))
            return np.asarray(found, dtype=np.float64).reshape(size, -1)[: len(k)]

    return log_mass
