"""Continuous distributions on the line that torch and numpyro share with scipy: their laws, by name and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..laws import Law, UnivariateLaw

# The names of the parameters in torch and numpyro, and the distribution of scipy.stats made from their values. Parameters are told
# apart by keyword, because scipy calls them otherwise.
Counterpart = tuple[tuple[str, ...], Callable[..., UnivariateLaw]]


def of_frozen(frozen: Any, name: str) -> UnivariateLaw:
    """The law of a frozen continuous distribution of scipy."""
    low, high = (float(end) for end in frozen.support())
    return UnivariateLaw(frozen.cdf, support=(low, high), name=name)


def von_mises(loc: float, concentration: float, name: str = "VonMises") -> UnivariateLaw:
    """The law of a von Mises angle that is returned in (-pi, pi), whatever its mean direction is.

    scipy's distribution function counts the turns, so it starts from its value at -pi.
    """
    from scipy import stats

    frozen = stats.vonmises(concentration, loc=loc)
    start = float(frozen.cdf(-math.pi))
    return UnivariateLaw(lambda t: frozen.cdf(t) - start, support=(-math.pi, math.pi), name=name)


def continuous_bernoulli(probs: float) -> UnivariateLaw:
    """Density proportional to exp(a x) on (0, 1), a = logit(probs). Source: Loaiza-Ganem and Cunningham 2019."""
    a = math.log(probs) - math.log1p(-probs)
    if abs(a) < 1e-8:
        return UnivariateLaw(lambda t: t, support=(0.0, 1.0), name="ContinuousBernoulli")
    # Of the two forms, the one that does not overflow.
    cdf = (lambda t: np.expm1(a * t) / math.expm1(a)) if a < 0 else (lambda t: 1.0 - np.expm1(-a * (1.0 - t)) / math.expm1(-a))
    return UnivariateLaw(cdf, support=(0.0, 1.0), name="ContinuousBernoulli")


def relaxed_bernoulli(logits: float, temperature: float, name: str = "RelaxedBernoulli") -> UnivariateLaw:
    """The logistic function of (logits + logistic noise) / temperature. Source: Maddison et al. 2017, appendix B."""
    from scipy.special import expit, logit

    return UnivariateLaw(lambda t: expit(temperature * logit(t) - logits), support=(0.0, 1.0), name=name)


def counterpart(name: str) -> Counterpart | None:
    """The parameters of the distribution of this name in torch and numpyro, and the function from their values to its law."""
    from scipy import stats

    table: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
        "AsymmetricLaplace": (("loc", "scale", "asymmetry"), lambda m, s, k: stats.laplace_asymmetric(k, loc=m, scale=s)),
        "Beta": (("concentration1", "concentration0"), stats.beta),
        "BetaProportion": (("concentration1", "concentration0"), stats.beta),
        "Cauchy": (("loc", "scale"), stats.cauchy),
        "Chi2": (("df",), stats.chi2),
        "ContinuousBernoulli": (("probs",), continuous_bernoulli),
        "Exponential": (("rate",), lambda r: stats.expon(scale=1.0 / r)),
        "FisherSnedecor": (("df1", "df2"), stats.f),
        "Gamma": (("concentration", "rate"), lambda a, r: stats.gamma(a, scale=1.0 / r)),
        "GeneralizedPareto": (("concentration", "loc", "scale"), stats.genpareto),
        "Gompertz": (("concentration", "rate"), lambda c, r: stats.gompertz(c, scale=1.0 / r)),
        "Gumbel": (("loc", "scale"), stats.gumbel_r),
        "HalfCauchy": (("scale",), lambda s: stats.halfcauchy(scale=s)),
        "HalfNormal": (("scale",), lambda s: stats.halfnorm(scale=s)),
        "InverseGamma": (("concentration", "rate"), lambda a, r: stats.invgamma(a, scale=r)),
        "Laplace": (("loc", "scale"), stats.laplace),
        "Levy": (("loc", "scale"), stats.levy),
        "Logistic": (("loc", "scale"), stats.logistic),
        "LogNormal": (("loc", "scale"), lambda m, s: stats.lognorm(s, scale=math.exp(m))),
        "LogUniform": (("low", "high"), stats.loguniform),
        "Pareto": (("alpha", "scale"), lambda a, s: stats.pareto(a, scale=s)),
        "RelaxedBernoulli": (("logits", "temperature"), relaxed_bernoulli),
        "RelaxedBernoulliLogits": (("logits", "temperature"), relaxed_bernoulli),
        "StudentT": (("df", "loc", "scale"), stats.t),
        "Uniform": (("low", "high"), lambda a, b: stats.uniform(a, b - a)),
        "VonMises": (("loc", "concentration"), von_mises),
        "Weibull": (("concentration", "scale"), lambda c, s: stats.weibull_min(c, scale=s)),
    }
    if name not in table:
        return None
    parameters, make = table[name]

    def law(*values: float) -> UnivariateLaw:
        made: Any = make(*values)
        return made if isinstance(made, Law) else of_frozen(made, name)  # type: ignore[return-value]

    return parameters, law
