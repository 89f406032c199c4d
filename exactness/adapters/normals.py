"""Normals and their mixtures in torch and numpyro, whose classes have the same names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..laws import GaussianMixture, Law

if TYPE_CHECKING:
    from .libraries import Library


def normals_of(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of normals, or of mixtures of normals; None for other distributions."""
    weights, components, batch = None, distribution, math.prod(distribution.batch_shape)
    if type(distribution) in library.kinds("MixtureSameFamily"):
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
    # numpyro wraps a distribution that was expanded. A subclass of the user's may differ, so types are compared.
    while type(inner) in library.kinds("Independent", "ExpandedDistribution"):
        inner = inner.base_dist
    name = type(inner).__name__
    if type(inner) is not getattr(library.module, name, None):
        return None
    if name == "Normal" and len(event) < 2:
        loc, scale = (library.numbers(v, batch + event) for v in (inner.loc, inner.scale))
        return (loc, scale**2) if event else (loc[..., None], scale[..., None] ** 2)
    if name not in _ROOTS or event != tuple(inner.event_shape):
        return None
    loc, root = (library.double(v) for v in _ROOTS[name](inner))
    size = math.prod(event)
    covariance = root @ np.swapaxes(root, -1, -2)
    loc = np.broadcast_to(loc.reshape(*loc.shape[: max(loc.ndim - len(event), 0)], -1), (*batch, size))
    return loc, np.broadcast_to(covariance, (*batch, size, size))


def _low_rank(d: Any) -> tuple[Any, Any]:
    factor, diagonal = (np.asarray(to_numpy(v), dtype=np.float64) for v in (d.cov_factor, d.cov_diag))
    return d.loc, np.concatenate([factor, np.sqrt(diagonal)[..., None] * np.eye(diagonal.shape[-1])], axis=-1)


def _matrix(d: Any) -> tuple[Any, Any]:
    """Rows and columns are correlated; flattened by rows, the root of the covariance is a Kronecker product."""
    rows, columns = (np.asarray(to_numpy(v), dtype=np.float64) for v in (d.scale_tril_row, d.scale_tril_column))
    root = rows[..., :, None, :, None] * columns[..., None, :, None, :]
    return d.loc, root.reshape(*root.shape[:-4], root.shape[-4] * root.shape[-3], -1)


def _walk(d: Any) -> tuple[Any, Any]:
    return np.zeros(d.num_steps), np.asarray(d.scale)[..., None, None] * np.tri(d.num_steps)


def _state_space(d: Any) -> tuple[Any, Any]:
    """x_t = A x_{t-1} + noise: the root has the blocks A^(t-s) L."""
    a, lower = (np.asarray(to_numpy(v), dtype=np.float64) for v in (d.transition_matrix, d.scale_tril))
    steps, size = d.num_steps, a.shape[-1]
    powers = [np.linalg.matrix_power(a, k) for k in range(steps + 1)]
    root = np.zeros((*lower.shape[:-2], steps, size, steps, size))
    for t in range(steps):
        for s in range(t + 1):
            root[..., t, :, s, :] = powers[t - s] @ lower
    start = np.zeros(size) if getattr(d, "_initial_value", None) is None else np.asarray(d._initial_value, dtype=np.float64)
    loc = np.stack([start @ powers[t + 1].T for t in range(steps)], axis=-2)
    return loc, root.reshape(*lower.shape[:-2], steps * size, steps * size)


def _by_precision(d: Any) -> tuple[Any, Any]:
    return d.loc, np.linalg.cholesky(np.linalg.inv(np.asarray(to_numpy(d.precision_matrix), dtype=np.float64)))


def _by_covariance(d: Any) -> tuple[Any, Any]:
    return d.loc, np.linalg.cholesky(np.asarray(to_numpy(d.covariance_matrix), dtype=np.float64))


_ROOTS = {
    "MultivariateNormal": lambda d: (d.loc, d.scale_tril),
    "LowRankMultivariateNormal": _low_rank,
    "MatrixNormal": _matrix,
    "GaussianRandomWalk": _walk,
    "GaussianStateSpace": _state_space,
    "CAR": _by_precision,
    "CirculantNormal": _by_covariance,
}
"""The mean of a normal, and a root of its covariance."""
