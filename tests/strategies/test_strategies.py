"""The public strategies reach what they promise and shrink to simple things; a family keeps its alpha whatever Hypothesis tries."""

from __future__ import annotations

import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import exactness as ex
from exactness import strategies
from exactness.errors import BadInput
from exactness.strategies import Family, chains, mixtures, schedules, seeds, token_pairs, triples, windows
from exactness.strategies import family as home
from tests.registry import quiet_plan

PLAN = quiet_plan(alpha=1e-6, tolerance=0.3, first_paths=1_000, max_paths=2_000)
SMALL = st.builds(lambda m: ex.GaussianMixture([1.0], [[m]], [1.0]), st.floats(-100.0, 100.0))


def shifted(mixture):
    return lambda n, seed: mixture.sample(n, seed) + 0.5


# --- what the strategies make


@pytest.mark.parametrize("name", strategies.__all__)
def test_every_name_is_documented(name):
    assert getattr(strategies, name).__doc__, name


@pytest.mark.parametrize(
    "what",
    [
        lambda m: m.covariances.ndim == 1,
        lambda m: m.covariances.ndim == 2 and m.dim > 1,
        lambda m: m.covariances.ndim == 3 and np.abs(m.covariances[0] - np.diag(np.diag(m.covariances[0]))).max() > 0.1,
        lambda m: m.covariances.ndim == 3 and m.dim == 3 and np.linalg.cond(m.covariances[0]) > 1e4,
        lambda m: len(m.weights) > 1 and m.weights.min() < 1e-9,
        lambda m: len(m.weights) > 1 and np.ptp(m.means) == 0,
        lambda m: len(m.weights) > 1 and np.ptp(m.means) > 500,
    ],
    ids=["spherical", "diagonal", "turned", "ill-conditioned", "degenerate-weights", "coinciding", "far"],
)
def test_mixtures_of_every_description_are_reached(what):
    assert what(find(mixtures(), what))


@pytest.mark.parametrize(
    ("name", "noisy_last"),
    [("ddpm-large", True), ("ddpm-small", False), ("rectified-flow", True), ("rectified-flow", False), ("edm-ancestral", False)],
)
def test_schedules_of_every_family_are_reached(name, noisy_last):
    found = find(schedules(), lambda s: s.name == name and (s.sigma[0] > 0) == noisy_last)
    assert found.steps == 2, "shrunk as far as it goes"
    assert {found.a.shape, found.b.shape, found.sigma.shape} == {(2,)}


def simplest(strategy):
    return find(strategy, lambda _: True, settings=settings(max_examples=1, database=None))


def test_everything_shrinks_to_something_simple():
    mixture = simplest(mixtures())
    assert (mixture.weights.tolist(), mixture.means.tolist(), mixture.covariances.tolist()) == ([1.0], [[0.0]], [1.0])
    assert (simplest(chains()).steps, simplest(chains()).dim) == (2, 1)
    assert simplest(triples()) == (0.0, 0.0, 0.0)
    assert simplest(triples()).weight == 1.0
    assert [column.tolist() for column in simplest(windows())] == [[0.0], [0.0], [0.0]]
    assert [side.tolist() for side in simplest(token_pairs(vocabulary=3))] == [[1 / 3] * 3] * 2
    assert simplest(seeds()) == 0


@settings(max_examples=200)
@given(triple=triples(), window=windows(), pair=token_pairs(), seed=seeds())
def test_ranges_are_kept(triple, window, pair, seed):
    assert 1e-30 * (1 - 1e-12) <= triple.weight <= 1.0
    assert 0.0 <= triple.delta <= 50.0
    assert 0.0 <= triple.u < 1.0
    assert window.deltas.shape == window.noise.shape == window.uniforms.shape
    assert 1 <= len(window.deltas) <= 8
    assert pair.target.shape == pair.draft.shape
    for side in pair:
        assert abs(side.sum() - 1.0) <= 1e-15 * len(side)
        assert (side >= 0).all()
    np.random.default_rng(seed)


@pytest.mark.parametrize(
    "what",
    [
        lambda p: (p.target == 0).any() and (p.draft > 0).all(),
        lambda p: len(p.target) > 2 and len(set(p.target)) < len(p.target),
        lambda p: len(p.target) > 1 and np.array_equal(p.target, p.draft),
        lambda p: (p.target * p.draft).sum() == 0,
        lambda p: 0 < p.target.min() < 1e-8,
    ],
    ids=["zeros", "ties", "equal", "disjoint", "nearly-zero"],
)
def test_pairs_of_every_description_are_reached(what):
    assert what(find(token_pairs(), what))


@pytest.mark.parametrize("end", [(0.0, 0.0), (0.0, 50.0), (np.log(1e-30), 0.0), (np.log(1e-30), 50.0)])
def test_both_ends_of_a_triple_are_reached(end):
    assert find(triples(), lambda t: (t.log_weight, t.delta) == end)


