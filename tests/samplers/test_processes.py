"""Schedules, conversions between predictions, and closed-form denoisers against other readings of the same formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from exactness_samplers.forecast import Forecast
from exactness_samplers.schedules import (
    KINDS,
    cosine_betas,
    ddpm,
    edm,
    gaussian_reverse,
    karras_sigmas,
    linear_betas,
    rectified_flow,
    sigmoid_betas,
)  # fmt: skip
from exactness_samplers.torch.denoisers import _SLICE_ENTRIES, LabelledDenoiser, MixtureDenoiser, ProductDenoiser
from exactness_samplers.torch.posterior import Posterior
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal
from exactness_samplers.torch.speculative import Speculative

import exactness as ex
from tests.registry import MEANS, SCHEDULES, WEIGHTS, chain, process, quiet_plan


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_kind_of_prediction_gives_the_same_mean(schedule):
    """One network output, written as noise, sample or velocity, is one and the same chain."""
    s = SCHEDULES[schedule]()
    generator = np.random.default_rng(0)
    x, clean = generator.standard_normal((2, 5))
    for source, target in itertools.product(KINDS, KINDS):
        p, q = s.conversion("sample", source)
        p2, q2 = s.conversion(source, target)
        a, b = s.coefficients(source)
        a2, b2 = s.coefficients(target)
        for k in range(s.steps):
            prediction = p[k] * x + q[k] * clean
            other = p2[k] * x + q2[k] * prediction
            np.testing.assert_allclose(a[k] * x + b[k] * prediction, a2[k] * x + b2[k] * other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_conversions_mean_what_they_say(schedule):
    """x = signal x0 + noise xi: the conversions recover x0, xi and the velocity from each other."""
    s = SCHEDULES[schedule]()
    clean, noise = np.random.default_rng(1).standard_normal((2, 4))
    for k in range(1, s.steps + 1):
        x = s.signal[k] * clean + s.noise[k] * noise
        truth = {"sample": clean, "noise": noise, "velocity": s.velocity_noise[k] * noise - s.velocity_sample[k] * clean}
        for source, target in itertools.product(KINDS, KINDS):
            p, q = s.conversion(source, target)
            np.testing.assert_allclose(p[k - 1] * x + q[k - 1] * truth[source], truth[target], rtol=1e-8, atol=1e-8)


def test_ddpm_is_the_formula_of_the_paper():
    betas = linear_betas(10)
    s = ddpm(betas)
    abar = np.cumprod(1 - betas)
    np.testing.assert_allclose(s.a, 1 / np.sqrt(1 - betas))
    np.testing.assert_allclose(s.b, -betas / np.sqrt(1 - betas) / np.sqrt(1 - abar))
    np.testing.assert_allclose(s.sigma**2, betas)
    small = ddpm(betas, "small")
    assert small.sigma[0] == 0.0
    np.testing.assert_allclose(small.sigma[1:] ** 2, betas[1:] * (1 - abar[:-1]) / (1 - abar[1:]))


def test_edm_steps_are_the_posterior_given_both_ends_and_come_down_to_the_stated_level():
    """eta = 1: x_{k-1} given x_k and x_0, for x_k = x_0 + sigma_k xi with independent increments. Any eta: the level is right."""
    levels = karras_sigmas(9, 0.1, 10.0)
    assert levels[0] == 0.0
    assert levels[1] == pytest.approx(0.1)
    assert levels[-1] == pytest.approx(10.0)
    now, following = levels[1:], levels[:-1]
    s = edm(levels)
    np.testing.assert_allclose(s.sigma**2, following**2 * (now**2 - following**2) / now**2, rtol=1e-12)
    np.testing.assert_allclose(s.a, following**2 / now**2, rtol=1e-12)
    np.testing.assert_allclose(s.a + s.b, 1.0)
    assert s.sigma[0] == s.a[0] == 0.0
    for eta in (0.3, 0.8, 1.0):
        part = edm(levels, eta)
        # The noise that is left of x_k, and the fresh one, add up to level k - 1.
        np.testing.assert_allclose((part.a * now) ** 2 + part.sigma**2, following**2, rtol=1e-12, atol=1e-15)
    for bad in ([0.1, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.0], [[0.0, 1.0, 2.0]], [0.0, 1.0, np.inf]):
        with pytest.raises(ValueError, match="rises from sigma_0 = 0"):
            edm(np.array(bad))
    with pytest.raises(ValueError, match="nothing to speculate on"):
        edm(levels, eta=0.0)


def test_sigmoid_betas_rise_from_one_end_to_the_other():
    betas = sigmoid_betas(1_000)
    assert np.all(np.diff(betas) > 0)
    assert betas[0] == pytest.approx(1e-4 + (0.02 - 1e-4) / (1 + np.exp(6)))
    assert betas[500] == pytest.approx(0.01005, rel=0.01)


def test_a_flow_may_begin_at_pure_noise_if_that_step_is_deterministic():
    times = np.concatenate([[0.0], np.linspace(0.001, 1.0, 30)])
    s = rectified_flow(30, 0.06, times=times, deterministic=(1, 30))
    assert np.flatnonzero(s.sigma == 0.0).tolist() == [0, 29]
    assert s.a[29] == s.a[0] == 1.0
    assert s.b[29] == -(times[30] - times[29])
    with pytest.raises(ValueError, match=r"name step 30 in deterministic="):
        rectified_flow(30, 0.06, times=times, deterministic=(1,))
    with pytest.raises(ValueError, match="must rise from 0"):
        rectified_flow(3, 0.06, times=np.array([0.0, 0.5, 0.4, 0.9]))
    with pytest.raises(ValueError, match=r"must lie in 1\.\.3"):
        rectified_flow(3, 0.06, deterministic=(0,))
    # At pure noise a prediction of the noise says nothing about the velocity: such a network cannot drive this flow.
    with pytest.raises(ValueError, match="at step 30 of rectified-flow"):
        s.coefficients("noise")
    assert np.isfinite(s.conversion("velocity", "noise")).all()


@pytest.mark.parametrize("schedule", [*SCHEDULES, "flow-from-noise"])
def test_speculation_is_exact_on_every_schedule(schedule, seed):
    """Certificates at alpha 1e-6; each schedule's steps, its start and its deterministic steps included."""
    if schedule == "flow-from-noise":
        times = np.concatenate([[0.0], np.linspace(0.01, 1.0, 12)])
        s = rectified_flow(12, 0.4, times=times, deterministic=(1, 12))
    else:
        s = SCHEDULES[schedule]()
    p = process(s)
    config = Speculative(p, 4, Posterior(p, Forecast.within(s, 0.15, WEIGHTS @ MEANS), 4), rejection=Maximal("quantile", "kept"))
    run = config.run(2_000, torch.Generator().manual_seed(seed))
    judged = ex.certify_paths(run.paths, chain(p), plan=quiet_plan(alpha=1e-6, tolerance=0.15), seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert float(run.trace.rounds.double().mean()) < 9


def test_rectified_flow_is_the_formula_and_refuses_an_ode():
    s = rectified_flow(9, 0.7)
    t, h = np.arange(1, 10) / 10, 0.1
    np.testing.assert_allclose(s.sigma, 0.7 * np.sqrt(h) * np.sqrt(2 * t / (1 - t)))
    np.testing.assert_allclose(s.a, 1 - h * 0.49 / (1 - t))
    np.testing.assert_allclose(s.b, -h * 1.49)
    for churn in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"churn.*ODE"):
            rectified_flow(9, churn)


