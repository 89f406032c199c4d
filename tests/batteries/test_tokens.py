"""The battery of token sequences: right samplers pass, named wrong ones fall, and only what is predictable chooses a stratum."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B
from exactness.batteries import token_rounds, tokens
from exactness.laws import tokens as laws

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


def speculative(residual=None, extra=P, accept=None, told=True, draft=Q, coins=None, length=LENGTH):
    """A token-wise sampler in plain numpy. Each argument replaces a part of it."""

    def sample(n, seed):
        rng = np.random.default_rng(seed)
        tokens, rounds, drafts = (np.zeros((n, length), dtype=int) for _ in range(3))
        kept = rng.random((n, WINDOW + 1))
        last, at, number, place = (np.zeros(n, dtype=int) for _ in range(4))
        drawn = lambda masses: (rng.random(n)[:, None] > (c := np.cumsum(masses, axis=1)) / c[:, -1:]).sum(axis=1)  # noqa: E731
        while (at < length).any():
            draft_of, p = draft[last], P[last]
            y = drawn(draft_of)
            ratio = p[np.arange(n), y] / np.maximum(Q[last, y], 1e-300)
            coin = rng.random(n) if coins is None else kept[np.arange(n), place]
            taken = coin < (ratio if accept is None else accept(ratio))
            left = np.maximum(p - Q[last], 1e-300) if residual is None else residual(p, Q[last])
            out = np.where(place == WINDOW, drawn(extra[last]), np.where(taken, y, drawn(left)))
            ends = (place == WINDOW) | ~taken
            here = at < length
            tokens[here, at[here]], rounds[here, at[here]] = out[here], number[here]
            drafts[here, at[here]] = np.where(place == WINDOW, -1, y)[here]
            last, at = np.where(here, out, last), at + here
            number, place = number + ends, np.where(ends, 0, place + 1)
        return ex.TokenDraws(tokens, rounds=rounds, drafts=drafts) if told else tokens

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


def test_the_bet_on_blocks_without_weight_is_on_the_law_that_enumeration_gives():
    """Two drafts; given the first and that the round goes on, the second token by all drafts and coins. The weight is below 1."""
    p, q = np.array([[0.4, 0.3, 0.3], [0.3, 0.3, 0.4]]), np.array([[0.6, 0.3, 0.1], [0.05, 0.25, 0.7]])
    weight = p[0, 0] / q[0, 0]
    left = np.maximum(weight * p[1] - q[1], 0.0)
    alone = left.sum() / (left.sum() + 1.0 - weight)
    every, blocks = np.arange(3), token_rounds.BlockWeights()
    blocks.begin(3)
    excess, good = np.maximum(p - q, 0.0), np.ones(3, dtype=bool)
    known = [[np.tile(law_of[t], (3, 1)) for law_of in (p, q, excess)] for t in (0, 1)]
    assert not len(blocks.odds(every, np.zeros(3, dtype=int), *known[0], np.zeros(3, dtype=int), good)[0])
    odds = blocks.odds(every, every, *known[1], np.ones(3, dtype=int), good)[1]
    assert odds @ p[1] == pytest.approx(1.0, abs=1e-12)
    assert abs(odds - 1.0).max() > 0.05
    for residual, bug in ((left, False), (excess[1], True)):
        found = np.zeros(3)
        for y in range(3):
            both = min(1.0, weight * p[1, y] / q[1, y])
            found[y] += q[1, y] * both
            found += q[1, y] * (1.0 - both) * alone * residual / residual.sum()
        assert np.allclose(found / weight, odds * p[1] if bug else p[1], rtol=0.0, atol=1e-12)


def blocks(fault, n, seed):
    """Block verification of four drafts; every token follows the same law. ``fault`` names what is wrong."""
    torch = pytest.importorskip("torch")
    from exactness_samplers.faults.tokens import token_fault
    from exactness_samplers.torch import tokens as rules
    from exactness_samplers.torch.token_drafters import LawDrafter
    from exactness_samplers.torch.token_sampling import GeneratorNoise, TokenSampler

    target, draft = ((lambda ids, lengths, row=row: row.expand(len(ids), -1)) for row in torch.tensor(BLOCKS))
    rule = token_fault(fault).verifier("torch") if fault else rules.block
    noise = GeneratorNoise(torch.Generator().manual_seed(seed))
    run = TokenSampler(target, 10, LawDrafter(draft, (0, 1, 2, 3)), rule).run(n, noise)
    return ex.TokenDraws(run.tokens.numpy(), rounds=run.rounds.numpy())


BLOCKS = np.array([[0.28, 0.37, 0.07, 0.28], [0.02, 0.17, 0.19, 0.62]])


def test_a_block_whose_residual_forgets_its_weight_is_refuted_by_the_bet_on_it():
    target, draft = ((lambda ids, row=row: np.tile(np.log(row), (len(ids), 1))) for row in BLOCKS)
    claimed = ex.TokenChain(target, vocabulary=4, length=10, draft=draft)
    plan = ex.Plan(tolerance=0.1, max_paths=4_000)
    wrong = ex.certify(lambda n, seed: blocks("block-residual-unweighted", n, seed), claimed, plan=plan)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert "forgets its weight" in str(wrong.leading.where)
    assert ex.certify(lambda n, seed: blocks(None, n, seed), claimed, plan=plan).verdict is ex.Verdict.CERTIFIED


REPEATED = {
    "each sequence twice": lambda draws: np.repeat(draws[: (len(draws) + 1) // 2], 2, axis=0)[: len(draws)],
    "the second half is the first": lambda draws: np.concatenate([draws[: (len(draws) + 1) // 2]] * 2)[: len(draws)],
}


@pytest.mark.parametrize("name", REPEATED)
def test_sequences_that_repeat_others_are_no_evidence(name):
    """As where two requests share a seed. Each sequence by itself has the right law."""
    own = law()
    certificate = ex.certify(lambda n, seed: REPEATED[name](own.sample(n, seed)), own, plan=PLAN)
    assert certificate.verdict is ex.Verdict.REFUTED
    assert certificate.reasons[0].startswith("draws depend on each other")


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("wrong", [False, True])
def test_probabilities_of_zero_and_ends_raise_no_warnings(wrong):
    """A token that neither model draws; one that only the draft draws, which a wrong sampler emits."""
    with np.errstate(divide="ignore"):
        target, draft = np.log([[0.5, 0.3, 0.2, 0.0, 0.0], [0.2, 0.3, 0.3, 0.2, 0.0]])
    claimed = ex.TokenChain(
        lambda ids: np.tile(target, (len(ids), 1)), vocabulary=5, length=6, draft=lambda ids: np.tile(draft, (len(ids), 1)), end=2
    )

    def sample(n, seed):
        found = claimed.sample(n, seed)
        found[0, 0] = 3 + seed % 2 if wrong else found[0, 0]
        return found

    plan = ex.Plan(tolerance=0.3, max_paths=1_000)
    assert ex.certify(sample, claimed, plan=plan).verdict is (ex.Verdict.REFUTED if wrong else ex.Verdict.CERTIFIED)


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


def test_coins_that_are_kept_from_round_to_round_are_seen_across_rounds():
    """Each round is right by itself: the coin of each place is drawn once a sequence."""
    judged = ex.certify(speculative(coins="kept"), law(rule="token-wise"), plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED
    assert judged.leading.name == "tokens: dependence of rounds on the round before, bet, worst row"
    assert judged.leading.where == "accepted drafts, place 0 in both"


def test_rounds_that_are_cut_by_an_end_token_count_as_well():
    # The draft is often the end token, and an accepted one is the last of its sequence. Leaving these rounds out would be seen.
    ends = law(rule="token-wise", end=1)
    assert ex.certify(speculative(), ends, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    evidence = B.Tokens().start(ends, np.random.default_rng(0))
    draws = speculative()(20_000, 3)
    evidence.update(ends.accept(draws, 20_000), np.random.default_rng(1))
    bets = evidence.summaries["accepted drafts"]
    cut = (draws.tokens == 1) & (draws.drafts == 1) & (np.cumsum(draws.tokens == 1, axis=1) == 1)
    assert cut.sum() > 2_000
    assert bets.counts[0] == ((draws.drafts >= 0) & (np.cumsum(draws.tokens == 1, axis=1) - (draws.tokens == 1) == 0)).sum()


def test_whole_sequences_of_a_small_law_are_counted_and_their_total_variation_bounded():
    short = ex.TokenChain(of(P[:2, :2] / P[:2, :2].sum(1, keepdims=True)), vocabulary=2, length=3)
    judged = ex.certify(short.sample, short, plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED
    kinds = {f.name.split(", ")[-1]: f.bound for f in judged.findings if "whole sequences" in f.name}
    assert kinds["total variation"] < 0.1
    assert "wager" in kinds

    def backwards(n, seed):
        return short.sample(n, seed)[:, ::-1].copy()

    wrong = ex.certify(backwards, short, plan=PLAN)
    assert any("sequences" in f.name and f.adjusted_p <= PLAN.alpha for f in wrong.findings)


def test_a_law_with_an_end_token_counts_each_of_its_sequences_once():
    short = ex.TokenChain(of(P[:3, :3] / P[:3, :3].sum(1, keepdims=True)), vocabulary=3, length=4, end=2)
    assert ex.certify(short.sample, short, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    evidence = B.Tokens().start(short, np.random.default_rng(0))
    evidence.update(short.accept(short.sample(500, 0), 500), np.random.default_rng(1))
    # 2^0 + 2^1 + 2^2 that end early, and 3 * 2^3 that do not.
    assert len(evidence.summaries["whole sequences"].counts) == 31
    assert evidence.summaries["whole sequences"].counts.sum() == 500


def test_a_token_that_is_wrong_after_two_others_only_is_named():
    flat = ex.TokenChain(lambda prefixes: np.zeros((len(prefixes), 5)), vocabulary=5, length=12)

    def sample(n, seed):
        tokens, rng = flat.sample(n, seed), np.random.default_rng([seed, 1])
        for t in range(2, 12):
            mine = (tokens[:, t - 2] == 3) & (tokens[:, t - 1] == 1) & (rng.random(n) < 0.5)
            tokens[mine, t] = 4
        return tokens

    judged = ex.certify(sample, flat, plan=PLAN)
    assert (judged.leading.name, judged.leading.where) == (
        "tokens: tokens by the two tokens before, bet, worst row",
        "token 4 after 3 1",
    )


def test_long_rows_are_looked_at_one_by_one_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(4)
    p = np.round(rng.dirichlet(np.full(3_000, 0.2), size=4), 4)  # Many tie.
    p /= p.sum(axis=1, keepdims=True)
    ids, spread = np.array([0, 1_200, 2_900, 2_999]), rng.random(4)
    own = p[np.arange(4), ids]
    for key in (None, p, np.round(rng.standard_normal(p.shape), 1)):
        long = tokens._transform(p, key, ids, own, spread)
        with monkeypatch.context() as patch:
            patch.setattr(tokens, "LONG", 1 << 20)
            patch.setattr(token_rounds, "LONG", 1 << 20)
            assert long == pytest.approx(tokens._transform(p, key, ids, own, spread), abs=1e-12)


def test_judging_a_large_vocabulary_needs_the_memory_of_two_chunks_of_logits(monkeypatch):
    size, rows, chunk = 1 << 15, 128, 1 << 21
    monkeypatch.setattr(laws, "_CHUNK", chunk)
    monkeypatch.setattr(laws, "_BLOCK", size)
    logits = np.random.default_rng(0).standard_normal((2, size), dtype=np.float32)
    target, draft = (lambda ids, row=row: np.tile(row, (len(ids), 1)) for row in logits)
    large = ex.TokenChain(target, vocabulary=size, length=1, draft=draft)
    sample = large.accept(np.zeros((rows, 1), dtype=np.int64), rows)
    evidence = B.Tokens().start(large, np.random.default_rng(0))
    tracemalloc.start()
    evidence.update(sample, np.random.default_rng(1))
    chunks = tracemalloc.get_traced_memory()[1] / (4 * chunk)
    tracemalloc.stop()
    # One for the target, one for the draft, and what is computed of a row.
    assert chunks < 2.5
