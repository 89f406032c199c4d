"""Verifiers of trees of drafted tokens: what they emit has the law of the target, by enumeration and without sampling."""

from __future__ import annotations

from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest

from tests import token_enumeration as by
from tests.backends import BACKENDS
from tests.samplers.test_tokens import calls_of, golden_tokens, promised

in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
RULES = {
    "recursive": "recursive_with_replacement",
    "recursive_without_replacement": "recursive_without_replacement",
    "traversal": "traversal_with_replacement",
    "traversal_without_replacement": "traversal_without_replacement",
}
"""The rules with one threshold per node, and their names in the golden file."""


@cache
def trees(replacement: bool):
    """Every golden law and tree, and the four-token law with two i.i.d. children in two levels."""
    found = []
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], case["vocabulary"]) for side in ("target", "draft"))
        rows = case["tree"]
        if replacement and "traversal_two_iid_children_depth_2" in case:
            rows = [*rows, {"children": 2, "depth": 2, "traversal_with_replacement": case["traversal_two_iid_children_depth_2"]}]
        for row in rows:
            found.append((case, row, by.drafts(target, draft, by.full(row["children"], row["depth"]), replacement)))
    return found


@cache
def batches(replacement: bool):
    """The same, those of one tree and vocabulary together."""
    groups = {}
    for case, row, part in trees(replacement):
        groups.setdefault((part.parents, len(part.law.start)), []).append((case, row, part))
    return groups


@in_double
@pytest.mark.parametrize("rule", RULES)
def test_trees_emit_the_target_and_keep_what_golden_promises(backend, rule):
    """By their thresholds; and the rule decides by these: every node that can be kept is kept a trillionth from its threshold."""
    up, generator = rule.startswith("traversal"), np.random.default_rng(5)
    tree = getattr(backend.module("token_trees"), rule)
    for (parents, _), group in batches("without" not in rule).items():
        every = by.together([part for _, _, part in group])
        tables = by.numpy_of(backend.apply(partial(tree.tables, parents=parents), *every.given()))
        start = 0
        for case, row, part in group:
            mine = [table[start : start + len(part)] for table in tables]
            start += len(part)
            law, kept = by.emitted(part, by.by_tables(*mine, parents, up))
            np.testing.assert_allclose(law, part.law.joint(part.depth + 1), rtol=0, atol=1e-12, err_msg=case["name"])
            golden = row.get(RULES[rule], {})
            if "accepted" in golden:
                np.testing.assert_allclose(kept, promised(golden["accepted"], len(kept)), rtol=0, atol=1e-12, err_msg=case["name"])
            if golden:
                assert kept @ np.arange(len(kept)) == pytest.approx(float(Fraction(golden["expected_accepted"])), abs=1e-12)
        decides(backend, tree, every, parents, tables, up, generator)


def decides(backend, tree, every, parents, tables, up, generator):
    thresholds, masses = tables
    verify = calls_of(backend, partial(tree, parents=parents), every)
    seen = np.zeros(len(parents) + 1, bool)
    for node in range(len(parents) + 1):
        coins = by.decided(thresholds, parents, up, node, generator)
        possible = np.flatnonzero(~np.isnan(coins).any(1))[:2000]
        if not len(possible):
            continue
        last = generator.random(len(possible))
        kept, token = verify(possible, np.column_stack([coins[possible], last]))
        np.testing.assert_array_equal(kept, node)
        reached = masses[possible, node].cumsum(1)
        np.testing.assert_array_equal(token, (reached <= last[:, None] * reached[:, -1:]).sum(1))
        seen[node] = True
    assert seen.all()


@in_double
@pytest.mark.parametrize("rule", ["target_only", "sampled_tree"])
def test_trees_that_draw_at_each_node_emit_the_target(backend, rule):
    """Siblings drawn without replacement, and i.i.d. ones, which may repeat."""
    for replacement in (True, False):
        for (parents, size), group in batches(replacement).items():
            if size == 4 and len(parents) > 2:
                continue  # 4,096 drafts tell no more than the smaller ones.
            parts = [part for case, _, part in group if len(parents) < 6 or case["name"].startswith(("two", "three"))]
            every = by.together(parts)
            verify = calls_of(backend, partial(getattr(backend.module("token_trees"), rule), parents=parents), every)
            found = by.cells(verify, len(every), range(len(parents) + 1), len(parents) + 1)
            for part, here in zip(parts, by.apart(found, parts), strict=True):
                np.testing.assert_allclose(by.emitted(part, here)[0], part.law.joint(part.depth + 1), rtol=0, atol=1e-12)


