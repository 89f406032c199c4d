"""Draws that have too few digits to hold their noise are invalid and never refuted; where the digits suffice, nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import exactness as ex
from exactness.judging.digits import Digits, digits_of
from exactness.laws import ProductLaw, UnivariateLaw
from tests.registry import quiet_plan

STEPS, DIM = 6, 2
PLAN = quiet_plan(tolerance=0.1, first_paths=6_000, max_paths=6_000)
MIXTURE = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.1])


def chain(ratio, dtype, *, louder=1.0):
    """A chain about 1 with noise of this size, and a sampler that computes in this dtype. ``louder`` makes its noise too large."""
    a = 0.9
    law = ex.GaussianChain(
        lambda k, x: 1.0 + 0.0 * x, a=np.full(STEPS, a), b=np.full(STEPS, 1 - a), sigma=np.full(STEPS, ratio), dim=DIM,
        start=(1.0, ratio),
    )  # fmt: skip

    def sample(n, seed):
        noise = np.random.default_rng(seed).standard_normal((STEPS + 1, n, DIM)).astype(dtype)
        path = [dtype(1.0) + dtype(ratio) * noise[0]]
        for z in noise[1:]:
            path.append(dtype(a) * path[-1] + dtype(1 - a) + dtype(louder * ratio) * z)
        return np.stack(path, axis=1)

    return sample, law


@pytest.mark.parametrize(("ratio", "dtype"), [(1e-7, np.float32), (3e-7, np.float32), (3e-15, np.float64)])
def test_a_right_chain_with_too_few_digits_is_invalid_and_the_remedy_said(ratio, dtype, seed):
    """Without the check of digits, all of these are refuted: measured at six seeds each, every p-value is 0."""
    judged = ex.certify(*chain(ratio, dtype), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.INVALID
    assert "too few digits to hold the noise" in judged.reasons[0]
    assert ("return float64" if dtype is np.float32 else "shift or scale the law") in judged.reasons[0]
    assert judged.stages[-1].decision == "invalid"
    assert judged.findings


@pytest.mark.parametrize(("ratio", "dtype"), [(1e-2, np.float32), (1e-3, np.float32), (1e-4, np.float32), (1e-12, np.float64)])
def test_where_the_digits_suffice_right_is_certified_and_wrong_refuted(ratio, dtype, seed):
    """Wrong: noise that is 10% too large. False alarms: 1e-6 each. Measured over 60 random float32 chains at 30,000 paths, with
    ratios from 1e-7 to 3e-3: none refuted, all with a ratio above 3e-5 certified."""
    assert ex.certify(*chain(ratio, dtype), plan=PLAN, seed=seed).verdict is ex.Verdict.CERTIFIED
    wrong = ex.certify(*chain(ratio, dtype, louder=1.1), plan=PLAN, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons


LAWS = {
    "mixture, isotropic": ex.GaussianMixture([0.5, 0.5], [[1e8, 0.0], [1e8 + 3, 1.0]], [1.0, 2.0]),
    "mixture, diagonal": ex.GaussianMixture([1.0], [[1e8, 0.0]], [[1.0, 2.0]]),
    "mixture, full": ex.GaussianMixture([1.0], [[1e8, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]]),
    "cdf": UnivariateLaw(stats.norm(1e8, 1.0).cdf),
    "product": ProductLaw([UnivariateLaw(stats.norm(1e8, 1.0).cdf)] * 2),
}


@pytest.mark.parametrize("name", LAWS)
def test_every_law_with_a_scale_is_asked(name, seed):
    """float32 draws at 1e8 with spread 1 are invalid. In float64 they are certified, and shifted ones refuted."""
    law = LAWS[name]
    draw = getattr(law, "sample", lambda n, s: np.random.default_rng(s).normal(1e8, 1.0, (n, *law.event_shape)))
    verdicts = [
        ex.certify(sample, law, plan=PLAN, seed=seed).verdict
        for sample in (lambda n, s: draw(n, s).astype(np.float32), draw, lambda n, s: draw(n, s) + 0.5)
    ]
    assert verdicts == [ex.Verdict.INVALID, ex.Verdict.CERTIFIED, ex.Verdict.REFUTED]


def test_numbers_next_to_the_end_of_a_support(seed):
    """A beta variable that lives next to 1: 8% of its mass rounds to 1 in float32, and 0.4% in float64, which these draws do not
    show. False alarms: 1e-6."""
    beta = stats.beta(1.0, 0.15)
    law, draw = UnivariateLaw(beta.cdf, support=(0.0, 1.0)), lambda n, s: beta.rvs((n, 1), random_state=s)
    verdicts = [ex.certify(f, law, plan=PLAN, seed=seed).verdict for f in (lambda n, s: draw(n, s).astype(np.float32), draw)]
    assert verdicts == [ex.Verdict.INVALID, ex.Verdict.CERTIFIED]


def test_numbers_too_small_for_the_format(seed):
    """A third of a gamma variable of shape 0.01 is 0 in float32. False alarms: 1e-6."""
    gamma = stats.gamma(0.01)
    law = UnivariateLaw(gamma.cdf, support=(0.0, np.inf))
    draw = lambda n, s: gamma.ppf(np.random.default_rng(s).uniform(size=(n, 1)))  # noqa: E731
    verdicts = [ex.certify(f, law, plan=PLAN, seed=seed).verdict for f in (lambda n, s: draw(n, s).astype(np.float32), draw)]
    assert verdicts == [ex.Verdict.INVALID, ex.Verdict.CERTIFIED]


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, ex.Verdict.CERTIFIED), (0.15, ex.Verdict.REFUTED)])
def test_float32_is_enough_for_most_distributions(shift, verdict, seed):
    def sample(n, s):
        return np.random.default_rng(s).normal(shift, 1.0, (n, 1)).astype(np.float32)

    assert ex.certify(sample, UnivariateLaw(stats.norm.cdf), plan=PLAN, seed=seed).verdict is verdict


def test_digits_that_were_lost_before_are_noticed():
    """float64 numbers that were once float32, and float32 numbers that were once bfloat16 or float16, have the digits of those."""
    law = ex.GaussianMixture([1.0], [[3.0, 1.0]], [1.0])
    draws = torch.as_tensor(law.sample(500, 0))
    for held in ("float64", "float32", "bfloat16", "float16"):
        rounded = draws.to(getattr(torch, held))
        assert digits_of(law, rounded.double()).held == held
        if held != "float64":
            assert digits_of(law, rounded.float()).held == held
    assert digits_of(law, draws.float()).typical == pytest.approx(digits_of(law, draws).typical * 2.0**29, rel=1e-3)
    together = digits_of(law, draws.float()) + digits_of(law, draws)
    assert (together.numbers, together.held) == (2_000, "float32")
    assert together.move**2 == pytest.approx(digits_of(law, draws.float()).squared, rel=1e-6)
    assert Digits() + together == together


class Network(torch.nn.Module):
    """A small network, the sampler's loop around it, and a last step without noise."""

    def __init__(self, dtype):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inner, self.outer = (torch.randn(*shape, generator=generator) for shape in ((4, 32), (32, 4)))
        self.dtype = dtype

    def forward(self, x):
        return torch.tanh(x.to(self.dtype) @ self.inner.to(self.dtype)) @ self.outer.to(self.dtype) / 8


