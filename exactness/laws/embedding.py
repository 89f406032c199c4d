"""The mean embedding of a Gaussian mixture in the space of a Gaussian kernel k(x, y) = exp(-|x - y|^2/(2 h^2)).

It has a closed form, because k(x, .) is (2 pi h^2)^(d/2) times the density of N(x, h^2 I), and Gaussians convolve to Gaussians.
"""

from __future__ import annotations

import numpy as np

from .mixtures import GaussianMixture


def kernel_at(mixture: GaussianMixture, x: np.ndarray, bandwidth: float) -> np.ndarray:
    """E k(x, X) at each row x, for X drawn from the mixture: (n, d) -> (n,).

    >>> normal = GaussianMixture([1.0], [[0.0]], [1.0])
    >>> kernel_at(normal, np.zeros((1, 1)), bandwidth=1.0).round(4)  # 1/sqrt(2)
    array([0.7071])
    """
    smooth = _widened(mixture, bandwidth**2 * np.eye(mixture.dim))
    return np.exp(smooth.log_density(x) + 0.5 * mixture.dim * np.log(2.0 * np.pi * bandwidth**2))


def kernel_between(mixture: GaussianMixture, bandwidth: float) -> float:
    """E k(X, X') for two independent draws of the mixture.

    >>> round(kernel_between(GaussianMixture([1.0], [[0.0]], [1.0]), bandwidth=1.0), 4)  # 1/sqrt(3)
    0.5774
    """
    total = 0.0
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.full_covariances(), strict=True):
        smooth = _widened(mixture, covariance + bandwidth**2 * np.eye(mixture.dim))
        log_density = smooth.log_density(mean[None])[0]
        total += weight * np.exp(log_density + 0.5 * mixture.dim * np.log(2.0 * np.pi * bandwidth**2))
    return float(total)


def _widened(mixture: GaussianMixture, more: np.ndarray) -> GaussianMixture:
    return GaussianMixture(mixture.weights, mixture.means, mixture.full_covariances() + more)
