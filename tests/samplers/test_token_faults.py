"""Wrong verifiers of tokens: how far what they emit is from the target, by enumeration, and what cannot see them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from exactness_samplers.faults import Backend
from exactness_samplers.faults.tokens import TOKEN_FAULTS, KeyedByPosition, token_fault

from tests import token_enumeration as by
from tests.backends import double_precision
from tests.conftest import module_or_skip
from tests.samplers.test_token_sampling import p_value, sampler
from tests.samplers.test_tokens import TORCH, golden_tokens

TWO, THREE, CLOSE, FOUR = (
    "two tokens, context-free",
    "three tokens, Markov, one zero",
    "draft close to target",
    "four tokens, Markov",
)
SHOWN = {TWO: 2, THREE: 3, FOUR: 2}
"""The laws of the table below, each with its window."""
TREE, PATHS = (0, 0, 1, 1, 2, 2), (0, 0, 1, 2)
EVERY, TWO_ONLY, NOT_TWO = "two three four", "two", "three four"
VISIBLE = {
    "token-ratio-of-next-place": NOT_TWO,  # The law of two tokens is the same in every place.
    "token-rejection-one-late": EVERY,
    "token-accepts-at-coin-zero": "",  # A coin of 0 has probability 0.
    "token-draft-probabilities-zero": EVERY,
    "token-ratio-in-bfloat16": NOT_TWO,  # Halves and thirds have the same ratios after rounding.
    "token-typical-acceptance": EVERY,
    "token-residual-from-target": EVERY,
    "token-residual-softmax": EVERY,
    "token-residual-filtered": NOT_TWO,
    "token-extra-from-draft": EVERY,
    "token-residual-uses-the-coin": NOT_TWO,
    "token-residual-uses-the-drafts-uniform": NOT_TWO,
    "block-coins-keyed-by-position": "",  # Each window has the right law.
    "draft-temperature-not-reported": EVERY,
    "draft-filter-not-reported": NOT_TWO,  # Top-p of 0.7 cuts nothing from two tokens of 1/3 and 2/3.
    "draft-is-greedy": EVERY,
    "block-draft-temperature-not-reported": EVERY,
    "target-temperature-missing": EVERY,
    "target-filter-missing": NOT_TWO,
    "extra-token-unfiltered": NOT_TWO,
    "target-mixed-with-draft": EVERY,
    "block-last-ratio-uncapped": EVERY,
    "block-residual-unweighted": NOT_TWO,
    "block-stops-at-first-failed-draft": EVERY,
    "block-threshold-is-the-weight": EVERY,
    "tree-duplicates-counted": EVERY,
    "tree-coin-kept": EVERY,
    "tree-slice-off-by-one": NOT_TWO,
    "tree-best-branch": EVERY,
    "recursive-rest-not-normalised": NOT_TWO,  # Two tokens without replacement are all there are: one is always accepted.
    "recursive-draws-taken-for-independent": NOT_TWO,
    "recursive-residual-not-normalised": "",  # What is left after a rejection must exceed q somewhere, see below.
    "kseq-rho-one": EVERY,
    "traversal-law-reset": EVERY,
    "traversal-weight-kept": TWO_ONLY,  # One level has no weight other than 1.
    "traversal-weight-updated-first": "",  # Two levels of more than two tokens, see below.
    "greatest-path-verified-against-draft": EVERY,
}
"""On which laws the tokens of one window have another law than they should."""
GOLDEN = {
    "block-last-ratio-uncapped": "block, last ratio uncapped",
    "block-residual-unweighted": "block, unweighted residual",
    "block-stops-at-first-failed-draft": "block, stop at the first failure",
    "block-threshold-is-the-weight": "block, h = P",
    "token-residual-from-target": "token, rejected redrawn from the target",
    "token-extra-from-draft": "token, extra token from the draft",
}
ENUMERATED = [f for f in TOKEN_FAULTS if not f.races]
each = pytest.mark.parametrize("fault", ENUMERATED, ids=lambda fault: fault.name)


def laws(fault, case, size=4):
    """Target, draft, the law the drafts are drawn from, and the law that is promised."""
    target, draft = (by.Markov.read(case[side], size) for side in ("target", "draft"))
    torch, of = module_or_skip("torch"), Backend("torch")
    changed = lambda law, how: law.mapped(lambda rows: how(of, torch.as_tensor(rows)).numpy()) if how else law  # noqa: E731
    return target, draft, changed(draft, fault.drawn), changed(target, fault.claims)


def part(fault, case, window):
    """The drafts of a window, or of a tree: of one level, or of two for the law of two tokens."""
    target, draft, drawn, claims = laws(fault, case)
    if not fault.trees:
        found = by.drafts(target, draft, by.chain(window), drawn=drawn, width=3)
    elif fault.name.startswith("greatest"):
        found = by.drafts(target, draft, PATHS)
    else:
        found = by.drafts(target, draft, TREE, fault.replacement, present=None if case["name"] == TWO else (1, 2))
    return replace(found, law=claims)


def cells(fault, parts, bits=46):
    """What the fault does, in torch."""
    torch, every = module_or_skip("torch"), by.together(parts)
    verify, width = fault.verifier("torch"), every.tokens.shape[1]
    tree = {"parents": parts[0].parents} if fault.trees else {}
    order = list(range(width))
    if fault.name.startswith("greatest"):
        order = [1, 0]
    elif fault.last_first:
        order = [node - 1 for node in by.post_order(parts[0].parents)] if fault.trees else order[::-1]

    def call(rows, noise):
        return by.numpy_of(verify(*map(torch.as_tensor, (*every.given(rows), noise)), **tree))

    return by.apart(by.cells(call, len(every), [*order, width], width + 1, bits), parts)


@cache
def distances(fault):
    """Total variation on each of the laws that are shown, in words."""
    cases = [case for case in golden_tokens() if case["name"] in SHOWN]
    parts = [part(fault, case, SHOWN[case["name"]]) for case in cases]
    found = zip(cases, parts, cells(fault, parts, bits=32), strict=True)
    return {case["name"].split()[0]: by.distance(of, here, of.law) for case, of, here in found}


@each
def test_a_fault_shows_where_it_can(fault):
    """Right rules that look wrong show nowhere; a fault shows on the laws of the table and nowhere else."""
    shown = VISIBLE.get(fault.name, "" if fault.exact else None)
    assert shown is not None, "a new fault has a row in the table"
    for name, distance in distances(fault).items():
        assert distance > 1e-4 if name in shown.split() else distance < 1e-8, (name, distance)
    if fault.least_vocabulary > 2:
        assert "two" not in shown


def test_the_table_has_a_row_for_every_fault_and_no_other():
    assert set(VISIBLE) == {fault.name for fault in ENUMERATED if not fault.exact}
    assert len({fault.name for fault in TOKEN_FAULTS}) == len(TOKEN_FAULTS)
    assert sum(not fault.exact for fault in TOKEN_FAULTS) >= 25
    assert all(fault.what.endswith(".") for fault in TOKEN_FAULTS)


@pytest.mark.parametrize("name", GOLDEN)
def test_wrong_rules_are_as_wrong_as_golden_says(name):
    """Total variation and accepted tokens, to 1e-12, of every law and window that golden has."""
    fault, parts, promises = token_fault(name), [], []
    for case in golden_tokens():
        for window, promise in case.get("wrong_rules", {}).get(GOLDEN[name], {}).items():
            parts.append(part(fault, case, int(window)))
            promises.append(promise)
    for of, here, promise in zip(parts, cells(fault, parts), promises, strict=True):
        kept = by.emitted(of, here)[1]
        assert by.distance(of, here) == pytest.approx(float(Fraction(promise["total_variation"])), abs=1e-12)
        assert kept @ np.arange(len(kept)) == pytest.approx(float(Fraction(promise["expected_accepted"])), abs=1e-11)
    assert len(parts) == 7


def test_two_tokens_never_show_an_unweighted_residual():
    """(w p - q)_+ has one positive cell on two tokens, whatever w is: random laws, at any window; three tokens show it."""
    fault, generator = token_fault("block-residual-unweighted"), np.random.default_rng(2)
    for size, sees in ((2, False), (3, True)):
        random = lambda size=size: by.Markov(generator.dirichlet(np.ones(size)), generator.dirichlet(np.ones(size), size))  # noqa: E731
        parts = [by.drafts(random(), random(), by.chain(window), width=3) for window in (1, 2, 3) for _ in range(4)]
        found = [by.distance(of, here) for of, here in zip(parts, cells(fault, parts), strict=True)]
        assert max(found) > 1e-3 if sees else max(found) < 1e-12


def test_what_the_small_trees_do_not_show():
    """The weight updated before the law is off by 1/80 on four tokens in two levels; and a residual that is not normalised, where
    what is left exceeds q."""
    case = next(case for case in golden_tokens() if case["name"] == FOUR)
    target, draft, *_ = laws(token_fault("traversal-weight-updated-first"), case)
    deep = by.drafts(target, draft, TREE)
    assert by.distance(deep, cells(token_fault("traversal-weight-updated-first"), [deep])[0]) == pytest.approx(1 / 80, abs=1e-12)
    peaked = by.Markov(np.array([0.6, 0.4, 0.0, 0.0]), np.full((4, 4), 0.25))
    flat = by.Markov(np.full(4, 0.25), np.full((4, 4), 0.25))
    siblings = by.drafts(peaked, flat, TREE, present=(1, 2))
    assert by.distance(siblings, cells(token_fault("recursive-residual-not-normalised"), [siblings])[0]) > 1e-3


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_only_a_forced_coin_shows_acceptance_at_zero(backend):
    """A draft that the target cannot make, with a coin of 0: it is refused by the right rule and accepted by the wrong one."""
    xp = module_or_skip("jax").numpy if backend == "jax" else module_or_skip("torch")
    given = np.array([[[0.0, 1.0], [0.5, 0.5]]]), np.array([[[0.5, 0.5]]]), np.array([[0]]), np.array([1]), np.array([[0.0, 0.5]])
    given = [xp.asarray(part) for part in given]
    assert int(Backend(backend).tokens.token_wise(*given)[0][0]) == 0
    assert int(token_fault("token-accepts-at-coin-zero").verifier(backend)(*given)[0][0]) == 1


def test_races_that_reuse_their_exponentials(seed):
    """Against a chi-square of 8,000 rows, at a level of one in a million; the right coupling passes the same."""
    right = sampler(TORCH, "gumbel")
    wrong = replace(right, rule=token_fault("gumbel-residual-reuses-exponentials").verifier("torch"))
    assert p_value(wrong.sample(8_000, seed).tokens.numpy()) < 1e-6
    assert p_value(right.sample(8_000, seed).tokens.numpy()) > 1e-6


def keyed_runs(rule, keyed):
    """The law of three tokens that a rule emits with two drafts a round, from the law of two tokens, with every noise there is.

    All breakpoints are at quarters (coins) and thirds (draws), so the middles of such cells stand for them.
    """
    torch, sampling = module_or_skip("torch"), TORCH.module("token_sampling")
    drafters, rules = TORCH.module("token_drafters"), TORCH.module("tokens")
    p, q = (torch.tensor(law, dtype=torch.float64) for law in ([1 / 3, 2 / 3], [2 / 3, 1 / 3]))
    always = lambda law: lambda tokens, lengths: law.expand(len(tokens), 2)  # noqa: E731
    # Coins of two positions, and one more for the second round if it has its own; drafts of round 1 (two) and 2 (one); last tokens.
    thirds, quarters = (np.arange(3) + 0.5) / 3, (np.arange(4) + 0.5) / 4
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[quarters] * 3, *[thirds] * 6, indexing="ij")])
    n = grid.shape[1]
    of_drafts, of_rule = np.full((4, n, 2), 0.5), np.full((4, n, 3), 0.5)
    of_drafts[0, :, 0], of_drafts[0, :, 1], of_drafts[1, :, 0] = grid[3:6]
    of_rule[:3, :, 2] = grid[6:9]
    if keyed:
        of_rule[0, :, 0], of_rule[1, :, 0] = grid[0], grid[1]
    else:
        of_rule[0, :, 0], of_rule[0, :, 1], of_rule[1, :, 0] = grid[:3]
    noise = sampling.InjectedNoise(*map(torch.as_tensor, (of_drafts, of_rule)))
    loop = sampling.TokenSampler(always(p), 3, drafters.LawDrafter(always(q), (0, 1)), getattr(rules, rule))
    tokens = loop.run(n, KeyedByPosition(Backend("torch"), noise) if keyed else noise).tokens.numpy()
    law = np.bincount(tokens @ [1, 2, 4], minlength=8) / n
    exact = np.einsum("a,b,c->cba", p, p, p).ravel()
    return 0.5 * float(np.abs(law - exact).sum()), law


def test_coins_keyed_by_position_couple_the_rounds():
    """Invisible in one window, whose coins are all fresh; visible in sequences of a block, and not token by token."""
    assert keyed_runs("block", keyed=False)[0] < 1e-12
    distance, law = keyed_runs("block", keyed=True)
    assert distance > 1e-2
    # The first token cannot tell.
    assert law.reshape(2, 2, 2).sum((0, 1)) == pytest.approx([1 / 3, 2 / 3], abs=1e-12)
    assert keyed_runs("token_wise", keyed=True)[0] < 1e-12


@pytest.mark.parametrize("name", ["token-residual-uses-the-drafts-uniform", "traversal-weight-updated-first"])
def test_faults_are_the_same_in_jax(name):
    """The same noise gives the same tokens."""
    fault, generator, xp = token_fault(name), np.random.default_rng(8), module_or_skip("jax").numpy
    torch = module_or_skip("torch")
    nodes = len(TREE) if fault.trees else 3
    tree = {"parents": TREE} if fault.trees else {}
    given = [
        generator.dirichlet(np.ones(5), (200, nodes + 1)), generator.dirichlet(np.ones(5), (200, nodes)),
        generator.integers(5, size=(200, nodes)), np.full(200, nodes), generator.random((200, nodes + 1)),
    ]  # fmt: skip
    with double_precision(True):
        theirs = by.numpy_of(fault.verifier("jax")(*map(xp.asarray, given), **tree))
    for a, b in zip(by.numpy_of(fault.verifier("torch")(*map(torch.as_tensor, given), **tree)), theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_fault_can_be_traced_by_jax():
    """Without compiling them: each takes arrays of JAX and returns integers for every row."""
    jax, parents = module_or_skip("jax"), (0, 0, 1, 2)
    float_of = lambda *shape: jax.ShapeDtypeStruct(shape, "float32")  # noqa: E731
    int_of = lambda *shape: jax.ShapeDtypeStruct(shape, "int32")  # noqa: E731
    for fault in TOKEN_FAULTS:
        noise = float_of(3, 5, 6) if fault.races else float_of(3, 5)
        given = float_of(3, 5, 6), float_of(3, 5, 6), int_of(3, 4), int_of(3), noise
        verify = fault.verifier("jax")
        node, token = jax.eval_shape((lambda *g, v=verify: v(*g, parents=parents)) if fault.trees else verify, *given)
        assert node.shape == token.shape == (3,), fault.name
