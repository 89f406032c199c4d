"""Verifiers of tokens as users have them: judged by draws, computed whole, and asked at forced coins."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import exactness as ex
from exactness.adapters import exact_law, forced_coins, from_token_verifier
from exactness.errors import BadInput
from tests.conftest import module_or_skip

GOLDEN = {case["name"]: case for case in json.loads((Path(__file__).parents[1] / "golden" / "tokens.json").read_text())["cases"]}
PLAN = ex.Plan(alpha=1e-6, tolerance=0.1)
MARKOV = "three tokens, Markov, one zero"


def token_wise(target, draft, drafts, lengths, noise, precision=np.float64, kept_if=np.less):
    """A serving engine's verifier, right up to its precision."""
    rows, places = np.arange(len(drafts)), np.arange(drafts.shape[1])
    target, draft = target.astype(precision), draft.astype(precision)
    p, q = (law[rows[:, None], places, drafts] for law in (target, draft))
    kept = np.cumprod(kept_if(noise[:, :-1] * q, p) & (places < lengths[:, None]), axis=1).sum(1)
    mass = target[rows, kept]
    rejected = kept < lengths
    mass[rejected] = np.maximum(mass[rejected] - draft[rejected, kept[rejected]], 0)
    sums = mass.cumsum(1, dtype=np.float64)
    return kept, (sums <= noise[:, -1:] * sums[:, -1:]).sum(1)


def laws_of(case):
    """The golden laws, as functions of prefixes."""

    def of(laws):
        rows = {key: [float(Fraction(value)) for value in row] for key, row in laws.items()}
        table = np.array([rows[str(i)] for i in range(len(rows) - 1)])
        return lambda prefixes: table[prefixes[:, -1]] if prefixes.shape[1] else np.tile(rows["start"], (len(prefixes), 1))

    return of(case["target"]), of(case["draft"])


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_law_of_a_right_verifier_is_the_target_and_keeps_as_many_as_the_golden_file_says(window):
    case = GOLDEN[MARKOV]
    found = exact_law(token_wise, *laws_of(case), window=window)
    assert found.exact
    assert found.total_variation < 1e-14
    assert not len(found.never_drawn)
    assert not len(found.forbidden)
    expected = next(chain for chain in case["chain"] if chain["window"] == window)["token"]["accepted"]
    np.testing.assert_allclose(found.accepted, [float(Fraction(expected[str(i)])) for i in range(window + 1)], atol=1e-14)


@pytest.mark.parametrize(
    ("fault", "rule", "name", "window"),
    [
        ("block-last-ratio-uncapped", "block, last ratio uncapped", "two tokens, context-free", 2),
        ("block-last-ratio-uncapped", "block, last ratio uncapped", "four tokens, Markov", 2),
        ("block-residual-unweighted", "block, unweighted residual", "two tokens, context-free", 3),  # 0: two tokens are blind
        ("block-residual-unweighted", "block, unweighted residual", MARKOV, 3),  # 1/960
        ("block-threshold-is-the-weight", "block, h = P", MARKOV, 2),
    ],
)
def test_wrong_rules_are_as_far_from_the_target_as_the_golden_file_says(fault, rule, name, window):
    module_or_skip("torch")
    from exactness_samplers.faults.tokens import token_fault

    found = exact_law(token_fault(fault).verifier("torch"), *laws_of(GOLDEN[name]), window=window, arrays="torch")
    expected = Fraction(GOLDEN[name]["wrong_rules"][rule][str(window)]["total_variation"])
    assert found.total_variation == pytest.approx(float(expected), abs=1e-14)
    assert found.exact == (expected == 0)


