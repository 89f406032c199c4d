"""Every test's faces agree with each other, and its p-values with simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exactness.evidence.nulls import (
    BINS,
    CramerVonMises,
    Distinct,
    Equality,
    Kolmogorov,
    MeanProduct,
    NormalMean,
    NormalVariance,
    Share,
    TwoSampleKolmogorov,
)
from exactness.evidence.summaries import Tally

NULLS = [Kolmogorov(), NormalMean(), NormalVariance()]
named = pytest.mark.parametrize("null", NULLS, ids=lambda n: n.name)


@named
@given(log_n=st.floats(3.0, 20.0), log_alpha=st.floats(-30.0, -1.0), miss=st.floats(1e-4, 0.5))
def test_detectable_and_needed_invert_each_other(null, log_n, log_alpha, miss):
    n, alpha = math.exp(log_n), math.exp(log_alpha)
    effect = null.detectable(n, alpha, miss)
    if effect == math.inf:
        # No distance is that large: more draws are needed even for the largest.
        assert isinstance(null, Kolmogorov)
        assert null.needed(1.0, alpha, miss) > n
    else:
        assert null.needed(effect, alpha, miss) == pytest.approx(n, rel=1e-6)


@named
def test_more_draws_see_smaller_effects(null):
    effects = [null.detectable(n, 1e-6, 0.01) for n in (100, 1_000, 10_000)]
    assert effects == sorted(effects, reverse=True)


def draws(effect_of, null, n, generator):
    """(accepted truth, refuted falsehoods) is judged on statistics of n normals."""
    z = effect_of(generator.standard_normal(n))
    if isinstance(null, Kolmogorov):
        tally = Tally(["all"], "normal", relation="independent")
        tally.add(0, z)
        return next(t.statistic for t in tally.tests() if t.null.name == "Kolmogorov")
    return z.mean() if isinstance(null, NormalMean) else (z * z).mean()


@named
def test_accepts_the_truth_and_refutes_both_sides_at_the_detectable_effect(null, seed):
    """At alpha 1e-3 and power 0.99: of 200 true samples at most 6 refuted (P 3e-9), of 200 wrong ones at least 184 (P 9e-11)."""
    n, alpha, miss = 2_000, 1e-3, 0.01
    generator = np.random.default_rng(seed)
    effect = null.detectable(n, alpha, miss)
    # A shift of m moves the distribution function by at most 2 Phi(m/2) - 1 at the middle.
    shift = effect if isinstance(null, NormalMean) else 2 * stats.norm.ppf((1 + effect) / 2)
    if isinstance(null, NormalVariance):
        down = 1.0 / (1.0 + effect)  # as far down as up, on the scale on which chi-square is a scale family
        wrong = [lambda z: z * math.sqrt(1 + effect), lambda z: z * math.sqrt(down)]
    else:
        wrong = [lambda z: z + shift, lambda z: z - shift]
    refuted = sum(null.p_value(draws(lambda z: z, null, n, generator), n) <= alpha for _ in range(200))
    assert refuted <= 6
    for spoil in wrong:
        caught = sum(null.p_value(draws(spoil, null, n, generator), n) <= alpha for _ in range(200))
        assert caught >= 184


@pytest.mark.parametrize("null", [NormalMean(), NormalVariance()], ids=lambda n: n.name)
def test_exact_p_values_are_uniform(null, seed):
    """KS against uniform over 4,000 null statistics, at 1e-8."""
    z = np.random.default_rng(seed).standard_normal((4_000, 50))
    statistic = z.mean(1) if isinstance(null, NormalMean) else (z * z).mean(1)
    p = [null.p_value(s, 50) for s in statistic]
    assert stats.kstest(p, "uniform").pvalue > 1e-8


def test_kolmogorov_p_values_are_a_bound():
    """Never below the exact distribution's, at any n and level."""
    for n in (5, 40, 1_000):
        for d in (0.05, 0.1, 0.3, 0.6):
            assert Kolmogorov().p_value(d, n) >= min(1.0, stats.kstwo.sf(d, n)) * (1 - 1e-9)


