"""The pytest plugin, by running pytest: what passes, what fails and how it says so, who gets which share of alpha.

Nothing here fails by chance: seeds are fixed, and the wrong samplers are off by many standard errors.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import pytest

import exactness as ex
from exactness.pytest_plugin import claims_of_call
from exactness.recheck import check_arithmetic
from tests.conftest import module_or_skip

ROOT = Path(__file__).parents[2]
INSTALLED = any(point.name == "exactness" for point in importlib.metadata.entry_points(group="pytest11"))
# In a working copy that is not the installed one, the entry point is missing.
LOAD = () if INSTALLED else ("-p", "pytest_exactness")

HEAD = """
import numpy as np
import pytest
import exactness as ex

LAW = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
PLAN = ex.Plan(tolerance=0.1, first_paths=1_000, max_paths=4_000)
GLOBAL = np.random.default_rng(0)

def shifted(n, seed):
    return LAW.sample(n, seed) + 0.3
"""
RIGHT = """
def test_right(certify):
    assert certify(LAW.sample, LAW, plan=PLAN).as_claimed
"""
WRONG = """
def test_wrong(certify):
    certify(shifted, LAW, plan=PLAN)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """``run(source, *arguments)``: pytest in this process on one file ``test_it.py``."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(ROOT))

    def call(source, *arguments, load=LOAD):
        pytester.makepyfile(test_it=HEAD + source)
        return pytester.runpytest(*load, *arguments)

    return call


def text(result):
    return "\n".join(result.outlines + result.errlines)


def saved(pytester, folder="out"):
    """The certificates of a run with ``--exactness-json out``, by the numbers of test and call in their names."""
    return {path.name.split(".")[1] + path.stem[-2:]: ex.Certificate.load(path) for path in (pytester.path / folder).iterdir()}


# What it costs those who do not use it.


def test_nothing_heavy_is_imported_before_a_test_uses_it(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile("""
        import sys

        def test_light():
            assert "pytest_exactness" in sys.modules
            assert [m for m in ("numpy", "scipy", "exactness", "msgspec", "rich", "torch", "jax") if m in sys.modules] == []

        def test_heavy(request):
            import exactness
            assert "numpy" in sys.modules
    """)
    done = pytester.run(sys.executable, "-m", "pytest", *LOAD, "-p", "no:hypothesispytest")
    done.assert_outcomes(passed=2)


def test_a_session_without_exactness_tests_hears_nothing_of_it(run):
    done = run("def test_other(): pass")
    done.assert_outcomes(passed=1)
    assert "exactness" not in text(done).replace("exactness-", "").partition("collected")[2]


def test_without_the_plugin_only_the_tests_that_ask_for_it_err(run):
    done = run(RIGHT + "def test_other(): pass", "-p", "no:exactness", load=())
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'certify' not found*"])


def test_the_marker_is_registered(run):
    run("@pytest.mark.exactness(tolerance=0.2)" + RIGHT, "--strict-markers", "--strict-config").assert_outcomes(passed=1)


# What passes and what fails.


def test_an_exact_sampler_passes_and_the_summary_says_what_that_means(run):
    done = run(RIGHT)
    done.assert_outcomes(passed=1)
    done.stdout.re_match_lines(
        [
            r"exactness: alpha 1e-06 shared by 1 test, seed 0, profile full",
            r"=+ exactness =+",
            r"verdict +paths +bound +of +detects +seconds +rounds  test",
            r"certified +2,000 +0\.0\d\d +0\.1 +0\.\d\d\d +\d+\.\d\d +test_it\.py::test_right",
            r"exactness: alpha 1e-06 shared by 1 test, seed 0, profile full",
        ]
    )


def test_a_wrong_sampler_fails_with_what_was_found_and_a_line_that_repeats_it(run, pytester):
    done = run(RIGHT + WRONG)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.re_match_lines(
        [
            r"E .*NotAsClaimed: test_it.py::test_wrong: refuted",
            r"E +mixture innovations: .* <= alpha 1e-06",
            r"E +The sampler does not follow the law",
            r"E +mixture innovations: .*effect .*bound",
            r"E +seed 0, 1,000 paths, 1/4 of alpha 1e-06, tolerance 0.1, profile full",
            r"E +repeat: pytest test_it.py::test_wrong --exactness-seed 0 --exactness-tests 2",
            r"E +certificate: .*json",
            r"-+ exactness certificate -+",
            r".*the 6 loudest of \d+ findings",
        ]
    )
    first = ex.Certificate.load(re.search(r"certificate: (\S+\.json)", text(done)).group(1))
    command = re.search(r"repeat: pytest (.*)", text(done)).group(1)
    again = pytester.runpytest(*LOAD, *shlex.split(command), "--exactness-json", "again")
    again.assert_outcomes(failed=1)
    (second,) = saved(pytester, "again").values()
    assert (second.plan, second.seed, second.findings) == (first.plan, first.seed, first.findings)
    assert second.verdict is ex.Verdict.REFUTED


def test_a_claim_that_must_be_refuted_fails_unless_it_is(run):
    done = run(
        """
    def test_control(certify):
        certify(ex.Claim("shifted", shifted, LAW, PLAN, wrong="Shifted by 0.3."))

    def test_blunt(certify):
        certify(ex.Claim("blunt", LAW.sample, LAW, PLAN, wrong="Nothing."))

    def test_beside_a_blunt_control(certify):
        certify(LAW.sample, LAW, plan=PLAN, controls=[ex.Claim("blunt", LAW.sample, LAW, PLAN, wrong="Nothing.")])
    """.replace("\n    ", "\n")
    )
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.re_match_lines_random(
        [
            r"E .*blunt: certified, but it must be refuted: Nothing\.",
            r"E .*controls that were not judged as they must be: blunt",
            r"refuted as it must .*test_control",
            r"certified: MISSED .*test_blunt",
        ]
    )


@pytest.mark.parametrize(
    ("sampler", "plan", "message"),
    [
        ("lambda n, seed: 1 / 0", "PLAN", r"sample\(n=16, .* raised ZeroDivisionError"),
        ("lambda n, seed: LAW.sample(n, 0)", "PLAN", "ignores its seed"),
        ("LAW.sample", "ex.Plan(tolerance=0.01, max_paths=500)", "raise max_paths or the tolerance"),
    ],
)
def test_invalid_and_inconclusive_fail_with_the_reason(run, sampler, plan, message):
    done = run(f"def test_it(certify): certify({sampler}, LAW, plan={plan})")
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines([f"E .*{message}"])


def test_bad_input_is_an_error_of_the_test(run):
    done = run("""
