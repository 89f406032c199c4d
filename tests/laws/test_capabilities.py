"""A user's own law gets every battery whose question it can answer, and says itself what a sample must look like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

import exactness as ex
from exactness.batteries import standard
from exactness.laws.base import Projections
from tests.registry import another, plain_chain, quiet_plan


class Drawn(ex.Law):
    """Two independent exponentials, of which only exact draws are known."""

    event_shape = (2,)

    def describe(self):
        return {"kind": "Drawn"}

    def sample(self, n, seed):
        return np.random.default_rng(seed).exponential(size=(n, 2))


class Seen(Drawn):
    """The same, whose margins are known as well."""

    def projections(self, random, generator):
        return Projections(["first", "second"], lambda x: [1.0 - np.exp(-x[:, 0]), 1.0 - np.exp(-x[:, 1])])


class Counts(ex.Law):
    """A law of integers: three fair dice."""

    event_shape = (3,)
    dtypes = ("int64", "int32")
    why_dtypes = "a die shows a whole number"

    def describe(self):
        return {"kind": "Counts"}

    def sample(self, n, seed):
        return np.random.default_rng(seed).integers(1, 7, size=(n, 3))


def names(law):
    return {battery.name for battery in standard() if battery.applies(law)}


def test_a_law_gets_what_it_can_answer():
    chain, _ = plain_chain()
    assert names(Drawn()) == {"two-sample"}
    assert names(Seen()) == {"two-sample", "projected KS"}
    assert names(ex.TrustedSampler(Drawn().sample)) == {"two-sample"}
    assert names(ex.UnivariateLaw(lambda t: 1.0 - np.exp(-t), support=(0.0, np.inf))) == {"projected KS", "support"}
    assert names(ex.DiscreteLaw([0.5, 0.5])) == {"frequencies"}
    assert names(chain) == {"innovations"}


@pytest.mark.parametrize("law", [Drawn(), Seen()], ids=["draws", "draws and margins"])
def test_a_law_of_ones_own_is_certified_and_refuted(law, seed):
    """Right at alpha 1e-6; one of the two coordinates 10% too long is refuted at 20,000 draws (30 standard errors of the mean)."""
    plan = quiet_plan(tolerance=0.1, first_paths=20_000, max_paths=20_000)
    right = ex.certify(lambda n, s: np.random.default_rng(s).exponential(size=(n, 2)), law, plan=plan, seed=seed)
    wrong = ex.certify(lambda n, s: law.sample(n, s) * [1.0, 1.1], law, plan=plan, seed=seed)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons


def test_a_dependence_is_seen_by_draws_and_not_by_margins(seed):
    """Twice the same coordinate: margins are right (alpha 1e-6), products are not."""
    plan = quiet_plan(tolerance=0.1, first_paths=20_000, max_paths=20_000)
    judged = ex.certify(lambda n, s: np.repeat(Seen().sample(n, s)[:, :1], 2, axis=1), Seen(), plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert judged.leading.battery == "two-sample"


def test_integers_are_the_laws_to_judge(seed):
    """Dice at alpha 1e-6; a die that never shows a six is refuted, and floats are refused with the law's own reason."""
    plan = quiet_plan(tolerance=0.1, first_paths=10_000, max_paths=10_000)
    law = Counts()
    fair = ex.certify(lambda n, s: np.random.default_rng(s).integers(1, 7, size=(n, 3)), law, plan=plan, seed=seed)
    loaded = ex.certify(lambda n, s: np.random.default_rng(s).integers(1, 6, size=(n, 3)), law, plan=plan, seed=seed)
    floats = ex.certify(lambda n, s: law.sample(n, s) + 0.0, law, plan=plan, seed=seed)
    assert fair.verdict is ex.Verdict.CERTIFIED, fair.reasons
    assert loaded.verdict is ex.Verdict.REFUTED
    assert floats.verdict is ex.Verdict.INVALID
    assert "return int64 or int32: a die shows a whole number" in floats.reasons[0]
    saved = ex.certify_paths(law.sample(10_000, 3), law, plan=plan, seed=seed)
    assert saved.verdict is ex.Verdict.CERTIFIED, saved.reasons


def test_integers_for_a_continuous_law_are_refused_without_a_word_about_noise():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    judged = ex.certify(lambda n, s: np.random.default_rng(s).integers(0, 3, size=(n, 1)), law)
    assert judged.verdict is ex.Verdict.INVALID
    assert "int64; return float32 or float64" in judged.reasons[0]
    assert "noise" not in judged.reasons[0]


def test_draws_of_the_law_itself_that_cannot_be_used_are_bad_input():
    class Broken(Drawn):
        def sample(self, n, seed):
            return np.full((n, 2), np.nan)

    with pytest.raises(ex.BadInput, match="the law's own sample"):
        ex.certify(Drawn().sample, Broken())


