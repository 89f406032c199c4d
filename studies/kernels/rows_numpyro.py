"""The kernels of numpyro."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro import infer

import exactness as ex
from exactness.adapters import from_numpyro_model, numpyro_kernel
from exactness.laws import Copies

from .measure import Case

FROZEN = {"adapt_step_size": False, "adapt_mass_matrix": False}
THREAD = "wrong: numpyro#1834"
ENSEMBLE = 10

MEANS, VARIANCE = np.array([[1.5, 0.0], [-1.5, 0.0]]), 0.7
MIXTURE = ex.GaussianMixture([0.5, 0.5], MEANS, [VARIANCE, VARIANCE])
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def mixture(x: Any) -> Any:
    """The potential of ``MIXTURE``."""
    return -logsumexp(-0.5 * jnp.sum((x - MEANS) ** 2, axis=-1) / VARIANCE)


def funnel() -> None:
    """Neal's funnel in three dimensions, without data."""
    v = numpyro.sample("v", dist.Normal(0.0, 1.5))
    numpyro.sample("x", dist.Normal(0.0, jnp.exp(v / 2)).expand([2]))


def schools(sigma: Any, y: Any = None, *, fault: str = "") -> None:
    """Eight schools (Rubin 1981), with proper priors."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfNormal(5.0))
    with numpyro.plate("school", len(sigma)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta[::-1] if fault == "reversed" else theta, sigma), obs=y)
    if fault == "jacobian":
        numpyro.factor("forgotten", -jnp.log(tau))


def new_mu(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> dict[str, Any]:
    """mu given theta and tau."""
    theta, tau = hmc_sites["theta"], hmc_sites["tau"]
    precision = 1 / 25.0 + len(SIGMA) / tau**2
    mean = theta.sum() / tau**2 / precision
    return {"mu": dist.Normal(mean, precision**-0.5).sample(rng_key)}


def uniform(low: int, high: int) -> Callable[..., None]:
    def model(y: Any = None) -> None:
        c = numpyro.sample("c", dist.DiscreteUniform(low, high))
        x = numpyro.sample("x", dist.Normal(c, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    return model


def categorical(y: Any = None) -> None:
    """The same as ``uniform(2, 4)``, with a support that begins at 0."""
    c = numpyro.sample("c", dist.Categorical(jnp.ones(3) / 3))
    x = numpyro.sample("x", dist.Normal(c + 2.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def hmc(step: float, steps: int = 4, **target: Any) -> infer.HMC:
    return infer.HMC(step_size=step, num_steps=steps, trajectory_length=None, **target, **FROZEN)


def cases() -> Iterator[Case]:
    """All cases: a model with a discrete parameter, eight schools and the funnel, and the mixture with ensembles."""
    yield from _discrete()
    yield from _models()
    yield from _potential()


def _potential() -> Iterator[Case]:
    target: dict[str, Any] = {"potential_fn": mixture}

    def case(name: str, kernel: Any, law: ex.Law, **settings: Any) -> Case:
        return Case("numpyro", "mixture", name, lambda: (law, law.moved_by(numpyro_kernel(kernel, **settings))))  # type: ignore[attr-defined]

    one = ex.KernelInvariance(MIXTURE)
    yield case("HMC", hmc(0.5, **target), one)
    yield case("NUTS", infer.NUTS(step_size=0.5, **target, **FROZEN), one)
    yield case("BarkerMH", infer.BarkerMH(step_size=0.8, **target, **FROZEN), one)
    many = ex.KernelInvariance(Copies(MIXTURE, ENSEMBLE), reversible=False)
    for name in ("DEMove", "StretchMove"):
        yield case(f"AIES, {name}", infer.AIES(moves={getattr(infer.AIES, name)(): 1.0}, **target), many, ensemble=ENSEMBLE)
    for name in ("DifferentialMove", "RandomMove", "KDEMove", "GaussianMove"):
        kernel = infer.ESS(moves={getattr(infer.ESS, name)(): 1.0}, tune_mu=False, **target)
        yield case(f"ESS, {name}", kernel, many, ensemble=ENSEMBLE)
    for dense in (True, False):
        kernel = infer.SA(dense_mass=dense, **target)
        yield case(f"SA, {'dense' if dense else 'diagonal'}", kernel, many, ensemble=ENSEMBLE)


def _case(target: str, name: str, model: Any, args: Any, observed: Any, kernel: Any, known: str = "right", **settings: Any) -> Case:
    def make() -> tuple[ex.Law, Any]:
        law = from_numpyro_model(model, *args, observed=observed, **settings)
        return law, law.moved_by(numpyro_kernel(kernel))

    return Case("numpyro", target, name, make, known)


def _models() -> Iterator[Case]:
    of_schools = partial(_case, "eight schools", model=schools, args=(SIGMA,), observed="y")
    yield of_schools("HMC", kernel=hmc(0.3, model=schools))
    yield of_schools("NUTS", kernel=infer.NUTS(schools, step_size=0.3, **FROZEN))
    yield of_schools("BarkerMH", kernel=infer.BarkerMH(schools, step_size=0.5, **FROZEN))
    yield of_schools(
        "HMCGibbs, mu by its conditional", kernel=infer.HMCGibbs(hmc(0.3, model=schools), new_mu, ["mu"]), reversible=False
    )
    for fault, said in (("jacobian", "the Jacobian of tau is forgotten"), ("reversed", "the observations are reversed")):
        kernel = infer.NUTS(partial(schools, fault=fault), step_size=0.3, **FROZEN)
        yield of_schools(f"NUTS, {said}", kernel=kernel, known="wrong on purpose")
    of_funnel = partial(_case, "funnel", model=funnel, args=(), observed=())
    yield of_funnel("HMC", kernel=hmc(0.2, model=funnel))
    yield of_funnel("NUTS", kernel=infer.NUTS(funnel, step_size=0.2, **FROZEN))
    yield of_funnel("BarkerMH", kernel=infer.BarkerMH(funnel, step_size=0.5, **FROZEN))


def _discrete() -> Iterator[Case]:
    models = {"c in {0, 1, 2}, Categorical": categorical, "c in {1, 2, 3}": uniform(1, 3), "c in {2, 3, 4}": uniform(2, 4)}
    for target, model in models.items():
        known = "right" if model is categorical else THREAD
        one = partial(_case, target, model=model, args=(), observed="y", known=known, reversible=False)
        inner = hmc(0.7, 3, model=model)
        yield one("DiscreteHMCGibbs", kernel=infer.DiscreteHMCGibbs(inner))
        yield one("DiscreteHMCGibbs, modified", kernel=infer.DiscreteHMCGibbs(inner, modified=True))
        yield one("DiscreteHMCGibbs, random walk", kernel=infer.DiscreteHMCGibbs(inner, random_walk=True))
        yield one("MixedHMC", kernel=infer.MixedHMC(infer.HMC(model, step_size=0.7, trajectory_length=2.1, **FROZEN)))
