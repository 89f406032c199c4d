"""Parts A and C: a Gaussian mixture in d = 8, and samplers that depart from it a little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from exactness import GaussianMixture
from exactness.batteries import MixtureInnovations

from ..peers import Pair, two_sample
from .rows import TOGETHER, ours, ours_two_sample
from .running import ALPHA, Run, normal_limit, seed_of
from .search import Draw


@dataclass(frozen=True)
class Departure:
    """``law`` is claimed and ``sampler`` draws; ``limit`` is the n that the likelihood-ratio test of one sample needs."""

    name: str
    about: str
    law: GaussianMixture
    sampler: GaussianMixture
    limit: int


def mixture(modes: int = 4) -> GaussianMixture:
    """Unit covariances, weights .4/.3/.2/.1, means 2 N(0, I) fixed by a seed; a fifth mode takes 0.01 of all weights."""
    means = 2.0 * np.random.default_rng(8).standard_normal((5, 8))
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    if modes == 5:
        weights = np.append(0.99 * weights, 0.01)
    return GaussianMixture(weights, means[:modes], np.ones(modes))


def departures(quick: bool) -> list[Departure]:
    law, w = mixture(), mixture().weights
    shifted = GaussianMixture(w, law.means + 0.1 * np.eye(8)[0], np.ones(4))
    scaled = GaussianMixture(w, law.means, np.full(4, 1.05**2))
    moved = GaussianMixture(w + np.array([-0.02, 0.0, 0.0, 0.02]), law.means, np.ones(4))
    missing = math.ceil(math.log(ALPHA) / math.log(0.99))
    found = [
        _departure("shift", "0.1 standard deviations of a component, in one coordinate", shifted),
        _departure("scale", "every component's standard deviation times 1.05, means kept", scaled),
        _departure("weight", "0.02 of weight moved, from the largest to the smallest component", moved),
        # Seen with its components, an exact sample of n draws visits the mode with probability 1 - 0.99^n.
        Departure("missing mode", "a fifth component of weight 0.01 that the sampler never visits", mixture(5), law, missing),
    ]
    return found[:1] if quick else found


def part_a(run: Run) -> dict[str, Any]:
    found = []
    for case in departures(run.quick):
        draw = _mixture_draw(case.law, case.sampler, run.seed)
        rows = [run.search(f"A {case.name}", row, draw) for row in [*ours(case.law), ours_two_sample(), *two_sample()]]
        found.append({"name": case.name, "about": case.about, "limit": case.limit, "rows": rows})
    return {"alpha": ALPHA, "departures": found, "false alarms": false_alarms(run)}


def false_alarms(run: Run) -> dict[str, Any]:
    """How often each test refutes an exact sampler at alpha = 0.05."""
    n, alpha, law = 512, 0.05, mixture()
    draw = _mixture_draw(law, law, run.seed + 1)
    rows = [
        run.rate("A false alarms", row, draw, n, alpha, run.effort.level) for row in [*ours(law), ours_two_sample(), *two_sample()]
    ]
    return {"n": n, "alpha": alpha, "repetitions": run.effort.level, "rows": rows}


def _mixture_draw(law: GaussianMixture, sampler: GaussianMixture, seed: int) -> Draw:
    """All tests see the same samples: they depend on the seed, n and the repetition alone."""

    def draw(n: int, repetition: int) -> Pair:
        x_seed, y_seed = (seed_of(seed, n, repetition, k) for k in (0, 1))
        return Pair(sampler.sample(n, x_seed), law.sample(n, y_seed), law.sample)

    return draw


def _departure(name: str, about: str, sampler: GaussianMixture, draws: int = 1 << 18) -> Departure:
    """A departure from the mixture. The likelihood-ratio test's n is that of the normal limit, from ``draws`` draws."""
    law = mixture()
    null, other = (sampler.log_density(x) - law.log_density(x) for x in (law.sample(draws, 0), sampler.sample(draws, 1)))
    limit = normal_limit((null.mean(), null.var()), (other.mean(), other.var()), ALPHA)
    return Departure(name, about, law, sampler, math.ceil(limit))


def part_c(run: Run) -> dict[str, Any]:
    law, n, few, alpha = mixture(), 5_000, 1_000, 0.05
    correlated = np.full((8, 8), 0.2) + 0.8 * np.eye(8)
    samplers = {
        "shift of 0.06 in every coordinate": GaussianMixture(law.weights, law.means + 0.06, np.ones(4)),
        "correlation 0.2 inside components": GaussianMixture(law.weights, law.means, np.stack([correlated] * 4)),
    }
    one_sample = [row for row in ours(law) if row.name.endswith((MixtureInnovations.name, TOGETHER))]
    tests = [(two_sample()[-1], n), (ours_two_sample(), n), *((row, few) for row in one_sample)]
    found = []
    for name, sampler in {**samplers, "none (false alarms)": law}.items():
        draw = _mixture_draw(law, sampler, run.seed + 2)
        rows = [run.rate(f"C {name}", row, draw, size, alpha, run.effort.comparison) for row, size in tests]
        found.append({"name": name, "rows": rows})
    return {"alpha": alpha, "repetitions": run.effort.comparison, "departures": found}
