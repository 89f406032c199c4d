"""The probability that a draft is accepted, against all decisions of a rule, enumerated; and the laws that claim a rule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import exactness as ex
from exactness.errors import BadInput, InvalidSample
from exactness.laws.token_rules import acceptance

SIZE, LENGTH = 3, 3
_RNG = np.random.default_rng(3)
P, Q = (_RNG.dirichlet(np.full(SIZE, 0.7), size=SIZE + 1) for _ in range(2))


def laws(drafts, i):
    """p and q of the token after the first i drafts."""
    row = SIZE if i == 0 else drafts[i - 1]
    return P[row], Q[row]


def block(drafts, length):
    """The law of tau given all drafts: the definition of Sun et al. 2024."""
    weights = [1.0]
    for i in range(length):
        p, q = laws(drafts, i)
        weights.append(min(1.0, weights[-1] * p[drafts[i]] / q[drafts[i]]))
    chances = []
    for i in range(1, length):
        p, q = laws(drafts, i)
        z = np.maximum(weights[i] * p - q, 0.0).sum()
        chances.append(z / (z + 1.0 - weights[i]))
    chances.append(weights[length])
    rest, found = 1.0, np.zeros(length + 1)
    for i in range(length, 0, -1):
        found[i], rest = rest * chances[i - 1], rest * (1.0 - chances[i - 1])
    found[0] = rest
    return found


def token_wise(drafts, length):
    found, alive = np.zeros(length + 1), 1.0
    for i in range(length):
        p, q = laws(drafts, i)
        chance = min(1.0, p[drafts[i]] / q[drafts[i]])
        found[i], alive = alive * (1.0 - chance), alive * chance
    found[length] = alive
    return found


@pytest.mark.parametrize("length", [1, 2, LENGTH])
@pytest.mark.parametrize(("rule", "decided"), [("block", block), ("token-wise", token_wise)])
def test_the_chance_of_a_draft_is_that_of_all_decisions_of_the_rule(rule, decided, length):
    every = list(itertools.product(range(SIZE), repeat=length))
    joint = {}
    for drafts in every:
        chance = np.prod([laws(drafts, i)[1][drafts[i]] for i in range(length)])
        joint[drafts] = chance * decided(drafts, length)
    for drafts in every:
        weight = np.ones(1)
        for i in range(length):
            # Given that i drafts were accepted, and given the first i + 1 drafts, whatever follows.
            alike = [joint[other] for other in every if other[: i + 1] == drafts[: i + 1]]
            wanted = sum(row[i + 1 :].sum() for row in alike) / sum(row[i:].sum() for row in alike)
            p, q = laws(drafts, i)
            found, weight = acceptance(rule, np.log(p)[None], np.log(q)[None], np.array([drafts[i]]), weight)
            assert found[0] == pytest.approx(wanted, abs=1e-12)


def test_the_chances_of_a_coupled_race_are_those_of_the_formula_for_both_tokens():
    # By quadrature over the shared exponentials of two tokens: e_x/p_x and e_x/q_x are smallest at x = 0.
    p, q = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    first = np.linspace(0.0, 40.0, 400_001)
    least = np.maximum(first * p[1] / p[0], first * q[1] / q[0])
    both = np.trapezoid(np.exp(-first) * np.exp(-least), first)
    found, _ = acceptance("gumbel", np.log(p)[None], np.log(q)[None], np.array([0]), np.ones(1))
    assert found[0] == pytest.approx(both / q[0], abs=1e-6)


def test_impossible_tokens_give_chances_of_zero_and_one():
    with np.errstate(divide="ignore"):
        p, q = np.log([[0.0, 0.5, 0.5]]), np.log([[0.5, 0.5, 0.0]])
    for rule in ("token-wise", "block", "one-hot", "sampled-verify", "gumbel"):
        assert acceptance(rule, p, q, np.array([0]), np.ones(1))[0][0] == 0.0
    assert acceptance("token-wise", p, q, np.array([2]), np.ones(1))[0][0] == 1.0
    # A round that has accepted what it cannot accept has the weight 0, and keeps it.
    assert [float(x[0]) for x in acceptance("block", p, q, np.array([2]), np.zeros(1))] == [0.0, 0.0]


def flat(**arguments):
    table = lambda prefixes: np.zeros((len(prefixes), 3))  # noqa: E731
    return ex.TokenChain(table, vocabulary=3, length=4, **{"draft": table, "rule": "block", **arguments})


def test_a_rule_needs_the_draft_and_its_sampler_rounds_that_agree_with_the_drafts():
    with pytest.raises(BadInput, match="rule must be one of token-wise, block"):
        flat(rule="greedy")
    with pytest.raises(BadInput, match="give draft="):
        flat(draft=None)
    assert flat(draft=None, rule="one-hot").describe()["rule"] == "one-hot"
    tokens = np.array([[0, 1, 2, 0]])
    with pytest.raises(InvalidSample, match="must know the rounds and the drafts"):
        flat().accept(tokens, 1)
    with pytest.raises(InvalidSample, match="must know the rounds and the drafts"):
        flat().accept(ex.TokenDraws(tokens, rounds=np.zeros_like(tokens)), 1)
    rounds, drafts = np.array([[0, 0, 1, 1]]), np.array([[0, 2, 2, -1]])
    assert flat().accept(ex.TokenDraws(tokens, rounds=rounds, drafts=drafts), 1).shape == (1, 4, 4)
    with pytest.raises(InvalidSample, match="sequence 0, token 0 is not the draft"):
        flat().accept(ex.TokenDraws(tokens, rounds=rounds, drafts=drafts[:, ::-1].copy()), 1)
    with pytest.raises(InvalidSample, match="not one of the 3 of the vocabulary"):
        flat().accept(ex.TokenDraws(tokens, rounds=rounds, drafts=drafts + 2), 1)
