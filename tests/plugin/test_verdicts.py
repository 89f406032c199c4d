"""What passes and what fails under the plugin, and how it says so."""

from __future__ import annotations

import re
import shlex

import pytest

import exactness as ex

from .conftest import LOAD, RIGHT, ROOT, WRONG, saved, text


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
            r".*the 6 most significant of \d+ findings",
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
            r"E .*blunt: certified, but this sampler must be refuted: Nothing\.",
            r"E .*these controls got the wrong verdict: blunt",
            r"refuted as it must be .*test_control",
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
        [
            "*certify takes either a Claim, or a sampler and the law*",
            "*leave out the second argument*",
            "*has no share of alpha*",
        ]
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


def test_the_example_of_the_readme_is_a_test_file_that_passes_and_notices_one_wrong_line(pytester, run):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (block,) = [b for b in blocks if "(certify" in b]
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    pytester.makepyfile(test_mine=block)
    pytester.runpytest(*LOAD).assert_outcomes(passed=1)
    wrong = block.replace("standard_normal", "standard_exponential")
    assert wrong != block
    pytester.makepyfile(test_mine=wrong)
    done = pytester.runpytest(*LOAD)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*test_mine.py::test_my_sampler: refuted"])