def test_sizes_can_be_fixed():
    assert simplest(mixtures(dim=5)).dim == 5
    assert simplest(chains(dim=st.just(2))).dim == 2
    assert len(simplest(windows(length=4)).deltas) == 4
    assert len(simplest(token_pairs(vocabulary=st.just(6))).target) == 6


@settings(max_examples=50)
@given(mixture=mixtures())
def test_a_failing_mixture_can_be_read_and_pasted_back(mixture):
    again = eval(repr(mixture), {"GaussianMixture": ex.GaussianMixture})
    # The digest covers every bit of weights, means and covariances.
    assert again.describe() == mixture.describe()


def test_weights_that_do_not_quite_sum_to_one_come_back_and_many_numbers_are_summed_up():
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=50)
    for w in weights + 1e-10:
        mixture = ex.GaussianMixture(w, np.zeros((7, 1)), np.ones(7))
        assert np.array_equal(eval(repr(mixture), {"GaussianMixture": ex.GaussianMixture}).weights, mixture.weights)
    large = ex.GaussianMixture([1.0], np.zeros((1, 50)), np.eye(50)[None])
    assert repr(large) == "<GaussianMixture: 1 component(s) in 50 dimensions, full covariances>"


def test_a_failing_chain_is_told_in_one_line():
    chain = ex.GaussianChain(lambda k, x: x, a=[1.0, 1.0], b=[0.1, 0.1], sigma=[0.0, 0.5], dim=3, start=(0.0, 2.0), name="mine")
    assert repr(chain) == "<GaussianChain 'mine': 2 steps in 3 dimensions, 1 deterministic, start N(0, 2^2)>"


def test_a_chain_without_a_start_cannot_be_sampled():
    with pytest.raises(BadInput, match="start of the chain is not part of the claim"):
        ex.GaussianChain.from_mean(lambda k, x: x, sigma=[1.0], dim=1, start=None).sample(3, 0)


# --- one family, one alpha


@pytest.fixture
def judged(monkeypatch):
    """How often something was decided on: the small samples that tell examples apart are not counted."""
    calls = []

    def counting(sample, law, *, plan, **others):
        if plan.max_paths > 16:
            calls.append(plan)
        return ex.certify(sample, law, plan=plan, **others)

    monkeypatch.setattr(home, "certify", counting)
    return calls


def test_each_example_is_judged_once_and_alpha_is_shared_by_just_so_many(judged):
    family, called = Family(15, PLAN), []

    @family.settings
    @given(mixture=SMALL)
    def test(mixture):
        called.append(mixture)
        family.certify(mixture.sample, mixture)

    test()
    assert len(called) == len(judged) == len(family.certificates) == 15
    assert {plan.claims for plan in judged} == {15}
    assert family.plan.level(1) * 15 * len(PLAN.stages) == pytest.approx(PLAN.alpha)
    test()
    assert len(called) == 30
    assert len(judged) == 15, "a second run looks at nothing again"


def test_a_wrong_sampler_is_found_and_its_replay_is_the_same_failure(judged):
    family, said = Family(15, PLAN), []

    @family.settings
    @given(mixture=SMALL)
    def test(mixture):
        family.certify(shifted(mixture), mixture)

    for _ in range(2):
        with pytest.raises(AssertionError, match=r"refuted(.|\n)*This example alone: certify\(..., seed=") as failure:
            test()
        said.append(str(failure.value))
    assert said[0] == said[1]
    assert len(judged) == len(family.certificates) == 1, "the first was refuted, and nothing was judged after it"


def test_one_example_in_ten_that_is_wrong_is_found(judged):
    """Wrong only where the mean is above 50: found among 40 examples, of which no certificate is made twice."""
    family = Family(40, PLAN)

    @family.settings
    @given(mixture=SMALL)
    def test(mixture):
        family.certify(shifted(mixture) if mixture.means[0, 0] > 50 else mixture.sample, mixture)

    with pytest.raises(AssertionError, match="refuted"):
        test()
    assert 1 < len(judged) <= 40
    assert [c.verdict for c in family.certificates].count(ex.Verdict.REFUTED) == 1


@pytest.mark.parametrize("inside", [True, False], ids=["family", "alone"])
def test_shrinking_makes_more_certificates_than_were_asked_for_and_never_in_a_family(judged, inside):
    """Hypothesis' own settings, phases and all: 5 examples become many, in a family at most its 5."""
    family, made = Family(5, PLAN), []

    @settings(max_examples=5, database=None)
    @given(mixture=SMALL)
    def test(mixture):
        sample = shifted(mixture) if abs(mixture.means[0, 0]) > 0.5 else mixture.sample
        if inside:
            family.certify(sample, mixture)
        else:
            made.append(ex.certify(sample, mixture, plan=PLAN))
            assert made[-1].verdict is ex.Verdict.CERTIFIED

    with pytest.raises(AssertionError):
        test()
    if inside:
        assert len(judged) <= 5
    else:
        assert len(made) > 10, "the danger is real: so many verdicts, and the simplest refutation is what is shown"


