"""Every test of ``nulls``: its faces agree, the truth is accepted at the stated rate, effects that it says it sees are seen.

A new null is tested by being listed in ``CASES`` with a way to simulate its statistic under the law and with an effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from exactness.evidence import nulls as N
from exactness.evidence.nulls.cells import log_wealth
from exactness.evidence.nulls.hilbert import edge_weights
from exactness.evidence.nulls.normal import CLIP, chi_square_tails
from exactness.evidence.summaries import Shares, Tally
from exactness.evidence.summaries.base import Row, worst

ALPHA, MISS, TRIALS = 1e-3, 0.01, 100
EDGES = np.arange(1, N.BINS) / N.BINS


@dataclass(frozen=True)
class Case:
    """``statistic(generator, n, effect)`` under a law that departs by ``effect``, on the side of its sign; 0 is the truth."""

    null: N.Null
    n: int
    statistic: Callable[[np.random.Generator, int, float], float]


def counted(u, null):
    tally = Tally(["all"], "uniform", relation="independent")
    tally.add(0, u)
    return next(t.statistic for t in tally.tests() if t.null == null)


def piled(null, per_unit):
    """Uniform values, but a share of them piled up at one end."""

    def statistic(g, n, effect):
        u = g.random(n)
        u[g.random(n) < abs(effect) / per_unit] = 0.0 if effect > 0 else 1.0 - 1e-9
        return counted(u, null)

    return statistic


def two_sample(g, n, effect):
    edges = np.arange(1, 128) / 128
    x, y = np.sort(g.random(n) + effect), np.sort(g.random(n))
    return float(np.abs(np.searchsorted(x, edges) - np.searchsorted(y, edges)).max() / n)


def vector(g, n, effect):
    z = g.standard_normal((n, 3))
    z[:, 1] += effect
    return float(np.linalg.norm(z.mean(0)))


def product(lengths):
    def statistic(g, n, effect):
        """Neighbours in runs of a stationary autoregression with correlation ``effect``."""
        total = count = 0.0
        while count < n:
            for m in lengths:
                rows = max(1, round(n / sum(k - 1 for k in lengths)))
                z = [g.standard_normal(rows)]
                for _ in range(m - 1):
                    z.append(effect * z[-1] + math.sqrt(1 - effect**2) * g.standard_normal(rows))
                z = np.stack(z, axis=1)
                total += (z[:, 1:] * z[:, :-1]).sum()
                count += rows * (m - 1)
        return total / count

    return statistic


def correlated(lengths):
    def statistic(g, n, effect):
        """Neighbours in runs of a stationary autoregression with correlation ``effect``; the variance is 9."""
        rows, products, squares = round(n / sum(m - 1 for m in lengths)), 0.0, 0.0
        for m in lengths:
            z = [g.standard_normal(rows)]
            for _ in range(m - 1):
                z.append(effect * z[-1] + math.sqrt(1 - effect**2) * g.standard_normal(rows))
            z = 3.0 * np.stack(z, axis=1)
            products += (z[:, 1:] * z[:, :-1]).sum()
            squares += 0.5 * (z[:, 1:] ** 2 + z[:, :-1] ** 2).sum()
        return products / squares

    return statistic


def ratio(g, n, effect):
    """Mean squares of n and of ten times as many normals, the first with another variance."""
    variance = 1 + effect if effect >= 0 else 1 / (1 - effect)
    return float(variance * (g.standard_normal(n) ** 2).mean() / (g.standard_normal(10 * n) ** 2).mean())


def promised(g, n, effect):
    p = g.uniform(0.1, 0.7, size=n)
    return float(((g.random(n) < p + effect) - p).mean())


def symmetric(g, n, effect):
    """Heavy tails under the law (where any are allowed), normal with an effect (for which planning is meant)."""
    d = g.standard_cauchy((n, 4)) if effect == 0 else g.standard_normal((n, 4)) + np.array([effect, 0, 0, 0])
    s = d.sum(0)
    return math.sqrt(s @ np.linalg.solve(d.T @ d, s) / n)


def box(g, n, effect):
    """Vectors in a cube about 0; a share of them moved to a corner, whose distance from 0 is half the cube's diagonal."""
    u = g.random((n, 3))
    u[g.random(n) < abs(effect) / math.sqrt(0.75)] = 1.0 if effect > 0 else 0.0
    return float(np.linalg.norm(u.mean(0) - 0.5))