def test_half_precision_has_its_total_variation_and_the_tokens_that_it_never_draws():
    generator = np.random.default_rng(0)
    p, q = (10.0 ** generator.uniform(-9, 0, 120) for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    single = exact_law(token_wise, p, q)
    half = exact_law(lambda *given: token_wise(*given, precision=np.float16), p, q)
    assert single.exact
    assert not len(single.never_drawn)
    assert not half.exact
    assert 1e-6 < half.total_variation < 1e-2
    # What rounds to 0 is never drawn.
    assert set(half.never_drawn) == set(np.flatnonzero(p.astype(np.float16) == 0))
    assert len(half.never_drawn) > 5
    # One draft took fewer than 200 calls of a row for each token.
    assert half.calls < 200


def test_uniforms_in_single_precision_cost_less_than_their_grain():
    p, q = np.random.default_rng(0).dirichlet(np.ones(60), size=2)
    found = exact_law(token_wise, p, q, noise_dtype="float32")
    assert 1e-10 < found.total_variation <= found.grain
    assert found.exact


def test_large_and_small_vocabularies_are_computed_alike(monkeypatch):
    """The shortcut for large vocabularies, against the enumeration of every draft and piece."""
    from exactness.adapters import exact_laws

    p, q = np.random.default_rng(3).dirichlet(np.ones(12), size=(2, 2))
    wrong = lambda *given: token_wise(*given, kept_if=lambda u, p: u < 0.9 * p)  # noqa: E731
    whole = exact_law(wrong, p, q[:1])
    monkeypatch.setattr(exact_laws, "_SMALL", 4)
    quick = exact_law(wrong, p, q[:1])
    assert quick.total_variation == pytest.approx(whole.total_variation, abs=1e-13)
    assert whole.total_variation > 1e-3
    np.testing.assert_allclose(quick.law, whole.law.sum(axis=1), atol=1e-13)
    np.testing.assert_allclose(quick.accepted, whole.accepted, atol=1e-13)


def test_trees_are_computed_with_equal_siblings_and_without():
    module_or_skip("torch")
    from exactness_samplers.faults.tokens import token_fault
    from exactness_samplers.torch.token_trees import recursive

    laws = laws_of(GOLDEN[MARKOV])
    assert exact_law(recursive, *laws, parents=(0, 0), arrays="torch").exact
    counted = token_fault("tree-duplicates-counted").verifier("torch")
    assert exact_law(counted, *laws, parents=(0, 0), replacement=False, arrays="torch").exact
    assert not exact_law(counted, *laws, parents=(0, 0), arrays="torch").exact
    failed = [check.name for check in forced_coins(counted, parents=(0, 0), arrays="torch") if not check.holds]
    assert failed == ["the law is right with equal siblings"]
    assert all(check.holds for check in forced_coins(counted, parents=(0, 0), duplicates=False, arrays="torch"))


def test_what_cannot_be_enumerated_is_said():
    def hashed(target, draft, drafts, lengths, noise):
        return np.zeros(len(drafts), dtype=int), np.modf(noise[:, -1:] * 1e6 * (1 + np.arange(3)))[0].argmin(1)

    with pytest.raises(BadInput, match="random answers of verify differ"):
        exact_law(hashed, [0.5, 0.3, 0.2], [0.2, 0.3, 0.5])
    with pytest.raises(BadInput, match="sum to 1"):
        exact_law(token_wise, [1.0, 2.0], [0.5, 0.5])
    with pytest.raises(BadInput, match="too many to enumerate"):
        exact_law(token_wise, np.full(20, 0.05), np.full(20, 0.05), window=6)
    with pytest.raises(BadInput, match="two answers to the same noise"):  # After 400 questions, and not after a million.
        exact_law(lambda *given: token_wise(*given[:-1], np.random.random(given[-1].shape)), [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(BadInput, match=r"takes 1 positional argument.*verify.target_probs, draft_probs, drafts, lengths, noise"):
        exact_law(lambda noise: noise, [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(BadInput, match="draft_probs must hold probabilities, but holds NaN"):
        exact_law(token_wise, [0.5, 0.5], [0.5, np.nan])
    with pytest.raises(BadInput, match="as integers, not float64"):
        exact_law(lambda *given: (token_wise(*given)[0] * 1.0, token_wise(*given)[1]), [0.5, 0.5], [0.5, 0.5])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_a_right_verifier_passes_all_forced_checks(dtype):
    found = forced_coins(token_wise, dtype=dtype, noise_dtype=dtype)
    assert len(found) == 8
    assert all(check.holds for check in found), [str(check) for check in found]


@pytest.mark.parametrize(
    ("verify", "failed"),
    [
        (lambda *given: token_wise(*given, kept_if=np.less_equal), "drafts of probability 0 are not kept"),
        (lambda t, d, y, k, u: token_wise(t, d, y, np.full_like(k, 2), u), "every answer is a number of drafts and a token"),
        (lambda t, d, y, k, u: (k * 0, (t[:, 0].cumsum(1) < u[:, -1:]).sum(1)), "emitted tokens are possible"),
        (lambda t, d, y, k, u: (token_wise(t, d, y, k, u)[0], t[:, -1].argmax(1)), "what lies beyond a row's length is not read"),
        (lambda t, d, y, k, u: token_wise(t, d, y, k, u[::-1]), "rows do not depend on each other"),
        (lambda *given: token_wise(*given)[0], "every answer is a number of drafts and a token"),
    ],
    ids=["at coin 0", "lengths ignored", "cdf at 0", "reads beyond", "other rows", "one array"],
)
def test_forced_coins_see_what_sampling_does_not(verify, failed):
    assert failed in [check.name for check in forced_coins(verify) if not check.holds]


def test_an_engines_verifier_is_judged_in_one_line():
    """One fixed sample; alpha is 1e-6."""
    assert ex.certify(*from_token_verifier(token_wise), plan=PLAN).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("verify", "verdict", "said"),
    [
        (lambda t, d, y, k, u: token_wise(t, d * 0, y, k, u), "refuted", "token"),  # the residual is drawn from the target
        (lambda t, d, y, k, u: token_wise(t, d, y, np.full_like(k, 4), u), "invalid", "of the"),
        (lambda *given: (np.zeros(len(given[2]), dtype=int), given[2][:, 0]), "invalid", "ignores the noise"),
        (lambda *given: token_wise(*given[:-1], np.random.random(given[-1].shape)), "invalid", "two answers"),
        (lambda t, d, y, k, u: token_wise(t, d, y, k * 0, u), "inconclusive", "accepted a draft"),
        (lambda *given: token_wise(*given, kept_if=lambda uq, p: (uq < p) | (p > 0.3)), "refuted", "token"),
    ],
    ids=["residual", "lengths ignored", "noise ignored", "noise of its own", "nothing accepted", "likely drafts are kept"],
)
def test_wrong_verifiers_are_not_certified(verify, verdict, said):
    judged = ex.certify(*from_token_verifier(verify), plan=PLAN)
    assert judged.verdict.value == verdict, judged.reasons
    assert said in " ".join([*judged.reasons, judged.leading.name if judged.findings else ""])


def test_own_laws_and_noise_of_races():
    logits = lambda prefixes: np.tile(np.log([0.5, 0.3, 0.2]), (len(prefixes), 1))  # noqa: E731
    other = lambda prefixes: np.tile(np.log([0.2, 0.2, 0.6]), (len(prefixes), 1))  # noqa: E731

    def gumbel(target, draft, drafts, lengths, noise):
        drawn = (noise / target).argmin(-1)
        same = (drawn[:, :-1] == drafts) & (np.arange(drafts.shape[1]) < lengths[:, None])
        kept = np.cumprod(same, axis=1).sum(1)
        return kept, drawn[np.arange(len(kept)), kept]

    claim = from_token_verifier(gumbel, vocabulary=3, window=2, target=logits, draft=other, noise="exponentials")
    assert ex.certify(*claim, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    with pytest.raises(BadInput, match="give both target= and draft="):
        from_token_verifier(gumbel, target=logits)
    with pytest.raises(BadInput, match="target must be a function of prefixes"):
        from_token_verifier(gumbel, target=[0.5, 0.5], draft=other)
    with pytest.raises(BadInput, match="vocabulary must be an integer from 2 to 262,144"):
        from_token_verifier(gumbel, vocabulary=10**7)
    with pytest.raises(BadInput, match="length must be an integer from 2"):  # One token leaves no place for a draft.
        from_token_verifier(gumbel, length=1)
    with pytest.raises(BadInput, match="numpy has no bfloat16"):
        from_token_verifier(gumbel, dtype="bfloat16")


@pytest.mark.parametrize(("arrays", "dtype"), [("torch", "bfloat16"), ("jax", "float32")])
def test_kernels_of_other_libraries_are_judged_in_their_precision(arrays, dtype):
    """One fixed sample; alpha is 1e-6. The law is that of the rounded probabilities."""
    library = module_or_skip({"torch": "torch", "jax": "jax.numpy"}[arrays])
    seen = set()

    def kernel(target, draft, drafts, lengths, noise):
        seen.add((str(target.dtype).removeprefix("torch."), type(target).__module__.partition(".")[0]))
        wide = (target.float(), draft.float()) if arrays == "torch" else (target, draft)
        kept, token = token_wise(*(np.asarray(values) for values in (*wide, drafts, lengths, noise)))
        return library.asarray(kept), library.asarray(token)

    assert ex.certify(*from_token_verifier(kernel, arrays=arrays, dtype=dtype, window=2), plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert {name for name, _ in seen} == {dtype}
    found = exact_law(kernel, [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], arrays=arrays, dtype=dtype, noise_dtype="float32")
    # 0.3 is no bfloat16: its rounding is part of what is compared with the target.
    assert (found.total_variation > 1e-4) == (dtype == "bfloat16")
