"""Laws of the multivariate families of torch and numpyro, from their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from scipy import special

from ..laws import Law, families
from ..laws.rosenblatt import uniforms_of
from .libraries import LawsOf, Library


def family(distribution: Any, library: Library, laws_of: LawsOf) -> list[Law] | None:
    """The laws of a batch of a known family, in the order of the batch; None for other distributions."""
    name = type(distribution).__name__
    if name not in _FAMILIES or type(distribution) is not getattr(library.module, name, None):
        return None
    parameters, make = _FAMILIES[name](distribution)
    batch = tuple(distribution.batch_shape)
    values = []
    for value, dims in parameters:
        array = library.double(value)
        own = array.shape[array.ndim - dims :]
        values.append(np.broadcast_to(array, batch + own).reshape(-1, *own))
    return [make(*row) for row in zip(*values, strict=True)]


Parameters = list[tuple[Any, int]]
"""Parameters, each with the number of its dimensions that do not belong to the batch."""


def _dirichlet(d: Any) -> tuple[Parameters, Callable]:
    return [(d.concentration, 1)], families.dirichlet


def _concrete(d: Any) -> tuple[Parameters, Callable]:
    return [(d.logits, 1), (d.temperature, 0)], families.concrete


def _student(d: Any) -> tuple[Parameters, Callable]:
    return [(d.df, 0), (d.loc, 1), (d.scale_tril, 2)], families.student


def _wishart(inverse: bool, root: bool) -> Callable[[Any], tuple[Parameters, Callable]]:
    def parameters(d: Any) -> tuple[Parameters, Callable]:
        name = type(d).__name__
        # numpyro's matrices are transformations of their Cholesky factors.
        inner = getattr(d, "base_dist", d)
        degrees = inner.concentration if hasattr(inner, "concentration") else inner.df

        def make(df: float, lower: np.ndarray) -> Law:
            return families.wishart(df, lower @ lower.T, inverse=inverse, root=root, name=name)

        return [(degrees, 0), (inner.scale_tril, 2)], make

    return parameters


def _lkj(root: bool) -> Callable[[Any], tuple[Parameters, Callable]]:
    def parameters(d: Any) -> tuple[Parameters, Callable]:
        size, name = d.event_shape[-1], type(d).__name__
        return [(d.concentration, 0)], lambda eta: families.lkj(size, eta, root=root, name=name)

    return parameters


def _zero_sum(d: Any) -> tuple[Parameters, Callable]:
    # For each axis, an orthonormal basis of the vectors whose sum is zero.
    from scipy.linalg import helmert

    basis = reduce(np.kron, [helmert(size).T for size in d.event_shape])
    return [(d.scale, 0)], lambda scale: families.singular_normal(basis, scale, "ZeroSumNormal")


def _projected(d: Any) -> tuple[Parameters, Callable]:
    return [(d.concentration, 1)], families.projected_normal


def _sine(d: Any) -> tuple[Parameters, Callable]:
    """Given the first angle, the second is von Mises. Source: Singh, Hnizdo and Demchuk 2002."""

    def make(mu: float, nu: float, first: float, second: float, weight: float) -> Law:
        concentration = lambda a: np.hypot(second, weight * np.sin(a - mu))  # noqa: E731
        direction = lambda a: nu + np.arctan2(weight * np.sin(a - mu), second)  # noqa: E731

        def log_density(a: np.ndarray) -> np.ndarray:
            k = concentration(a)
            return np.log(special.i0e(k)) + k + first * np.cos(a - mu)

        facts = dict(zip(names, map(float, (mu, nu, first, second, weight)), strict=True))
        return families.pair_of_angles(log_density, direction, concentration, "SineBivariateVonMises", facts)

    names = ("phi_loc", "psi_loc", "phi_concentration", "psi_concentration", "correlation")
    return [(getattr(d, name), 0) for name in names], make


_FAMILIES: dict[str, Callable[[Any], tuple[Parameters, Callable]]] = {
    "Dirichlet": _dirichlet,
    "RelaxedOneHotCategorical": _concrete,
    "MultivariateStudentT": _student,
    "Wishart": _wishart(inverse=False, root=False),
    "WishartCholesky": _wishart(inverse=False, root=True),
    "InverseWishart": _wishart(inverse=True, root=False),
    "InverseWishartCholesky": _wishart(inverse=True, root=True),
    "LKJ": _lkj(root=False),
    "LKJCholesky": _lkj(root=True),
    "ZeroSumNormal": _zero_sum,
    "ProjectedNormal": _projected,
    "SineBivariateVonMises": _sine,
}


def copula(distribution: Any, library: Library, laws_of: LawsOf) -> list[Law] | None:
    """A Gaussian copula of numpyro: each coordinate has its own law, and the normal scores are jointly normal."""
    if type(distribution) not in library.kinds("GaussianCopula", "GaussianCopulaBeta") or math.prod(distribution.batch_shape) != 1:
        return None
    size = distribution.event_shape[0]
    marginals = laws_of(distribution.marginal_dist, library)
    if marginals is None or len(marginals) not in (1, size):
        return None
    facts: dict[str, object] = {"marginals": [law.describe() for law in marginals]}
    parts = [uniforms_of(law) for law in marginals] * (size // len(marginals))
    cdfs: list[Callable] = [lambda t, part=part: part(t[:, None])[:, 0] for part in parts]
    root = library.double(distribution.base_dist.scale_tril).reshape(size, size)
    return [families.gaussian_copula(cdfs, root, type(distribution).__name__, facts)]


def diffusion(distribution: Any, library: Library, laws_of: LawsOf) -> list[Law] | None:
    """The Euler-Maruyama path of numpyro: each step is normal, given the state before it."""
    if type(distribution) not in library.kinds("EulerMaruyama") or math.prod(distribution.batch_shape) != 1:
        return None
    first = laws_of(distribution.init_dist, library)
    if first is None:
        return None
    import jax

    shape = tuple(distribution.event_shape)
    times = library.double(distribution.t).reshape(-1)
    start = uniforms_of(first[0])
    step = jax.vmap(jax.vmap(distribution.sde_fn))

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        paths = x.reshape(-1, *shape)
        before = np.broadcast_to(times[:-1], (len(paths), len(times) - 1))
        with library.precise():
            drift, spread = (np.asarray(v, dtype=np.float64) for v in step(library.array(paths[:, :-1]), library.array(before)))
        apart = np.diff(times).reshape(-1, *(1 for _ in shape[1:]))
        z = (np.diff(paths, axis=1) - apart * drift) / (np.sqrt(apart) * np.broadcast_to(spread, drift.shape))
        return np.concatenate([start(paths[:, 0].reshape(len(paths), -1)), special.ndtr(z).reshape(len(paths), -1)], axis=1)

    return [families.RosenblattLaw(rosenblatt, shape=math.prod(shape), name="EulerMaruyama", facts={"times": times.tolist()})]
