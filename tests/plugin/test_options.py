"""The marker, the ini file, the options, the quick profile."""

from __future__ import annotations

import importlib.util

import pytest

import exactness as ex

from .conftest import RIGHT, saved, text


def test_markers_and_the_ini_file_change_plans_the_closest_last(run, pytester):
    pytester.makeini(
        "[pytest]\nexactness_tolerance = 0.3\nexactness_max_paths = 1500\nexactness_seed = 5\nexactness_alpha = 1e-7\n"
    )
    done = run(
        """
@pytest.mark.exactness(tolerance=0.2, max_paths=3_000)
class TestA:
    def test_class(self, certify):
        certify(LAW.sample, LAW)

    @pytest.mark.exactness(tolerance=0.25)
    def test_closest(self, certify):
        certify(LAW.sample, LAW, plan=PLAN)

def test_ini(certify):
    certify(LAW.sample, LAW)

def test_plan(certify):
    certify(LAW.sample, LAW, plan=PLAN)
""",
        "--exactness-json=out",
    )
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["exactness: alpha 1e-07 shared by 4 tests, seed 5, profile full"])
    plans = {c.name.split("::")[-1]: (c.plan.tolerance, c.plan.max_paths) for c in saved(pytester).values()}
    assert plans == {"test_class": (0.2, 3000), "test_closest": (0.25, 3000), "test_ini": (0.3, 1500), "test_plan": (0.1, 4000)}


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("beta=1", "takes alpha=, tolerance=, max_paths=, claims= and not beta"),
        ("1e-6", "and not 1e-06"),
        ("alpha=2", "alpha of the marker exactness must lie strictly between 0 and 1, not 2"),
        ("max_paths=0.5", "max_paths of the marker exactness must be an integer of at least 1, not 0.5"),
    ],
)
def test_what_the_marker_does_not_know_is_a_usage_error_before_anything_runs(run, marker, message):
    done = run(f"@pytest.mark.exactness({marker})" + RIGHT)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert message in text(done)
    assert "passed" not in text(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exactness-alpha=small"], "exactness_alpha must lie strictly between 0 and 1, not 'small'"),
        (["--exactness-seed=-1"], "exactness_seed must be an integer of at least 0"),
        (["--exactness-tests=0"], "--exactness-tests must be an integer of at least 1"),
        (["-o", "exactness_profile=fast"], "exactness_profile must be full or quick, not 'fast'"),
        (["-o", "exactness_max_paths=many"], "exactness_max_paths must be an integer"),
        (["--exactness-json=test_it.py"], "cannot write"),
        (["--exactness-html=test_it.py/page.html"], "cannot write"),
        (["--exactness-html=."], "is a folder; name the page to write"),
    ],
)
def test_bad_options_are_usage_errors_before_anything_runs(run, arguments, message):
    done = run(RIGHT, *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert message in text(done)
    assert "passed" not in text(done)


def test_a_page_without_what_draws_it_is_a_usage_error_before_anything_runs(run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "jinja2" else find(name, *rest))
    done = run(RIGHT, "--exactness-html=page.html")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "reports need jinja2: pip install 'exactness[report]'" in text(done)


@pytest.mark.parametrize(
    ("arguments", "passed", "deselected"),
    [
        (["--exactness-only=test_right"], 1, 2),
        (["--exactness-only=*[[]b]"], 1, 2),
        (["--exactness-only=*"], 2, 1),
        (["--exactness-skip=*"], 1, 2),
        (["--exactness-only=*", "--exactness-skip=right"], 1, 2),
    ],
)
def test_only_and_skip_choose_among_exactness_tests_and_those_left_out_get_no_share(run, arguments, passed, deselected):
    source = (
        RIGHT
        + """
@pytest.mark.parametrize("x", ["b"])
def test_named(certify, x): certify(LAW.sample, LAW, plan=PLAN)
def test_other(): pass
"""
    )
    done = run(source, *arguments)
    done.assert_outcomes(passed=passed, deselected=deselected)
    shared = passed if arguments[0] != "--exactness-skip=*" else 0
    assert (f"shared by {shared} test" in text(done)) == bool(shared)


def test_the_quick_profile_takes_fewer_draws_and_says_at_which_tolerance(run, pytester):
    done = run(
        """
def test_exact(certify): certify(LAW.sample, LAW, plan=ex.Plan(tolerance=0.02))
def test_wrong(certify): certify(shifted, LAW)
def test_control(certify): certify(lambda n, s: 1.02 * LAW.sample(n, s), LAW, plan=ex.Plan(max_paths=50_000), wrong="Scaled.")
""",
        "--exactness-profile=quick",
        "--exactness-json=out",
    )
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "exactness: alpha 1e-06 shared by 3 tests, seed 0, profile quick (at most 2,000 draws, at the tolerance that *)",
            "*repeat: pytest test_it.py::test_wrong --exactness-seed 0 --exactness-tests 3 --exactness-profile quick",
        ]
    )
    found = {c.name.split("::")[-1]: c for c in saved(pytester).values()}
    assert found["test_exact"].paths <= 2_000
    assert 0.02 < found["test_exact"].plan.tolerance < 0.15
    assert found["test_exact"].verdict is ex.Verdict.CERTIFIED
    # What must be refuted keeps its draws: fewer would have hidden two percent.
    assert found["test_control"].paths > 2_000