def test_bad_schedules_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        ddpm(np.array([0.1, 1.0]))
    with pytest.raises(ValueError, match="large"):
        ddpm(cosine_betas(3), "medium")
    with pytest.raises(ValueError, match="at least 1"):
        rectified_flow(0, 1.0)
    with pytest.raises(ValueError, match="variance must be positive"):
        gaussian_reverse(cosine_betas(3), 0.0)


@pytest.mark.parametrize("form", ["isotropic", "shared", "diagonal", "full"])
def test_mixture_denoiser_obeys_tweedie(form):
    """E[x0 | x] = (x + noise^2 score(x)) / signal, with the score of the judge's own mixture (another code, in numpy)."""
    generator = np.random.default_rng(2)
    covariances = {
        "isotropic": np.array([0.1, 0.3, 0.2]),
        "shared": np.full(3, 0.2),
        "diagonal": generator.uniform(0.1, 0.5, (3, 2)),
        "full": np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.15], [-0.15, 0.4]], [[0.1, 0.0], [0.0, 0.5]]]),
    }[form]
    schedule = ddpm(cosine_betas(6))
    denoiser = MixtureDenoiser(schedule, WEIGHTS, MEANS, covariances)
    x = generator.standard_normal((7, 2))
    for k in range(1, 7):
        signal, noise = schedule.signal[k], schedule.noise[k]
        full = covariances if form == "full" else np.stack([np.eye(2) * c for c in covariances])
        noised = ex.GaussianMixture(WEIGHTS, signal * MEANS, signal**2 * full + noise**2 * np.eye(2))
        expected = (x + noise**2 * noised.score(x)) / signal
        got = denoiser(torch.full((7,), k), torch.as_tensor(x))
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)
        single = denoiser(torch.full((7,), k), torch.as_tensor(x, dtype=torch.float32))
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single, expected, rtol=2e-3, atol=2e-3)


