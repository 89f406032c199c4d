"""Windows of tokens: the verifiers that diffusion uses emit the law of the target, by enumeration and without sampling."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exactness_samplers import faults

from tests.backends import BACKENDS
from tests.token_windows import Laws, Way, distance, window

crossed = pytest.mark.parametrize("backend", BACKENDS, ids=str)
in_double = pytest.mark.parametrize("backend", [b for b in BACKENDS if not b.single], ids=str)
RULES = {"token": "token_wise", "block": "block"}
SIZES = pytest.mark.parametrize(("vocabulary", "length"), [(3, 2), (4, 3)])


def tolerance(backend):
    return 50 * backend.eps if backend.single else 1e-12


def random_laws(vocabulary, length):
    """Laws that depend on all tokens before, so that masses of another position are other masses."""
    return [Laws.random(vocabulary, length, np.random.default_rng(stream)) for stream in (1, 2, 3)]


def of_golden(case, length):
    def chain(side):
        rows = [[float(Fraction(p)) for p in case[side][key]] for key in case[side]]
        return np.array(rows[0]), np.array(rows[1:])

    return Laws.of_chains(chain("target"), chain("draft"), length)


@crossed
@pytest.mark.parametrize("rule", RULES.values())
@SIZES
def test_the_emitted_tokens_have_the_law_of_the_target(backend, rule, vocabulary, length):
    for laws in random_laws(vocabulary, length):
        emitted, kept = window(backend, laws, Way(rule))
        np.testing.assert_allclose(emitted, laws.joint(), rtol=0.0, atol=tolerance(backend))
        assert kept.sum() == pytest.approx(1.0, abs=tolerance(backend))


@in_double
def test_law_and_accepted_tokens_match_golden(golden, backend):
    """Rational laws, with zeros, ties, point masses and disjoint supports among them."""
    for case in golden("tokens")["cases"]:
        for row in case["chain"]:
            laws = of_golden(case, row["window"])
            for key, rule in RULES.items():
                emitted, kept = window(backend, laws, Way(rule))
                np.testing.assert_allclose(emitted, laws.joint(), rtol=0.0, atol=tolerance(backend), err_msg=case["name"])
                promised = [float(Fraction(row[key]["accepted"].get(str(i), "0"))) for i in range(len(kept))]
                np.testing.assert_allclose(kept, promised, rtol=0.0, atol=tolerance(backend), err_msg=case["name"])
                expected = float(Fraction(row[key]["expected_accepted"]))
                assert kept @ np.arange(len(kept)) == pytest.approx(expected, abs=3 * tolerance(backend)), case["name"]


def stopping_early(of):
    return of.verification.Block(length=faults.fault("block-stops-at-first-failure").part(of.name))


WRONG = {
    "masses of the current position": Way(ahead=0),
    "residual at weight 1": Way(weight=np.zeros_like),
    "stops at the first failure": Way(stopping_early),
}


@in_double
@pytest.mark.parametrize("way", WRONG.values(), ids=WRONG)
@SIZES
def test_wrong_windows_have_another_law(backend, way, vocabulary, length):
    """The first test must refute these; their distances are a thousand million times its tolerance."""
    assert max(distance(backend, laws, way) for laws in random_laws(vocabulary, length)) > 1e-3


@in_double
def test_distances_of_wrong_windows_match_golden(golden, backend):
    seen = set()
    for case in golden("tokens")["cases"]:
        for row in case["chain"]:
            for key, name in (
                ("unweighted_residual", "residual at weight 1"),
                ("stop_at_first_failure", "stops at the first failure"),
            ):
                expected = float(Fraction(row[f"wrong_block_{key}_total_variation"]))
                if case["draft"] == case["target"] and key == "stop_at_first_failure":
                    continue  # All thresholds before the last are 0/0, which is 0 here and 1 in the golden file.
                found = distance(backend, of_golden(case, row["window"]), WRONG[name])
                assert found == pytest.approx(expected, abs=1e-12), (case["name"], row["window"], name)
                seen |= {key} if expected > 0 else set()
    assert seen == {"unweighted_residual", "stop_at_first_failure"}
