"""Who gets which share of alpha: tests, parameters, calls, Hypothesis' examples, reruns."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from fractions import Fraction

import pytest

import exactness as ex
from exactness.pytest_plugin import claims_of_call
from exactness.run.recheck import check_arithmetic
from tests.conftest import module_or_skip

from .conftest import RIGHT, WRONG, saved, text


@pytest.mark.parametrize("tests", [1, 3])
@pytest.mark.parametrize("calls", [1, 7, 1_000])
def test_the_shares_of_all_calls_never_exceed_alpha(tests, calls):
    shares = [Fraction(1, claims_of_call(tests, call)) for call in range(1, calls + 1)]
    assert tests * sum(shares) == 1 - Fraction(1, calls + 1)
    assert tests * sum(Fraction(1, claims_of_call(tests, call, calls)) for call in range(1, calls + 1)) == 1
    with pytest.raises(ex.BadInput, match="no share of alpha is left"):
        claims_of_call(tests, calls + 1, calls)


def test_alpha_is_split_over_tests_parameters_and_calls(run, pytester):
    done = run(
        """
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_parameters(certify, shift):
    certify(lambda n, s: LAW.sample(n, s), LAW, plan=PLAN)

def test_loop(certify):
    seeds = set()
    for _ in range(3):
        c = certify(LAW.sample, LAW, plan=PLAN, name="one")
        seeds.add(c.probe)
    assert len(seeds) == 3, "every call draws afresh"

@pytest.mark.exactness(claims=2)
def test_declared(certify):
    for _ in range(2):
        certify(LAW.sample, LAW, plan=PLAN)

@pytest.mark.exactness(claims=2)
def test_exceeded(certify):
    for _ in range(3):
        certify(LAW.sample, LAW, plan=PLAN)

@pytest.mark.exactness(alpha=1e-3)
def test_own(certify):
    with pytest.warns(pytest.PytestWarning, match="ignores Plan.alpha, and the plan of .* sets it to 1e-09"):
        certify(LAW.sample, LAW, plan=ex.Plan(alpha=1e-9, tolerance=0.1, max_paths=4_000))
""",
        "--exactness-json=out",
        "--exactness-alpha=1e-8",
    )
    done.assert_outcomes(passed=5, failed=1)
    done.stdout.fnmatch_lines(
        [
            "exactness: alpha 1e-08 shared by 5 tests, seed 0, profile full",
            "exactness: 1 test with an alpha of its own, 0.001 in total; *with probability at most 0.00100001",
            "E*the marker says claims=2, and this is call 3*",
        ]
    )
    found = [ex.Certificate.load(path) for path in (pytester.path / "out").iterdir()]
    session = [c for c in found if c.plan.alpha == 1e-8]
    assert sorted(c.plan.claims for c in session) == sorted([10, 10, 10, 30, 60, 10, 10, 10, 10])
    assert sum(Fraction(1, c.plan.claims) for c in session) <= 1
    assert [(c.plan.alpha, c.plan.claims) for c in found if c not in session] == [(1e-3, 2)]
    assert all(check_arithmetic(c) == [] for c in found)


def test_a_part_of_a_larger_run_is_split_like_the_whole(run, pytester):
    done = run(RIGHT + WRONG, "-k", "right", "--exactness-tests", "50", "--exactness-json=out")
    done.stdout.fnmatch_lines(["exactness: alpha 1e-06 shared by 50 tests*"])
    assert [c.plan.claims for c in saved(pytester).values()] == [100]


def test_hypothesis_calls_are_counted_and_draw_afresh(run, pytester):
    """Shrinking looks at many certificates and keeps a failing one: their shares are counted, so that is no selection."""
    done = run(
        """
from hypothesis import Phase, given, settings, strategies as st

@given(st.floats(-1, 1))
@settings(max_examples=8, database=None, deadline=None)
def test_exact(certify, mean):
    law = ex.GaussianMixture([1.0], [[mean]], [1.0])
    certify(law.sample, law, plan=PLAN)

@given(st.integers(1, 8))
@settings(max_examples=5, database=None, deadline=None, phases=[Phase.generate, Phase.shrink])
def test_wrong(certify, shift):
    certify(lambda n, s: LAW.sample(n, s) + shift, LAW, plan=PLAN)
""",
        "--exactness-json=out",
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.re_match_lines([r".*Failing test case", r" +and 3 more in this test, 3 of them as claimed"])
    found = [ex.Certificate.load(path) for path in (pytester.path / "out").iterdir()]
    exact = sorted((c.plan.claims, c.name) for c in found if "test_exact" in c.name)
    assert [claims for claims, _ in exact] == [2 * j * (j + 1) for j in range(1, len(exact) + 1)]
    assert len({name for _, name in exact}) == len(exact) >= 8
    assert len({c.probe for c in found if "test_exact" in c.name}) == len(exact)
    assert sum(Fraction(1, c.plan.claims) for c in found) < 1


def test_a_rerun_repeats_the_verdict_and_gets_no_fresh_alpha(run, pytester):
    module_or_skip("pytest_rerunfailures")
    done = run(WRONG + RIGHT, "--reruns=2", "--exactness-json=out", "--junitxml=j.xml")
    done.assert_outcomes(passed=1, failed=1)
    assert "2 rerun" in text(done)
    assert len(re.findall(r"^refuted .*test_wrong", text(done), flags=re.MULTILINE)) == 1
    assert sorted(c.plan.claims for c in saved(pytester).values()) == [4, 4]
    # pytest writes every run of a test as a case.
    properties = [(p.get("name"), p.get("value")) for p in ET.parse(pytester.path / "j.xml").iter("property")]
    assert [value for name, value in properties if name == "exactness.verdict"] == 3 * ["refuted"] + ["certified"]
    assert len({value for name, value in properties if name == "exactness.bound"}) == 2


def test_a_sampler_that_does_not_repeat_has_no_second_chance_in_a_rerun(run):
    """Right from its third run on. Let in by ``seed_must_count=False``, it would pass when its test is run again."""
    module_or_skip("pytest_rerunfailures")
    done = run(
        """
RUNS = []

def test_it(certify):
    RUNS.append(1)
    off = 0.3 if len(RUNS) < 3 else 0.0
    plan = ex.Plan(tolerance=0.1, max_paths=4_000, seed_must_count=False)
    certify(lambda n, s: LAW.sample(n, int(GLOBAL.integers(1 << 30))) + off, LAW, plan=plan)
""",
        "--reruns=3",
    )
    done.assert_outcomes(failed=1)
    assert "3 rerun" in text(done)


def test_neither_has_one_that_repeats_its_first_draws_and_no_others(run):
    """Two small calls agree. Right from its third run on, and invalid in the second, it would pass when its test is run again."""
    module_or_skip("pytest_rerunfailures")
    done = run(
        """
RUNS = []

def test_it(certify):
    RUNS.append(1)

    def sample(n, seed):
        if n < 20:
            return LAW.sample(n, seed)
        if len(RUNS) == 2:
            raise OSError("The licence server is away.")
        return LAW.sample(n, int(GLOBAL.integers(1 << 30))) + 0.3 * (len(RUNS) == 1)

    certify(sample, LAW, plan=ex.Plan(tolerance=0.1, max_paths=4_000))
""",
        "--reruns=3",
    )
    done.assert_outcomes(failed=1)
    assert "3 rerun" in text(done)
    assert "so this verdict of the first run stands" in " ".join(text(done).split())
