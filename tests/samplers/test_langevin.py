"""Speculative Langevin dynamics against the plain chain, on any potential."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from exactness_samplers.faults import fault
from exactness_samplers.schedules import langevin
from exactness_samplers.torch.drafters import Extrapolation, Reuse
from exactness_samplers.torch.langevin import Curved, Gradient, fit_curvature, langevin_process
from exactness_samplers.torch.rejections import Maximal
from exactness_samplers.torch.sequential import Sequential
from exactness_samplers.torch.speculative import Speculative

import exactness as ex
from tests.conftest import module_or_skip
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
    """8 certificates at alpha 1e-6; a rejected step redrawn from the target is refuted, with the free drafter."""
    process = langevin_process(potential, 3, 30, 0.05, spread=1.5)
    config = Speculative(process, 5, DRAFTERS[drafter](process), rejection=Maximal("quantile", "kept"))
    plan = quiet_plan(alpha=1e-6, tolerance=0.15)
    run = config.run(2_000, torch.Generator().manual_seed(seed))
    judged = ex.certify_paths(run.paths, law(process), plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert float(run.trace.rounds.double().mean()) < 15.0
    if drafter == "free":
        wrong = fault("rejected-from-target").spoil(config, "torch").run(2_000, torch.Generator().manual_seed(seed))
        assert ex.certify_paths(wrong.paths, law(process), plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


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
    with pytest.raises(ValueError, match="one number per state"):
        Gradient(lambda x: x.sum())(torch.ones(2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="see fit_curvature"):
        Curved()
    with pytest.raises(ValueError, match="choose among gradient"):
        langevin(10, 0.1).coefficients("sample")


def jax_langevin():
    module_or_skip("jax")
    return module_or_skip("exactness_samplers.jax.langevin")


def test_gradients_of_both_backends_agree():
    langevin_jax, jnp = jax_langevin(), module_or_skip("jax.numpy")
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    scales = jnp.asarray(SCALES.numpy())
    gradient = langevin_jax.Gradient(lambda at: 0.5 * ((at / scales) ** 2).sum(1))
    got = gradient(jnp.ones(7, int), jnp.asarray(x.numpy()))
    np.testing.assert_allclose(got, Gradient(gaussian)(torch.ones(7), x), rtol=1e-5)
    with pytest.raises(ValueError, match="one number per state"):
        langevin_jax.Gradient(lambda at: at.sum())(jnp.ones(2, int), jnp.zeros((2, 3)))


@cache
def numpyro_regression():
    """Logistic regression with a positive gain to be inferred: claim, sampler, its wrong one, and the model's own coordinates.

    Kept, so that another seed compiles nothing.
    """
    langevin_jax, jax = jax_langevin(), module_or_skip("jax")
    numpyro, dist = module_or_skip("numpyro"), module_or_skip("numpyro.distributions")
    drafters, rejections, speculative = (
        module_or_skip(f"exactness_samplers.jax.{name}") for name in ("drafters", "rejections", "speculative")
    )
    g = np.random.default_rng(0)
    features = g.standard_normal((40, 2)).astype(np.float32)
    outcomes = (g.random(40) < 1.0 / (1.0 + np.exp(-features @ np.array([1.0, -0.5])))).astype(np.int32)

    def model(features, outcomes):
        gain = numpyro.sample("gain", dist.LogNormal(0.0, 0.3))
        weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([2]))
        numpyro.sample("outcomes", dist.Bernoulli(logits=gain * (features @ weights)), obs=outcomes)

    potential, centre, constrain = module_or_skip("exactness_samplers.jax.numpyro_model").numpyro_potential(
        model, features, outcomes, key=jax.random.key(0)
    )
    assert centre.shape == (3,)
    process = langevin_jax.langevin_process(potential, 3, 25, 0.02, spread=0.5, centre=centre)
    right = speculative.Speculative(process, 5, drafters.Reuse("gradient"), rejection=rejections.Maximal("quantile", "kept"))
    compiled = jax.jit(lambda k, x: process.predict(jax.numpy.broadcast_to(k, (len(x),)), x, None))

    def predict(k, x):
        return np.asarray(compiled(k, x))

    a, b = process.schedule.coefficients("gradient")
    # Not the standard start of a chain: centred where the model was initialised.
    claim = ex.GaussianChain(predict, a=a, b=b, sigma=process.schedule.sigma, dim=3, start=None, name="numpyro Langevin")
    return claim, right, fault("rejected-from-target").spoil(right, "jax"), constrain


@pytest.mark.slow
def test_a_numpyro_model_is_sampled_speculatively_and_certified(seed):
    """At alpha 1e-6; an emission from the target on rejection is refuted."""
    claim, right, wrong, constrain = numpyro_regression()
    jax = module_or_skip("jax")
    plan = quiet_plan(alpha=1e-6, tolerance=0.15)
    run, spoiled = (of.run(2_000, jax.random.key(seed)) for of in (right, wrong))
    judged = ex.certify_paths(np.asarray(run.paths), claim, plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert float(run.trace.rounds.mean()) < 15.0
    named = constrain(run.paths[0, -1])
    assert named["gain"] > 0
    assert named["weights"].shape == (2,)
    assert ex.certify_paths(np.asarray(spoiled.paths), claim, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


@pytest.mark.slow
def test_the_curvature_of_a_quadratic_is_found_in_jax():
    langevin_jax, jax = jax_langevin(), module_or_skip("jax")
    speculative = module_or_skip("exactness_samplers.jax.speculative")
    scales = jax.numpy.asarray(SCALES.numpy())
    process = langevin_jax.langevin_process(lambda at: 0.5 * ((at / scales) ** 2).sum(1), 3, 12, 0.05)
    curvature = langevin_jax.fit_curvature(process)
    np.testing.assert_allclose(curvature, 1.0 / SCALES**2, rtol=1e-4)
    run = speculative.Speculative(process, 4, langevin_jax.Curved(curvature=curvature)).run(50, jax.random.key(0))
    assert np.mean(np.asarray(run.trace.accepted) == np.asarray(run.trace.drafted)) > 0.99