def test_one_example_more_than_was_said_is_an_error(judged):
    family = Family(3, PLAN)

    @settings(max_examples=10, database=None)
    @given(mixture=SMALL)
    def test(mixture):
        family.certify(mixture.sample, mixture)

    with pytest.raises(BadInput, match="shares its alpha among 3 certificates"):
        test()
    assert len(judged) == 3


def test_several_tests_share_a_family_that_was_made_for_them(judged):
    family = Family(4, PLAN, tests=2)

    @family.settings
    @given(mixture=SMALL)
    def first(mixture):
        family.certify(shifted(mixture), mixture)

    @family.settings
    @given(mixture=SMALL)
    def second(mixture):
        family.certify(mixture.sample, mixture)

    with pytest.raises(AssertionError, match="refuted"):
        first()
    second()
    assert {plan.claims for plan in judged} == {8}
    assert len(judged) <= 8


def test_a_verdict_depends_on_the_example_alone():
    law = ex.GaussianMixture([1.0], [[3.0]], [1.0])
    alone, later = Family(4, PLAN), Family(4, PLAN)
    later.certify(ex.GaussianMixture([1.0], [[1.0]], [1.0]).sample, ex.GaussianMixture([1.0], [[1.0]], [1.0]))
    one, two = (family.certify(law.sample, law) for family in (alone, later))
    assert (one.seed, one.probe, one.findings) == (two.seed, two.probe, two.findings)
    other = Family(4, PLAN, seed=1).certify(law.sample, law)
    assert other.seed != one.seed


def test_laws_that_describe_themselves_alike_are_not_taken_for_one():
    """A chain's description holds its schedule, not its prediction: a sampler that is right for one is wrong for the other."""
    right, other = (ex.GaussianChain.from_mean(lambda k, x, c=c: c * x, sigma=[1.0, 1.0], dim=1) for c in (0.5, 0.9))
    assert right.describe() == other.describe()
    family = Family(4, PLAN)
    family.certify(right.sample, right)
    with pytest.raises(AssertionError, match="refuted"):
        family.certify(right.sample, other)


def test_what_is_not_certified_fails_unless_inconclusive_is_allowed():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    family = Family(4, quiet_plan(tolerance=0.001, first_paths=100, max_paths=100))
    with pytest.raises(AssertionError, match="inconclusive"):
        family.certify(law.sample, law)
    assert family.certify(law.sample, law, may_be_inconclusive=True).verdict is ex.Verdict.INCONCLUSIVE
    with pytest.raises(AssertionError, match="raised ZeroDivisionError"):
        family.certify(lambda n, seed: 1 / 0, law, may_be_inconclusive=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Family(0), "examples must be a positive integer"),
        (lambda: Family(2.5), "examples must be a positive integer"),
        (lambda: Family(3, tests=0), "tests must be a positive integer"),
        (lambda: Family(3, seed=-1), "seed must be an integer"),
        (lambda: Family(3).certify(None, ex.GaussianMixture([1.0], [[0.0]], [1.0]), plan=PLAN), "the plan is that of the family"),
        (lambda: Family(3).certify(None, ex.GaussianMixture([1.0], [[0.0]], [1.0]), seed=3), "the seed is that of the family"),
    ],
)
def test_bad_input_says_what_to_do(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_settings_generate_the_same_examples_each_time_and_nothing_else():
    chosen = Family(7).settings
    assert chosen.max_examples == 7
    assert chosen.phases == (hypothesis.Phase.generate,)
    assert chosen.derandomize
    assert chosen.database is None


def test_the_package_works_without_hypothesis_and_the_strategies_say_what_is_missing():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import exactness, exactness.cli\n"
        "try:\n    import exactness.strategies\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "exactness.strategies needs Hypothesis: pip install 'exactness[strategies]'"


# --- Markov kernels


FEW = Family(examples=6, tests=2, plan=quiet_plan(alpha=1e-6, tolerance=0.3, first_paths=1_000, max_paths=1_000))


@FEW.settings
@given(one=strategies.kernels())
def test_right_kernels_are_certified(one):
    assert FEW.certify(one.law.moved_by(one.kernel), one.law).verdict is not ex.Verdict.REFUTED


@FEW.settings
@given(one=strategies.models())
def test_exact_posteriors_are_certified(one):
    assert FEW.certify(one.law.moved_by(one.kernel), one.law).verdict is ex.Verdict.CERTIFIED


def test_a_kernel_of_a_family_that_is_spoiled_is_refuted():
    one = find(strategies.kernels(), lambda k: k.name == "metropolis" and k.law.dim == 1)
    spoiled = one.law.moved_by(lambda x, seed: 0.95 * one.kernel(x, seed))
    assert ex.certify(spoiled, one.law, plan=quiet_plan(alpha=1e-6, max_paths=50_000)).verdict is ex.Verdict.REFUTED
