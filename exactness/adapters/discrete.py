"""Laws of the discrete distributions of scipy, torch and numpyro, from their mass functions and never from their samplers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, to_numpy
from ..laws import DiscreteLaw
from ..laws.discrete import OneHotLaw

# torch has the first of these classes, and numpyro the others.
_LABELS = ("Categorical", "CategoricalProbs", "CategoricalLogits")
# JAX compiles a mass function again for each number of values, so this is made to be one of few.
_LEAST_VALUES = 256


def discrete_law_of(distribution: Any, library: Any) -> DiscreteLaw | None:
    """The law of a distribution of torch or numpyro over whole numbers or one-hot vectors; None for every other distribution.

    The mass function is computed in double precision from the parameters as they are.

    Args:
        distribution: a distribution whose batch has one member.
        library: ``torch.distributions`` or ``numpyro.distributions``.
    """
    name, torch = type(distribution).__name__, library.__name__.startswith("torch")
    event = tuple(distribution.event_shape)
    if len(event) == 1 and "OneHotCategorical" in name and torch:
        return OneHotLaw(_normalised(distribution.probs), name=name)
    if event or not _is_discrete(distribution):
        return None
    if any(kind.__name__ in _LABELS for kind in type(distribution).__mro__):
        # Not by log_prob: torch replaces probabilities of 0 by the rounding of its dtype.
        return DiscreteLaw(_normalised(distribution.probs), name=name)
    log_mass = _log_mass_of_torch(distribution) if torch else _log_mass_of_numpyro(distribution)
    return DiscreteLaw.from_log_mass(log_mass, support=_ends(distribution.support), name=name)


def discrete_law_of_scipy(distribution: Any, name: str) -> DiscreteLaw | None:
    """The law of a discrete distribution of scipy, a frozen one or a random variable of scipy >= 1.15; None for all others."""
    from scipy import stats

    family = getattr(distribution, "dist", distribution)
    if isinstance(family, stats.rv_discrete) and hasattr(family, "xk"):
        loc = float(distribution.support()[0]) - float(family.xk[0])
        return DiscreteLaw(np.asarray(family.pk), values=np.asarray(family.xk) + loc, name=name)
    ours = isinstance(family, stats.rv_discrete) or any(
        kind.__name__ == "DiscreteDistribution" for kind in type(distribution).__mro__
    )
    if not ours or np.ndim(distribution.support()[0]):
        return None
    low, high = (float(end) for end in distribution.support())
    if not low <= high:
        return None
    return DiscreteLaw.from_log_mass(distribution.logpmf, support=(low, high), name=name)


def whole_numbers(draws: Array) -> Array:
    """Draws as the library returned them, but with booleans as integers."""
    narrow = str(draws.dtype).removeprefix("torch.") == "bool"
    return draws + 0 if narrow else draws


def _is_discrete(distribution: Any) -> bool:
    try:
        return bool(distribution.support.is_discrete)
    except (NotImplementedError, AttributeError):
        return False


def _ends(support: Any) -> tuple[float, float]:
    """The least and the largest value of a constraint: an interval of integers, a half line, or the booleans."""
    inner = getattr(support, "base_constraint", support)
    if not hasattr(inner, "lower_bound") and not hasattr(inner, "upper_bound"):
        return (0.0, 1.0) if "boolean" in type(inner).__name__.lower() else (-math.inf, math.inf)
    low, high = getattr(inner, "lower_bound", -math.inf), getattr(inner, "upper_bound", math.inf)
    first, last = (float(end.reshape(())) if hasattr(end, "reshape") else float(end) for end in (low, high))
    return first, last


def _normalised(probabilities: Array) -> np.ndarray:
    """Probabilities (V,) in double precision. In single precision, their sum is 1 only up to rounding."""
    p = np.asarray(to_numpy(probabilities), dtype=np.float64).reshape(-1)
    return p / p.sum()


def _log_mass_of_torch(distribution: Any) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    exact = _in_double(distribution)
    place = next((v.device for v in vars(distribution).values() if isinstance(v, torch.Tensor)), None)
    shape = tuple(distribution.batch_shape)

    def log_mass(k: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            points = torch.as_tensor(k, dtype=torch.float64, device=place).reshape(-1, *shape)
            return to_numpy(exact.log_prob(points)).reshape(-1)

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


def _log_mass_of_numpyro(distribution: Any) -> Callable[[np.ndarray], np.ndarray]:
    import jax
    import jax.numpy as jnp
    import numpyro.distributions as library

    shape = tuple(distribution.batch_shape)

    def doubled(leaf: Any) -> Any:
        array = np.asarray(leaf)
        return jnp.asarray(array, dtype=jnp.float64) if np.issubdtype(array.dtype, np.floating) else leaf

    def log_mass(k: np.ndarray) -> np.ndarray:
        # Older versions of JAX have it elsewhere.
        in_double = jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()
        with in_double, library.distribution.validation_enabled(False):
            exact = jax.tree_util.tree_map(doubled, distribution)
            padded = np.resize(k, max(_LEAST_VALUES, 4 ** math.ceil(math.log(len(k), 4))))
            found = np.asarray(exact.log_prob(jnp.asarray(padded).reshape(-1, *shape)), dtype=np.float64)
            return found.reshape(-1)[: len(k)]

    return log_mass