CELLS = np.array([0.4, 0.3, 0.2, 0.1])


def labels(per_unit):
    """Counts of four labels, (cells,), of which the first two gain what the others lose, or the other way round."""

    def counts(g, n, effect):
        shift = per_unit(abs(effect)) * (1 if effect >= 0 else -1)
        return g.multinomial(n, CELLS + shift * np.array([0.5, 0.5, -0.5, -0.5]))

    return counts


def wager(g, n, effect):
    """The relative entropy is about shift^2 sum_c (1/4)/p_c/2."""
    counts = labels(lambda e: math.sqrt(8.0 * e / (1.0 / CELLS).sum()))(g, n, effect)
    return log_wealth(counts, CELLS) / n


def variation(g, n, effect):
    return 0.5 * float(np.abs(labels(lambda e: e)(g, n, effect) / n - CELLS).sum())


def bet(g, n, effect):
    """One of eight bets is on a normal shift, and the others risk nothing. Its wealth grows by half the squared shift per value."""
    shift = math.sqrt(2.0 * (abs(effect) or 1e-3))
    won = float((shift * (g.standard_normal(n) + (shift if effect else 0.0)) - 0.5 * shift**2).sum())
    return float(np.logaddexp(won, math.log(7.0)) - math.log(8.0)) / n


SPREAD = float(np.sqrt(CELLS * (1.0 - CELLS)).sum())
TAILS = math.sqrt(float((edge_weights(True) * (1 - EDGES) ** 2).sum()))
CASES = {
    "Kolmogorov": Case(N.Kolmogorov(), 2_000, piled(N.Kolmogorov(), 1.0)),
    "two-sample Kolmogorov": Case(N.TwoSampleKolmogorov(), 2_000, two_sample),
    "paired Kolmogorov": Case(N.PairedKolmogorov(), 2_000, two_sample),
    "two-sample Kolmogorov, few": Case(N.TwoSampleKolmogorov(), 200, two_sample),
    "Cramer-von Mises": Case(N.CramerVonMises(), 2_000, piled(N.CramerVonMises(), math.sqrt(1 / 3))),
    "Anderson-Darling": Case(N.AndersonDarling(), 20_000, piled(N.AndersonDarling(), TAILS)),
    "kernel mean": Case(N.KernelMean(3 / 12, 1 / 12, math.sqrt(3) / 2, math.sqrt(3)), 2_000, box),
    "mean": Case(N.NormalMean(), 400, lambda g, n, e: float((g.standard_normal(n) + e).mean())),
    "variance": Case(
        N.NormalVariance(), 400,
        lambda g, n, e: float((g.standard_normal(n) ** 2).mean() * (1 + e if e >= 0 else 1 / (1 - e))),
    ),
    "mean vector": Case(N.MeanVector(3), 400, vector),
    "product of pairs": Case(N.MeanProduct(), 1_000, product((2,))),
    "product of neighbours": Case(N.MeanProduct((6, 5)), 1_800, product((6, 5))),
    "share": Case(N.Share(0.3), 2_000, lambda g, n, e: g.binomial(n, 0.3 + e) / n),
    "rare share": Case(N.Share(0.01), 20_000, lambda g, n, e: g.binomial(n, max(0.0, 0.01 + e)) / n),
    "promised": Case(N.Promised(float(np.mean(np.linspace(0.1, 0.7, 999) * (1 - np.linspace(0.1, 0.7, 999))))), 2_000, promised),
    "symmetric mean": Case(N.SymmetricMean(4), 500, symmetric),
    "wager": Case(N.Wager(4), 20_000, wager),
    "bet": Case(N.Bet(8), 2_000, bet),
    "total variation": Case(N.TotalVariation(4, SPREAD), 20_000, variation),
    "serial correlation of pairs": Case(N.SerialCorrelation(), 1_000, correlated((2,))),
    "serial correlation of runs": Case(N.SerialCorrelation(), 1_800, correlated((6, 5))),
    "variance ratio": Case(N.VarianceRatio((40, 400)), 40, ratio),
    "neighbours, bounded": Case(N.Neighbours(0.01), 2_000, lambda g, n, e: g.binomial(n, 0.01 + max(0.0, e)) / n),
    "neighbours, known": Case(N.Neighbours(0.3, known=True), 2_000, lambda g, n, e: g.binomial(n, 0.3 + e) / n),
    "own repeats": Case(N.OwnRepeats(), 500, lambda g, n, e: g.binomial(n, 0.25 + max(0.0, e)) / n),
    "chi-square limit": Case(N.ChiSquareLimit(3), 1_000, vector),
}  # fmt: skip
ONE_SIDED = ("neighbours, bounded", "own repeats")
every = pytest.mark.parametrize("name", CASES)


