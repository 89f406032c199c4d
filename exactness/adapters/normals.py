"""Laws of the distributions of torch and numpyro, whose classes have the same names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, to_numpy
from ..errors import BadInput
from ..laws import GaussianMixture, Law, TrustedSampler, UnivariateLaw
from .discrete import discrete_law_of


def law_of(
    distribution: Any, library: Any, array: Callable[[np.ndarray], Array], draw: Callable[[int, int], Array], joined: str
) -> Law:
    """Make the strongest law of a distribution that is possible: a mixture of normals, a cdf, or its draws.

    Args:
        distribution: a distribution of the library.
        library: ``torch.distributions`` or ``numpyro.distributions``.
        array: a function that turns a numpy array into one of the library, on the device of the distribution.
        draw: ``draw(n, seed)`` -> (n, d).
        joined: the expression with which the library makes one distribution out of a batch.

    Raises:
        BadInput: if it is not a distribution of the library, if it is a batch of several, or if it has fewer bits than float32.
    """
    if not isinstance(distribution, library.Distribution):
        raise BadInput(f"this must be a distribution of {library.__name__}; got {type(distribution).__name__}")
    if math.prod(distribution.batch_shape) != 1:
        raise BadInput(
            f"a batch of {math.prod(distribution.batch_shape)} distributions, batch_shape {tuple(distribution.batch_shape)}, is "
            f"not one law: if its coordinates are independent, write {joined}"
        )
    if (discrete := discrete_law_of(distribution, library)) is not None:
        return discrete
    kind = str(draw(1, 0).dtype).removeprefix("torch.")
    if "float" in kind and kind not in ("float32", "float64"):
        raise BadInput(f"draws in {kind} are too coarse to be judged: give the distribution parameters in float32 or float64")
    mixture, name = _mixture_of(distribution, library), type(distribution).__name__
    if mixture is not None:
        return mixture
    shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    if math.prod(shape) == 1 and not distribution.support.is_discrete:
        try:
            return UnivariateLaw(_cdf_of(distribution, shape, array, draw), name=name)
        except (NotImplementedError, BadInput):  # It has no cdf, or one that fails far out (torch's Gumbel). Its draws are right.
            pass
    return TrustedSampler(draw, name=name)


def _mixture_of(distribution: Any, library: Any) -> GaussianMixture | None:
    weights, components = np.ones(1), distribution
    if isinstance(distribution, library.MixtureSameFamily):
        name = "mixture_distribution" if library.__name__.startswith("torch") else "mixing_distribution"
        weights = _double(getattr(distribution, name).probs).reshape(-1)
        components = distribution.component_distribution
    moments = _moments(components, library)
    if moments is None:
        return None
    means, covariances = moments
    count, last = len(weights), means.ndim - 1
    # In single precision, the sum of the probabilities is one only up to rounding.
    weights = weights / weights.sum()
    return GaussianMixture(weights, *(np.array(m).reshape(count, *m.shape[last:]) for m in (means, covariances)))


def _moments(distribution: Any, library: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The means (..., d) and the variances (..., d) or covariances (..., d, d) of a batch of normals; None for other families."""
    batch, event, inner = tuple(distribution.batch_shape), tuple(distribution.event_shape), distribution
    # numpyro wraps a distribution that was expanded.
    expanded: Any = getattr(library, "ExpandedDistribution", ())
    while isinstance(inner, (library.Independent, expanded)):
        inner = inner.base_dist
    if isinstance(inner, library.Normal) and len(event) < 2:
        loc, scale = (np.broadcast_to(_double(v), batch + event) for v in (inner.loc, inner.scale))
        return (loc, scale**2) if event else (loc[..., None], scale[..., None] ** 2)
    if isinstance(inner, library.MultivariateNormal) and len(event) == 1:
        root = _double(inner.scale_tril)
        covariance = root @ np.swapaxes(root, -1, -2)
        return np.broadcast_to(_double(inner.loc), batch + event), np.broadcast_to(covariance, batch + event + event)
    return None


def _cdf_of(distribution: Any, shape: tuple[int, ...], array: Callable, draw: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """The cdf, with 0 or 1 outside the support, where libraries raise or return arbitrary values."""
    inside_point = float(to_numpy(draw(1, 0)).reshape(()))

    def cdf(t: np.ndarray) -> np.ndarray:
        points = array(t.reshape(-1, *shape))
        inside = to_numpy(distribution.support.check(points)).reshape(-1)
        values = np.where(t > inside_point, 1.0, 0.0)
        if inside.any():
            values[inside] = to_numpy(distribution.cdf(points[inside])).reshape(-1)
        return values

    cdf(np.array([inside_point]))
    return cdf


def _double(values: Array) -> np.ndarray:
    return np.asarray(to_numpy(values), dtype=np.float64)
