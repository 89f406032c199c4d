"""Normals and their mixtures in torch and numpyro, whose classes have the same names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..laws import GaussianMixture, Law

if TYPE_CHECKING:
    from .libraries import Library


def normals_of(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of normals, or of mixtures of normals; None for other distributions."""
    weights, components, batch = None, distribution, math.prod(distribution.batch_shape)
    if isinstance(distribution, library.kinds("MixtureSameFamily")):
        weights, components = mixing_weights(distribution, library), distribution.component_distribution
    moments = _moments(components, library)
    if moments is None:
        return None
    means, covariances = moments
    count, last = math.prod(means.shape[:-1]) // batch, means.ndim - 1
    shares = (
        np.ones((batch, 1)) if weights is None else np.broadcast_to(weights, (*distribution.batch_shape, count)).reshape(batch, -1)
    )
    parts = [np.array(m).reshape(batch, count, *m.shape[last:]) for m in (means, covariances)]
    return [GaussianMixture(w, m, c) for w, m, c in zip(shares, *parts, strict=True)]


def mixing_weights(distribution: Any, library: Library) -> np.ndarray:
    """The weights of a mixture, (..., components)."""
    mixing = getattr(distribution, "mixture_distribution", None) or distribution.mixing_distribution
    weights = library.double(mixing.probs)
    # In single precision, the sum of the probabilities is one only up to rounding.
    return weights / weights.sum(axis=-1, keepdims=True)


def _moments(distribution: Any, library: Library) -> tuple[np.ndarray, np.ndarray] | None:
    """The means (..., d) and the variances (..., d) or covariances (..., d, d) of a batch of normals; None for other families."""
    batch, event, inner = tuple(distribution.batch_shape), tuple(distribution.event_shape), distribution
    # numpyro wraps a distribution that was expanded.
    while isinstance(inner, library.kinds("Independent", "ExpandedDistribution")):
        inner = inner.base_dist
    if isinstance(inner, library.module.Normal) and len(event) < 2:
        loc, scale = (library.numbers(v, batch + event) for v in (inner.loc, inner.scale))
        return (loc, scale**2) if event else (loc[..., None], scale[..., None] ** 2)
    if isinstance(inner, library.module.MultivariateNormal) and len(event) == 1:
        root = library.double(inner.scale_tril)
        covariance = root @ np.swapaxes(root, -1, -2)
        return library.numbers(inner.loc, batch + event), np.broadcast_to(covariance, batch + event + event)
    return None
