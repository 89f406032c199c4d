"""Samplers that propose and accept, judged within one run: alpha is 1e-6 for each certificate."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.errors import InvalidSample

TARGET = ex.GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [0.6, 0.6])
FAR = np.array([6.0, 6.0])
LANGEVIN = 0.3


def drift(x):
    return x + 0.5 * LANGEVIN * TARGET.score(x)


def step(x, seed, *, mean=lambda x: x, scale=1.0, ratio=lambda x, y: 0.0, slope=1.0):
    rng = np.random.default_rng(seed)
    y = mean(x) + scale * rng.standard_normal(x.shape)
    log_ratio = slope * (TARGET.log_density(y) - TARGET.log_density(x)) + ratio(x, y)
    accepted = np.log(rng.random(len(x))) < log_ratio
    return np.where(accepted[:, None], y, x), y, accepted


def mala(x, seed, corrected=True):
    s = LANGEVIN**0.5
    back = lambda x, y: 0.5 * (np.square(y - drift(x)) - np.square(x - drift(y))).sum(1) / LANGEVIN  # noqa: E731
    return step(x, seed, mean=drift, scale=s, ratio=back if corrected else lambda x, y: 0.0)


WALK = ex.Transition(TARGET, propose=1.0)
MALA = ex.Transition(TARGET, propose=ex.GaussianProposal(LANGEVIN**0.5, mean=drift))


@pytest.mark.parametrize(("law", "kernel"), [(WALK, step), (MALA, mala)], ids=["walk", "MALA"])
def test_right_samplers_are_certified_from_any_start(law, kernel):
    found = ex.certify(law.moved_by(kernel, start=FAR), law, plan=ex.Plan(tolerance=0.05, per_call=1_000))
    assert found.verdict is ex.Verdict.CERTIFIED
    assert "given the past" in found.assumes[0]


@pytest.mark.parametrize(
    ("law", "kernel"),
    [
        (WALK, lambda x, s: step(x, s, slope=0.9)),
        (WALK, lambda x, s: step(x, s, scale=1.1)),
        (WALK, lambda x, s: step(x, s, mean=lambda x: x + 0.1)),
        (WALK, lambda x, s: (step(x, s)[1], *step(x, s)[1:])),
        (MALA, lambda x, s: mala(x, s, corrected=False)),
    ],
    ids=["tempered", "another scale", "shifted", "moves on without being accepted", "ratio of a symmetric proposal"],
)
def test_wrong_samplers_are_refuted(law, kernel):
    assert ex.certify(law.moved_by(kernel, start=FAR), law).verdict is ex.Verdict.REFUTED


def same_coin(x, seed):
    rng = np.random.default_rng(seed)
    y = x + rng.standard_normal(x.shape)
    accepted = np.log(rng.random()) < TARGET.log_density(y) - TARGET.log_density(x)
    return np.where(accepted[:, None], y, x), y, accepted


def same_noise(x, seed):
    rng = np.random.default_rng(seed)
    y = x + rng.standard_normal((1, x.shape[1]))
    accepted = np.log(rng.random(len(x))) < TARGET.log_density(y) - TARGET.log_density(x)
    return np.where(accepted[:, None], y, x), y, accepted


@pytest.mark.parametrize("kernel", [same_coin, same_noise])
def test_walkers_that_share_coins_or_noise_are_refuted(kernel):
    found = ex.certify(WALK.moved_by(kernel, walkers=100), WALK, plan=ex.Plan(tolerance=0.05))
    assert found.verdict is ex.Verdict.REFUTED
    assert "draws depend on each other" in found.reasons[0]


def test_barker_and_own_rules_of_acceptance():
    def barker(x, seed):
        rng = np.random.default_rng(seed)
        y = x + rng.standard_normal(x.shape)
        accepted = rng.random(len(x)) < 1.0 / (1.0 + np.exp(TARGET.log_density(x) - TARGET.log_density(y)))
        return np.where(accepted[:, None], y, x), y, accepted

    plan = ex.Plan(tolerance=0.05, per_call=1_000)
    named = ex.Transition(TARGET, propose=1.0, accept="barker")
    own = ex.Transition(TARGET, propose=1.0, accept=lambda ratio: 1.0 / (1.0 + np.exp(-ratio)))
    for law in (named, own):
        assert ex.certify(law.moved_by(barker, start=FAR), law, plan=plan).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(WALK.moved_by(barker, start=FAR), WALK, plan=plan).verdict is ex.Verdict.REFUTED


def adaptive(law, cheats=False):
    """A run whose scale depends on its history. A cheat declares the scale that it had a step before."""

    def sample(n, seed):
        rng = np.random.default_rng(seed)
        x, scale, before, rows = np.tile(FAR, (8, 1)), 1.0, 1.0, []
        for _ in range(-(-n // 8)):
            after, y, accepted = step(x, int(rng.integers(1 << 31)), scale=scale)
            rows.append(law.pack(x, y, after, accepted, np.full((8, 2), before if cheats else scale)))
            before, scale, x = scale, scale * np.exp(0.5 * (accepted.mean() - 0.4)), after
        return np.concatenate(rows)[:n]

    return sample


def test_a_sampler_that_depends_on_its_history():
    law = ex.Transition(TARGET, propose=ex.GaussianProposal())
    assert ex.certify(adaptive(law), law, plan=ex.Plan(tolerance=0.05, per_call=1_000)).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(adaptive(law, cheats=True), law).verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ex.Transition("pi", propose=1.0), "log-density"),
        (lambda: ex.Transition(TARGET, propose=0.0), "positive standard deviation"),
        (lambda: ex.Transition(TARGET, propose="walk"), "log_ratio"),
        (lambda: ex.Transition(TARGET, propose=1.0, accept="greedy"), "metropolis, barker"),
        (lambda: ex.Transition(lambda x: x[:, 0], propose=1.0), "dim="),
        (lambda: ex.Transition(TARGET, propose=1.0, dim=3), "dim must be 2"),
        (lambda: WALK.moved_by(step, start=[1.0]), "start must have shape"),
        (lambda: WALK.moved_by(step, start=FAR, arrays="pandas"), "numpy, torch, jax"),
        (lambda: ex.Transition(lambda x: 1 / 0, 1.0, dim=1).proposals(np.ones((2, 4))), "raised ZeroDivisionError"),
        (lambda: WALK.moved_by(step, walkers=0), "walkers"),
        (lambda: ex.Transition(lambda x: -x[:, 0], 1.0, dim=1).moved_by(step), "start="),
    ],
)
def test_bad_input_is_refused_with_an_explanation(make, said):
    with pytest.raises(ex.BadInput) as refused:
        make()
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (lambda x, s: x, "(next, proposal, accepted)"),
        (lambda x, s: (x, x, x), "accepted has shape (16, 2)"),
        (lambda x, s: (x * np.nan, x, np.ones(len(x), dtype=bool)), "NaN"),
    ],
)
def test_what_a_kernel_may_not_return_is_said(kernel, said):
    found = ex.certify(WALK.moved_by(kernel, start=FAR), WALK)
    assert found.verdict is ex.Verdict.INVALID
    assert said in found.reasons[0]


def test_a_start_of_density_zero_is_named():
    law = ex.Transition(lambda x: np.where(x[:, 0] > 0, 0.0, -np.inf), propose=1.0, dim=1)
    with pytest.raises(InvalidSample, match="start where the density is positive"):
        law.proposals(law.pack(-np.ones((2, 1)), np.ones((2, 1)), np.ones((2, 1)), np.ones(2)))
