"""The battery of frequencies accepts right draws, and refutes wrong ones from both sides. A right draw is one of the law itself,
or of numpy, which knows nothing of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness import batteries as B
from exactness.evidence.nulls import Wager
from exactness.evidence.nulls.cells import log_wealth
from exactness.evidence.summaries import Cells
from tests.registry import quiet_plan

PLAN = quiet_plan(tolerance=0.05, first_paths=20_000, max_paths=20_000)


def zipf(count):
    p = 1.0 / np.arange(1, count + 1)
    return p / p.sum()


def drawer(p):
    """Labels by inversion in double precision."""
    sums = np.cumsum(p / np.sum(p))
    return lambda n, seed: np.searchsorted(sums, np.random.default_rng(seed).random(n) * sums[-1], side="right")


def changed(change):
    p = zipf(1_000)
    change(p)
    return drawer(p)


def never(p):
    p[60] = 0.0


def swapped(p):
    p[[1, 2]] = p[[2, 1]]


def flat_tail(p):
    p[100:] = p[100:].mean()


def cut(p):
    p[980:] = 0.0


def moved(p):
    p *= np.exp(0.2 * np.random.default_rng(0).standard_normal(len(p)))


RIGHT = {
    "coin": (ex.DiscreteLaw([0.3, 0.7]), lambda n, s: np.random.default_rng(s).random(n) < 0.7),
    "die": (ex.DiscreteLaw(np.full(6, 1 / 6), values=range(1, 7)), lambda n, s: np.random.default_rng(s).integers(1, 7, size=n)),
    "constant": (ex.DiscreteLaw([1.0]), lambda n, s: np.zeros(n, dtype=np.int8)),
    "Zipf, 50,000": (ex.DiscreteLaw(zipf(50_000)), drawer(zipf(50_000))),
    "Poisson": (ex.DiscreteLaw.from_log_mass(stats.poisson(30.0).logpmf), lambda n, s: np.random.default_rng(s).poisson(30.0, n)),
    "heavy tail": (
        ex.DiscreteLaw.from_log_mass(stats.zipf(1.5).logpmf, support=(1, math.inf)),
        lambda n, s: np.random.default_rng(s).zipf(1.5, n),
    ),
    "vectors": (
        ex.DiscreteLaw([0.1, 0.2, 0.3, 0.4], values=list(itertools.product([0, 1], repeat=2))),
        lambda n, s: np.stack(np.divmod(drawer([0.1, 0.2, 0.3, 0.4])(n, s), 2), axis=1),
    ),
}  # fmt: skip
WRONG = {
    "off by one": (lambda n, s: (drawer(zipf(1_000))(n, s) + 1) % 1_000, ""),
    "one label never": (changed(never), "value 60"),
    "two labels swapped": (changed(swapped), "value"),
    "the rare ones flat": (changed(flat_tail), ""),
    "the end cut off": (changed(cut), "from value"),
    "every label a little": (changed(moved), ""),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_draws_are_certified(name, seed, tmp_path):
    """False alarms: 1e-6 each, and the bounds fail to be within the tolerance far more rarely."""
    law, sample = RIGHT[name]
    judged = ex.certify(sample, law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert {finding.battery for finding in judged.findings} == {"frequencies"}
    assert ex.Certificate.load(judged.save(tmp_path / "certificate.json")) == judged


@pytest.mark.parametrize("name", WRONG)
def test_wrong_frequencies_are_refuted(name, seed):
    """A label of probability 0.0022 that never comes has a p-value of exp(-44); the others are seen as surely (1e-9)."""
    sample, where = WRONG[name]
    judged = ex.certify(sample, ex.DiscreteLaw(zipf(1_000)), plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
    assert judged.leading.where.startswith(where)


@pytest.mark.parametrize("outside", [7, -1, 2.5, 3])
def test_draws_outside_the_support_refute_at_once_and_are_named(outside):
    """flashinfer#5341: one draw in 200 has probability 0. The value 3 is a label, whose probability is 0."""
    law = ex.DiscreteLaw([0.4, 0.3, 0.3, 0.0])

    def leaky(n, seed):
        generator = np.random.default_rng(seed)
        draws = drawer(law.probabilities)(n, seed).astype(float)
        draws[generator.random(n) < 0.005] = outside
        return draws

    judged = ex.certify(leaky, law)
    assert (judged.verdict, judged.paths) == (ex.Verdict.REFUTED, 1_000)
    assert (judged.leading.p_value, judged.leading.where) == (0.0, f"value {outside}")
    assert "support" in judged.leading.name


def test_an_impossible_draw_of_either_shard_is_kept():
    law, shards = ex.DiscreteLaw([0.5, 0.5]), ([0, 1, 5], [0, 4, 9], [1, 7, 6])
    parts = []
    for draws in shards:
        parts.append(B.Frequencies().start(law, np.random.default_rng(0)))
        parts[-1].update(np.array(draws)[:, None])
    whole = parts[2]
    whole.merge(parts[0])
    whole.merge(parts[1])
    (found,) = (r for r in whole.results() if r.name == "support")
    assert (found.where, found.n, round(found.statistic * 9)) == ("values 4, 5, 6", 9, 5)