def test_no_law(certify): certify(LAW.sample)
def test_two_laws(certify): certify(ex.Claim("x", LAW.sample, LAW), LAW)
def test_late(request): request.getfixturevalue("certify")(LAW.sample, LAW, plan=PLAN)
@pytest.mark.exactness
def test_late_but_marked(request): request.getfixturevalue("certify")(LAW.sample, LAW, plan=PLAN)
""")
    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines_random(
        ["*certify takes a Claim, or a sampler and the law*", "*leave out the second argument*", "*was given no share of alpha*"]
    )


def test_a_certificate_may_be_had_without_a_failure(run):
    done = run("""
def test_shift_is_seen(certify):
    assert certify(shifted, LAW, plan=PLAN, check=False).verdict is ex.Verdict.REFUTED
""")
    done.assert_outcomes(passed=1)
    done.stdout.re_match_lines([r"refuted +1,000 .*test_shift_is_seen"])


def test_from_a_folder_below_the_command_finds_the_test(run, pytester, monkeypatch):
    folder = pytester.mkdir("below")
    run(WRONG)
    monkeypatch.chdir(folder)
    done = pytester.runpytest(*LOAD, "../test_it.py")
    command = re.search(r"repeat: pytest (.*)", text(done)).group(1)
    assert command.startswith("../test_it.py::test_wrong")
    pytester.runpytest(*LOAD, *shlex.split(command)).assert_outcomes(failed=1)


# Alpha.


@pytest.mark.parametrize("tests", [1, 3])
@pytest.mark.parametrize("calls", [1, 7, 1_000])
def test_the_shares_of_all_calls_never_exceed_alpha(tests, calls):
    shares = [Fraction(1, claims_of_call(tests, call)) for call in range(1, calls + 1)]
    assert tests * sum(shares) == 1 - Fraction(1, calls + 1)
    assert tests * sum(Fraction(1, claims_of_call(tests, call, calls)) for call in range(1, calls + 1)) == 1
    with pytest.raises(ex.BadInput, match="no share of alpha left"):
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
    with pytest.warns(pytest.PytestWarning, match="alpha 1e-09 of the plan"):
        certify(LAW.sample, LAW, plan=ex.Plan(alpha=1e-9, tolerance=0.1, max_paths=4_000))
""",
        "--exactness-json=out",
        "--exactness-alpha=1e-8",
    )
    done.assert_outcomes(passed=5, failed=1)
    done.stdout.fnmatch_lines(
        [
            "exactness: alpha 1e-08 shared by 5 tests, seed 0, profile full",
            "exactness: 1 test with an alpha of its own, 0.001 together; *with probability at most 0.00100001",
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
    done.stdout.re_match_lines([r".*Failing test case", r" +and 3 more of this test, 3 of them as claimed"])
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


# The marker and the ini file.


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


# The quick profile.


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
            "exactness: alpha 1e-06 shared by 3 tests, seed 0, profile quick (at most 2,000 draws, at the tolerance *)",
            "*repeat: pytest test_it.py::test_wrong --exactness-seed 0 --exactness-tests 3 --exactness-profile quick",
        ]
    )
    found = {c.name.split("::")[-1]: c for c in saved(pytester).values()}
    assert found["test_exact"].paths <= 2_000
    assert 0.02 < found["test_exact"].plan.tolerance < 0.15
    assert found["test_exact"].verdict is ex.Verdict.CERTIFIED
    # What must be refuted keeps its draws: fewer would have hidden two percent.
    assert found["test_control"].paths > 2_000


