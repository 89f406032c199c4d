"""Strategies for Markov kernels that keep a law, and for small models with exact posterior samplers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..laws import GaussianMixture, JointLaw, KernelInvariance
from .laws import dims, mixtures


@dataclass(frozen=True)
class KernelOf:
    """A right kernel: ``law`` is its invariance, and ``kernel(x, seed)`` moves states (n, d)."""

    name: str
    law: KernelInvariance
    kernel: Callable[[np.ndarray, int], np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class ModelOf:
    """A model with an exact sampler of its posterior: ``kernel(theta, data, seed)``, in ``law``."""

    law: JointLaw
    kernel: Callable[[np.ndarray, Any, int], np.ndarray] = field(repr=False)


def _walk(target: GaussianMixture, width: float, rule: str) -> Callable[[np.ndarray, int], np.ndarray]:
    def kernel(x: np.ndarray, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        y = x + width * generator.standard_normal(x.shape)
        ratio = target.log_density(y) - target.log_density(x)
        log_chance = np.minimum(ratio, 0.0) if rule == "metropolis" else -np.logaddexp(0.0, -ratio)
        return np.where((np.log(generator.random(len(x))) < log_chance)[:, None], y, x)

    return kernel


def _independent(target: GaussianMixture, keep: float) -> Callable[[np.ndarray, int], np.ndarray]:
    """Stays with probability ``keep``, and otherwise draws afresh."""

    def kernel(x: np.ndarray, seed: int) -> np.ndarray:
        stays = np.random.default_rng(seed).random(len(x)) < keep
        return np.where(stays[:, None], x, target.sample(len(x), seed + 1))

    return kernel


@st.composite
def kernels(draw: st.DrawFn, most_dim: int = 2) -> KernelOf:
    """Reversible kernels on Gaussian mixtures: random walks with two rules of acceptance, and draws that are sometimes renewed.

    >>> from hypothesis import find
    >>> find(kernels(), lambda one: True).name
    'renewal'
    """
    target = draw(mixtures(dim=dims(most_dim), condition=10.0, least=1e-3))
    kind = draw(st.sampled_from(["renewal", "metropolis", "barker"]))
    if kind == "renewal":
        kernel = _independent(target, draw(st.sampled_from([0.0, 0.5, 0.9])))
    else:
        # Standard deviations are at most 1, and at least a third of that.
        width = 2.0 ** -draw(st.integers(0, 3))
        kernel = _walk(target, width, kind)
    return KernelOf(kind, KernelInvariance(target), kernel)


@st.composite
def models(draw: st.DrawFn, most_observations: int = 6) -> ModelOf:
    """Normal means with a normal prior, whose posterior is known: observations with a common or a different precision each.

    >>> from hypothesis import find
    >>> find(models(), lambda model: True).law.event_shape
    (3,)
    """
    count = draw(st.integers(1, most_observations))
    sd = 2.0 ** np.array(draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)), dtype=float)
    prior_sd = 2.0 ** draw(st.integers(-2, 2))

    def prior(n: int, seed: int) -> np.ndarray:
        return prior_sd * np.random.default_rng(seed).standard_normal((n, 1))

    def simulate(theta: np.ndarray, seed: int) -> np.ndarray:
        return theta + sd * np.random.default_rng(seed).standard_normal((len(theta), count))

    def posterior(theta: np.ndarray, data: np.ndarray, seed: int) -> np.ndarray:
        precision = prior_sd**-2.0 + (sd**-2.0).sum()
        mean = (data / sd**2).sum(1, keepdims=True) / precision
        return mean + np.random.default_rng(seed).standard_normal(theta.shape) / np.sqrt(precision)

    return ModelOf(JointLaw(prior, simulate, name="normal means"), posterior)
