"""Chains whose variances depend on the state: the innovations are still exact, and a variance that is wrong by state is refuted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.arrays import KINDS, as_kind
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

STEPS, DIM = 4, 3
PLAN = quiet_plan(tolerance=0.1, first_paths=6_000, max_paths=6_000)


def mean(k, x):
    return 0.8 * x + 0.1 * k * np.sin(x)


def deviation(k, x):
    """What a network may predict: each number has a variance of its own, which another number of the state decides."""
    return np.exp(0.3 * np.tanh(x[:, ::-1]) - 0.1 * k)


def chain(spread=deviation, sigma=(1.0,) * STEPS):
    return ex.GaussianChain.from_mean(mean, sigma=np.array(sigma), spread=spread, dim=DIM)


def sampler(deviation, sigma=(1.0,) * STEPS):
    def sample(n, seed):
        noise = np.random.default_rng(seed).standard_normal((STEPS + 1, n, DIM))
        path = [noise[0]]
        for k, z in zip(range(STEPS, 0, -1), noise[1:], strict=True):
            path.append(mean(k, path[-1]) + sigma[k - 1] * deviation(k, path[-1]) * z)
        return np.stack(path, axis=1)

    return sample


def one_for_all(k, x):
    """One variance per state, of shape (n, 1)."""
    return deviation(k, x)[:, :1]


@pytest.mark.parametrize("spread", [deviation, one_for_all])
def test_the_innovations_are_the_noise(spread):
    law, noise = chain(spread), np.random.default_rng(0).standard_normal((STEPS + 1, 50, DIM))
    found = [step.noise for step in law.innovations(sampler(spread)(50, 0))]
    np.testing.assert_allclose(np.stack(found), noise, rtol=1e-12, atol=1e-12)


WRONG = {
    "the variance of another number": lambda k, x: deviation(k, x[:, ::-1]),
    "the average variance": lambda k, x: np.sqrt((deviation(k, x) ** 2).mean()),
    "the variance of another path": lambda k, x: deviation(k, np.roll(x, 1, axis=0)),
    "the variance in place of the deviation": lambda k, x: deviation(k, x) ** 2,
    "the variance of the step before": lambda k, x: deviation(k + 1, x),
}


def test_the_right_one_is_certified(seed):
    """So are the law's own draws. False alarms: 1e-6 each."""
    for sample in (sampler(deviation), chain().sample):
        judged = ex.certify(sample, chain(), plan=PLAN, seed=seed)
        assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.law["variances"] == "by step and state"


@pytest.mark.parametrize("which", WRONG)
def test_a_variance_that_is_wrong_by_state_is_refuted(which, seed):
    judged = ex.certify(sampler(WRONG[which]), chain(), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


def test_small_errors_show_where_the_variance_is_large(seed):
    """The average of the right variances, which differ by 10%: pooled over all numbers, this is no wrong variance at all."""
    small = lambda k, x: np.exp(0.05 * np.tanh(x[:, ::-1]))  # noqa: E731
    average = lambda k, x: np.sqrt((small(k, x) ** 2).mean())  # noqa: E731
    judged = ex.certify(sampler(average), chain(small), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
    assert "coordinates of large variance" in judged.reasons[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_same_innovations(kind):
    module_or_skip(kind)
    paths = sampler(deviation)(20, 0)
    own = lambda function: lambda k, x: as_kind(function(k, np.asarray(x)), kind)  # noqa: E731
    law = ex.GaussianChain.from_mean(own(mean), sigma=np.ones(STEPS), spread=own(deviation), dim=DIM)
    for one, other in zip(law.innovations(as_kind(paths, kind)), chain().innovations(paths), strict=True):
        np.testing.assert_allclose(np.asarray(one.noise), other.noise, rtol=2e-5, atol=2e-5)
        if one.large is not None:
            assert (np.asarray(one.large) == other.large).mean() > 0.99


def test_the_large_ones_are_known_before_the_step():
    """Whatever the noise is, they are chosen by the state alone, and their innovations are standard normal."""
    steps = list(chain().innovations(sampler(deviation)(4_000, 1)))[1:]
    values = np.concatenate([step.noise[step.large] for step in steps])
    assert stats.kstest(values, "norm").pvalue > 1e-6
    assert 0.3 < len(values) / (4_000 * DIM * STEPS) < 0.7


def test_deterministic_steps_stay_deterministic(seed):
    sigma = (0.0, 1.0, 1.0, 1.0)
    law = chain(sigma=sigma)
    assert law.noisy == (True, True, True, True, False)
    assert ex.certify(sampler(deviation, sigma), law, plan=PLAN, seed=seed).verdict is ex.Verdict.CERTIFIED


def test_what_does_not_fit_is_said():
    paths = sampler(deviation)(5, 0)
    for spread, error, message in (
        (lambda k, x: -deviation(k, x), ex.BadInput, r"spread\(k=4, x\) must be positive"),
        (lambda k, x: deviation(k, x)[:, :2], ex.BadInput, r"shape \(5, 3\) or \(5, 1\); it returned \(5, 2\)"),
        (lambda k, x: 1.0, ex.BadInput, "it returned float"),
        (lambda k, x: deviation(k, x) * np.nan, ex.errors.InvalidSample, "NaN or infinite"),
        (lambda k, x: 1 / 0, ex.BadInput, "spread.* of the law raised ZeroDivisionError"),
    ):
        with pytest.raises(error, match=message):
            list(chain(spread).innovations(paths))
    with pytest.raises(ex.BadInput, match="spread must be a function"):
        chain(np.ones(STEPS))
    with pytest.raises(ex.BadInput, match="depend on the state: pass controls of your own"):
        ex.certify(sampler(deviation), chain(), plan=PLAN, controls="standard")
