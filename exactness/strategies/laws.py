"""Strategies for laws: Gaussian mixtures, schedules, and Gaussian chains whose prediction has a closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from exactness_samplers.schedules import Schedule, cosine_betas, ddpm, edm, karras_sigmas, linear_betas, rectified_flow
from hypothesis import strategies as st

from ..laws import DiscreteLaw, GaussianChain, GaussianMixture


def dims(most: int = 3) -> st.SearchStrategy[int]:
    """Dimensions from 1 to ``most``."""
    return st.integers(1, most)


@st.composite
def weights(draw: st.DrawFn, count: int, least: float = 1e-12) -> np.ndarray:
    """Probabilities of ``count`` components, (count,), from equal ones to nearly degenerate ones with shares down to ``least``."""
    digits = st.integers(0, round(-math.log10(least)))
    share = 10.0 ** -np.array(draw(st.lists(digits, min_size=count, max_size=count)), dtype=float)
    return share / share.sum()


@st.composite
def discrete_laws(draw: st.DrawFn, values: int = 8, least: float = 1e-12) -> DiscreteLaw:
    """Laws of at most ``values`` labels or whole numbers, with probabilities down to ``least``, and 0 for some of them.

    >>> from hypothesis import find
    >>> find(discrete_laws(), lambda law: len(law.values) == 2).probabilities
    array([0.5, 0.5])
    """
    count = draw(st.integers(1, values))
    p = draw(weights(count, least))
    impossible = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    if not impossible.all():
        p = np.where(impossible, 0.0, p) / p[~impossible].sum()
    places = draw(st.none() | st.lists(st.integers(-1_000, 1_000), min_size=count, max_size=count, unique=True))
    return DiscreteLaw(p, values=places)


@st.composite
def covariances(draw: st.DrawFn, count: int, dim: int, condition: float = 1e6) -> np.ndarray:
    """Covariances of ``count`` components: spherical (count,), diagonal (count, dim) or full (count, dim, dim).

    Each is positive definite. ``condition`` is the largest ratio of two variances, within a component or between two. Full
    covariances are turned by a reflection.
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
    """Gaussian mixtures with overlapping, coinciding and distant modes, any shape of covariance, and weights down to ``least``.

    Args:
        dim: a number or a strategy of numbers; 1 to 3 by default.
        components: the largest number of components.
        condition: see :func:`covariances`.
        least: see :func:`weights`.

    >>> from hypothesis import find
    >>> find(mixtures(), lambda mixture: mixture.dim == 2)
    GaussianMixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[1.0])
    """
    size = dim if isinstance(dim, int) else draw(dims() if dim is None else dim)
    count = draw(st.integers(1, components))
    # In units of the largest standard deviation: coinciding, overlapping, apart, far apart.
    spread = draw(st.sampled_from([0.0, 0.3, 1.0, 5.0, 1e3]))
    places = st.lists(st.integers(-3, 3), min_size=count * size, max_size=count * size)
    means = spread * np.array(draw(places), dtype=float).reshape(count, size)
    return GaussianMixture(draw(weights(count, least)), means, draw(covariances(count, size, condition)))


@st.composite
def schedules(draw: st.DrawFn, most: int = 8) -> Schedule:
    """Schedules of 2 to ``most`` steps, for any kind of prediction: numpy vectors ``a``, ``b`` and ``sigma`` of shape (K,).

    They are DDPM (cosine, linear and arbitrary betas; large variance, or small variance with a deterministic last step), rectified
    flow with churn (with or without a deterministic last step), and the ancestral steps of EDM (with a deterministic last step).
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
    """Gaussian chains of at most ``most`` steps. Their prediction is the exact denoiser of a mixture, in closed form, with numpy.

    ``chain.sample(n, seed)`` is an exact sampler of the chain.

    >>> from hypothesis import find
    >>> find(chains(), lambda chain: chain.dim == 1).sample(4, seed=0).shape
    (4, 3, 1)
    """
    return chain_of(draw(schedules(most)), draw(mixtures(dim, components=3, condition=1e3, least=1e-3)))


def chain_of(schedule: Schedule, data: GaussianMixture) -> GaussianChain:
    """Make the chain of this schedule whose prediction is exact for these data: the noise E[z | x_k] = -noise_k score_k(x)."""
    noisy = [_noisy(data, signal, noise) for signal, noise in zip(schedule.signal, schedule.noise, strict=True)]
    a, b = schedule.coefficients("noise")

    def predict(k: int, x: Any) -> Any:
        return -schedule.noise[k] * noisy[k].score(x)

    return GaussianChain(predict, a=a, b=b, sigma=schedule.sigma, dim=data.dim, start=(0.0, schedule.spread), name=schedule.name)


def _noisy(data: GaussianMixture, signal: float, noise: float) -> GaussianMixture:
    """The law of signal times a draw plus noise times a standard normal vector."""
    blurred = signal**2 * data.full_covariances() + noise**2 * np.eye(data.dim)
    return GaussianMixture(data.weights, signal * data.means, blurred)