def test_every_null_is_listed():
    # All or nothing, of the data, and a bound that refutes nothing: their own tests are elsewhere.
    left_out = {"equality", "distinct", "permutation", "pairs that have not met"}
    assert {c.null.name for c in CASES.values()} | left_out == {null.name for null in N.ALL}


@every
@settings(max_examples=25)
@given(log_n=st.floats(8.0, 20.0), log_alpha=st.floats(-30.0, -7.0), miss=st.floats(1e-4, 0.5))
def test_detectable_and_needed_invert_each_other(name, log_n, log_alpha, miss):
    null = CASES[name].null
    n, alpha = math.exp(log_n), max(math.exp(log_alpha), null.reach)
    effect = null.detectable(n, alpha, miss)
    assert effect > 0
    assert null.needed(effect, alpha, miss) == pytest.approx(n, rel=1e-5)


@every
def test_null_and_parameters_make_the_same_test_again(name):
    null = CASES[name].null
    assert N.null_of(null.name, null.parameters()) == null


@every
def test_accepts_the_truth_and_sees_what_it_says_it_sees_on_both_sides(name, seed):
    """At alpha 1e-3 and power 0.99: of 100 true statistics at most 4 refuted (P 7e-8), of 100 wrong ones at least 87 (P 5e-11)."""
    case = CASES[name]
    generator, null = np.random.default_rng(seed), case.null
    effect = null.detectable(case.n, ALPHA, MISS)
    refuted = {
        sign: sum(null.p_value(case.statistic(generator, case.n, sign * effect), case.n) <= ALPHA for _ in range(TRIALS))
        for sign in (0, 1, -1)
    }
    assert refuted[0] <= 4
    assert refuted[1] >= 87
    # A probability cannot be further below than it is above zero, and fewer neighbours or repeats than there may be are no fault.
    if not (name == "rare share" and effect > 0.01) and name not in ONE_SIDED:
        assert refuted[-1] >= 87


@every
def test_p_values_are_no_smaller_than_they_may_be(name, seed):
    """At 0.05 over 250 true statistics: refused at a binomial p-value of 1e-8; exact continuous ones on either side."""
    case = CASES[name]
    generator, null = np.random.default_rng(seed), case.null
    p = np.array([null.p_value(case.statistic(generator, case.n, 0.0), case.n) for _ in range(250)])
    assert stats.binomtest(int((p <= 0.05).sum()), 250, 0.05, alternative="greater").pvalue > 1e-8
    if null.validity == "exact" and null.name != "share":
        assert stats.kstest(p, "uniform").pvalue > 1e-8


