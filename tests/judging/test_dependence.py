"""Certificates assume independent draws: dependent ones are not certified, exact samplers that look odd are not refuted."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.evidence.dependence import Dependence
from exactness.evidence.summaries import Repeats, RepeatsOfBoth
from exactness.judging.judgement import assumptions
from tests.judging.dependent import DEPENDENT, FAMILIES, MIXTURE, ODD, Remembering, autoregression, sampler

# A call that remembers the last one has no seed.
PLAN = ex.Plan(tolerance=0.05)
UNSEEDED = ex.Plan(tolerance=0.05, seed_must_count=False)


def judged(make, family, seed):
    if isinstance(make, Remembering):
        make.last = None
    plan = UNSEEDED if isinstance(make, Remembering) else PLAN
    return ex.certify(sampler(make, family), FAMILIES[family].law, plan=plan, seed=seed)


def test_there_are_forty_of_each():
    assert min(len(DEPENDENT), len(ODD)) >= 40


@pytest.mark.filterwarnings("ignore:The balance properties")
@pytest.mark.parametrize("name", DEPENDENT)
def test_draws_that_depend_on_each_other_are_not_certified(name, seed):
    """Most are refuted, and the reason says why; those that return the same for some seeds are invalid."""
    found = judged(*DEPENDENT[name], seed)
    assert found.verdict in (ex.Verdict.REFUTED, ex.Verdict.INVALID), found.reasons
    if found.verdict is ex.Verdict.REFUTED:
        assert "depend on each other" in found.reasons[0]


@pytest.mark.parametrize("name", list(ODD)[::4])
def test_exact_samplers_that_look_odd_are_not_refuted(name, seed):
    """At alpha 1e-6. The slow test has all of them."""
    assert judged(*ODD[name], seed).verdict is ex.Verdict.CERTIFIED


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The balance properties")
@pytest.mark.parametrize("again", range(5))
@pytest.mark.parametrize("name", [*DEPENDENT, *ODD])
def test_all_of_them_with_other_seeds(name, again, seed):
    if name in DEPENDENT:
        assert judged(*DEPENDENT[name], 1_000 * seed + again).verdict in (ex.Verdict.REFUTED, ex.Verdict.INVALID)
    else:
        assert judged(*ODD[name], 1_000 * seed + again).verdict is ex.Verdict.CERTIFIED


SEEN = {
    "clustered": "dependence at a lag", "leaning on i - 7, chain": "dependence at a lag", "stratified": "dependence within calls",
    "wider for a tenth of the seeds, mixture": "dependence within calls", "sums lean on the last call": "dependence between calls",
    "jittered copies": "close draws", "antithetic, reversed": "close draws", "with replacement": "repeated draws",
    "twice, trusted": "repeated draws",
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_each_kind_of_dependence_is_seen_by_the_test_that_is_made_for_it(name, seed):
    found = judged(*DEPENDENT[name], seed)
    assert SEEN[name] in " ".join(f.name for f in found.findings if f.adjusted_p <= PLAN.alpha)


def test_one_call_that_is_garbage_is_enough():
    """One of some two hundred seeds leads to draws that are six times as large; the others to right ones."""
    asked: list[int] = []

    def sample(n, seed):
        asked.append(seed)
        return np.random.default_rng(seed).standard_normal((n, 1)) * (6.0 if len(asked) == 23 else 1.0)

    found = ex.certify(sample, FAMILIES["normal"].law, plan=PLAN)
    assert "unusual calls" in " ".join(f.name for f in found.findings if f.adjusted_p <= PLAN.alpha)


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_the_reason_is_dependence_and_not_the_law(rho):
    found = judged(autoregression(rho), "normal", 0)
    assert found.reasons[0].startswith("draws depend on each other (lag 1): ")


WRONG_LAWS = {
    "shifted": lambda z: z + 3.0,
    "narrow": lambda z: 0.3 * z,
    "wide": lambda z: 5.0 * z,
    "cubed": lambda z: z**3,
    "folded": np.abs,
}


@pytest.mark.parametrize("wrong", WRONG_LAWS.values(), ids=WRONG_LAWS)
def test_a_wrong_law_is_not_called_dependence(wrong):
    """Draws are independent, and much too large, small, skewed or heavy-tailed."""
    law = FAMILIES["normal"].law
    found = ex.certify(lambda n, seed: wrong(law.sample(n, seed)), law, plan=PLAN)
    assert found.verdict is ex.Verdict.REFUTED
    assert "draws depend" not in found.reasons[0].split(";")[0]


@pytest.mark.parametrize("name", ["AR .3", "AR .3, mixture", "twice", "antithetic, half on", "in order, dice"])
def test_saved_draws_that_depend_on_each_other_are_not_certified(name):
    """All of them come from one call, so that mirror images are 10,000 draws apart."""
    make, family = DEPENDENT[name]
    found = ex.certify_paths(sampler(make, family)(20_000, 1), FAMILIES[family].law, plan=ex.Plan(max_paths=20_000, tolerance=0.1))
    assert found.verdict in (ex.Verdict.REFUTED, ex.Verdict.INVALID)


def test_numbers_that_are_rounded_to_the_end_of_a_distribution_are_no_repeats():
    """One in ten draws underflows to 0, whose uniform is 0. Another number that comes as often is a repeat."""
    z = np.random.default_rng(0).standard_normal((2_000, 1))
    draws = np.exp(z)
    z[::10], draws[::10] = -37.0, 0.0
    for repeats in (0, 200):
        z[5::10], draws[5::10] = (z[5], draws[5]) if repeats else (z[5::10], draws[5::10])
        watch = Dependence(1, np.random.default_rng(0), repeats=Repeats(range(1)))
        for summary in watch.summaries().values():
            summary.open((2_000,))
        watch.add(z, np.random.default_rng(1), draws)
        (found,) = watch.repeats.tests()
        assert found.statistic == max(0, repeats - 1)


def test_a_law_is_looked_at_once():
    """Three batteries can turn draws of a mixture into normals: the first of them does, and only it."""
    found = ex.certify(MIXTURE.sample, MIXTURE, plan=PLAN)
    of_lags = [f.battery for f in found.findings if f.test == "serial correlation"]
    assert of_lags == ["mixture innovations"] * 2
    alone = ex.certify(MIXTURE.sample, MIXTURE, plan=PLAN, batteries=[ex.batteries.Rosenblatt()])
    assert [f.battery for f in alone.findings if f.test == "serial correlation"] == ["Rosenblatt transform"] * 2


@pytest.mark.parametrize("copied", [False, True])
def test_repeats_are_of_all_draws_and_not_only_of_those_kept(monkeypatch, copied, seed):
    """jax.random.uniform has 23 bits. A draw that is kept may repeat any other, for those that equal it are all kept."""
    monkeypatch.setattr("exactness.evidence.summaries.repeats._KEPT", 1 << 12)
    generator, whole = np.random.default_rng(seed), Repeats(range(1))
    for _ in range(4):
        part, draws = Repeats(range(1)), generator.integers(1 << 23, size=(25_000, 1)) / 2.0**23
        part.add(np.repeat(draws[::25], 25, axis=0) if copied else draws)
        whole.merge(part)
    (found,) = whole.tests()
    assert (found.null.p_value(found.statistic, found.n) < 1e-9) == copied


def test_repeats_of_a_trusted_law_are_counted_over_shards():
    """A third of the draws are the same in two shards; nobody else repeats. With repeats in both samples, nothing is wrong."""
    draws, fresh = np.random.default_rng(0).standard_normal((2, 300, 2))
    one, other, both = RepeatsOfBoth(), RepeatsOfBoth(), RepeatsOfBoth()
    one.add(draws, fresh)
    assert one.tests() == []
    other.add(np.concatenate([draws[:100], fresh[:200] + 1.0]), fresh + 2.0)
    one.merge(other)
    found = one.tests()
    assert [(test.statistic, test.n) for test in found] == [(1.0, 100)]
    assert found[0].null.p_value(1.0, 100) < 1e-50
    both.add(np.round(draws), np.round(fresh))
    (found,) = both.tests()
    assert found.null.p_value(found.statistic, found.n) > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniforms_of_few_random_bits_are_no_copies_next_to_a_trusted_sampler_of_many(dtype, seed):
    """jax.random.uniform has 23 random bits, also if converted. Every draw twice is still noticed. False alarms: 1e-6."""
    generator = np.random.default_rng(seed)
    for copied in (False, True):
        draws = (generator.integers(1 << 23, size=(60_000, 1)) / 2.0**23).astype(dtype)
        found = RepeatsOfBoth()
        found.add(np.repeat(draws[::2], 2, axis=0) if copied else draws, generator.random((60_000, 1)).astype(dtype))
        (test,) = found.tests()
        assert (test.null.p_value(test.statistic, test.n) < 1e-6) == copied


def test_what_is_taken_for_granted_is_said():
    looked = ex.certify(MIXTURE.sample, MIXTURE, plan=PLAN)
    said = " ".join(assumptions(looked.findings))
    assert "Draws of different calls are taken to be independent" in said
    assert "4,096 draws apart" in said
    assert "The draws of a file are taken in their order" in " ".join(assumptions(looked.findings, saved=True))
    alone = ex.certify(MIXTURE.sample, MIXTURE, plan=PLAN, batteries=[ex.batteries.CharacteristicFunction()])
    assert "No test looked at this" in " ".join(assumptions(alone.findings))
