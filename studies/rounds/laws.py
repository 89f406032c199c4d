"""The laws whose chains are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from exactness_samplers.schedules import cosine_betas, ddpm, rectified_flow
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.processes import Process


@dataclass(frozen=True)
class Law:
    """``process`` takes the number of steps; ``variance`` is that inside a mode, where it is known."""

    process: Callable[[int], Process]
    variance: float | None
    chains: int = 200
    network: bool = False


def _mixture(means: np.ndarray, variances: np.ndarray, flow: float = 0.0) -> Callable[[int], Process]:
    weights = np.full(len(means), 1.0 / len(means))

    def process(steps: int) -> Process:
        schedule = rectified_flow(steps, flow) if flow else ddpm(cosine_betas(steps), "small")
        return Process(schedule, MixtureDenoiser(schedule, weights, means, variances), "sample", means.shape[1])

    return process


@cache
def laws() -> dict[str, Law]:
    from exactness_samplers.torch.networks import digits_network
    from sklearn.datasets import load_digits

    angle, axis = np.arange(8) * np.pi / 4, np.linspace(-2.0, 2.0, 5)
    ring = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(25, 2)
    two, pictures = np.array([[2.0, 0.0], [-1.0, 0.0]]), load_digits().data / 8.0 - 1.0
    flat = lambda means, variance: np.full(len(means), variance)  # noqa: E731

    def network(steps: int) -> Process:
        schedule = ddpm(cosine_betas(steps), "small")
        return Process(schedule, digits_network(schedule), "sample", 64)

    return {
        "two modes": Law(_mixture(two, flat(two, 0.15)), 0.15),
        "ring": Law(_mixture(ring, flat(ring, 0.02)), 0.02),
        "grid, churn 0.3": Law(_mixture(grid, flat(grid, 0.04), flow=0.3), 0.04),
        "grid, churn 1": Law(_mixture(grid, flat(grid, 0.04), flow=1.0), 0.04),
        "grid, churn 2": Law(_mixture(grid, flat(grid, 0.04), flow=2.0), 0.04),
        "digits mixture": Law(_mixture(pictures, flat(pictures, 0.05)), 0.05, chains=100),
        "digits network": Law(network, None, chains=100, network=True),
    }
