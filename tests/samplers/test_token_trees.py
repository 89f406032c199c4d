"""Verifiers of trees of drafted tokens: what they emit has the law of the target, by enumeration and without sampling."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest

from tests import token_enumeration as by
from tests.backends import BACKENDS
from tests.conftest import module_or_skip
from tests.samplers.test_tokens import JAX, TORCH, calls_of, golden_tokens, promised

in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
RULES = {
    "recursive": "recursive_with_replacement",
    "recursive_without_replacement": "recursive_without_replacement",
    "traversal": "traversal_with_replacement",
    "traversal_without_replacement": "traversal_without_replacement",
    "kseq": None,
}
"""The rules with one threshold per node, and their names in the golden file."""
SLOW = ("recursive", "traversal")
"""In JAX these are studies: what the fast tests compile is the same code with a flag."""
crossed = pytest.mark.parametrize(
    ("backend", "rule"),
    [
        pytest.param(b, rule, marks=pytest.mark.slow if b.name == "jax" and rule in SLOW else (), id=f"{rule}-{b}")
        for rule in RULES
        for b in (TORCH, JAX)
    ],
)
PARENTS = (0, 0, 0, 1, 1, 2, 2)
PRESENT = {(2, 1): (1, 2), (3, 1): (1, 2, 3), (2, 2): (1, 2, 4, 5, 6, 7)}
"""Two or three children, or two with two children each, as parts of one tree, so that JAX compiles each rule once."""
MANY = ("point target, spread draft", "draft is the target", "four tokens, Markov")
"""Laws with so many drafts of the last tree that only torch enumerates these."""
STRANGE = 500


@cache
def trees(replacement: bool, every: bool = True):
    """Every golden law and tree, and the four-token law with two i.i.d. children in two levels; or those that JAX computes fast."""
    found = []
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], 4) for side in ("target", "draft"))
        rows = {(row["children"], row["depth"]): row for row in case["tree"]} | {(3, 1): {}}
        if replacement and "traversal_two_iid_children_depth_2" in case:
            rows[2, 2] = {"traversal_with_replacement": case["traversal_two_iid_children_depth_2"]}
        if not every and case["name"] in MANY:
            rows.pop((2, 2), None)
        one = {row["drafts"]: row for row in case["one_step"]}
        found += [
            (
                case,
                row,
                one.get(children, {}) if depth == 1 else {},
                by.drafts(target, draft, PARENTS, replacement, present=PRESENT[children, depth]),
            )
            for (children, depth), row in rows.items()
        ]
    return found


@cache
def batch(replacement: bool, every: bool = True) -> by.Drafts:
    """All of them in one; and random laws with drafts of any kind: repeated siblings, probabilities 0, nodes that are absent."""
    generator = np.random.default_rng(4)
    golden = by.together([part for *_, part in trees(replacement, every)])
    laws = [np.where(law < 0.05, 0.0, law) for law in generator.dirichlet(np.full(4, 0.5), (2, STRANGE, 8))]
    target, draft = (law / law.sum(-1, keepdims=True) for law in laws)
    tokens, lengths = generator.integers(-1, 4, (STRANGE, 7)), generator.integers(8, size=STRANGE)
    strange = replace(golden, target=target, draft=draft, tokens=tokens, lengths=lengths, chance=np.zeros(STRANGE))
    return by.together([golden, strange])


@cache
def answers(backend, rule, every=True):
    """Thresholds and masses of all rows; a node kept per row, and a token, with coins a trillionth from the thresholds of torch.

    Then the node that must be kept, -1 where there is no room for such coins, and the last uniform.
    """
    tree, of = getattr(backend.module("token_trees"), rule), batch("without" not in rule, every)
    thresholds = TORCH.apply(partial(getattr(TORCH.module("token_trees"), rule).tables, parents=PARENTS), *of.given())[0]
    node, coins, possible = by.decided(thresholds, PARENTS, rule.startswith("traversal"), np.random.default_rng(5))
    noise = np.column_stack([coins, np.random.default_rng(6).random(len(coins))])

    def both(target, draft, tokens, lengths, noise):
        given = target, draft, tokens, lengths
        return *tree.tables(*given, PARENTS), *tree(*given, noise, PARENTS)

    answer = module_or_skip("jax").jit(both) if backend.name == "jax" else both
    return *backend.apply(answer, *of.given(), noise), np.where(possible, node, -1), noise[:, -1]


@crossed
def test_trees_emit_the_target_and_keep_what_golden_promises(backend, rule):
    """k-SEQ to 1e-9, because golden has decimals; the others to 1e-12."""
    every = backend.name == "torch"
    h, masses, *_ = answers(backend, rule, every)
    start, tolerance, promises = 0, 1e-9 if rule == "kseq" else 1e-12, 0
    close = partial(np.testing.assert_allclose, rtol=0, atol=tolerance)
    for case, row, one, part in trees("without" not in rule, every):
        mine = slice(start, start := start + len(part))
        law, kept = by.emitted(part, by.by_tables(h[mine], masses[mine], PARENTS, rule.startswith("traversal")))
        close(law, part.law.joint(part.depth + 1), err_msg=case["name"])
        golden = row.get(RULES[rule], {})
        if "accepted" in golden:
            close(kept, promised(golden["accepted"], len(kept)), err_msg=case["name"])
        if golden:
            close(kept @ np.arange(len(kept)), float(Fraction(golden["expected_accepted"])))
        if one:
            key = f"{RULES[rule]}_accept"
            close(kept[1], float(one["kseq"]["accept"]) if rule == "kseq" else float(Fraction(one[key])) if key in one else kept[1])
        promises += bool(golden) + bool(one)
    assert promises >= 15  # Of laws and trees.


@crossed
def test_trees_decide_by_their_thresholds(backend, rule):
    """On either side of them, a trillionth away; and the token is drawn from the masses of the node that was kept."""
    _, masses, kept, token, node, last = answers(backend, rule, backend.name == "torch")
    possible = node >= 0
    assert possible.mean() > 0.95
    assert set(node[possible]) == set(range(8))
    np.testing.assert_array_equal(kept[possible], node[possible])
    reached = masses[np.arange(len(kept)), kept].cumsum(1)
    np.testing.assert_array_equal(token, (reached <= last[:, None] * reached[:, -1:]).sum(1))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in SLOW])
def test_both_backends_decide_alike(rule):
    """The same noise, also for drafts that no draft's law would make."""
    ours, theirs = answers(TORCH, rule, False), answers(JAX, rule, False)
    tolerance = 1e-9 if rule == "kseq" else 1e-12
    chances = [by.chances(h, PARENTS, rule.startswith("traversal")) for h, *_ in (ours, theirs)]
    np.testing.assert_allclose(*chances, rtol=0, atol=tolerance)
    # What comes after a node that is never kept is rounding.
    masses = [chance[..., None] * masses for chance, (_, masses, *_) in zip(chances, (ours, theirs), strict=True)]
    np.testing.assert_allclose(*masses, rtol=0, atol=tolerance)
    for a, b in zip(ours[2:4], theirs[2:4], strict=True):
        np.testing.assert_array_equal(a[-STRANGE:], b[-STRANGE:])