@pytest.mark.parametrize("null", [N.CramerVonMises(), N.AndersonDarling()], ids=lambda n: n.name)
def test_the_numbers_of_the_grids_are_those_of_its_covariance(null):
    """Trace, largest eigenvalue, radius and width against a numerical spectrum of the bridge on a grid, and brute force."""
    weight = np.sqrt(edge_weights(isinstance(null, N.AndersonDarling)))
    covariance = weight[:, None] * (np.minimum.outer(EDGES, EDGES) - np.outer(EDGES, EDGES)) * weight
    trace, top, radius, width = null._numbers
    assert trace == pytest.approx(np.trace(covariance), rel=1e-12)
    assert top == pytest.approx(np.linalg.eigvalsh(covariance)[-1], rel=1e-9)
    phi = weight * ((np.arange(N.BINS)[:, None] / N.BINS < EDGES) - EDGES)
    assert radius == pytest.approx(np.linalg.norm(phi, axis=1).max(), rel=1e-12)
    assert width == pytest.approx(np.linalg.norm(phi[0] - phi[-1]), rel=1e-12)


def test_bounds_of_means_cover_whatever_depends_on_what(seed):
    """A path's 20 values are equal: bounds on the clipped mean and square at 95% cover in at least 95% of 400 trials.

    Empirical Bernstein is generous: at least 380 of 400. Counting values as if they were paths must fail, so the test can.
    """
    generator, covered, naive = np.random.default_rng(seed), np.zeros(2), np.zeros(2)
    square = stats.norm.expect(lambda z: np.minimum(z * z, CLIP**2), lb=-12, ub=12, points=[-CLIP, CLIP])
    for _ in range(400):
        tally = Tally(["one", "two"], "normal", relation="independent")
        z = np.repeat(generator.standard_normal((400, 1)), 20, axis=1)
        tally.add(0, z[:, :10])
        tally.add(1, z[:, 10:])
        tally.close()
        for i, kind in enumerate((N.NormalMean, N.NormalVariance)):
            null = kind(*tally._kept([-1], i))
            # The truth is the law itself: its discrepancy is 0, and what the observed one exceeds is the radius' job.
            gap = abs(null.clipped - (0.0, square)[i])
            covered[i] += gap <= null.bound(0.0, 400, 0.05) - gap
            naive[i] += gap <= math.sqrt(2.0 * null.variance / 20 * math.log(40) / 8_000)
    assert np.all(covered >= 380)
    assert np.all(naive < 350)


def test_products_have_the_tail_of_their_exact_law():
    """Chernoff's bound for pairs, against the exact law: (A - B)/2 with A, B independent chi-square(n), by simulation at 1e-4.

    And never more than 30 times it: tight enough to plan by.
    """
    generator, n = np.random.default_rng(0), 200
    mean = (generator.chisquare(n, 2_000_000) - generator.chisquare(n, 2_000_000)) / (2 * n)
    for level in (1e-2, 1e-3, 1e-4):
        rho = float(np.quantile(np.abs(mean), 1 - level))
        assert 0.9 * level <= N.MeanProduct().p_value(rho, n) <= 30 * level


@pytest.mark.parametrize("lengths", [(2,), (3,), (4, 5, 5), (40,)])
def test_products_invert_their_rate_however_far_out(lengths):
    """The p-value of what is detectable half of the time, at a level that only just does, is that level; beyond reach it is 0."""
    null = N.MeanProduct(lengths)
    for log_alpha in (-0.5, -3.0, -30.0, -300.0):
        rho = null.detectable(1_000, 10.0**log_alpha, 0.5)
        assert null.p_value(rho, 1_000) == pytest.approx(10.0**log_alpha, rel=1e-6)
    for rho in (1e3, 1e15, 1e16, 1e300, math.inf):
        assert null.p_value(rho, 1_000) == 0.0
    for rho in (0.0, 1e-316, 1e-160, -1e-316, math.nan):
        assert null.p_value(rho, 1_000) == 1.0


