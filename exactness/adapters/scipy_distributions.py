"""Laws and samplers of scipy distributions: frozen ones, and random variables of scipy 1.15 and later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws import GaussianMixture, Law, UnivariateLaw
from .discrete import discrete_law_of_scipy


def from_scipy(distribution: Any) -> Law:
    """Make the law of a continuous distribution of scipy.

    Normals and their mixtures become a :class:`exactness.GaussianMixture`. All others are known by their cdf.

    Args:
        distribution: a frozen distribution (``stats.gamma(2.0)``, ``stats.multivariate_normal(mean, cov)``), or a random variable
            of scipy >= 1.15 (``stats.Mixture``, ``stats.Normal``).

    Raises:
        BadInput: if it is discrete, singular, an array of distributions, or not a distribution.

    >>> import exactness as ex
    >>> from scipy import stats
    >>> gamma = stats.gamma(2.0)
    >>> ex.certify(sample_scipy(gamma), from_scipy(gamma), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    from scipy import stats

    if isinstance(distribution, (stats.rv_continuous, stats.rv_discrete)):
        try:
            distribution = distribution()
        except TypeError:
            raise BadInput(
                f"{distribution.name} has parameters, {distribution.shapes}: give a frozen one, "
                f"stats.{distribution.name}({distribution.shapes}) with numbers"
            ) from None
    if (discrete := discrete_law_of_scipy(distribution, _name(distribution))) is not None:
        return discrete
    if isinstance(distribution, type(stats.multivariate_normal([0.0]))):
        return GaussianMixture([1.0], distribution.mean[None], distribution.cov[None])
    mixture: Any = getattr(stats, "Mixture", ())
    parts = distribution.components if isinstance(distribution, mixture) else [distribution]
    if all(isinstance(part, getattr(stats, "Normal", ())) for part in parts):
        weights = distribution.weights if isinstance(distribution, mixture) else [1.0]
        return GaussianMixture(weights, [[_number(p.mean())] for p in parts], [_number(p.variance()) for p in parts])
    try:
        cdf, (low, high) = distribution.cdf, distribution.support()
    except AttributeError:
        raise BadInput(
            f"{type(distribution).__name__} has no cdf and support, or is not a frozen distribution of scipy.stats: write "
            "stats.gamma(2.0), or trust its draws with exactness.TrustedSampler(sample_scipy(...))"
        ) from None
    support = _number(low), _number(high)
    if not support[0] < support[1]:
        raise BadInput(
            f"{_name(distribution)} has no support with the parameters {_parameters(distribution)}: they are out of range"
        )
    if isinstance(getattr(distribution, "dist", None), type(stats.norm)):
        return GaussianMixture([1.0], [[distribution.mean()]], [distribution.var()])
    return UnivariateLaw(cdf, support=support, name=_name(distribution))


def sample_scipy(distribution: Any) -> Callable[[int, int], np.ndarray]:
    """Make a sampler ``sample(n, seed)`` -> (n, d) of a frozen distribution or a random variable of scipy >= 1.15.

    >>> from scipy import stats
    >>> sample_scipy(stats.multivariate_normal([0.0, 1.0]))(3, seed=0).shape
    (3, 2)
    """

    def sample(n: int, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        if callable(getattr(distribution, "rvs", None)):
            draws = distribution.rvs(size=n, random_state=generator)
        else:
            draws = distribution.sample(n, rng=generator)
        return np.asarray(draws, dtype=np.float64).reshape(n, -1)

    return sample


def _number(value: Any) -> float:
    if np.ndim(value):
        raise BadInput(
            "an array of distributions is not one law: give them one by one, or as an exactness.laws.ProductLaw of their laws"
        )
    return float(value)


def _parameters(distribution: Any) -> str:
    """The parameters as the user gave them, where they are known."""
    named = getattr(distribution, "kwds", {}).items()
    return ", ".join([*(str(v) for v in getattr(distribution, "args", ())), *(f"{k}={v}" for k, v in named)]) or "it was given"


def _name(distribution: Any) -> str:
    family = getattr(distribution, "dist", None)
    return type(distribution).__name__ if family is None else str(family.name)