@cache
def drawing():
    """The smaller trees, for rules that draw a token at each node: i.i.d. siblings, which may repeat, and others."""
    shown = lambda case, part: part.depth == 1 or case["name"].startswith("two")  # noqa: E731
    return [part for replacement in (True, False) for case, *_, part in trees(replacement, False) if shown(case, part)]


@pytest.mark.parametrize("rule", ["target_only", "sampled_tree"])
def test_trees_that_draw_at_each_node_emit_the_target(rule, seed):
    """The cells are found in torch and hold in JAX."""
    parts, nodes = drawing(), len(PARENTS) + 1
    every = by.together(parts)
    verify = calls_of(TORCH, partial(getattr(TORCH.module("token_trees"), rule), parents=PARENTS), every)
    boxes = by.cells(verify, len(every), range(nodes), nodes)
    for part, here in zip(parts, by.apart(boxes, parts), strict=True):
        np.testing.assert_allclose(by.emitted(part, here)[0], part.law.joint(part.depth + 1), rtol=0, atol=1e-12)
    verify = calls_of(JAX, partial(getattr(JAX.module("token_trees"), rule), parents=PARENTS), every)
    for which, noise in boxes.corners(np.random.default_rng(seed)):
        for ours, theirs in zip((boxes.node, boxes.token), verify(boxes.rows[which], noise), strict=True):
            np.testing.assert_array_equal(theirs, ours[which])