def test_counts_of_rare_events_keep_the_bound_of_promised_probabilities():
    """Binomial tails, down to one expected event, where they are Poisson's: a Gaussian tail alone is too small there."""
    for n, p in ((10_000, 1e-4), (1_000, 0.02), (500, 0.4)):
        null = N.Promised(p * (1 - p))
        for hits in range(round(n * p) + 1, round(n * p + 8 * math.sqrt(n * p)) + 2):
            assert null.p_value(hits / n - p, n) >= min(1.0, stats.binom.sf(hits - 1, n, p)), (n, p, hits)


def test_distances_are_those_of_the_empirical_distribution_function_at_every_edge():
    """Of few values, so that most cells are empty: their edges count as well."""
    u = np.array([0.11, 0.12, 0.12, 0.5, 0.77, 0.9999])
    gaps = np.searchsorted(np.sort(u), EDGES, side="left") / len(u) - EDGES
    assert counted(u, N.Kolmogorov()) == pytest.approx(np.abs(gaps).max(), abs=1e-15)
    assert counted(u, N.CramerVonMises()) == pytest.approx(math.sqrt(gaps**2 @ edge_weights(False)), rel=1e-12)
    assert counted(u, N.AndersonDarling()) == pytest.approx(math.sqrt(gaps**2 @ edge_weights(True)), rel=1e-12)


@pytest.mark.parametrize("statistics", [[0.1, 0.2, -0.9], [0.1, 0.9, -0.2], [-0.3, 0.0, 0.2, 0.1]], ids=str)
def test_the_row_that_stands_out_most_is_found_on_either_side(statistics):
    names = [f"row {i}" for i in range(len(statistics))]
    for n in (50, np.full(len(statistics), 50), np.arange(50, 50 + len(statistics))):
        test = worst(lambda _: N.NormalMean(), names, np.array(statistics), n)
        assert (test.where, test.rows) == (names[int(np.abs(statistics).argmax())], len(statistics))


def largest_bound(test, paths, error):
    return max(row.bound(paths, error) for row in (Row(*test[:4]), *test.ends))


@pytest.mark.parametrize("null", [*(c.null for c in CASES.values()), N.NormalMean(0.1, 1.0), N.NormalVariance(1.1, 2.0)], ids=str)
def test_p_values_fall_and_bounds_rise_towards_either_end(null):
    """Only the two ends of rows alike are looked at: no row between them may have a smaller p-value or a larger bound."""
    largest = 0.99 if null.unit in ("probability", "correlation", "share of draws") else 3.0
    signed = null.name in ("mean", "product", "promised probability", "serial correlation")
    grid = np.linspace(-largest if signed else 0.0, largest, 61)
    for n, error in ((40, 0.05), (3_000, 1e-7)):
        p = np.array([null.p_value(float(s), n) for s in grid])
        bounds = [null.bound(float(s), n, error) for s in grid]
        for left, right in ((0, 60), (0, 35), (20, 60), (20, 35)):
            assert p[left : right + 1].min() == min(p[left], p[right])
            if None not in bounds:
                assert max(bounds[left : right + 1]) == max(bounds[left], bounds[right])


def test_the_largest_bound_is_found_in_any_row(seed):
    """Rows alike and rows of their own kind, with equal and unequal n: of all rows none has a larger bound than the ends."""
    generator = np.random.default_rng(seed)
    for n in (500, generator.integers(300, 310, 40)):
        for nulls in ([N.Kolmogorov()] * 40, [N.Share(float(p)) for p in generator.random(40)]):
            statistics = np.round(generator.random(40) * 300) / 300
            test = worst(nulls.__getitem__, [str(i) for i in range(40)], statistics, n)
            rows = [Row(*row) for row in zip(nulls, map(str, range(40)), statistics, np.broadcast_to(n, 40), strict=True)]
            assert largest_bound(test, 500, 0.01) == max(row.bound(500, 0.01) for row in rows)
            assert test.null.p_value(test.statistic, test.n) == min(row.null.p_value(row.statistic, row.n) for row in rows)


