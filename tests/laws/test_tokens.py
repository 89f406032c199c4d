"""Laws of token sequences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import exactness as ex
from exactness.errors import BadInput
from exactness.laws import tokens as module
from exactness.laws.token_filters import TokenFilters
from tests.conftest import module_or_skip

TABLE = np.random.default_rng(3).dirichlet(np.full(4, 0.7), size=4)


def target(prefixes):
    """The next token depends on the sum of those before it, so that order and length matter."""
    return np.log(TABLE)[np.asarray(prefixes).sum(axis=1) % 4]


def law(**arguments):
    return ex.TokenChain(target, **{"vocabulary": 4, "length": 3, **arguments})


def test_the_enumeration_is_the_law_of_the_draws():
    sequences, probabilities = law().enumerate()
    by_hand = []
    for sequence in itertools.product(range(4), repeat=3):
        p = 1.0
        for t in range(3):
            p *= TABLE[sum(sequence[:t]) % 4, sequence[t]]
        by_hand.append(p)
    np.testing.assert_allclose(probabilities, by_hand, rtol=1e-12)
    whole = ex.DiscreteLaw(probabilities, values=sequences)
    plan = ex.Plan(tolerance=0.1)
    assert ex.certify(law().sample, whole, plan=plan).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(law(temperature=1.2).sample, whole, plan=plan).verdict is ex.Verdict.REFUTED


def test_after_the_end_nothing_counts():
    sequences, probabilities = law(end=2).enumerate()
    assert abs(probabilities.sum() - 1.0) < 1e-12
    assert all((row[list(row).index(2) + 1 :] == 0).all() for row in sequences if 2 in row)
    one = law(end=2)
    tokens = np.array([[1, 2, 3], [1, 2, 99], [0, 1, 2], [3, 3, 3]])
    kept = one.accept(ex.TokenDraws(tokens, lengths=np.array([2, 2, 3, 3])), 4)
    assert kept[:, 0].tolist() == [[1, 2, -1], [1, 2, -1], [0, 1, 2], [3, 3, 3]]


@pytest.mark.parametrize("chunk", [4, 40, 1 << 22])
def test_predictions_do_not_depend_on_the_chunks(monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    one = law(prompts=[[1], [], [0, 2]])
    sample = one.accept(one.sample(11, seed=0), 11)
    found = np.full((11, 3, 4), np.nan)
    for step in one.predictions(sample):
        found[step.rows, step.position] = step.log_p
    for i, row in enumerate(sample[:, 0]):
        prompt = one.prompts[i % 3]
        for t in range(3):
            np.testing.assert_allclose(np.exp(found[i, t]), TABLE[(sum(prompt) + row[:t].sum()) % 4], rtol=1e-12)


def test_a_teacher_forced_score_gives_the_same_predictions_in_one_evaluation():
    calls = []

    def score(ids):
        calls.append(ids.shape)
        return np.stack([target(ids[:, : t + 1]) for t in range(ids.shape[1])], axis=1)

    one, other = law(prompts=[[1, 2]]), law(prompts=[[1, 2]], score=score)
    sample = one.accept(one.sample(20, seed=0), 20)
    for a, b in zip(one.predictions(sample), other.predictions(sample), strict=True):
        np.testing.assert_allclose(a.log_p, b.log_p, rtol=1e-12)
    assert calls == [(20, 4)]


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_targets_of_any_library_are_judged_alike(library):
    xp = module_or_skip(library)
    table = xp.asarray(np.log(TABLE).astype(np.float32))

    def theirs(prefixes):
        assert type(prefixes).__module__.split(".")[0] == library.split(".")[0] or library == "jax.numpy"
        return table[xp.asarray(np.asarray(prefixes)).sum(1) % 4]

    mine, draws = law(), law().sample(2_000, seed=1)
    of_library = ex.TokenChain(theirs, vocabulary=4, length=3)
    plan = ex.Plan(tolerance=0.15, per_call=500)
    judged = ex.certify(lambda n, seed: xp.asarray(mine.sample(n, seed)), of_library, plan=plan)
    again = ex.certify(mine.sample, mine, plan=plan)
    assert judged.verdict is again.verdict is ex.Verdict.CERTIFIED
    assert [f.name for f in judged.findings if f.adjusted_p < 0.5] == [f.name for f in again.findings if f.adjusted_p < 0.5]
    assert len(draws) == 2_000


def test_filters_follow_the_order_of_their_library():
    logits = np.log(np.array([[0.5, 0.2, 0.2, 0.07, 0.03]]))
    keep = lambda **a: (np.exp(TokenFilters(**a)(logits))[0] > 0).tolist()  # noqa: E731
    assert keep(top_k=2) == [True, True, True, False, False]  # Ties with the last one are kept.
    assert keep(top_p=0.5) == [True, False, False, False, False]
    assert keep(top_p=0.6) == [True, False, True, False, False]
    assert keep(min_p=0.3) == [True, True, True, False, False]
    # After min_p only three tokens are left, of which the first has 0.556: enough for top_p = 0.55, and not before min_p.
    assert keep(top_p=0.55, min_p=0.3, order="vllm") == [True, False, False, False, False]
    assert keep(top_p=0.55, min_p=0.3) == [True, False, True, False, False]
    np.testing.assert_allclose(np.exp(TokenFilters(temperature=0.5)(logits)), (p := np.exp(2 * logits)) / p.sum())


def test_greedy_decoding_is_an_equality_and_ties_are_all_right():
    flat = ex.TokenChain(lambda prefixes: np.array([[0.0, 1.0, 1.0]] * len(prefixes)), vocabulary=3, length=2, temperature=0)
    plan = ex.Plan(tolerance=0.05)
    either = lambda n, seed: np.random.default_rng(seed).integers(1, 3, (n, 2))  # noqa: E731
    assert ex.certify(either, flat, plan=plan).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(lambda n, seed: np.full((n, 2), 1), flat, plan=plan).verdict is ex.Verdict.CERTIFIED
    many = ex.TokenChain(flat.target, vocabulary=3, length=2, temperature=0, prompts=[[i % 3] * (1 + i % 5) for i in range(20)])
    turns = lambda n, seed: 1 + (np.arange(2 * n).reshape(n, 2) // 7 % 2)  # noqa: E731
    assert ex.certify(turns, many, plan=plan).verdict is ex.Verdict.CERTIFIED
    wrong = ex.certify(lambda n, seed: either(n, seed) - (np.random.default_rng(seed).random((n, 2)) < 0.01), flat, plan=plan)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert "value 0" in wrong.leading.where


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": 1}, "vocabulary must be an integer from 2"),
        ({"length": 0}, "length must be an integer from 1"),
        ({"end": 4}, "end must be an integer from 0 to 3"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"top_k": 0}, "top_k must be a positive integer"),
        ({"top_p": 0.0}, "top_p must lie above 0"),
        ({"order": "alphabetical"}, "order must be one of transformers, vllm"),
        ({"prompts": [[7]]}, "token ids from 0 to 3"),
        ({"prompts": 7}, "a list of lists of token ids, not int"),
        ({"draft": "model"}, "draft must be a function"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(BadInput, match=message):
        law(**arguments)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p: np.zeros((len(p), 5)), r"an array of shape \(16, 4\); got \(16, 5\). This law was given vocabulary=4"),
        (lambda p: np.zeros((len(p), 3, 4)), r"Return the logits after the last token only, as in logits\[:, -1\]"),
        (lambda p: np.zeros((len(p), 4)).tolist(), r"an array of numpy, torch or JAX of shape \(16, 4\); got list"),
        (lambda p: np.zeros((len(p), 4), dtype=int), "must return logits or log-probabilities in floating point, not int64"),
        (lambda p: TABLE[p.sum(1) % 4], "returned probabilities: return their logarithms"),
        (lambda p: np.random.standard_normal((len(p), 4)), "two different laws for the same prefixes.*dropout"),
        (lambda p: TABLE[p[:, -1]], "Without prompts it is asked for the first token"),
        (lambda p: np.full((len(p), 4), np.nan), "returned NaN"),
        (lambda p: np.full((len(p), 4), -np.inf), "a row of -inf only"),
        (lambda p: 1 / 0, "target raised ZeroDivisionError"),
    ],
)
def test_unusable_targets_are_refused_with_an_explanation(wrong, message):
    with pytest.raises(BadInput, match=message):
        list((one := ex.TokenChain(wrong, vocabulary=4, length=3)).predictions(one.accept(np.zeros((16, 3), dtype=int), 16)))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda n, s: law().sample(n, s).astype(float), "token ids are integers"),
        (lambda n, s: law().sample(n, s)[:, :2], r"this law needs \(16, 3\)"),
        (lambda n, s: law().sample(n, s) + 2, "is not one of the 4 of the vocabulary"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), rounds=np.zeros(n)), "rounds must be integers of shape"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), rounds=np.full((n, 3), 0.5)), r"got float64 of shape \(16, 3\)"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), rounds=np.tile([1, 2, 0], (n, 1))), "go from 2 to 0 .sequence 0, token 2"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), drafts=np.full((n, 3), 4)), "draft 4 .sequence 0, token 0. is not one of"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), prompts=-np.ones(n, dtype=int)), "counted from 0; one is -1"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), prompts=np.zeros(n)), r"prompts must be integers .* got float64"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), lengths=[3] * n), r"lengths must be integers .* got list"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), lengths=np.full(n, 2)), "this law has no end token"),
        (lambda n, s: ex.TokenDraws(law().sample(n, s), lengths=np.full(n, 9)), "lengths must lie between 0 and 3"),
    ],
)
def test_unusable_draws_are_invalid_and_say_why(sample, message):
    import re

    judged = ex.certify(sample, law(), plan=ex.Plan(tolerance=0.1))
    assert judged.verdict is ex.Verdict.INVALID
    assert re.search(message, judged.reasons[0]), judged.reasons[0]


def test_an_end_token_that_was_cut_off_is_asked_for():
    """As some servers do."""
    with pytest.raises(ex.ExactnessError, match=r"token -1 .sequence 1, token 2. .* cut off, put 2 back"):
        law(end=2).accept(np.array([[1, 2, -1], [1, 3, -1]]), 2)


def test_lengths_must_agree_with_the_end_token():
    one = law(end=2)
    with pytest.raises(ex.ExactnessError, match="do not agree with the first end token"):
        one.accept(ex.TokenDraws(np.array([[1, 2, 3]]), lengths=np.array([3])), 1)


def test_a_score_that_does_not_fit_the_target_is_refused():
    """Its columns are moved by one token here, as when the first logits of a model are dropped."""

    def late(ids):
        return np.stack([target(ids[:, :t]) for t in range(ids.shape[1])], axis=1)

    one = law(prompts=[[1, 2]], score=late)
    with pytest.raises(BadInput, match="score and target give different laws"):
        list(one.predictions(one.accept(one.sample(20, seed=0), 20)))


def test_the_digest_of_a_law_does_not_depend_on_what_it_was_asked_before():
    from exactness.subject import subjects_of

    one = law()
    before = subjects_of(one, "law")
    one.sample(10, seed=0)
    assert subjects_of(one, "law") == before


def test_keeping_one_token_is_greedy_decoding_that_needs_no_seed():
    one = law(top_k=1)
    assert ex.certify(one.sample, one, plan=ex.Plan(tolerance=0.2)).verdict is ex.Verdict.CERTIFIED
