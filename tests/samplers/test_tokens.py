"""Verifiers of drafted tokens along a chain: what they emit has the law of the target, by enumeration and without sampling."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tests import token_enumeration as by
from tests.backends import BACKENDS
from tests.conftest import GOLDEN

in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
crossed = pytest.mark.parametrize("backend", BACKENDS, ids=str)
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
        for row in case["chain"]:
            found.append((case, row, by.drafts(target, draft, by.chain(row["window"]), width=max(WINDOWS))))
    return found


def calls_of(backend, rule, of):
    """The rule as a function of rows of these drafts and their noise."""
    verify = getattr(backend.module("tokens"), rule) if isinstance(rule, str) else rule
    return lambda rows, noise: by.numpy_of(backend.apply(verify, *of.given(rows), noise))


def promised(kept: dict, size: int) -> list[float]:
    return [float(Fraction(kept.get(str(i), "0"))) for i in range(size)]


@in_double
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_emits_the_target_and_keeps_what_golden_promises(backend, rule):
    """Zeros, ties, point masses and disjoint supports among the laws; windows of 1, 2 and 3 drafts in one ragged batch."""
    parts = [part for _, _, part in windows()]
    every, width = by.together(parts), max(WINDOWS)
    found = by.cells(calls_of(backend, rule, every), len(every), backwards(rule, width), width + 1)
    for (case, row, part), here in zip(windows(), by.apart(found, parts), strict=True):
        law, kept = by.emitted(part, here)
        np.testing.assert_allclose(law, part.law.joint(part.depth + 1), rtol=0, atol=1e-12, err_msg=case["name"])
        if RULES[rule]:
            golden = row[RULES[rule]]
            np.testing.assert_allclose(kept, promised(golden["accepted"], len(kept)), rtol=0, atol=1e-12, err_msg=case["name"])
            assert kept @ np.arange(len(kept)) == pytest.approx(float(Fraction(golden["expected_accepted"])), abs=1e-12)
        else:
            assert kept[0] == pytest.approx(1.0, abs=1e-12)
