"""Step methods of pymc: a right one passes, one for other data is refuted, and what tunes itself is refused."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness import batteries
from exactness.adapters import pymc_kernel

pm = pytest.importorskip("pymc", reason="pymc is not here: pip install 'exactness[pymc]'")
pytensor = pytest.importorskip("pytensor")


@pytest.fixture(scope="module")
def program():
    """A scale, a bounded number that depends on it, and three coins, with a step method for each. Nothing is compiled by C."""
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""), pm.Model() as model:
        scale = pm.HalfNormal("scale", 1.0)
        part = pm.Uniform("part", 0.0, scale)
        coins = pm.Bernoulli("coins", 0.3, shape=3)
        pm.Normal("obs", part + coins, scale + 0.1, observed=pm.Data("y", np.zeros(3)))
        step = pm.CompoundStep([pm.Metropolis([scale, part], tune=False), pm.BinaryGibbsMetropolis([coins])])
        tuning = pm.Slice([part])
        yield model, step, tuning


def prior(n, seed):
    rng = np.random.default_rng(seed)
    scale = abs(rng.standard_normal(n))
    return np.column_stack([scale, scale * rng.random(n), rng.random((n, 3)) < 0.3])


def simulated(theta, seed):
    noise = np.random.default_rng(seed).standard_normal((len(theta), 3))
    return theta[:, 1:2] + theta[:, 2:] + (theta[:, :1] + 0.1) * noise


LAW = ex.JointLaw(prior, simulated, reversible=False)


@pytest.mark.slow
@pytest.mark.statistical
def test_a_compound_step_passes_and_reversed_data_are_refuted(program, seed):
    """Fails by chance at most once in a million runs."""
    model, step, _ = program
    kernel, plan = pymc_kernel(step, model, data="y"), ex.Plan(tolerance=0.3, max_paths=1000)
    judge = {"plan": plan, "batteries": [batteries.Moves()], "seed": seed}
    judged = ex.certify(LAW.moved_by(kernel), LAW, **judge)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    wrong = LAW.moved_by(lambda theta, data, seed: kernel(theta, data[:, ::-1], seed))
    assert ex.certify(wrong, LAW, **judge).verdict is ex.Verdict.REFUTED


def test_moves_repeat_with_the_seed_and_stay_in_the_support(program):
    model, step, _ = program
    kernel = pymc_kernel(step, model)
    theta, (data,) = LAW.starts(50, 0)
    moved = kernel(theta, {"y": data}, 1)
    np.testing.assert_array_equal(moved, kernel(theta, {"y": data}, 1))
    assert not np.array_equal(moved, kernel(theta, {"y": data}, 2))
    assert np.all((moved[:, 1] > 0) & (moved[:, 1] < moved[:, 0]))
    assert set(np.unique(moved[:, 2:])) == {0.0, 1.0}
    np.testing.assert_array_equal(model["y"].get_value(), np.zeros(3))


def test_what_is_no_kernel_is_explained(program):
    model, step, tuning = program
    theta, (data,) = LAW.starts(2, 0)
    cases = {
        "call step.stop_tuning()": lambda: pymc_kernel(tuning, model),
        "give a step method": lambda: pymc_kernel(pm.Slice, model),
        "named 'z'": lambda: pymc_kernel(step, model, data="z"),
        "say which pm.Data": lambda: pymc_kernel(step, model)(theta, data, 0),
        "the model's variables 5: scale": lambda: pymc_kernel(step, model)(theta[:, :2], {"y": data}, 0),
        r"named \['z'\]": lambda: pymc_kernel(step, model)(theta, {"z": data}, 0),
    }
    for message, case in cases.items():
        with pytest.raises(ex.BadInput, match=message):
            case()


def test_history_is_refused(program):
    model, _, _ = program
    with model, pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        history = pm.DEMetropolisZ([model["part"]], tune=None)
    with pytest.raises(ex.BadInput, match="at the past"):
        pymc_kernel(history, model)
