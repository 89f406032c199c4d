"""Speculative Langevin dynamics against the plain chain, on any potential."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import exactness as ex
from samplers.schedules import langevin
from samplers.torch.drafters import Extrapolation, Reuse
from samplers.torch.langevin import Curved, Gradient, fit_curvature, langevin_process
from samplers.torch.rejections import Maximal
from samplers.torch.sequential import Sequential
from samplers.torch.speculative import Speculative
from samplers.torch.wrong import from_target
from tests.registry import quiet_plan

SCALES = torch.tensor([1.0, 0.5, 2.0]).double()


def banana(x):
    """A bent valley in three dimensions, no steeper than the steps allow."""
    return 0.5 * (x[:, 0] ** 2 + 4.0 * (x[:, 1] - torch.cos(x[:, 0])) ** 2 + 0.25 * x[:, 2] ** 2)


def gaussian(x):
    return 0.5 * (x / SCALES.to(x)).square().sum(1)


def law(process):
    def predict(k, x):
        return process.predict(torch.full((len(x),), k), x, None)

    a, b = process.schedule.coefficients("gradient")
    return ex.GaussianChain(
        predict, a=a, b=b, sigma=process.schedule.sigma, dim=process.dim, start=(0.0, process.schedule.spread), name="Langevin"
    )


DRAFTERS = {
    "free": lambda p: Reuse("gradient"),
    "frozen": lambda p: Reuse("gradient", "frozen"),
    "extrapolated": lambda p: Extrapolation("gradient", momentum=0.3),
    "curved": lambda p: Curved(curvature=fit_curvature(p)),
}


@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("potential", [banana, gaussian], ids=lambda f: f.__name__)
def test_speculative_langevin_is_the_plain_chain(potential, drafter, seed):
    """8 certificates at alpha 1e-6; a rejected step redrawn from the target is refuted wherever drafts are rejected at all."""
    process = langevin_process(potential, 3, 30, 0.05, spread=1.5)
    config = Speculative(process, 5, DRAFTERS[drafter](process), rejection=Maximal("quantile", "kept"))
    plan = quiet_plan(alpha=1e-6, tolerance=0.15, first_paths=6_000, max_paths=6_000)

    def sampler(of):
        return lambda n, s: of.run(n, torch.Generator().manual_seed(s)).paths

    judged = ex.certify(sampler(config), law(process), plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    run = config.run(300, torch.Generator().manual_seed(seed))
    assert float(run.trace.rounds.double().mean()) < 15.0
    if drafter == "free":
        wrong = Speculative(process, 5, config.drafter, rejection=from_target)
        assert ex.certify(sampler(wrong), law(process), plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


def test_gradients_are_each_rows_own():
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double()
    steps = torch.ones(7, dtype=torch.int64)
    np.testing.assert_allclose(Gradient(gaussian)(steps, x), x / SCALES**2, rtol=1e-12)
    whole = Gradient(banana)(steps, x)
    for i in range(7):
        torch.testing.assert_close(Gradient(banana)(steps[:1], x[i : i + 1])[0], whole[i])


def test_the_curvature_of_a_quadratic_is_found_and_drafts_are_never_rejected():
    process = langevin_process(gaussian, 3, 20, 0.05)
    curvature = fit_curvature(process)
    np.testing.assert_allclose(curvature, 1.0 / SCALES**2, rtol=1e-9)
    run = Speculative(process, 4, Curved(curvature=curvature)).run(50, torch.Generator().manual_seed(0))
    assert torch.equal(run.trace.accepted, run.trace.drafted)


def test_a_centre_moves_the_start():
    centre = torch.tensor([5.0, 0.0, 0.0])
    process = langevin_process(gaussian, 3, 4, 0.01, spread=0.1, centre=centre)
    start = Sequential(process).run(2_000, torch.Generator().manual_seed(0)).paths[:, 0]
    np.testing.assert_allclose(start.mean(0), centre, atol=0.02)


def test_bad_input_says_what_to_do():
    with pytest.raises(ValueError, match="step_size must be positive"):
        langevin(10, 0.0)
    with pytest.raises(ValueError, match="one number a state"):
        Gradient(lambda x: x.sum())(torch.ones(2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="see fit_curvature"):
        Curved()
    with pytest.raises(ValueError, match="choose among gradient"):
        langevin(10, 0.1).coefficients("sample")
