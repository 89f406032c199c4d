"""Right Markov kernels, for each of the four claims that can be made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import exactness as ex

Sampler = Callable[[int, int], np.ndarray]
_MODES = ex.GaussianMixture([0.6, 0.4], [[1.2, 0.0], [-1.0, 0.5]], [0.6, 0.4])
_RHO = 0.8
_TILTED = ex.GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, _RHO], [_RHO, 1.0]]])


def _proposed(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = x + 0.8 * generator.standard_normal(x.shape)
    accepted = np.log(generator.random(len(x))) < _MODES.log_density(y) - _MODES.log_density(x)
    return np.where(accepted[:, None], y, x), y, accepted


def _scan(x: np.ndarray, seed: int) -> np.ndarray:
    """Gibbs sampling in a fixed order, which is not reversible."""
    generator, sd = np.random.default_rng(seed), (1.0 - _RHO**2) ** 0.5
    first = _RHO * x[:, 1] + sd * generator.standard_normal(len(x))
    return np.stack([first, _RHO * first + sd * generator.standard_normal(len(x))], axis=1)


def _prior(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2))


def _simulate(theta: np.ndarray, seed: int) -> np.ndarray:
    return theta[:, :1] + np.exp(0.3 * theta[:, 1:]) * np.random.default_rng(seed).standard_normal((len(theta), 4))


def _log_joint(theta: np.ndarray, data: np.ndarray) -> np.ndarray:
    residual = (data - theta[:, :1]) * np.exp(-0.3 * theta[:, 1:])
    return -0.5 * np.square(theta).sum(1) - 0.5 * np.square(residual).sum(1) - 1.2 * theta[:, 1]


def _posterior_walk(theta: np.ndarray, data: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    y = theta + 0.6 * generator.standard_normal(theta.shape)
    accepted = np.log(generator.random(len(y))) < _log_joint(y, data) - _log_joint(theta, data)
    return np.where(accepted[:, None], y, theta)


def _pair(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The scan, with a maximal coupling of each of its draws."""
    generator, sd = np.random.default_rng(seed), (1.0 - _RHO**2) ** 0.5
    for i in (0, 1):
        a, b = _RHO * x[:, 1 - i], _RHO * y[:, 1 - i]
        new = a + sd * generator.standard_normal(len(a))
        same = np.log(generator.random(len(a))) < 0.5 * ((new - a) ** 2 - (new - b) ** 2) / sd**2
        x, y = x.copy(), y.copy()
        x[:, i], y[:, i] = new, np.where(same, new, b - (new - a))
    return x, y


def _draws(sampler: Callable[[int, int], Any]) -> Sampler:
    """The draws without their costs."""
    return lambda n, seed: sampler(n, seed)[0]


def kernels() -> dict[str, tuple[ex.Law, Sampler, int]]:
    """By the name of the claim: its law, a right sampler, and the number of draws in a certificate."""
    walk = ex.KernelInvariance(_MODES)
    scan = ex.KernelInvariance(_TILTED, reversible=False, steps=2)
    joint = ex.JointLaw(_prior, _simulate, quantities={"log joint": _log_joint}, steps=3)
    steps = ex.Transition(_MODES, propose=0.8)
    pairs = ex.Coupled(scan, start=[3.0, -3.0], steps=6)
    return {
        "kernel": (walk, _draws(walk.moved_by(lambda x, seed: _proposed(x, seed)[0])), 500),
        "kernel that is not reversible": (scan, _draws(scan.moved_by(_scan)), 500),
        "joint law": (joint, _draws(joint.moved_by(_posterior_walk)), 500),
        "transition": (steps, steps.moved_by(_proposed, start=[4.0, 4.0]), 500),
        "coupled chains": (pairs, _draws(pairs.moved_by(_pair)), 500),
    }
