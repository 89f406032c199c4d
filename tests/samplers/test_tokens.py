"""Verifiers of drafted tokens along a chain: what they emit has the law of the target, by enumeration and without sampling."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tests import token_enumeration as by
from tests.backends import BACKENDS
from tests.conftest import GOLDEN, module_or_skip

in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
crossed = pytest.mark.parametrize("backend", BACKENDS, ids=str)
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