def test_the_bound_covers_dependent_values_of_a_path(seed):
    """Each path gives 20 equal values: the bound at 95% on the distance from the law covers in at least 95% of 400 trials.

    The bound is conservative, so at least 380 of 400 is far from a close call; the radius for n values instead of n paths
    must fail to cover, which shows that the test can fail.
    """
    generator, null = np.random.default_rng(seed), Kolmogorov()
    paths, per_path, covered, covered_if_independent = 200, 20, 0, 0
    grid = np.arange(1, BINS) / BINS
    for _ in range(400):
        u = np.repeat(generator.random(paths), per_path)
        miss = np.abs(np.searchsorted(np.sort(u), grid) / u.size - grid).max()
        # The truth here is the law itself: its distance is 0, and what the observed one exceeds is the radius' job.
        covered += miss <= null.bound(0.0, paths, 0.05) - 1 / BINS
        covered_if_independent += miss <= null.bound(0.0, paths * per_path, 0.05) - 1 / BINS
    assert covered >= 380
    assert covered_if_independent < 200


def test_a_share_that_no_outcome_refutes_is_not_detectable():
    """Ten hits of ten, at 0.3, have the p-value 2 x 0.3^10 = 1.2e-5: at 1e-6 nothing refutes, and one more draw of two does."""
    share = Share(0.3)
    assert share.p_value(1.0, 10) == pytest.approx(2.0 * 0.3**10)
    assert share.detectable(10, 1e-6, 0.01) == math.inf
    first = math.log(2e6) / -math.log(0.3)
    assert share.p_value(1.0, math.ceil(first)) <= 1e-6 < share.p_value(1.0, math.floor(first))
    n = share.needed(0.7, 1e-6, 0.01)
    assert first < n < 14
    assert share.detectable(n, 1e-6, 0.01) <= 0.7
    # Below, there is less room: what is larger than it is on the other side alone.
    assert share.detectable(14, 1e-6, 0.01) >= 0.3


@pytest.mark.parametrize("null", [Share(0.3), NormalVariance(), CramerVonMises(), MeanProduct()], ids=lambda n: n.name)
def test_what_is_needed_is_a_number_at_either_end(null):
    """A few draws for what is huge; for what is smaller than any n shows, none is enough."""
    assert 1.0 <= null.needed(1e6, 1e-6, 0.01) < 14
    assert null.needed(1e-30, 1e-6, 0.01) == math.inf
    for miss in (0.01, 0.5, 0.9):
        n = null.needed(0.1, 1e-6, miss)
        assert null.detectable(n, 1e-6, miss) == pytest.approx(0.1)


@pytest.mark.parametrize("null", [Kolmogorov(), TwoSampleKolmogorov()], ids=lambda n: n.name)
def test_a_distance_above_one_is_not_detectable(null):
    fewest = null.needed(1.0, 1e-6, 0.01)
    assert null.detectable(fewest * 1.01, 1e-6, 0.01) < 1.0
    assert null.detectable(fewest * 0.99, 1e-6, 0.01) == math.inf


def test_repeated_draws_are_all_or_nothing():
    null = Distinct()
    assert null.p_value(0, 10**6) == 1.0
    assert null.p_value(1, 10**6) == 0.0
    assert null.needed(null.detectable(100, 1e-9, 0.01), 1e-9, 0.01) == 1.0


def test_repeated_draws_may_be_due_to_rounding():
    """The p-value is no smaller than the binomial tail, and what is detectable at half the power is just refuted."""
    null, n = Distinct(probability=1e-3), 10_000
    for repeats in (1, 10, 20, 40, 80):
        assert stats.binom.sf(repeats - 1, n, 1e-3) <= null.p_value(repeats, n) <= 1.0
    assert null.p_value(80, n) < 1e-30
    assert null.p_value(null.detectable(n, 1e-9, 0.5), n) == pytest.approx(1e-9, rel=1e-6)


def test_equality_is_all_or_nothing():
    null = Equality(1e-9)
    assert null.p_value(1e-10, 1) == 1.0
    assert null.p_value(1e-8, 1) == 0.0


def test_variance_far_out_is_not_lost():
    assert NormalVariance().p_value(1.5, 10_000) < 1e-100
    assert NormalVariance().p_value(0.6, 10_000) < 1e-100
    assert NormalMean().p_value(0.5, 10_000) < 1e-300 or NormalMean().p_value(0.5, 10_000) == 0.0


def test_the_bound_covers_what_hides_between_the_edges():
    """A lattice that agrees with the law at every edge is off by nearly a cell in between; the bound says so."""
    tally = Tally(["all"], "uniform", relation="independent")
    tally.add(0, (np.arange(BINS).repeat(50) + 0.999) / BINS)
    test = next(t for t in tally.tests() if isinstance(t.null, Kolmogorov))
    assert test.statistic < 1e-12, "nothing shows at the edges"
    assert test.null.bound(test.statistic, 10**12, 0.001) >= 0.999 / BINS