def test_a_row_with_fewer_values_than_draws_is_bounded_by_its_values():
    row = Row(N.Kolmogorov(), "few", 0.01, 100)
    assert row.bound(10_000, 0.01) == N.Kolmogorov().bound(0.01, 100, 0.01)
    assert row._replace(n=10**6).bound(10_000, 0.01) == N.Kolmogorov().bound(0.01, 10_000, 0.01)


def test_the_bound_of_rows_with_unequal_n_covers_the_one_that_departs_most(seed):
    """A row of many values has the smallest p-value, and one of few departs most: a bound at 95% covers it in 45 of 50 trials.

    The bound of the row with the smallest p-value never does.
    """
    generator, covered, own = np.random.default_rng(seed), 0, 0
    piled = lambda share, shape: np.where(generator.random(shape) < share, 0.0, generator.random(shape))  # noqa: E731
    for _ in range(50):
        tally = Tally(["few", "many"], "uniform", relation="independent")
        tally.add(0, piled(0.085, 4_000))
        tally.add(1, piled(0.025, (4_000, 20)))
        test = next(t for t in tally.tests() if t.rows == 2 and isinstance(t.null, N.Kolmogorov))
        assert test.where == "many"
        covered += largest_bound(test, 4_000, 0.05) >= 0.085 * EDGES[-1]
        own += test.null.bound(test.statistic, 4_000, 0.05) >= 0.085 * EDGES[-1]
    assert covered >= 45
    assert own == 0


def test_a_share_is_the_binomial_test(seed):
    for hits, n, p in ((3, 50, 0.1), (0, 40, 0.2), (40, 40, 0.9), (7, 1_000, 0.002)):
        exact = 2 * min(stats.binom.cdf(hits, n, p), stats.binom.sf(hits - 1, n, p))
        assert N.Share(p).p_value(hits / n, n) == pytest.approx(min(1.0, exact), rel=1e-9)
        interval = stats.binomtest(hits, n).proportion_ci(0.95)
        assert N.Share(p).bound(hits / n, n, 0.05) == pytest.approx(max(interval.high - p, p - interval.low), rel=1e-9)
    assert N.Share(0.0).p_value(0.001, 1_000) == 0.0
    assert N.Share(0.0).p_value(0.0, 1_000) == 1.0


def test_signs_of_heavy_tails_keep_the_symmetric_bound_far_out():
    """Differences of two values only, one of them huge: the worst kind. 200,000 sign patterns, at 1e-3 and 1e-4."""
    generator = np.random.default_rng(0)
    sizes = np.concatenate([np.ones((30, 2)), [[25.0, 0.0], [0.0, 8.0]]]) * generator.choice([-1, 1], size=(32, 2))
    sums = generator.choice([-1.0, 1.0], size=(200_000, 32)) @ sizes
    statistic = np.sqrt(np.einsum("ni,ij,nj->n", sums, np.linalg.inv(sizes.T @ sizes), sums) / 32)
    p = np.array([N.SymmetricMean(2).p_value(float(s), 32) for s in np.unique(statistic.round(12))])
    values, counts = np.unique(statistic.round(12), return_counts=True)
    for level in (1e-2, 1e-3, 1e-4):
        assert counts[p <= level].sum() / 200_000 <= level + 5 * math.sqrt(level / 200_000)
    assert len(values) == len(p)


def test_the_bound_of_the_most_extreme_event_covers_the_others(seed):
    """A rare event stands out most, a common one departs most: the bound at 95% covers both in at least 190 of 200 trials.

    The rare event's own interval must not cover the common one's departure, or there would be nothing to test.
    """
    law, truth = np.array([0.5, 0.49, 0.01]), np.array([0.44, 0.51, 0.05])
    generator, covered, own = np.random.default_rng(seed), 0, 0
    for counts in generator.multinomial(20_000, truth, size=200):
        summary = Shares(["a", "b", "c"], law)
        summary.add(counts, 20_000)
        (test,) = summary.tests()
        assert test.where == "c"
        covered += np.abs(truth - law).max() <= largest_bound(test, 20_000, 0.05)
        own += np.abs(truth - law).max() <= N.Share(0.01).bound(test.statistic, 20_000, 0.05)
    assert covered >= 190
    assert own == 0