# Where results go.


def test_junit_files_say_verdict_bound_and_cost(run, pytester):
    source = """
def test_costs(certify):
    certify(lambda n, s: (LAW.sample(n, s), {"rounds": 5 * n}), LAW, plan=PLAN)
    certify(LAW.sample, LAW, plan=PLAN, name="second")
"""
    run(source, "--junitxml=j.xml").assert_outcomes(passed=1)
    (case,) = ET.parse(pytester.path / "j.xml").iter("testcase")
    found = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert found["exactness.verdict"] == "certified"
    assert found["exactness.rounds"] == "5.0"
    assert (found["exactness.claims"], found["exactness.2.claims"]) == ("2", "6")
    assert found["exactness.2.name"] == "second"
    assert float(found["exactness.bound"]) < 0.1 < float(found["exactness.detectable"])
    assert float(found["exactness.seconds"]) > 0


def test_certificates_and_the_page_are_written(run, pytester):
    module_or_skip("jinja2")
    done = run(RIGHT + WRONG, "--exactness-json=deep/out", "--exactness-html=deep/page.html")
    done.assert_outcomes(passed=1, failed=1)
    found = saved(pytester, "deep/out")
    assert sorted(c.verdict.value for c in found.values()) == ["certified", "refuted"]
    page = (pytester.path / "deep/page.html").read_text()
    assert "pytest test_it.py::test_wrong --exactness-seed 0 --exactness-tests 2" in page
    assert "alpha 1e-06 for the tests that share it together" in page
    done.stdout.fnmatch_lines([f"certificates: {pytester.path / 'deep/out'}", f"page: {pytester.path / 'deep/page.html'}"])
    none = run("def test_other(): pass", "--exactness-html=none.html")
    none.stdout.fnmatch_lines(["no certificate, so *none.html was not written"])
    assert not (pytester.path / "none.html").exists()


def test_without_a_cache_a_failure_says_how_to_keep_its_certificate(run):
    done = run(WRONG, "-p", "no:cacheprovider")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*certificate: not saved; --exactness-json DIR keeps it"])


def test_two_workers_give_what_one_process_gives(run, pytester):
    """Split, verdicts, summary, JUnit, JSON and page; and a marker that is wrong is said by its test."""
    module_or_skip("xdist")
    module_or_skip("jinja2")
    source = (
        RIGHT
        + WRONG
        + """
@pytest.mark.parametrize("x", range(3))
def test_more(certify, x): certify(LAW.sample, LAW, plan=PLAN)

@pytest.mark.exactness(alpha=1e-3)
def test_own(certify): certify(LAW.sample, LAW, plan=PLAN)
"""
    )
    alone = run(source, "--exactness-json=alone")
    source += "\n@pytest.mark.exactness(beta=1)\ndef test_misuse(): pass\n"
    done = run(source, "-n2", "--exactness-json=out", "--exactness-html=page.html", "--junitxml=j.xml", "--exactness-skip=misused")
    alone.assert_outcomes(passed=5, failed=1)
    done.assert_outcomes(passed=5, failed=1, errors=1)
    assert "the marker exactness takes alpha=" in text(done)
    one, two = saved(pytester, "alone"), saved(pytester)
    assert {k: (c.name, c.verdict, c.findings) for k, c in two.items()}.keys() == one.keys()
    for key, certificate in one.items():
        assert two[key].probe == certificate.probe
        assert [f.statistic for f in two[key].findings] == [f.statistic for f in certificate.findings]
    # The test whose marker is wrong is counted, too: six share, not five.
    assert {c.plan.claims for c in two.values()} == {12, 2}
    lines = text(done)
    assert len(re.findall(r"^certified .*test_it.py::test_", lines, flags=re.MULTILINE)) == 5
    assert len(re.findall("exactness: alpha 1e-06 shared by 6 tests, seed 0, profile full", lines)) == 1
    assert "with probability at most 0.001001" in lines
    assert lines.count("page: ") == 1
    assert "refuted" in (pytester.path / "page.html").read_text()
    properties = [p.get("name") for p in ET.parse(pytester.path / "j.xml").iter("property")]
    assert properties.count("exactness.verdict") == 6
    assert "--exactness-tests 6" in lines


# The README.


def test_the_example_of_the_readme_is_a_test_file_that_passes_and_notices_one_wrong_line(pytester, run):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (block,) = [b for b in blocks if "(certify" in b]
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    pytester.makepyfile(test_mine=block)
    pytester.runpytest(*LOAD).assert_outcomes(passed=1)
    wrong = block.replace("0.1**0.5", "0.1")
    assert wrong != block
    pytester.makepyfile(test_mine=wrong)
    done = pytester.runpytest(*LOAD)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*test_mine.py::test_my_sampler: refuted"])