@in_double
@pytest.mark.parametrize("order", ["ratio", "index"])
def test_the_greatest_of_several_paths_is_verified_by_its_own_law(backend, order):
    """Golden trees of one level; and of two levels as two chains, whose order of nodes is 1-3, 2-4."""
    rule = backend.module("token_trees").GreedyMultiPath(order)
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
        verify = calls_of(backend, partial(rule, parents=parents), every)
        found = by.cells(verify, len(every), [*reversed(range(depth)), depth], depth + 1)
        for row, part, here in zip(rows, parts, by.apart(found, parts), strict=True):
            law, kept = by.emitted(part, here)
            np.testing.assert_allclose(law, part.law.joint(part.depth + 1), rtol=0, atol=1e-12)
            np.testing.assert_allclose(kept, promised(row[key]["accepted"], len(kept)), rtol=0, atol=1e-12)


@in_double
def test_kseq_with_its_best_rho(backend, golden):
    """rho and the accepted share of golden, to 1e-9, and the law of the target."""
    trees = backend.module("token_trees")
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], case["vocabulary"]) for side in ("target", "draft"))
        for row in case["one_step"]:
            part = by.drafts(target, draft, (0,) * row["drafts"])
            tables = by.numpy_of(backend.apply(partial(trees.kseq.tables, parents=part.parents), *part.given()))
            law, kept = by.emitted(part, by.by_tables(*tables, part.parents, upwards=False))
            np.testing.assert_allclose(law, part.law.joint(2), rtol=0, atol=1e-9, err_msg=case["name"])
            assert kept[1] == pytest.approx(float(row["kseq"]["accept"]), abs=1e-9)
            rho = backend.apply(trees.best_rho, target.start[None], draft.start[None], np.array([row["drafts"]]))
            assert rho[0] == pytest.approx(float(row["kseq"]["rho"]), abs=1e-9)
    for row in golden("token_kseq")["k_seq"]:
        p, q = (np.array([[float(x) for x in row[side]]]) for side in ("target", "draft"))
        rho = backend.apply(trees.best_rho, p, q, np.array([row["k"]]))
        assert rho[0] == pytest.approx(float(row["rho"]), abs=1e-12)
        assert np.minimum(q, p / rho[:, None]).sum() == pytest.approx(float(row["beta"]), abs=1e-12)


@in_double
@pytest.mark.parametrize("rule", ["recursive", "recursive_without_replacement", "kseq"])
def test_one_step_keeps_what_golden_promises(backend, rule):
    tree = getattr(backend.module("token_trees"), rule)
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], case["vocabulary"]) for side in ("target", "draft"))
        for row in case["one_step"]:
            part = by.drafts(target, draft, (0,) * row["drafts"], replacement="without" not in rule)
            h, _ = by.numpy_of(backend.apply(partial(tree.tables, parents=part.parents), *part.given()))
            kept = 1.0 - part.chance @ by.chances(h, part.parents, upwards=False)[:, 0]
            names = {"recursive": "recursive_with_replacement_accept", "kseq": "kseq"}
            promise = row[names.get(rule, "recursive_without_replacement_accept")]
            promise = float(promise["accept"]) if rule == "kseq" else float(Fraction(promise))
            assert kept == pytest.approx(promise, abs=1e-9 if rule == "kseq" else 1e-12)


@in_double
def test_a_tree_with_one_child_per_node_is_a_chain(backend):
    """Traversal is block verification, and recursive rejection is token-wise verification: the same nodes and tokens."""
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


def test_both_backends_decide_alike():
    """Random laws, drafts of any kind (repeated siblings, drafts of probability 0), ragged trees, the same noise."""
    generator, m, size = np.random.default_rng(4), 400, 6
    parents = (0, 0, 1, 1, 2, 3)
    target = np.where(generator.random((m, 7, size)) < 0.2, 0.0, generator.dirichlet(np.ones(size), (m, 7))) + 1e-300
    draft = generator.dirichlet(np.ones(size), (m, 6))
    target /= target.sum(-1, keepdims=True)
    tokens, lengths, noise = generator.integers(size, size=(m, 6)), generator.integers(7, size=m), generator.random((m, 7))
    of_torch, of_jax = (b for b in BACKENDS if not b.single)
    for rule in [*RULES, "kseq", "target_only", "sampled_tree"]:
        found = [
            b.apply(partial(getattr(b.module("token_trees"), rule), parents=parents), target, draft, tokens, lengths, noise)
            for b in (of_torch, of_jax)
        ]
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=rule)
    paths = (0, 0, 1, 2, 3, 4)
    for order in ("ratio", "index"):
        found = [
            b.apply(
                partial(b.module("token_trees").GreedyMultiPath(order), parents=paths),
                target, draft, tokens, np.full(m, 6), noise[:, :4],
            )
            for b in (of_torch, of_jax)
        ]  # fmt: skip
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)


@in_double
def test_other_trees_have_no_greatest_path(backend):
    with pytest.raises(ValueError, match=r"chains of one length that part at the root, not \(0, 1, 1\)"):
        backend.module("token_trees").chains_of((0, 1, 1))