@pytest.mark.parametrize("z", [-6.5, -5.0, -2.0, -0.5, 0.5, 2.0, 5.0, 6.5])
@pytest.mark.parametrize("n", [100_001, 10**7, 10**9])
def test_chi_square_tails_are_right_with_very_many_values(n, z):
    """Against the density integrated in 40 digits; scipy's lower tail is not (0.37 of it at n = 1e9, z = -5)."""
    mp = mpmath.mp.clone()
    mp.dps = 40
    x = n + z * math.sqrt(2.0 * n)
    a, from_mean = mp.mpf(n) / 2, (mp.mpf(x) - n) / 2 / mp.sqrt(mp.mpf(n) / 2)
    density = lambda t: mp.sqrt(a) * mp.exp((a - 1) * mp.log(a + t * mp.sqrt(a)) - a - t * mp.sqrt(a) - mp.loggamma(a))  # noqa: E731
    away = -1 if z < 0 else 1
    expected = mp.quad(density, sorted(from_mean + away * k for k in (0, 1, 3, 6, 14)))
    assert chi_square_tails(n, x)[z > 0] == pytest.approx(float(expected), rel=1e-8)


def test_a_draws_average_counts_its_values_not_its_rows():
    """Rows of one and of 19 values: the bound of the pooled mean covers the shift of the 19."""
    tally = Tally(["one", "many"], "normal", relation="independent")
    z = np.random.default_rng(0).standard_normal((20_000, 20))
    tally.add(0, z[:, :1])
    tally.add(1, z[:, 1:] + 0.1)
    tally.close()
    test = next(t for t in tally.tests() if isinstance(t.null, N.NormalMean) and t.where == "pooled")
    assert test.statistic == pytest.approx(0.095, abs=0.005)
    assert test.null.bound(test.statistic, 20_000, 0.001) > 0.095


@pytest.mark.parametrize("lengths", [(2,), (3,), (7,), (40,), (2, 3, 9)], ids=str)
@pytest.mark.parametrize("rho", [0.05, 0.4, 0.9])
def test_the_generating_function_of_serial_correlation_is_what_its_p_value_says(lengths, rho):
    """E exp(t (T - rho S)) from the determinant of the form, for runs of any lengths: (1 - rho^2)^(n/2) at t = rho/(1 - rho^2)."""
    t, log_mean, pairs = rho / (1 - rho**2), 0.0, sum(m - 1 for m in lengths)
    for m in lengths:
        form = 0.5 * (np.eye(m, k=1) + np.eye(m, k=-1))
        form -= rho * np.diag(np.bincount(np.r_[: m - 1, 1:m], minlength=m) / 2)
        sign, log_determinant = np.linalg.slogdet(np.eye(m) - 2.0 * t * form)
        assert sign > 0
        log_mean -= 0.5 * log_determinant
    assert math.exp(log_mean) == pytest.approx((1 - rho**2) ** (pairs / 2), rel=1e-9)
    assert N.SerialCorrelation().p_value(rho, pairs) == pytest.approx(min(1.0, 2.0 * math.exp(log_mean)), rel=1e-9)


def test_serial_correlation_has_the_power_that_planning_counts_on():
    """32,000 draws in one dimension: among 4,096 lags, a correlation of 0.045 is seen at 1e-6."""
    assert N.SerialCorrelation().detectable(32_000, 1e-6 / 4096, 0.4) < 0.041
    assert N.SerialCorrelation().detectable(32_000, 1e-6 / 4096, 0.1) < 0.046
