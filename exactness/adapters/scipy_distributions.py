"""Laws and samplers of scipy distributions: frozen ones, and random variables of scipy 1.15 and later."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws import DensityLaw, GaussianMixture, Law, UnivariateLaw, families
from .counterparts import von_mises
from .discrete import discrete_law_of_scipy, law_of_counts
from .libraries import of_another_library, only_draws

# Densities of scipy are accurate to more digits than this, but their normalisers may not be.
_ACCURACY = 1e-6


def from_scipy(distribution: Any) -> Law:
    """Make the law of a distribution of scipy, from anything but its draws.

    Normals and their mixtures become a :class:`exactness.GaussianMixture`. Other distributions on the line are known by their
    distribution function or, where rounding spoils it far out, by integrating their density. Multivariate families are known by
    their standard constructions (t, Dirichlet, Wishart, directions, orthogonal matrices).

    Args:
        distribution: a frozen distribution (``stats.gamma(2.0)``, ``stats.multivariate_normal(mean, cov)``), or a random variable
            of scipy >= 1.15 (``stats.Mixture``, ``stats.Normal``).

    Raises:
        BadInput: if it is singular, an array of distributions, or not a distribution, or if nothing but its draws is known.

    >>> import exactness as ex
    >>> from scipy import stats
    >>> gamma = stats.gamma(2.0)
    >>> ex.certify(sample_scipy(gamma), from_scipy(gamma), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    if elsewhere := of_another_library(distribution, beside="from_scipy"):
        raise BadInput(f"{type(distribution).__name__} is no distribution of scipy{elsewhere}")
    distribution = _frozen(distribution)
    for way in (_discrete, _multivariate, _normals, _on_the_line):
        law = way(distribution)
        if law is not None:
            return law
    if callable(getattr(distribution, "rvs", None)) or callable(getattr(distribution, "sample", None)):
        raise BadInput(f"nothing but its draws is known of {_name(distribution)}. {only_draws('from_scipy', 'sample_scipy')}")
    raise BadInput(
        f"{type(distribution).__name__} is no distribution: it has no cdf and support, and no rvs; give a frozen distribution of "
        "scipy.stats, such as stats.gamma(2.0)"
    )


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
        if isinstance(draws, tuple):  # such as the pairs of normal_inverse_gamma
            draws = np.stack(draws, axis=-1)
        found = np.asarray(draws).reshape(n, -1)
        return found if np.issubdtype(found.dtype, np.integer) else found.astype(np.float64)

    return sample


def _frozen(distribution: Any) -> Any:
    """The distribution with its parameters, where it needs none."""
    from scipy import stats

    if not isinstance(distribution, (stats.rv_continuous, stats.rv_discrete)):
        return distribution
    try:
        return distribution()
    except TypeError:
        raise BadInput(
            f"{distribution.name} has parameters, {distribution.shapes}: give a frozen one, "
            f"stats.{distribution.name}({distribution.shapes}) with numbers"
        ) from None


def _discrete(distribution: Any) -> Law | None:
    return discrete_law_of_scipy(distribution, _name(distribution))


def _multivariate(distribution: Any) -> Law | None:
    make = _FAMILIES.get(type(distribution).__name__.removesuffix("_frozen"))
    if make is None or not type(distribution).__module__.startswith("scipy.stats"):
        return None
    return make(distribution)


def _counts(parameter: str) -> Callable[[Any], Law | None]:
    """The law of counts with a fixed total, of as many kinds as this parameter has entries."""
    return lambda d: law_of_counts(d.logpmf, int(_number(d.n)), np.shape(getattr(d, parameter))[-1], _name(d))


def _student(d: Any) -> Law:
    if np.isinf(d.df):
        return GaussianMixture([1.0], np.atleast_2d(d.loc), np.atleast_3d(d.shape))
    return families.student(float(d.df), np.atleast_1d(d.loc), _root(np.atleast_2d(d.shape), "shape"), name="multivariate_t")


def _matrix_normal(d: Any) -> Law:
    # Flattened by rows.
    return GaussianMixture([1.0], d.mean.reshape(1, -1), np.kron(d.rowcov, d.colcov)[None])


def _fisher(d: Any) -> Law:
    kappa = float(d.kappa)
    return families.rotational(np.asarray(d.mu, dtype=np.float64), lambda t: kappa * t, "vonmises_fisher", {"kappa": kappa})


_FAMILIES: dict[str, Callable[[Any], Law | None]] = {
    "multivariate_normal": lambda d: GaussianMixture([1.0], d.mean[None], d.cov[None]),
    "multivariate_t": _student,
    "matrix_normal": _matrix_normal,
    "dirichlet": lambda d: families.dirichlet(d.alpha, name="dirichlet"),
    "wishart": lambda d: families.wishart(float(d.df), np.atleast_2d(d.scale), name="wishart"),
    "invwishart": lambda d: families.wishart(float(d.df), np.atleast_2d(d.scale), inverse=True, name="invwishart"),
    "uniform_direction": lambda d: families.rotational(np.eye(d.dim)[0], None, "uniform_direction", {}),
    "vonmises_fisher": _fisher,
    "ortho_group": lambda d: families.orthogonal(d.dim, name="ortho_group"),
    "multinomial": _counts("p"),
    "dirichlet_multinomial": _counts("alpha"),
    "multivariate_hypergeom": _counts("m"),
    "special_ortho_group": lambda d: families.orthogonal(d.dim, proper=True, name="special_ortho_group"),
}


def _root(matrix: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise BadInput(f"{name} must be positive definite: a singular law has no density; leave out coordinates") from None


def _normals(distribution: Any) -> Law | None:
    """Normals on the line, and mixtures of them."""
    from scipy import stats

    if isinstance(getattr(distribution, "dist", None), type(stats.norm)):
        _support(distribution)
        return GaussianMixture([1.0], [[distribution.mean()]], [distribution.var()])
    mixture: Any = getattr(stats, "Mixture", ())
    parts = distribution.components if isinstance(distribution, mixture) else [distribution]
    if not all(isinstance(part, getattr(stats, "Normal", ())) for part in parts):
        return None
    weights = distribution.weights if isinstance(distribution, mixture) else [1.0]
    return GaussianMixture(weights, [[_number(p.mean())] for p in parts], [_number(p.variance()) for p in parts])


def _on_the_line(distribution: Any) -> Law | None:
    if not all(callable(getattr(distribution, name, None)) for name in ("cdf", "support")):
        return None
    support, name = _support(distribution), _name(distribution)
    if name == "vonmises":
        return _angle(distribution)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return UnivariateLaw(distribution.cdf, support=support, name=name)
    except BadInput as refusal:
        if not callable(getattr(distribution, "logpdf", None)):
            raise
        # scipy integrates some densities point by point, and misses the peak when the point is far from it.
        try:
            return DensityLaw(distribution.logpdf, support=support, normalised=True, accuracy=_ACCURACY, name=name)
        except BadInput:
            raise refusal from None


def _angle(distribution: Any) -> Law:
    """scipy's von Mises distribution function counts turns, and its draws lie in (-pi, pi)."""
    (concentration, *_), loc, scale = distribution.dist._parse_args(*distribution.args, **distribution.kwds)
    if scale != 1:
        raise BadInput(f"an angle of vonmises has no scale; got scale={scale}")
    return von_mises(float(loc), float(concentration), name="vonmises")


def _support(distribution: Any) -> tuple[float, float]:
    low, high = (_number(end) for end in distribution.support())
    if not low < high:
        raise BadInput(
            f"{_name(distribution)} has no support with the parameters {_parameters(distribution)}: they are out of range"
        )
    return low, high


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
    return type(distribution).__name__.removesuffix("_frozen") if family is None else str(family.name)
