"""Samplers of tokens are certified as any stranger's would be, and wrong verifiers of tokens are refuted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from exactness_samplers.faults.base import Backend
from exactness_samplers.faults.tokens import TokenFault, token_fault

import exactness as ex
from tests.conftest import module_or_skip

VOCABULARY, LENGTH, WINDOW = 6, 16, 4
_RNG = np.random.default_rng(0)
P = _RNG.dirichlet(np.full(VOCABULARY, 0.6), size=VOCABULARY)
Q = 0.5 * P + 0.5 * _RNG.dirichlet(np.full(VOCABULARY, 0.6), size=VOCABULARY)
# These samplers behave alike for every seed, so few calls suffice.
PLAN = ex.Plan(tolerance=0.08, max_paths=16_000, per_call=500)


def _next(table: Any) -> Callable[[Any], Any]:
    """The next token depends on the last one."""
    torch = module_or_skip("torch")
    return lambda prefixes: torch.log(table[prefixes[:, -1] if prefixes.shape[1] else torch.zeros(len(prefixes), dtype=torch.long)])


@cache
def law(rule: Any = None) -> ex.TokenChain:
    torch = module_or_skip("torch")
    target, draft = (_next(torch.tensor(table)) for table in (P, Q))
    return ex.TokenChain(target, vocabulary=VOCABULARY, length=LENGTH, draft=draft, rule=rule)


def sampler(rule: Callable[..., Any], races: bool = False, drawn: Callable[..., Any] | None = None) -> Callable[[int, int], Any]:
    """Speculative decoding with this rule. Drafts may be ``drawn`` from another law than the one that is told to the rule."""
    torch = module_or_skip("torch")
    from exactness_samplers.torch.token_drafters import LawDrafter
    from exactness_samplers.torch.token_sampling import TokenSampler, of_prefixes

    told = torch.tensor(Q)
    really = told if drawn is None else drawn(Backend("torch"), told)

    class Drafter(LawDrafter):
        def draft(self, tokens: Any, lengths: Any, noise: Any) -> Any:
            drafts, _, count = super().draft(tokens, lengths, noise)
            last = torch.where(lengths > 0, tokens.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0], 0)
            return drafts, told[torch.cat([last[:, None], drafts[:, :-1]], dim=1)], count

    drafter = Drafter(of_prefixes(_next(really)), tuple(range(WINDOW)), races=races)
    whole = TokenSampler(of_prefixes(_next(torch.tensor(P))), LENGTH, drafter, rule)

    def sample(n: int, seed: int) -> ex.TokenDraws:
        run = whole.sample(n, seed)
        return ex.TokenDraws(run.tokens, lengths=run.lengths, rounds=run.rounds, drafts=run.drafts)

    return sample


RULES = {
    "token-wise": "token_wise", "block": "block", "one-hot": "one_hot", "sampled-verify": "sampled_verify", "gumbel": "gumbel",
}  # fmt: skip


def of_rule(rule: str) -> Callable[[int, int], Any]:
    tokens = module_or_skip("exactness_samplers.torch.tokens")
    return sampler(getattr(tokens, RULES[rule]), races=rule == "gumbel")


@pytest.mark.parametrize("rule", RULES)
def test_exact_rules_are_certified_with_the_drafts_that_they_accept(rule):
    judged = ex.certify(of_rule(rule), law(rule), plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert any(f.name.startswith("tokens: accepted drafts") for f in judged.findings)


@pytest.mark.parametrize(("rule", "claimed"), [("block", "token-wise"), ("token-wise", "block"), ("one-hot", "gumbel")])
def test_another_exact_rule_than_the_claimed_one_is_refuted_by_the_drafts_that_it_accepts(rule, claimed):
    judged = ex.certify(of_rule(rule), law(claimed), plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED
    assert all("accepted drafts" in f.name + f.where for f in judged.findings if f.adjusted_p <= PLAN.alpha)


@pytest.mark.parametrize("rule", ["token-wise", "block"])
def test_conditioning_on_acceptance_would_refute_an_exact_rule(rule):
    n = 5_000
    draws = of_rule(rule)(n, 1)
    tokens, rounds, drafts = (np.asarray(x) for x in (draws.tokens, draws.rounds, draws.drafts))
    # The first token, by whether it was an accepted draft; and by whether the first round is longer than one token, which is known
    # only after it. The sum over both is right.
    accepted = drafts[:, 0] == tokens[:, 0]
    assert np.array_equal(accepted, rounds[:, 1] == 0)
    apart = lambda mine: 0.5 * np.abs(np.bincount(tokens[mine, 0], minlength=VOCABULARY) / mine.sum() - P[0]).sum()  # noqa: E731
    # McDiarmid's bound at 1e-6 on the total variation of exact draws.
    noise = lambda mine: 0.5 * np.sqrt(VOCABULARY / mine.sum()) + np.sqrt(7.0 / mine.sum())  # noqa: E731
    assert apart(~accepted) > 0.1 + noise(~accepted)
    assert apart(np.ones(n, dtype=bool)) < noise(np.ones(n, dtype=bool))


@pytest.mark.slow
def test_a_sampler_of_jax_is_certified_by_the_same_law():
    module_or_skip("jax")
    import jax.numpy as jnp
    from exactness_samplers.jax import tokens
    from exactness_samplers.jax.token_drafters import LawDrafter
    from exactness_samplers.jax.token_sampling import TokenSampler

    def of(table: np.ndarray) -> Callable[[Any, Any], Any]:
        laws = jnp.asarray(table)
        return lambda text, lengths: laws[
            jnp.where(lengths > 0, jnp.take_along_axis(text, (lengths - 1)[:, None], axis=1)[:, 0], 0)
        ]

    whole = TokenSampler(of(P), LENGTH, LawDrafter(of(Q), tuple(range(WINDOW))), tokens.block)

    def sample(n: int, seed: int) -> ex.TokenDraws:
        run = whole.sample(n, seed)
        return ex.TokenDraws(run.tokens, lengths=run.lengths, rounds=run.rounds, drafts=run.drafts)

    # The law evaluates its own numpy tables.
    target, draft = (
        lambda p, t=table: np.log(t)[np.asarray(p)[:, -1] if p.shape[1] else np.zeros(len(p), dtype=int)] for table in (P, Q)
    )
    numpy_law = ex.TokenChain(target, vocabulary=VOCABULARY, length=LENGTH, draft=draft, rule="block")
    judged = ex.certify(sample, numpy_law, plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


@pytest.mark.parametrize(
    "name",
    [
        "token-ratio-of-next-place",
        "token-draft-probabilities-zero",
        "token-typical-acceptance",
        "token-residual-from-target",
        "token-residual-softmax",
        "token-extra-from-draft",
        "token-residual-uses-the-drafts-uniform",
        "gumbel-residual-reuses-exponentials",
        "draft-temperature-not-reported",
        "block-last-ratio-uncapped",
        "block-stops-at-first-failed-draft",
        "block-threshold-is-the-weight",
    ],
)
def test_wrong_verifiers_are_refuted(name):
    fault: TokenFault = token_fault(name)
    judged = ex.certify(sampler(fault.verifier("torch"), fault.races, fault.drawn), law(), plan=PLAN, name=name)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


@pytest.mark.parametrize(
    "name", ["block-stops-at-first-failed-draft", "block-last-ratio-uncapped", "block-threshold-is-the-weight"]
)
def test_the_numbers_of_accepted_drafts_alone_show_a_wrong_rule(name):
    fault = token_fault(name)
    judged = ex.certify(sampler(fault.verifier("torch")), law("block"), plan=PLAN, name=name)
    first = min(judged.findings, key=lambda f: (f.p_value, -f.effect))
    assert "accepted drafts" in first.name
    assert first.adjusted_p <= 1e-20


@pytest.mark.parametrize("name", ["one-hot-of-sampled-drafts", "accepted-if-equal-to-a-draw", "another-order-of-the-vocabulary"])
def test_right_verifiers_that_look_odd_are_not_refuted(name):
    fault = token_fault(name)
    judged = ex.certify(sampler(fault.verifier("torch"), fault.races, fault.drawn), law(), plan=PLAN, name=name)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
