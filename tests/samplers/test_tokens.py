"""Verifiers of drafted tokens along a chain: what they emit has the law of the target, by enumeration and without sampling."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest

from tests import token_enumeration as by
from tests.backends import BACKENDS, double_precision
from tests.conftest import GOLDEN, module_or_skip

in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
crossed = pytest.mark.parametrize("backend", [b for b in BACKENDS if not (b.single and b.name == "jax")], ids=str)
"""JAX in one precision, because it compiles everything anew for another."""
TORCH, JAX = (next(b for b in BACKENDS if b.name == name and not b.single) for name in ("torch", "jax"))
WINDOWS = (1, 2, 3)
RULES = {
    "token_wise": "token",
    "block": "block",
    "one_hot": "one_hot",
    "sampled_verify": "sampled_verify",
    "plain": None,
}
"""The rules of uniforms, and their names in the golden file."""


def backwards(rule: str, width: int) -> list[int]:
    """The columns of noise in the order in which the rule looks at them."""
    return [*reversed(range(width)), width] if rule == "block" else list(range(width + 1))


@cache
def golden_tokens():
    return json.loads((GOLDEN / "tokens.json").read_text())["cases"]


@cache
def windows(size=4):
    """Every golden law and every window, as rows of one batch of ragged lengths."""
    found = []
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], size) for side in ("target", "draft"))
        found += [(case, row, by.drafts(target, draft, by.chain(row["window"]), width=max(WINDOWS))) for row in case["chain"]]
    return found


def calls_of(backend, rule, of):
    """The rule as a function of rows of these drafts and their noise."""
    verify = getattr(backend.module("tokens"), rule) if isinstance(rule, str) else rule
    return lambda rows, noise: by.numpy_of(backend.apply(verify, *of.given(rows), noise))


def promised(kept: dict, size: int) -> list[float]:
    return [float(Fraction(kept.get(str(i), "0"))) for i in range(size)]


@cache
def found(rule: str) -> by.Cells:
    """The cells of a rule on all golden windows in one ragged batch, found in torch."""
    every, width = by.together([part for _, _, part in windows()]), max(WINDOWS)
    return by.cells(calls_of(TORCH, rule, every), len(every), backwards(rule, width), width + 1)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_emits_the_target_and_keeps_what_golden_promises(rule):
    """Zeros, ties, point masses and disjoint supports among the laws; windows of 1, 2 and 3 drafts in one ragged batch."""
    parts = [part for _, _, part in windows()]
    for (case, row, part), here in zip(windows(), by.apart(found(rule), parts), strict=True):
        law, kept = by.emitted(part, here)
        np.testing.assert_allclose(law, part.law.joint(part.depth + 1), rtol=0, atol=1e-12, err_msg=case["name"])
        if RULES[rule]:
            golden = row[RULES[rule]]
            np.testing.assert_allclose(kept, promised(golden["accepted"], len(kept)), rtol=0, atol=1e-12, err_msg=case["name"])
            assert kept @ np.arange(len(kept)) == pytest.approx(float(Fraction(golden["expected_accepted"])), abs=1e-12)
        else:
            assert kept[0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_jax_has_the_same_breakpoints(rule, seed):
    """A trillionth inside two opposite corners of every cell that was found in torch, and between them, JAX emits the same."""
    module_or_skip("jax")
    every, boxes = by.together([part for _, _, part in windows()]), found(rule)
    verify = calls_of(JAX, rule, every)
    for which, noise in boxes.corners(np.random.default_rng(seed)):
        node, token = verify(boxes.rows[which], noise)
        np.testing.assert_array_equal(node, boxes.node[which])
        np.testing.assert_array_equal(token, boxes.token[which])
        assert boxes.share.sum() - boxes.share[which].sum() < 1e-9


def random_windows(size, rows, width=3, seed=7):
    """Laws with zeros, ragged windows, and drafts drawn from them or forced."""
    generator = np.random.default_rng(seed)
    target, draft = (generator.gamma(0.5, size=(rows, width + extra, size)) for extra in (1, 0))
    draft = np.where(generator.random(draft.shape) < 0.5, draft, target[:, :width])
    target = np.where(generator.random(target.shape) < 0.2, 0.0, target)
    target, draft = (law / law.sum(-1, keepdims=True) for law in (target, draft))
    best = np.argmax(draft * generator.random(draft.shape), -1)
    return target, draft, best, generator.integers(width + 1, size=rows), generator.random((rows, width + 1))


@pytest.mark.parametrize(
    ("rule", "size", "rows"), [("token_wise", 40, 500), ("one_hot", 40, 500), ("block", 40, 500), ("block", 17_000, 20)]
)
def test_both_backends_decide_alike(rule, size, rows):
    """The same noise gives the same tokens, also where the vocabulary is large and rows are taken one by one."""
    given = random_windows(size, rows)
    ours = TORCH.apply(getattr(TORCH.module("tokens"), rule), *given)
    with double_precision(True):
        # Not padded, as ``apply`` would: these rows are long.
        theirs = getattr(JAX.module("tokens"), rule)(*map(module_or_skip("jax").numpy.asarray, given))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))


@crossed
def test_scanning_from_the_right_is_block_verification(backend):
    """The same drafts kept and the same weights as with all masses, in single precision too."""
    tokens, verification = backend.module("tokens"), backend.module("verification")
    given = random_windows(40, 500)

    compiled = module_or_skip("jax").jit if backend.name == "jax" else lambda function: function

    def kept(keep, target, draft, drafts, lengths, noise):
        return keep(tokens.log_ratios(target, draft, drafts), tokens.TokenMasses(target, draft), noise[:, :-1], lengths)

    both = (tokens.block_from_right, verification.block)
    ours, all_masses = (backend.apply(compiled(partial(kept, keep)), *given) for keep in both)
    for a, b in zip(ours, all_masses, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(set(ours[0])) == 4


@crossed
@pytest.mark.parametrize("size", [3, 700])
def test_drawing_inverts_the_distribution_function(backend, size):
    """Against a search in cumulative sums, with long runs of zeros; and never a token of mass 0, whatever the uniform."""
    generator = np.random.default_rng(size)
    masses = np.where(generator.random((200, size)) < 0.7, 0.0, generator.gamma(1.0, size=(200, size)))
    masses[:, 1] += 0.1
    masses[:50, : size // 2], masses[50:100, size // 2 + 1 :] = 0.0, 0.0
    masses[:50, -2] += 0.1
    uniforms = generator.random(200)
    reached = masses.cumsum(1)
    expected = (reached <= (uniforms * reached[:, -1])[:, None]).sum(1)
    np.testing.assert_array_equal(backend.call("tokens", "draw", masses, uniforms), expected)
    for uniform in (0.0, by.TOP, 1.0):
        drawn = backend.call("tokens", "draw", masses, np.full(200, uniform))
        assert (masses[np.arange(200), drawn] > 0).all()
    assert (drawn == size - 1 - (masses[:, ::-1] > 0).argmax(1)).all()


@in_double
def test_a_draft_of_probability_zero_is_refused_at_a_coin_of_zero(backend):
    """By every rule, also after a draft of a ratio that is infinite."""
    target = np.array([[[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]])
    draft = np.array([[[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]]])
    given = target, draft, np.array([[0, 0]]), np.array([2]), np.zeros((1, 3))
    for rule in ("token_wise", "block", "one_hot") if backend.name == "torch" else ("block",):
        kept, token = backend.apply(getattr(backend.module("tokens"), rule), *given)
        assert (kept[0], token[0] > 0) == (1, True)


@pytest.mark.parametrize("backend", [TORCH, JAX], ids=str)
def test_races_are_won_as_golden_says(backend, seed):
    """Targets and drafts agree as often as computed in closed form: 8 laws, 40,000 races, |z| < 6 (2e-7 in all)."""
    generator, n = np.random.default_rng(seed), 40_000
    exponentials = generator.exponential(size=(n, 2, 4))
    for case in golden_tokens():
        target, draft = (by.Markov.read(case[side], 4).start for side in ("target", "draft"))
        laws = np.broadcast_to(target, (n, 2, 4)), np.broadcast_to(draft, (n, 1, 4))
        drafts = backend.call("tokens", "race", laws[1], exponentials[:, :1])
        kept, token = backend.call("tokens", "gumbel", *laws, drafts, np.ones(n, int), exponentials)
        share = float(Fraction(case["gumbel_coupling_accept"]))
        assert abs(kept.mean() - share) <= 6 * np.sqrt(share * (1 - share) / n), case["name"]
        first = np.where(kept == 1, drafts[:, 0], token)
        for x in range(4):
            assert abs((first == x).mean() - target[x]) <= 6 * np.sqrt(target[x] * (1 - target[x]) / n)


@pytest.mark.parametrize("backend", [TORCH, JAX], ids=str)
def test_shapes_that_would_broadcast_are_refused(backend):
    """A row of uniforms that lacks the last one would be stretched over two drafts without a word."""
    zeros = lambda *shape, kind=float: module_or_skip("torch" if backend is TORCH else "jax.numpy").zeros(shape, dtype=kind)  # noqa: E731
    tokens, trees = backend.module("tokens"), backend.module("token_trees")
    given = [zeros(3, 3, 4), zeros(3, 2, 4), zeros(3, 2, kind=int), zeros(3, kind=int), zeros(3, 2)]
    for rule in (tokens.token_wise, tokens.block, tokens.one_hot, tokens.sampled_verify, tokens.gumbel):
        with pytest.raises(ValueError, match=r"noise of \(3, 2\).*drafts of \(3, 2\).*one column more"):
            rule(*given)
    for rule in (trees.recursive, trees.target_only, trees.sampled_tree):
        with pytest.raises(ValueError, match=r"noise of \(3, 2\).*one column more"):
            rule(*given, (0, 0))
    with pytest.raises(ValueError, match=r"target_probs of \(3, 2, 4\)"):
        tokens.token_wise(given[1], *given[1:4], zeros(3, 3))