@pytest.mark.parametrize("order", ["ratio", "index"])
def test_the_greatest_of_several_paths_is_verified_by_its_own_law(order, seed):
    """Golden trees of one level; and of two levels as two chains, whose nodes are 1-3 and 2-4. The last one in JAX too."""
    rule = TORCH.module("token_trees").GreedyMultiPath(order)
    key = {"ratio": "greatest_path_then_block, order: increasing p/q", "index": "greatest_path_then_block, order: index"}[order]
    for children, depth in ((2, 1), (3, 1), (2, 2)):
        parents, parts, rows = (0,) * children + tuple(range(1, children * (depth - 1) + 1)), [], []
        for case in golden_tokens():
            row = [r for r in case["tree"] if (r["children"], r["depth"]) == (children, depth)]
            if row and case["vocabulary"] <= 3:
                target, draft = (by.Markov.read(case[side], 3) for side in ("target", "draft"))
                parts.append(by.drafts(target, draft, parents))
                rows.append(row[0])
        every = by.together(parts)
        verify = calls_of(TORCH, partial(rule, parents=parents), every)
        found = by.cells(verify, len(every), [*reversed(range(depth)), depth], depth + 1)
        for row, part, here in zip(rows, parts, by.apart(found, parts), strict=True):
            law, kept = by.emitted(part, here)
            np.testing.assert_allclose(law, part.law.joint(part.depth + 1), rtol=0, atol=1e-12)
            np.testing.assert_allclose(kept, promised(row[key]["accepted"], len(kept)), rtol=0, atol=1e-12)
    if order == "index":
        return  # In JAX the order is one line, and compiling it a second.
    verify = calls_of(JAX, partial(JAX.module("token_trees").GreedyMultiPath(order), parents=parents), every)
    for which, noise in found.corners(np.random.default_rng(seed)):
        for ours, theirs in zip((found.node, found.token), verify(found.rows[which], noise), strict=True):
            np.testing.assert_array_equal(theirs, ours[which])


@in_double
def test_the_best_rho(backend, golden):
    """To 1e-12, or to the digits of golden; 1 for equal and for disjoint laws."""
    best = backend.module("token_trees").best_rho
    for row in golden("token_kseq")["k_seq"]:
        p, q = (np.array([[float(x) for x in row[side]]]) for side in ("target", "draft"))
        rho = backend.apply(best, *(np.pad(law, ((0, 0), (0, 6 - law.shape[1]))) for law in (p, q)), np.array([row["k"]]))
        assert rho[0] == pytest.approx(float(row["rho"]), abs=1e-12)
        assert np.minimum(q, p / rho[:, None]).sum() == pytest.approx(float(row["beta"]), abs=1e-12)
    for case in golden_tokens():
        p, q = (by.Markov.read(case[side], 6).start[None] for side in ("target", "draft"))
        for row in case["one_step"]:
            assert backend.apply(best, p, q, np.array([row["drafts"]]))[0] == pytest.approx(float(row["kseq"]["rho"]), abs=1e-12)


def test_a_tree_with_one_child_per_node_is_a_chain():
    """Traversal is block verification, and recursive rejection is token-wise verification: the same nodes and tokens."""
    backend = TORCH
    generator, m, width, size = np.random.default_rng(3), 500, 3, 5
    target, draft = (generator.dirichlet(np.ones(size), (m, width + extra)) for extra in (1, 0))
    tokens, lengths = generator.integers(size, size=(m, width)), generator.integers(width + 1, size=m)
    noise = generator.random((m, width + 1))
    for tree, chain in (("traversal", "block"), ("recursive", "token_wise")):
        rule = partial(getattr(backend.module("token_trees"), tree), parents=by.chain(width))
        found = backend.apply(rule, target, draft, tokens, lengths, noise)
        expected = backend.apply(getattr(backend.module("tokens"), chain), target, draft, tokens, lengths, noise)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@in_double
def test_other_trees_have_no_greatest_path(backend):
    with pytest.raises(ValueError, match=r"chains of one length that part at the root, not \(0, 1, 1\)"):
        backend.module("token_trees").chains_of((0, 1, 1))
