"""Draws come in many calls, because a sampler may behave differently for some seeds."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.judging.draws import blocks_of

LAW = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])


def spoilt(share, seeds_of=0):
    """A sampler that draws from another law for this share of the seeds."""

    def sample(n, seed):
        bad = np.random.default_rng([seed, seeds_of]).random() < share
        return LAW.sample(n, seed) + (5.0 if bad else 0.0)

    return sample


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_garbage_on_some_seeds_is_certified_only_if_the_certificate_leaves_that_share_open(share, tolerance):
    for seed in range(3):
        judged = ex.certify(spoilt(share, seed), LAW, plan=ex.Plan(tolerance=tolerance), seed=seed)
        assert judged.calls is not None
        assert judged.verdict is not ex.Verdict.CERTIFIED or share <= judged.plan.share_of_seeds(judged.calls)


def test_a_certificate_bounds_the_share_of_seeds_and_says_so():
    judged = ex.certify(LAW.sample, LAW, plan=ex.Plan(tolerance=0.1))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert judged.calls is not None
    assert judged.plan.share_of_seeds(judged.calls) <= 0.1
    assert f"{judged.calls:,} calls, each with a seed of its own" in judged.reasons[-1]


def test_fewer_calls_may_be_asked_for_and_the_certificate_says_what_that_leaves_open():
    judged = ex.certify(LAW.sample, LAW, plan=ex.Plan(tolerance=0.1, per_call=1_000))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert judged.calls is not None
    assert judged.calls < 5
    assert judged.plan.share_of_seeds(judged.calls) > 0.7
    assert "66 calls would bring this share within the tolerance" in judged.reasons[-1]


def test_long_calls_are_made_as_well_as_short_ones_and_there_are_few_sizes():
    asked: list[int] = []

    def sample(n, seed):
        asked.append(n)
        return LAW.sample(n, seed)

    judged = ex.certify(sample, LAW, plan=ex.Plan(tolerance=0.05))
    made = asked[3:]  # The first three are a probe.
    assert len(made) == judged.calls
    assert sum(made) == judged.paths
    assert len(set(made)) <= 4
    assert max(made) >= 500
    assert sum(n for n in made if n < 500) >= 0.4 * judged.paths


@pytest.mark.parametrize("first", [1, 7, 333, 1_000, 50_000])
@pytest.mark.parametrize("per_call", [None, 1, 6, 999, 10_000])
def test_the_calls_of_a_plan_make_every_stage(first, per_call):
    plan = ex.Plan(first_paths=first, max_paths=3 * first + 1, per_call=per_call)
    done, calls = 0, 0
    for stage, end in zip(blocks_of(plan, LAW), plan.stages, strict=True):
        for block in stage:
            assert (block.start, block.call) == (done, calls)
            assert min(block.calls) > 0
            done, calls = done + sum(block.calls), calls + len(block.calls)
        assert done == end


def test_a_sampler_that_returns_its_buffer_is_judged_by_what_it_returned():
    buffer = np.empty((2_000, 1))

    def sample(n, seed):
        buffer[:n] = LAW.sample(n, seed)
        return buffer[:n]

    plan = ex.Plan(tolerance=0.1)
    assert ex.certify(sample, LAW, plan=plan).findings == ex.certify(LAW.sample, LAW, plan=plan).findings


def test_one_kind_of_array_is_asked_for():
    def sample(n, seed):
        return LAW.sample(n, seed).astype(np.float32 if n > 100 else np.float64)

    judged = ex.certify(sample, LAW, plan=ex.Plan(tolerance=0.1))
    assert judged.verdict is ex.Verdict.INVALID
    assert "return the same kind of array every time" in judged.reasons[0]