@pytest.mark.parametrize(("means", "covariances"), [([[0.0]], [1.0]), ([[0.0], [3.0]], [1.0, 0.5])], ids=["one", "two"])
def test_a_statistic_counts_once(means, covariances):
    """On the line the transform of the draw is one quantity, whichever battery asks for it."""
    weights = np.full(len(means), 1.0 / len(means))
    law = ex.GaussianMixture(weights, means, covariances)
    judged = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.2, first_paths=500, max_paths=500))
    distances = [f for f in judged.findings if f.test in ("Kolmogorov", "Cramer-von Mises", "Anderson-Darling")]
    values = [(f.test, round(f.statistic, 12)) for f in distances]
    assert len(set(values)) == len(values)
    if len(means) == 1:
        assert not [f for f in judged.findings if f.battery in ("Rosenblatt transform", "projected KS")]
        assert not [f for f in judged.findings if "components" in f.name]
    alone = ex.certify(law.sample, law, batteries=[b for b in standard() if b.name == "projected KS"], plan=judged.plan)
    assert {f.battery for f in alone.findings} == {"projected KS"}


class Coins(ex.Law):
    """``p`` is the probability of a 1."""

    event_shape = (1,)
    dtypes = ("int64",)

    def __init__(self, p):
        self.p = p

    def describe(self):
        return {"kind": "Coins", "p": self.p}

    def sample(self, n, seed):
        return (np.random.default_rng(seed).random((n, 1)) < self.p).astype(np.int64)


@pytest.mark.parametrize("first", [1, 4, 8, 100, 1_000])
@pytest.mark.parametrize("p", [0.5, 0.99, 1e-4])
def test_atoms_may_coincide(p, first):
    """Blocks and probes of few values agree by chance; that is no sign of a seed that is ignored (rate below 1e-6)."""
    law, plan = Coins(p), ex.Plan(tolerance=0.3, first_paths=first, max_paths=4_000, suspicion=1e-9)
    for seed in range(5):
        judged = ex.certify(another(law.sample), law, plan=plan, seed=seed)
        assert judged.verdict is not ex.Verdict.INVALID, judged.reasons


@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_few_distinct_batches_are_noticed_whichever_come_first(distinct):
    law, plan = ex.GaussianMixture([1.0], [[0.0]], [1.0]), ex.Plan(tolerance=0.05, first_paths=100, max_paths=6_400)
    for seed in range(4):
        judged = ex.certify(lambda n, s: law.sample(n, s if n < 17 else s % distinct), law, plan=plan, seed=seed)
        assert judged.verdict is ex.Verdict.INVALID
        assert "begin with the same draws" in judged.reasons[0]


@pytest.mark.parametrize("components", [1, 2])
def test_a_statistic_counts_once_in_the_plane(components):
    means = np.arange(2.0 * components).reshape(components, 2)
    law = ex.GaussianMixture(np.full(components, 1.0 / components), means, np.ones(components))
    judged = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.2, first_paths=500, max_paths=500))
    values = [(f.test, round(f.statistic, 12)) for f in judged.findings]
    assert len(set(values)) == len(values)


def test_a_projection_of_ones_own_is_not_taken_for_the_draw():
    """A law that knows its transform, and the distribution of |x| besides: both are tested."""

    class Folded(ex.GaussianMixture):
        def projections(self, random, generator):
            return Projections(["size"], lambda x: [2.0 * ndtr(np.abs(x[:, 0])) - 1.0])

    law = Folded([1.0], [[0.0]], [1.0])
    judged = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.2, first_paths=500, max_paths=500))
    assert [f for f in judged.findings if f.battery == "projected KS"]


def test_what_a_law_of_ones_own_does_wrong_is_said_as_such():
    class Listed(Drawn):
        projections = ("x",)

    class Named(Drawn):
        dtypes = "float64"

    with pytest.raises(ex.BadInput, match="cannot look at the law Listed: TypeError"):
        ex.certify(Drawn().sample, Listed())
    with pytest.raises(ex.BadInput, match="dtypes of Named must be a tuple of names"):
        ex.certify(Drawn().sample, Named())


def test_two_samplers_of_integers_are_compared(seed):
    """Dice against dice at alpha 1e-6; against dice without a six they are refuted."""
    plan = quiet_plan(tolerance=0.1, first_paths=10_000, max_paths=10_000)
    law = Counts()
    assert ex.compare(another(law.sample), law.sample, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED
    loaded = lambda n, s: np.random.default_rng(s).integers(1, 6, size=(n, 3))  # noqa: E731
    assert ex.compare(loaded, law.sample, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED
