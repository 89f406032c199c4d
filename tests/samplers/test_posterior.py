"""The posterior drafter is Bayes' rule, is fitted from pilots, and drafts better than plain reuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from exactness_samplers.forecast import Forecast, fit_forecast
from exactness_samplers.schedules import cosine_betas, ddpm, langevin, rectified_flow
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.drafters import Extrapolation, Free, Frozen
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal
from exactness_samplers.torch.speculative import Speculative

from tests.registry import process


def rounds(p, drafter, window=8, n=300):
    run = Speculative(p, window, drafter, rejection=Maximal("quantile", "kept")).run(n, torch.Generator().manual_seed(0))
    return float(run.trace.rounds.double().mean())


def test_its_forecast_is_exact_for_one_gaussian():
    """x_0 ~ N(mu, v I): E[x_0 | x_k] is what the drafter says, from any base and lag, though it evaluates nothing at x_k."""
    schedule, mean, variance = ddpm(cosine_betas(20), "small"), np.array([[1.0, -2.0, 0.5]]), 0.3
    denoiser = MixtureDenoiser(schedule, np.ones(1), mean, np.array([variance]))
    p = Process(schedule, denoiser, "sample", 3)
    drafter = Posterior(p, Forecast.within(schedule, variance, mean[0]), 10, secant=False)
    g = torch.Generator().manual_seed(1)
    for base, lag in ((20, 3), (15, 1), (9, 8), (5, 2)):
        x, base_x = torch.randn(4, 3, generator=g).double(), torch.randn(4, 3, generator=g).double()
        steps, base_steps = torch.full((4,), base - lag), torch.full((4,), base)
        memory = (base_steps, base_x, denoiser(base_steps, base_x), 0 * x, 0 * x, 0 * x[:, 0])
        got = drafter.prediction(p.tables(x), steps, x, memory, None)
        torch.testing.assert_close(got, denoiser(steps, x), rtol=1e-9, atol=1e-9)


def test_a_replaced_base_is_turned_by_the_derivative_of_the_denoiser():
    schedule, mean, variance = ddpm(cosine_betas(20), "small"), np.array([[1.0, -2.0, 0.5]]), 0.3
    denoiser = MixtureDenoiser(schedule, np.ones(1), mean, np.array([variance]))
    p = Process(schedule, denoiser, "sample", 3)
    seen, now = (torch.randn(5, 3, generator=torch.Generator().manual_seed(i)).double() for i in (0, 1))
    steps = torch.full((5,), 7)
    from exactness_samplers.torch.drafters import Seen

    drafter = Posterior(p, Forecast.within(schedule, variance, mean[0]), 4)
    at_seen = (steps, seen, denoiser(steps, seen))
    fresh = drafter.start(p.tables(seen), seen)
    base, base_x, sample, *_ = drafter.remember(p.tables(seen), fresh, Seen(*at_seen, *at_seen, steps, now))
    assert torch.equal(base, steps)
    assert torch.allclose(base_x, now)
    torch.testing.assert_close(sample, denoiser(steps, now), rtol=1e-9, atol=1e-9)


def test_ahead_is_the_forward_process_between_its_ends():
    """With the small variance, x_k given x_j and x_0 is the forward process conditioned on both ends."""
    schedule = ddpm(cosine_betas(30), "small")
    a, b, s = schedule.ahead(12)
    abar = schedule.signal**2
    for j, lag in ((30, 4), (20, 12), (9, 1), (12, 11)):
        k = j - lag
        rho = abar[j] / abar[k]
        assert a[j, lag] == pytest.approx(np.sqrt(rho) * (1 - abar[k]) / (1 - abar[j]), rel=1e-9)
        assert b[j, lag] == pytest.approx(np.sqrt(abar[k]) * (1 - rho) / (1 - abar[j]), rel=1e-9)
        assert s[j, lag] == pytest.approx((1 - abar[k]) * (1 - rho) / (1 - abar[j]), rel=1e-9)


def test_the_fit_finds_the_spread_inside_the_modes_and_no_momentum_in_a_martingale():
    p = process(ddpm(cosine_betas(40), "small"))
    found = fit(p, 6, chains=400)
    known = p.schedule.noise**2 * 0.15 / (p.schedule.signal**2 * 0.15 + p.schedule.noise**2)
    late = slice(5, 20)
    assert np.all(found.rest[late] > 0.3 * known[late])
    assert np.all(found.rest[late] < 3.0 * known[late])
    assert np.abs(found.momentum[late]).max() <= 0.25
    flow = rectified_flow(30, 0.06, times=np.linspace(0.0, 1.0, 31), deterministic=(1, 30))
    assert fit(replace(process(flow), kind="sample"), 6, chains=200).momentum[10:25].mean() > 0.3


@pytest.mark.parametrize("base", ["free", "frozen"])
def test_it_needs_fewer_rounds_than_reuse(base):
    p = process(ddpm(cosine_betas(60), "small"))
    plain = {"free": Free("sample"), "frozen": Frozen("sample")}[base]
    forecast = fit(p, 8)
    better = rounds(p, Posterior(p, forecast, 8, base))
    assert better < 0.9 * rounds(p, plain)
    assert rounds(p, Posterior(p, replace(forecast, rest=0 * forecast.rest), 8, base)) > better


def test_directions_of_their_own_help_where_components_are_long():
    covariances = np.stack([np.diag([2.0, 0.02, 0.02, 0.02])] * 2)
    schedule = ddpm(cosine_betas(60), "small")
    means = np.array([[0.0, 2.0, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0]])
    p = Process(schedule, MixtureDenoiser(schedule, np.array([0.5, 0.5]), means, covariances), "sample", 4)
    one, two = (rounds(p, Posterior(p, fit(p, 8, rank=rank), 8, secant=False)) for rank in (0, 2))
    assert two < 0.95 * one


def test_labelled_chains_are_fitted_with_their_labels_and_in_single_precision():
    p = process()
    labelled = replace(p, predict=lambda steps, x, condition: p.predict(steps, x, None) * condition[:, None])
    labels = torch.linspace(0.5, 1.0, 60)
    found = fit(labelled, 4, chains=60, condition=labels, dtype=torch.float32)
    assert found.rest.max() > 0
    run = Speculative(labelled, 4, Posterior(labelled, found, 4)).run(
        60, torch.Generator().manual_seed(0), condition=labels.double()
    )
    assert torch.isfinite(run.paths).all()


def test_a_flow_is_extrapolated():
    flow = rectified_flow(30, 0.06, times=np.linspace(0.0, 1.0, 31), deterministic=(1, 30))
    p = process(flow)
    assert rounds(p, Extrapolation("velocity")) < 0.97 * rounds(p, Free("velocity"))
    assert rounds(p, Extrapolation("velocity", momentum=0.0)) == rounds(p, Free("velocity"))


def test_a_forecast_is_saved_with_the_sampler(tmp_path):
    p = process()
    found = fit(p, 4, chains=30, rank=1)
    found.save(tmp_path / "forecast.npz")
    again = Forecast.load(tmp_path / "forecast.npz")
    assert rounds(p, Posterior(p, again, 4), 4) == rounds(p, Posterior(p, found, 4), 4)
    found.save(tmp_path / "bare")
    assert np.array_equal(Forecast.load(tmp_path / "bare").rest, found.rest)
    whole = (tmp_path / "forecast.npz").read_bytes()
    (tmp_path / "broken.npz").write_bytes(b"no")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "short.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("broken.npz", "empty.npz", "short.npz", "array.npz", "absent.npz"):
        with pytest.raises(ValueError, match="holds no forecast"):
            Forecast.load(tmp_path / name)
    for changed, message in (({"momentum": np.zeros(3)}, "of another process"), ({"rest": -found.rest - 1}, "fit it again")):
        with pytest.raises(ValueError, match=message):
            Posterior(p, replace(found, **changed), 4)


def test_bad_input_says_what_to_do():
    p = process()
    found = fit(p, 4, chains=20)
    with pytest.raises(ValueError, match="12 steps in 2 dimensions"):
        Posterior(process(ddpm(cosine_betas(13))), found, 4)
    with pytest.raises(ValueError, match="windows of at most 4 steps"):
        Speculative(p, 5, Posterior(p, found, 4))
    with pytest.raises(ValueError, match="must be 'free' or 'frozen'"):
        Posterior(p, found, 4, "frosty")
    potential = Process(langevin(5, 0.1), lambda steps, x, condition: x, "gradient", 2)
    with pytest.raises(ValueError, match="needs a process with a clean sample"):
        Posterior(potential, found, 4)
    with pytest.raises(ValueError, match="reuses one of gradient"):
        Speculative(potential, 4, Free("sample"))
    for arguments in ({"chains": 1}, {"rank": 3}, {"rank": -1}, {"window": 0}):
        with pytest.raises(ValueError, match=r"window must be at least 1, chains at least 2 and rank in 0\.\.2"):
            fit(p, **{"window": 4, **arguments})
    with pytest.raises(ValueError, match="none behind it"):
        fit(potential, 4)
    with pytest.raises(ValueError, match="the plain sampler diverges"):
        fit(replace(p, predict=lambda steps, x, condition: x * float("nan")), 4)
    assert fit_forecast(p.schedule, np.zeros((5, 13, 2)), np.zeros((13, 5, 2)), lags=3).rest.sum() == 0.0
