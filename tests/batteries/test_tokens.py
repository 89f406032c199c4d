"""The battery of token sequences: right samplers pass, named wrong ones fall, and only what is predictable chooses a stratum."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B

VOCABULARY, LENGTH, WINDOW = 6, 8, 3
_RNG = np.random.default_rng(5)
P = _RNG.dirichlet(np.full(VOCABULARY, 0.6), size=VOCABULARY)
Q = 0.6 * P + 0.4 * _RNG.dirichlet(np.full(VOCABULARY, 0.6), size=VOCABULARY)
PLAN = ex.Plan(tolerance=0.1, max_paths=16_000)


def of(table):
    """The next token depends on the last one."""
    return lambda prefixes: np.log(table)[prefixes[:, -1] if prefixes.shape[1] else np.zeros(len(prefixes), dtype=int)]


def law(**arguments):
    return ex.TokenChain(of(P), **{"vocabulary": VOCABULARY, "length": LENGTH, "draft": of(Q), **arguments})


def speculative(residual=None, extra=P, accept=None, told=True, draft=Q):
    """A token-wise sampler in plain numpy. Each argument replaces a part of it."""

    def sample(n, seed):
        rng = np.random.default_rng(seed)
        tokens, rounds = np.zeros((n, LENGTH), dtype=int), np.zeros((n, LENGTH), dtype=int)
        last, at, number, place = (np.zeros(n, dtype=int) for _ in range(4))
        drawn = lambda masses: (rng.random(n)[:, None] > (c := np.cumsum(masses, axis=1)) / c[:, -1:]).sum(axis=1)  # noqa: E731
        while (at < LENGTH).any():
            draft_of, p = draft[last], P[last]
            y = drawn(draft_of)
            ratio = p[np.arange(n), y] / np.maximum(Q[last, y], 1e-300)
            taken = rng.random(n) < (ratio if accept is None else accept(ratio))
            left = np.maximum(p - Q[last], 1e-300) if residual is None else residual(p, Q[last])
            out = np.where(place == WINDOW, drawn(extra[last]), np.where(taken, y, drawn(left)))
            ends = (place == WINDOW) | ~taken
            here = at < LENGTH
            tokens[here, at[here]], rounds[here, at[here]] = out[here], number[here]
            last, at = np.where(here, out, last), at + here
            number, place = number + ends, np.where(ends, 0, place + 1)
        return ex.TokenDraws(tokens, rounds=rounds) if told else tokens

    return sample


@pytest.mark.parametrize("told", [True, False])
def test_an_exact_sampler_is_certified_with_and_without_rounds_and_draft(told):
    assert ex.certify(speculative(told=told), law(), plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(speculative(told=told), law(draft=None), plan=PLAN).verdict is ex.Verdict.CERTIFIED


WRONG = {
    "the residual is the target": (speculative(residual=lambda p, q: p), "in common"),
    "the extra token comes from the draft": (speculative(extra=Q), "draft"),
    "everything is accepted": (speculative(accept=lambda ratio: np.ones_like(ratio)), "draft"),
    "the draft is warmer than it says": (speculative(draft=(warm := Q**0.6) / warm.sum(1, keepdims=True)), ""),
    "the residual is that of the absolute difference": (speculative(residual=lambda p, q: np.abs(p - q)), ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_samplers_are_refuted(name):
    sample, where = WRONG[name]
    judged = ex.certify(sample, law(), plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED
    assert any(where in f.where for f in judged.findings if f.adjusted_p <= PLAN.alpha)


def test_the_first_token_alone_is_blind_to_what_happens_inside_a_round():
    wrong = WRONG["the extra token comes from the draft"][0]
    first = ex.DiscreteLaw(P[0])
    assert ex.certify(lambda n, seed: wrong(n, seed).tokens[:, 0], first, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(wrong, law(), plan=PLAN).verdict is ex.Verdict.REFUTED


def test_conditioning_on_acceptance_would_refute_an_exact_sampler():
    # A round that goes on has accepted its token. Whether it does is known only after the token is drawn.
    draws = speculative()(20_000, 1)
    rounds, tokens = draws.rounds, draws.tokens
    begins = (rounds[:, 0] == 0) & (rounds[:, 1] == 1)  # The first token was a replacement.
    chance = np.bincount(tokens[begins, 0], minlength=VOCABULARY) / begins.sum()
    assert 0.5 * np.abs(chance - P[0]).sum() > 0.1
    # The place in the round is known before: the second token after an accepted one follows the law.
    goes_on = rounds[:, 1] == 0
    for last in range(VOCABULARY):
        mine = goes_on & (tokens[:, 0] == last)
        if mine.sum() > 1_000:
            chance = np.bincount(tokens[mine, 1], minlength=VOCABULARY) / mine.sum()
            # Sampling alone gives at most this: McDiarmid's bound at 1e-6 on a total variation.
            assert 0.5 * np.abs(chance - P[last]).sum() < 0.5 * np.sqrt(VOCABULARY / mine.sum()) + np.sqrt(7.0 / mine.sum())


def test_a_sampler_that_never_accepts_is_not_certified():
    judged = ex.certify(speculative(accept=lambda ratio: np.zeros_like(ratio), residual=lambda p, q: p), law(), plan=PLAN)
    assert judged.verdict is ex.Verdict.INCONCLUSIVE
    assert "accepted a draft" in judged.reasons[0]


def test_dependence_across_positions_is_seen_where_each_position_is_right():
    flat = ex.TokenChain(lambda prefixes: np.zeros((len(prefixes), 4)), vocabulary=4, length=6)

    def recycled(n, seed):
        fresh = flat.sample(n, seed)
        fresh[:, 3:] = fresh[:, :3]
        return fresh

    judged = ex.certify(recycled, flat, plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED
    assert (judged.leading.name.split(",")[0], judged.leading.where) == ("tokens: dependence on earlier tokens", "3 steps")


def test_evidence_does_not_depend_on_how_draws_are_divided():
    one, many = (B.Tokens().start(law(), np.random.default_rng(0)) for _ in range(2))
    draws = speculative()(600, 0)
    packed = law().accept(draws, 600)
    one.update(packed, np.random.default_rng(1))
    for part in (packed[:200], packed[200:]):
        many.update(part, np.random.default_rng(2))
    named = lambda evidence: {(r.name, r.null.name, r.where): (r.n, r.statistic) for r in evidence.results()}  # noqa: E731
    for key, (n, statistic) in named(one).items():
        if "bets" in key[0] or "share" in key[0] or "support" in key[0]:  # The others hold the judge's noise.
            assert named(many)[key] == (n, pytest.approx(statistic, rel=1e-9, abs=1e-12))
