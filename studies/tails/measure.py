"""How often the test rejects exact draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

import exactness as ex
from exactness.batteries.kernels import _FACTORS, moments_of_waves
from exactness.evidence.summaries import Embedding

LEVELS = (0.05, 0.01, 0.001)


def mixtures() -> dict[str, ex.GaussianMixture]:
    generator = np.random.default_rng(0)
    three = [[1.5, 0.0, 0.0], [-1.0, 1.0, 0.5], [0.0, -1.5, 1.0]]
    return {
        "two components, d = 2": ex.GaussianMixture([0.6, 0.4], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2]),
        "three components, d = 3": ex.GaussianMixture([0.5, 0.3, 0.2], three, [0.4, 0.2, 0.3]),
        "a rare far component, d = 1": ex.GaussianMixture([0.99, 0.01], [[0.0], [1e3]], [1.0, 1.0]),
        "four components, d = 8": ex.GaussianMixture([0.4, 0.3, 0.2, 0.1], 2.0 * generator.standard_normal((4, 8)), np.ones(4)),
    }


def statistics(mixture: ex.GaussianMixture, factor: float, certificates: int, seed: int) -> tuple[np.ndarray, int, int]:
    """n |white mean|^2 for this many samples, its degrees of freedom, and n."""
    generator = np.random.default_rng(seed)
    omega = generator.standard_normal((32, mixture.dim)) / (factor * mixture.typical_distance())
    mean, covariance = moments_of_waves(mixture, omega)
    embedding = Embedding(mean, covariance, 1.0 + float(np.linalg.norm(mean)), 2.0)
    n = embedding._fewest
    found = np.empty(certificates)
    for i in range(certificates):
        angle = mixture.sample(n, int(generator.integers(1 << 31))) @ omega.T
        waves = np.concatenate([np.cos(angle).mean(0), np.sin(angle).mean(0)]) / 32**0.5
        white = (waves - mean) @ embedding._whiten
        found[i] = n * white @ white
    return found, embedding._whiten.shape[1], n


def measured(certificates: int) -> Iterator[dict[str, Any]]:
    """The number of p-values up to each level, for every law and bandwidth."""
    jobs = [(name, mixture, factor) for name, mixture in mixtures().items() for factor in _FACTORS]
    for seed, (name, mixture, factor) in enumerate(jobs):
        found, freedom, n = statistics(mixture, factor, certificates, seed)
        counts = [int((found >= stats.chi2.isf(level, freedom)).sum()) for level in LEVELS]
        yield {"law": name, "factor": factor, "n": n, "freedom": freedom, "counts": counts, "certificates": certificates}
