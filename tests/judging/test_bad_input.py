"""Bad input: a clear message and the right verdict, exception or exit code, with nothing lost."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B
from exactness.errors import BadInput
from tests.conftest import module_or_skip
from tests.registry import another, plain_chain

CHAIN, SAMPLE = plain_chain()
PLAN = ex.Plan(tolerance=0.1, first_paths=500, max_paths=4_000)


def judge(sample, **changes):
    return ex.certify(sample, CHAIN, plan=PLAN, **changes)


def with_nan(n, seed):
    paths = SAMPLE(n, seed)
    if n > 100:
        paths[17, 2, 1] = np.nan
    return paths


def late(n, seed, state={"calls": 0}):  # noqa: B006
    state["calls"] += 1
    if state["calls"] > 4:
        raise ZeroDivisionError("out of luck")
    return SAMPLE(n, seed)


GLOBAL = np.random.default_rng(0)


class Named(np.ndarray):
    """An array type of another library."""


@pytest.mark.parametrize("kind", [lambda x: x.view(Named), lambda x: x.astype(">f8")], ids=["subclass", "other byte order"])
def test_unusual_numpy_arrays_are_judged(kind):
    """At alpha 1e-6."""
    assert judge(lambda n, s: kind(SAMPLE(n, s))).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (with_nan, r"1 of \d+ draws hold NaN or infinity, the first at path 17, state x_2 \(entry 2"),
        (lambda n, s: SAMPLE(n, s)[:, 1:], r"shape \(16, 4, 2\); this law needs \(16, 5, 2\)"),
        (lambda n, s: SAMPLE(n, s).tolist(), "returned list"),
        (lambda n, s: SAMPLE(n, s).astype(complex), "dtype complex"),
        (lambda n, s: (SAMPLE(n, s), 3), "dict of costs"),
        (lambda n, s: SAMPLE(n, 0), "ignores its seed, so more draws would repeat"),
        (lambda n, s: SAMPLE(n, int(GLOBAL.integers(1 << 30))), "differ: the sampler ignores its seed or draws from a global"),
        (lambda n, s: 1 / 0, r"raised ZeroDivisionError: division by zero \(in <lambda>, line \d+ of test_bad_input.py\) after 0"),
    ],
)
def test_unusable_output_is_invalid_and_says_why(sample, message):
    judged = judge(sample)
    assert judged.verdict is ex.Verdict.INVALID
    assert judged.reasons[0]
    assert re.search(message, judged.reasons[0]), judged.reasons[0]
    assert not judged.as_claimed


def test_a_sampler_that_raises_in_the_middle_keeps_what_was_found():
    judged = ex.certify(late, CHAIN, plan=ex.Plan(tolerance=0.01, first_paths=500, max_paths=4_000, per_call=500))
    assert judged.verdict is ex.Verdict.INVALID
    assert "raised ZeroDivisionError: out of luck" in judged.reasons[0]
    assert "after 500 draws" in judged.reasons[0]
    assert judged.paths == 500
    assert judged.findings


def test_a_sampler_that_does_not_repeat_may_be_let_in_and_the_certificate_says_so():
    plan = ex.Plan(tolerance=0.1, first_paths=500, max_paths=4_000, seed_must_count=False)
    judged = ex.certify(lambda n, s: SAMPLE(n, int(GLOBAL.integers(1 << 30))), CHAIN, plan=plan)
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert judged.reproducible is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie strictly between 0 and 1"),
        ({"alpha": "small"}, "alpha"),
        ({"tolerance": 1.5}, "tolerance"),
        ({"confidence": float("nan")}, "confidence"),
        ({"alpha": 1e-200}, "at least 1e-100"),
        ({"max_paths": 0}, "max_paths must be a positive integer"),
        ({"first_paths": 2.5}, "first_paths"),
    ],
)
def test_plans_are_checked(arguments, message):
    with pytest.raises(BadInput, match=message):
        ex.Plan(**arguments)


def test_an_empty_battery_is_an_error_and_never_a_pass():
    with pytest.raises(BadInput, match="empty set of checks certifies nothing"):
        judge(SAMPLE, batteries=[])
    with pytest.raises(BadInput, match="no battery applies"):
        judge(SAMPLE, batteries=[B.ProjectedKS()])
    from exactness.judging.judgement import decide

    assert decide([], PLAN, last=True)[0] is ex.Verdict.INVALID


def test_claims_and_seeds_are_checked():
    with pytest.raises(BadInput, match="must be a function sample"):
        ex.Claim("x", "sample", CHAIN)
    with pytest.raises(BadInput, match=r"exactness\.laws"):
        ex.Claim("x", SAMPLE, "law")
    with pytest.raises(BadInput, match=r"exactness\.Plan"):
        ex.Claim("x", SAMPLE, CHAIN, plan={"alpha": 1})
    for name in ("", 5, "x" * 200, "two\nlines"):
        with pytest.raises(BadInput, match="name must be 1 to 120 printable"):
            ex.Claim(name, SAMPLE, CHAIN)
    with pytest.raises(BadInput, match="JSON types only"):
        ex.Claim("x", SAMPLE, CHAIN, about={"f": object()})
    with pytest.raises(BadInput, match="say in a sentence"):
        ex.Claim("x", SAMPLE, CHAIN, wrong=" ")
    with pytest.raises(BadInput, match="it must be refuted"):
        judge(SAMPLE, controls=[ex.Claim("no sentence", SAMPLE, CHAIN)])
    with pytest.raises(BadInput, match="seed must be an integer"):
        judge(SAMPLE, seed=-1)
    with pytest.raises(BadInput, match="seed must be an integer"):
        judge(SAMPLE, seed=0.5)


def test_a_law_that_raises_is_bad_input_and_one_that_overflows_is_no_verdict_on_the_sampler():
    raising = ex.GaussianChain.from_mean(lambda k, x: 1 / 0, sigma=CHAIN.sigma, dim=2)
    with pytest.raises(BadInput, match="of the law raised ZeroDivisionError"):
        ex.certify(SAMPLE, raising, plan=PLAN)
    broken = ex.GaussianChain.from_mean(lambda k, x: x * np.inf, sigma=CHAIN.sigma, dim=2)
    judged = ex.certify(SAMPLE, broken, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "or it is broken there" in judged.reasons[0]


@pytest.mark.parametrize("size", [1e30, 1e160, 1e300])
def test_a_diverging_sampler_is_invalid_or_refuted_but_never_a_crash(size):
    def diverging(n, seed):
        paths = SAMPLE(n, seed)
        paths[0, 2:] *= size
        return paths

    assert judge(diverging).verdict in (ex.Verdict.INVALID, ex.Verdict.REFUTED)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_statistic_that_is_no_number_is_no_pass():
    """Numbers that are finite and whose squares are not."""
    law = ex.TrustedSampler(lambda n, s: np.random.default_rng(s).standard_normal((n, 2)))
    judged = ex.certify(lambda n, s: 1e200 * law.sample(n, s), law, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "a statistic is NaN or infinite" in judged.reasons[0]


def test_fewer_bits_than_a_path_needs_are_refused():
    judged = judge(lambda n, s: SAMPLE(n, s).astype(np.float16))
    assert judged.verdict is ex.Verdict.INVALID
    assert "return float32 or float64" in judged.reasons[0]
    torch = module_or_skip("torch")
    assert "bfloat16" in judge(lambda n, s: torch.as_tensor(SAMPLE(n, s)).bfloat16()).reasons[0]


def test_a_sampler_that_forgets_its_seed_when_n_is_large_is_noticed():
    plan = ex.Plan(tolerance=0.01, first_paths=500, max_paths=4_000)
    judged = ex.certify(lambda n, s: SAMPLE(n, s if n < 100 else 0), CHAIN, plan=plan)
    assert judged.verdict is ex.Verdict.INVALID
    assert "begin with the same draw" in judged.reasons[0]


def test_one_buffer_handed_out_again_and_again_is_fine():
    buffers = {}

    def sample(n, seed):
        buffer = buffers.setdefault(n, np.empty((n, 5, 2)))
        buffer[:] = SAMPLE(n, seed)
        return buffer

    assert judge(sample).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize("costs", [{"rounds": "many"}, {"rounds": float("nan")}, {"rounds": None}])
def test_costs_must_be_numbers(costs):
    judged = judge(lambda n, s: (SAMPLE(n, s), costs))
    assert judged.verdict is ex.Verdict.INVALID
    assert "finite numbers" in judged.reasons[0]


def test_costs_do_not_overwrite_the_count_of_draws():
    judged = judge(lambda n, s: (SAMPLE(n, s), {"paths": 7, "rounds": 3 * n}))
    assert judged.cost["paths"] == judged.paths
    assert judged.cost["rounds"] == 3 * judged.paths


def test_a_sampler_that_exits_does_not_take_the_judge_with_it():
    def leave(n, seed):
        raise SystemExit(0)

    judged = judge(leave)
    assert judged.verdict is ex.Verdict.INVALID
    assert "raised SystemExit" in judged.reasons[0]


def test_interruption_is_not_swallowed():
    def stop(n, seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(stop)


def test_small_budgets_end_inconclusive_with_a_remedy():
    judged = ex.certify(SAMPLE, CHAIN, plan=ex.Plan(tolerance=0.001, first_paths=50, max_paths=100))
    assert judged.verdict is ex.Verdict.INCONCLUSIVE
    assert "raise max_paths or the tolerance" in judged.reasons[0]
    assert "draws would be enough" in judged.reasons[0]
    assert judged.paths == 100
    hopeless = ex.certify(SAMPLE, CHAIN, plan=ex.Plan(tolerance=0.0005, first_paths=50, max_paths=100))
    assert "no number of draws is enough" in hopeless.reasons[0]


def test_the_draws_that_are_said_to_be_enough_are_enough():
    plan = ex.Plan(tolerance=0.1, first_paths=100, max_paths=200)
    said = ex.certify(SAMPLE, CHAIN, plan=plan).reasons[0]
    enough = int(re.search(r"about ([\d,]+) draws", said).group(1).replace(",", ""))
    again = ex.certify(SAMPLE, CHAIN, plan=ex.Plan(tolerance=0.1, first_paths=enough, max_paths=enough))
    assert again.verdict is ex.Verdict.CERTIFIED, again.reasons


def test_a_law_with_atoms_is_not_taken_for_a_sampler_without_seed():
    """Three equally likely values: single draws of neighbouring batches coincide all the time."""

    def coin(n, s):
        return np.random.default_rng(s).integers(0, 3, size=(n, 1)).astype(float)

    plan = ex.Plan(tolerance=0.3, first_paths=500, max_paths=4_000)
    for seed in range(10):
        assert ex.certify(another(coin), ex.TrustedSampler(coin), plan=plan, seed=seed).verdict is not ex.Verdict.INVALID


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [B.ProjectedKS], r"as ProjectedKS\(\)"),
        (lambda: ["KS"], "must be exactness batteries"),
        (
            lambda: [B.CharacteristicFunction(frequencies=0)],
            "frequencies of CharacteristicFunction must be",
        ),
        (lambda: [B.MeanEmbedding(most=0)], "most of MeanEmbedding"),
        (lambda: [B.Innovations(lags=-1)], "lags of Innovations must be an integer of at least 0"),
    ],
)
def test_batteries_are_checked(make, message):
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    with pytest.raises(ex.BadInput, match=message):
        ex.certify(law.sample, law, batteries=make())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda law: ex.certify(law.sample, law, batteries=B.ProjectedKS()),
            r"must be a list .* as in \[ProjectedKS\(\)\]",
        ),
        (lambda law: ex.certify(law.sample, law, controls=None), "controls must be a list of claims and outcomes"),
        (lambda law: ex.Claim("x", law.sample, law, controls=None), "must be a list of claims, or 'standard'"),
        (lambda law: ex.Plan.for_tolerance(0.1, law, batteries=["x"]), "must be exactness batteries"),
        (lambda law: ex.Plan.for_tolerance(0.1, law, batteries=[]), "empty set of checks certifies nothing"),
        (lambda law: ex.Plan().shortened("3", law), "paths must be a positive integer"),
        (lambda law: ex.Plan(seed_must_count="no"), "seed_must_count must be True or False"),
    ],
)
def test_what_is_no_list_or_number_is_said_before_anything_is_sampled(call, message):
    with pytest.raises(ex.BadInput, match=message):
        call(ex.GaussianMixture([1.0], [[0.0]], [1.0]))


def test_a_masked_array_is_invalid():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    judged = ex.certify(lambda n, seed: np.ma.array(law.sample(n, seed)), law)
    assert judged.verdict is ex.Verdict.INVALID
    assert "masked array" in judged.reasons[0]


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_plans_of_numpy_numbers_make_certificates_that_can_be_read_again(tmp_path, number):
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    plan = ex.Plan(tolerance=number(0.25), alpha=number(1e-6), first_paths=np.int64(500), max_paths=np.int32(1_000))
    judged = ex.certify(law.sample, law, plan=plan)
    assert (
        ex.Certificate.load(judged.save(tmp_path / "c.json")).plan
        == judged.plan
        == msgspec.structs.replace(plan, per_call=judged.plan.per_call)
    )
    assert {type(v) for v in (plan.tolerance, plan.alpha)} == {float}


def test_evidence_of_another_battery_does_not_add():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    one, other = (b.start(law, np.random.default_rng(0)) for b in (B.Rosenblatt(), B.ProjectedKS()))
    with pytest.raises(ex.BadInput, match="does not add"):
        one.merge(other)


def _evidence(law, battery=None, seed=0):
    evidence = (battery or B.ProjectedKS()).start(law, np.random.default_rng(seed))
    evidence.update(law.sample(500, 1))
    return evidence


def test_evidence_of_another_law_seed_or_size_does_not_add_and_nothing_is_changed():
    one, far = (ex.GaussianMixture([1.0], [[mean, 0.0]], [1.0]) for mean in (0.0, 1.0))
    trusted = ex.TrustedSampler(one.sample)
    for left, right, what in (
        (_evidence(one), _evidence(far), "differ in the law:"),
        (_evidence(one), _evidence(one, seed=1), "differ in the seed:"),
        (_evidence(one), _evidence(far, seed=1), "differ in the law and the seed:"),
        (_evidence(trusted, B.TwoSample(16)), _evidence(trusted, B.TwoSample(8)), "the battery"),
    ):
        before = left.results()
        with pytest.raises(ex.BadInput, match=what):
            left.merge(right)
        assert left.results() == before
    with pytest.raises(ex.BadInput, match="with itself"):
        left.merge(left)


def test_an_error_that_is_no_text_is_written_all_the_same(tmp_path):
    def sample(n, seed):
        raise OSError("cannot open weights-\udcff.bin")

    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    certificate = ex.certify(sample, law)
    assert certificate.verdict is ex.Verdict.INVALID
    assert "weights-\\udcff.bin" in ex.Certificate.load(certificate.save(tmp_path / "c.json")).reasons[0]
    with pytest.raises(ex.BadInput, match="JSON types"):
        ex.Claim("mine", sample, law, about={"note": "\udcff"})


def test_products_that_overflow_are_invalid_and_those_that_vanish_are_refuted():
    """In single precision each square of 3e18 is finite, and a sum of products may be inf - inf: a sentence, not a crash."""
    law = ex.GaussianChain.from_mean(lambda k, x: 0.0 * x, sigma=np.ones(4), dim=2)

    def scaled(size, dtype):
        return lambda n, s: np.random.default_rng(s).standard_normal((n, 5, 2)).astype(dtype) * np.dtype(dtype).type(size)

    plan = ex.Plan(first_paths=2_000, max_paths=2_000)
    with np.errstate(all="ignore"):
        large = ex.certify(scaled(3e18, np.float32), law, plan=plan, seed=1)
    assert large.verdict is ex.Verdict.INVALID
    assert "too large to be judged" in large.reasons[0]
    assert ex.certify(scaled(1e-157, np.float64), law, plan=plan, seed=1).verdict is ex.Verdict.REFUTED


def test_more_looks_than_draws_take_no_more_draws():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    few, many = (ex.Plan.for_tolerance(0.1, law, stages=stages) for stages in (5, 20))
    assert len(few.stages) == 5
    assert len(many.stages) < 20
    assert few.max_paths < many.max_paths < 2 * few.max_paths