def test_product_denoiser_is_a_mixture_denoiser_in_one_coordinate_each():
    schedule = ddpm(cosine_betas(5))
    weights, means, variances = np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([[1.0, -1.0], [0.5, 2.0]]), np.full((2, 2), 0.1)
    angle = 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x = torch.as_tensor(np.random.default_rng(3).standard_normal((4, 2)))
    steps = torch.full((4,), 3)
    got = ProductDenoiser(schedule, weights, means, variances, rotation)(steps, x)
    y = x @ torch.as_tensor(rotation)
    parts = [MixtureDenoiser(schedule, weights[i], means[i][:, None], variances[i])(steps, y[:, i : i + 1]) for i in range(2)]
    torch.testing.assert_close(got, torch.cat(parts, 1) @ torch.as_tensor(rotation).T)


def test_rows_may_be_at_different_steps_and_slices_do_not_matter(monkeypatch):
    schedule = ddpm(cosine_betas(5))
    denoiser = MixtureDenoiser(schedule, WEIGHTS, MEANS, np.full(3, 0.2))
    x, steps = torch.randn(11, 2, generator=torch.Generator().manual_seed(0)).double(), torch.arange(11) % 5 + 1
    whole = denoiser(steps, x)
    monkeypatch.setitem(_SLICE_ENTRIES, "cpu", 6)
    torch.testing.assert_close(denoiser(steps, x), whole)
    assert denoiser(steps[:0], x[:0]).shape == (0, 2)


def test_labelled_chain_needs_labels():
    schedule = gaussian_reverse(cosine_betas(4), 0.1)
    with pytest.raises(ValueError, match="labels"):
        LabelledDenoiser(schedule, MEANS, 0.1)(torch.ones(2, dtype=torch.int64), torch.zeros(2, 2))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_gaussian_reverse_returns_its_gaussian_exactly_for_any_number_of_steps(steps):
    """Mean and variance of x_0 by linear algebra, no sampling: the chain is linear."""
    variance, mu = 0.3, 1.7
    schedule = gaussian_reverse(cosine_betas(steps, largest=0.9), variance)
    process = Process(schedule, LabelledDenoiser(schedule, np.array([[mu]]), variance), "sample", 1)
    mean = schedule.signal[-1] * mu
    spread = schedule.signal[-1] ** 2 * variance + schedule.noise[-1] ** 2
    labels = torch.zeros(2, dtype=torch.int64)
    for k in range(steps, 0, -1):
        x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        at = torch.full((2,), k)
        m = process.tables(x).mean(at, x, process.predict(at, x, labels))[:, 0]
        slope = float(m[1] - m[0])
        mean = float(m[0]) + slope * mean
        spread = slope**2 * spread + schedule.sigma[k - 1] ** 2
    assert mean == pytest.approx(mu, rel=1e-12)
    assert spread == pytest.approx(variance, rel=1e-12)