def network_chain(network, raw):
    """The law with the network's prediction as it is (``raw``) or in float32."""
    return ex.GaussianChain(
        lambda k, x: network(x) if raw else network(x).float(), a=np.full(3, 0.5), b=np.ones(3), sigma=[0.0, 0.5, 0.5], dim=4
    )


def loop(network, batch, states=torch.float32, wrong=0.0):
    def sample(n, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, 4, generator=generator).to(states)
        path = [x]
        for sigma in (0.5, 0.5, 0.0):
            mean = torch.cat([network(part) for part in x.split(batch)])
            x = ((0.5 + wrong * (sigma == 0.0)) * x + mean + sigma * torch.randn(n, 4, generator=generator)).to(states)
            path.append(x)
        return torch.stack(path, dim=1).float()

    return sample


def test_a_network_in_half_precision_is_told_apart_from_a_wrong_step_by_its_own_law(seed):
    """Against the float32 network the paths are refuted, and the reason names rounding and the way out. Against its own law the
    same sampler is certified, in batches of any size, and one with a wrong last step refuted. False alarms: 1e-6 each."""
    half, single = Network(torch.bfloat16), Network(torch.float32)
    judged = ex.certify(loop(half, 100), network_chain(single, raw=False), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert any("as rounding in bfloat16 would do" in r and "return its output in half precision" in r for r in judged.reasons)
    own = network_chain(half, raw=True)
    for batch in (1_000, 3):
        right = ex.certify(loop(half, batch), own, plan=PLAN, seed=seed)
        assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert ex.certify(loop(half, 100, wrong=0.1), own, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


def test_states_in_half_precision_are_invalid_even_as_float32(seed):
    half = Network(torch.bfloat16)
    judged = ex.certify(loop(half, 100, states=torch.bfloat16), network_chain(half, raw=True), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.INVALID
    assert "float32 numbers that have only the digits of bfloat16" in judged.reasons[0]
    assert "keep the states in float32" in judged.reasons[0]


@pytest.mark.parametrize("dtype", [np.float32, lambda x: x.astype(np.float32).astype(np.float64)], ids=["single", "converted"])
def test_draws_that_rounding_makes_equal_are_not_blamed_on_the_seed(dtype):
    """All draws are 1e8. A sampler that has digits enough and ignores its seed is told so."""
    law = ex.GaussianMixture([1.0], [[1e8]], [1.0])
    judged = ex.certify(lambda n, s: dtype(law.sample(n, s)), law, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "too few digits to hold the noise" in judged.reasons[0]
    assert "return float64" in judged.reasons[0]
    assert "ignores its seed" in ex.certify(lambda n, s: law.sample(n, 0), law, plan=PLAN).reasons[0]


@pytest.mark.parametrize(("places", "dtype"), [(2, np.float64), (3, np.float64), (4, np.float64), (3, np.float32)])
def test_draws_that_were_rounded_to_decimals_are_invalid_and_a_wrong_sampler_is_refuted_all_the_same(places, dtype, seed):
    """Some of the rounded draws are equal, which no unrounded ones are."""
    rounded = lambda n, s: MIXTURE.sample(n, s).round(places).astype(dtype)  # noqa: E731
    judged = ex.certify(rounded, MIXTURE, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.INVALID, judged.reasons
    assert f"were rounded to {places} decimals" in judged.reasons[0]
    assert "with all the digits with which they were computed" in judged.reasons[0]
    wrong = ex.certify(lambda n, s: (1.5 * rounded(n, s)).round(places), MIXTURE, plan=PLAN, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons


def test_paths_and_draws_of_one_dimensional_laws_may_be_rounded_to_decimals_too(seed):
    sample, law = chain(1e-3, np.float64)
    judged = ex.certify(lambda n, s: sample(n, s).round(4), law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.INVALID, judged.reasons
    assert "were rounded to 4 decimals" in judged.reasons[0]
    assert digits_of(law, sample(500, 0)).places is None
    assert digits_of(MIXTURE, MIXTURE.sample(500, 0).round(12)).places is None
    assert digits_of(MIXTURE, MIXTURE.sample(500, 0).astype(np.float32)).places is None
