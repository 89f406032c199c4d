"""Laws and samplers that the tests are crossed with: a new member is tested by being listed here."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import torch
from exactness_samplers.forecast import Forecast
from exactness_samplers.schedules import (
    KINDS,
    Schedule,
    cosine_betas,
    ddpm,
    edm,
    karras_sigmas,
    linear_betas,
    rectified_flow,
    sigmoid_betas,
)  # fmt: skip
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.drafters import Extrapolation, Independent, Reuse
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal, UntilAccepted
from exactness_samplers.torch.speculative import Speculative
from exactness_samplers.torch.verification import block, token_wise

import exactness as ex

MEANS = np.array([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
VARIANCES = np.array([0.1, 0.2, 0.15])


def process(schedule: Schedule | None = None) -> Process:
    schedule = schedule or ddpm(cosine_betas(12))
    return Process(schedule, MixtureDenoiser(schedule, WEIGHTS, MEANS, VARIANCES), "sample", 2)


def coarse(schedule: Schedule) -> MixtureDenoiser:
    return MixtureDenoiser(schedule, np.ones(1), MEANS[:1], VARIANCES[:1])


def chain(of: Process) -> ex.GaussianChain:
    a, b = of.schedule.coefficients(of.kind)

    def predict(k, x):
        x = torch.as_tensor(x)
        return of.predict(torch.full((len(x),), k), x, None)

    return ex.GaussianChain(predict, a=a, b=b, sigma=of.schedule.sigma, dim=of.dim, start=(0.0, of.schedule.spread))


SCHEDULES = {
    "ddpm-large": lambda: ddpm(cosine_betas(12)),
    "ddpm-small": lambda: ddpm(cosine_betas(12), "small"),
    "rectified-flow": lambda: rectified_flow(12, 1.0),
    "edm": lambda: edm(karras_sigmas(12, 0.05, 20.0)),
    "edm-half": lambda: edm(karras_sigmas(12, 0.05, 20.0), eta=0.5),
    "sigmoid": lambda: ddpm(sigmoid_betas(12, largest=0.006)),
    "linear": lambda: ddpm(linear_betas(12), "small"),
}


@cache
def pilots(schedule: str) -> Forecast:
    return fit(process(SCHEDULES[schedule]()), 4, chains=50)


def drafters(of: Process, forecast: Forecast) -> dict:
    reuse = {f"{base}-{kind}": Reuse(kind, base) for base in ("frozen", "free") for kind in KINDS}
    return {
        "independent": Independent(coarse(of.schedule)),
        **reuse,
        "free-velocity-extrapolated": Extrapolation("velocity"),
        "free-posterior": Posterior(of, forecast, 4),
        "frozen-posterior": Posterior(of, forecast, 4, "frozen"),
    }


DRAFTERS = (
    "independent",
    *(f"{base}-{kind}" for base in ("frozen", "free") for kind in KINDS),
    "free-velocity-extrapolated",
    "free-posterior",
    "frozen-posterior",
)


VERIFIERS = {"token": token_wise, "block": block}
REJECTIONS = {
    "until-accepted": UntilAccepted(),
    **{f"{a}-{b}": Maximal(a, b) for a, b in itertools.product(("independent", "quantile"), ("fresh", "kept"))},
}


def speculative(schedule: str, drafter: str, verifier: str, rejection: str, window: int = 4) -> Speculative:
    p = process(SCHEDULES[schedule]())
    return Speculative(p, window, drafters(p, pilots(schedule))[drafter], VERIFIERS[verifier], REJECTIONS[rejection])


def sampler(config, dtype=torch.float64):
    """A runner of exactness_samplers.torch as the door of `certify` takes it."""

    def sample(n, seed):
        return config.run(n, torch.Generator().manual_seed(seed), dtype=dtype).paths

    return sample


def quiet_plan(**changes) -> ex.Plan:
    """A plan whose passes are not held up by a p-value below 0.001, which an exact sampler shows now and then.

    It makes few calls, because the samplers of the tests behave alike for every seed; `tests/judging/test_calls.py` is about calls.
    """
    return ex.Plan(**({"suspicion": 1e-9, "per_call": 1_000} | changes))


def plain_chain(dim: int = 2, steps: int = 4) -> tuple[ex.GaussianChain, object]:
    """A chain and its exact sampler in numpy alone: m_k(x) = 0.7 x + 0.2 sin(k x)."""

    def mean(k, x):
        return 0.7 * x + 0.2 * np.sin(k * x)

    sigma = 0.3 + 0.1 * np.arange(1, steps + 1)

    def sample(n, seed):
        generator = np.random.default_rng(seed)
        path = [generator.standard_normal((n, dim))]
        for k in range(steps, 0, -1):
            path.append(mean(k, path[-1]) + sigma[k - 1] * generator.standard_normal((n, dim)))
        return np.stack(path, axis=1)

    return ex.GaussianChain.from_mean(mean, sigma=sigma, dim=dim), sample


def another(sample):
    """Another function with the same draws: no sampler is certified by its own."""
    return lambda n, seed: sample(n, seed)