def test_a_uniform_of_few_digits_is_refuted(seed):
    """pytorch#43115, smaller: with fewer uniforms than labels, by inversion, some labels never come and others too often."""
    count = 3 << 11
    law = ex.DiscreteLaw(np.full(count, 1.0 / count))

    def coarse(n, s):
        u = np.random.default_rng(s).integers(0, 1 << 11, size=n) / (1 << 11)
        return (u * count).astype(np.int64)

    assert ex.certify(coarse, law, seed=seed).verdict is ex.Verdict.REFUTED
    thirds = ex.DiscreteLaw(np.full(3, 1 / 3))
    assert ex.certify(drawer([0.36, 0.32, 0.32]), thirds, seed=seed).verdict is ex.Verdict.REFUTED


def test_each_group_of_tests_sees_what_it_is_for(seed):
    """A label that never comes is seen one by one; the end by its ends; a departure of all labels by the bet alone."""
    law = ex.DiscreteLaw(zipf(1_000))
    for change, group in ((never, "values"), (cut, "ends"), (moved, "all values")):
        judged = ex.certify(changed(change), law, plan=PLAN, seed=seed)
        assert min(judged.findings, key=lambda f: f.p_value).name.startswith(f"frequencies: {group},")


def test_the_bet_is_fair():
    """The expected wealth is 1, over all counts of 7 draws of three labels. (Logarithms of 1e8 leave 1e-8.)"""
    p, n, total = np.array([0.6, 0.3, 0.1]), 7, 0.0
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) == n:
            total += stats.multinomial(n, p).pmf(counts) * math.exp(log_wealth(np.array(counts), p))
    assert total == pytest.approx(1.0, abs=1e-7)


def test_the_bet_pays_what_it_promises_draw_by_draw():
    """The closed form of the wealth is the product of (a p_c + N_c)/(a + N)/p_c over the draws, averaged over the weights a."""
    p, draws = np.array([0.5, 0.3, 0.2]), [0, 2, 2, 1, 2]
    wealth = 0.0
    for a in 2.0 ** np.arange(25):
        one, seen = 1.0, np.zeros(3)
        for c in draws:
            one *= (a * p[c] + seen[c]) / (a + seen.sum()) / p[c]
            seen[c] += 1
        wealth += one / 25
    assert math.exp(log_wealth(seen.astype(int), p)) == pytest.approx(wealth, rel=1e-7)


def test_the_bet_has_almost_the_power_of_a_chi_square():
    """At 1e-9 with 1,000 cells, the detectable relative entropy is at most a quarter above that of the chi-square limit."""
    n = 200_000
    found = Wager(1_000).detectable(n, 1e-9, 0.01)
    limit = stats.ncx2.sf(stats.chi2.isf(1e-9, 999), 999, 2 * n * found / 1.25)
    assert limit < 0.99


def test_the_total_variation_keeps_its_tail():
    """Every count of 12 draws of three labels: the p-value is at least the exact one."""
    p, n, found = np.array([0.5, 0.3, 0.2]), 12, []
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) == n:
            summary = Cells(p, few=16)
            summary.add(np.array(counts))
            test = summary.tests()[1]
            found.append((test.statistic, stats.multinomial(n, p).pmf(counts), test.null.p_value(test.statistic, n)))
    for statistic, _, p_value in found:
        assert p_value >= sum(mass for other, mass, _ in found if other >= statistic - 1e-12) - 1e-12


def test_the_bound_of_the_total_variation_covers(seed):
    """At 90%, whatever the sampler: the truth is covered in at least 240 of 300 trials (fewer have probability 7e-8)."""
    law, truth = np.full(6, 1 / 6), np.array([0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
    generator, covered = np.random.default_rng(seed), 0
    for counts in generator.multinomial(2_000, truth, size=300):
        summary = Cells(law, few=16)
        summary.add(counts)
        test = summary.tests()[1]
        covered += np.abs(truth - law).sum() / 2 <= test.null.bound(test.statistic, 2_000, 0.1)
    assert covered >= 240


@pytest.mark.parametrize("most", [1 << 16, 64])
def test_cells_share_counters_if_there_are_too_many(most, monkeypatch, seed):
    """With 64 counters for 1,000 labels, the rare half is counted in random groups, and a flat tail is still refuted."""
    monkeypatch.setattr("exactness.batteries.discrete._MOST_CELLS", most)
    law = ex.DiscreteLaw(zipf(1_000))
    evidence = B.Frequencies().start(law, np.random.default_rng(0))
    evidence.update(drawer(zipf(1_000))(10_000, seed)[:, None])
    cells = evidence.summaries["all values"]
    assert len(cells.masses) == min(most, 1_000)
    assert cells.masses.sum() == pytest.approx(1.0)
    assert cells.counts.sum() == 10_000


def test_ends_are_events_of_their_names():
    law = ex.DiscreteLaw.from_log_mass(stats.poisson(3.0).logpmf)
    evidence = B.Frequencies().start(law, np.random.default_rng(0))
    draws = np.random.default_rng(1).poisson(3.0, 5_000)
    evidence.update(draws[:, None])
    ends = evidence.summaries["ends"]
    for name, null, count in zip(ends.events, ends.nulls, ends.counts, strict=True):
        if name.startswith("from"):
            k = int(name.split()[2])
            assert (null.probability, count) == (pytest.approx(stats.poisson(3.0).sf(k - 1)), (draws >= k).sum())
        if name.startswith("up to"):
            k = int(name.split()[3])
            assert (null.probability, count) == (pytest.approx(stats.poisson(3.0).cdf(k)), (draws <= k).sum())


def test_small_tolerances_are_planned(seed):
    """An exact sampler is certified at the planned number of draws."""
    law, sample = RIGHT["die"]
    plan = ex.Plan.for_tolerance(0.05, law, suspicion=1e-9)
    assert ex.certify(sample, law, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED
