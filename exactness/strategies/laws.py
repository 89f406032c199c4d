"""Strategies for what is claimed: Gaussian mixtures, schedules, Gaussian chains with a closed-form prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from exactness_samplers.schedules import Schedule, cosine_betas, ddpm, edm, karras_sigmas, linear_betas, rectified_flow
from hypothesis import strategies as st

from ..laws import GaussianChain, GaussianMixture


def dims(most: int = 3) -> st.SearchStrategy[int]:
    """Dimensions 1..most."""
    return st.integers(1, most)


@st.composite
def weights(draw: st.DrawFn, count: int, least: float = 1e-12) -> np.ndarray:
    """Probabilities of ``count`` components, shape (count,): equal, or nearly degenerate down to shares of about ``least``."""
    digits = st.integers(0, round(-math.log10(least)))
    share = 10.0 ** -np.array(draw(st.lists(digits, min_size=count, max_size=count)), dtype=float)
    return share / share.sum()


@st.composite
def covariances(draw: st.DrawFn, count: int, dim: int, condition: float = 1e6) -> np.ndarray:
    """Of ``count`` components: (count,) spherical, (count, dim) diagonal or (count, dim, dim) full, each positive definite.

    ``condition``: the largest ratio of two variances, of one component or of two. Full ones are turned by a reflection.
    """
    digits = st.integers(0, math.floor(math.log10(condition)))
    kind = draw(st.sampled_from(["spherical", "diagonal", "full"]))
    size = count if kind == "spherical" else count * dim
    variances = 10.0 ** -np.array(draw(st.lists(digits, min_size=size, max_size=size)), dtype=float)
    if kind == "spherical":
        return variances
    if kind == "diagonal":
        return variances.reshape(count, dim)
    full = []
    for diagonal in variances.reshape(count, dim):
        normal = np.array(draw(st.lists(st.integers(-3, 3), min_size=dim, max_size=dim)), dtype=float)
        turn = np.eye(dim) - 2.0 * np.outer(normal, normal) / max(1.0, normal @ normal)
        matrix = turn @ np.diag(diagonal) @ turn.T
        full.append((matrix + matrix.T) / 2.0)
    return np.array(full)


@st.composite
def mixtures(
    draw: st.DrawFn,
    dim: int | st.SearchStrategy[int] | None = None,
    components: int = 4,
    condition: float = 1e6,
    least: float = 1e-12,
) -> GaussianMixture:
    """Gaussian mixtures: overlapping, coinciding and far modes, any shape of covariance, weights down to about ``least``.

    Args:
        dim: a number, or a strategy of numbers; 1..3 if left out.
        components: at most so many.
        condition: as of :func:`covariances`.
        least: as of :func:`weights`.
    """
    size = dim if isinstance(dim, int) else draw(dims() if dim is None else dim)
    count = draw(st.integers(1, components))
    # In units of the largest standard deviation: on top of each other, overlapping, apart, far apart.
    spread = draw(st.sampled_from([0.0, 0.3, 1.0, 5.0, 1e3]))
    places = st.lists(st.integers(-3, 3), min_size=count * size, max_size=count * size)
    means = spread * np.array(draw(places), dtype=float).reshape(count, size)
    return GaussianMixture(draw(weights(count, least)), means, draw(covariances(count, size, condition)))


@st.composite
def schedules(draw: st.DrawFn, most: int = 8) -> Schedule:
    """Reverse processes of 2..most steps, as numpy vectors ``a``, ``b``, ``sigma`` of shape (K,), for any kind of prediction.

    DDPM (cosine, linear and arbitrary betas; large variance, or small, whose last step is deterministic), rectified flow with churn
    (with or without a deterministic last step) and EDM's ancestral steps (their last is deterministic).
    """
    steps = draw(st.integers(2, most))
    family = draw(st.sampled_from(["ddpm", "flow", "edm"]))
    if family == "ddpm":
        betas = st.lists(st.floats(1e-4, 0.999), min_size=steps, max_size=steps).map(np.array)
        chosen = draw(st.just(cosine_betas(steps)) | st.just(linear_betas(steps)) | betas)
        return ddpm(chosen, draw(st.sampled_from(["large", "small"])))
    if family == "flow":
        churn = draw(st.sampled_from([1.0, 0.5, 2.0, 0.1]))
        return rectified_flow(steps, churn, deterministic=(1,) if draw(st.booleans()) else ())
    smallest, largest = draw(st.sampled_from([(0.05, 20.0), (0.002, 80.0), (0.5, 2.0)]))
    return edm(karras_sigmas(steps, smallest, largest), draw(st.sampled_from([1.0, 0.5])))


@st.composite
def chains(draw: st.DrawFn, most: int = 6, dim: int | st.SearchStrategy[int] | None = None) -> GaussianChain:
    """Gaussian chains whose prediction is closed form, in numpy: the exact denoiser of a mixture under a schedule.

    ``chain.sample(n, seed)`` is its own exact sampler. Every chain has a mixture for its data and ``most`` steps at most.
    """
    return chain_of(draw(schedules(most)), draw(mixtures(dim, components=3, condition=1e3, least=1e-3)))


def chain_of(schedule: Schedule, data: GaussianMixture) -> GaussianChain:
    """The chain of this schedule whose prediction is exact for this data: the noise E[z | x_k] = -noise_k score_k(x)."""
    noisy = [_noisy(data, signal, noise) for signal, noise in zip(schedule.signal, schedule.noise, strict=True)]
    a, b = schedule.coefficients("noise")

    def predict(k: int, x: Any) -> Any:
        return -schedule.noise[k] * noisy[k].score(x)

    return GaussianChain(predict, a=a, b=b, sigma=schedule.sigma, dim=data.dim, start=(0.0, schedule.spread), name=schedule.name)


def _noisy(data: GaussianMixture, signal: float, noise: float) -> GaussianMixture:
    """The law of signal times a draw plus noise times standard normals."""
    blurred = signal**2 * data.full_covariances() + noise**2 * np.eye(data.dim)
    return GaussianMixture(data.weights, signal * data.means, blurred)
