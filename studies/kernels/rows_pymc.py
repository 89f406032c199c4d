"""Step methods of pymc on a mixture in the plane, on coins, labels and a count, one step each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

import exactness as ex
from exactness.adapters import pymc_kernel

from .measure import Case
from .rows_blackjax import MIXTURE, PLAN


def _table(levels: int, count: int) -> tuple[np.ndarray, np.ndarray, ex.DiscreteLaw]:
    """Log-probabilities of ``count`` labels that depend on each other, as a table, its values and its law."""
    values = np.array(list(itertools.product(range(levels), repeat=count)))
    log_p = 0.8 * np.random.default_rng(levels).standard_normal(len(values))
    p = np.exp(log_p) / np.exp(log_p).sum()
    return log_p.reshape((levels,) * count), values, ex.DiscreteLaw(p, values=values, name=f"{count} labels of {levels}")


def models() -> dict[str, tuple[str, ex.Law, Any, Any, bool]]:
    """By name: the model in words, its law, the model, the step method, and whether this is reversible."""
    import pymc as pm
    import pytensor.tensor as pt

    found: dict[str, tuple[str, ex.Law, Any, Any, bool]] = {}
    with pm.Model() as plane:
        x = pm.Flat("x", shape=2)
        weights, means, variances = np.array([0.6, 0.4]), np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([0.3, 0.2])
        pm.Potential("density", pt.logsumexp(np.log(weights / variances) - 0.5 * ((x - means) ** 2).sum(1) / variances))
        frozen = {"model": plane}
        methods = {
            "Metropolis": (pm.Metropolis([x], scaling=0.8, tune=False), True),
            "Slice": (pm.Slice([x], tune=False), False),
            "HamiltonianMC": (pm.HamiltonianMC([x], path_length=1.5, step_scale=0.3, **frozen), True),
            "NUTS": (pm.NUTS([x], step_scale=0.3, **frozen), True),
        }
    for name, (step, reversible) in methods.items():
        found[name] = ("mixture", MIXTURE, plane, step, reversible)
    for levels, count, names in ((2, 3, ("BinaryMetropolis", "BinaryGibbsMetropolis")), (3, 2, ("CategoricalGibbsMetropolis",))):
        log_p, _, law = _table(levels, count)
        with pm.Model() as labels:
            z = (
                pm.Bernoulli("z", 0.5, shape=count)
                if levels == 2
                else pm.Categorical("z", np.full(levels, 1 / levels), shape=count)
            )
            pm.Potential("table", pt.as_tensor_variable(log_p)[tuple(z[i] for i in range(count))])
            for name in names:
                found[name] = (law.name, law, labels, getattr(pm, name)([z]), True)
    with pm.Model() as counting:
        k = pm.Poisson("k", 4.0)
        step = pm.Metropolis([k], scaling=2.0, tune=False)
    found["Metropolis of a count"] = (
        "a Poisson count", ex.DiscreteLaw.from_log_mass(stats.poisson(4.0).logpmf, name="Poisson"), counting, step, True,
    )  # fmt: skip
    return found


def cases() -> Iterator[Case]:
    """All cases. Building the models compiles them."""
    for name, (words, target, model, step, reversible) in models().items():
        step.stop_tuning()
        law = ex.KernelInvariance(target, reversible=reversible)
        yield Case("pymc", words, name, partial(_both, law, step, model), "right", PLAN)


def _both(law: ex.KernelInvariance, step: Any, model: Any) -> tuple[ex.Law, Any]:
    return law, law.moved_by(pymc_kernel(step, model))
