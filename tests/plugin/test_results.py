"""Where results go: JUnit, JSON, the page; the same from two workers as from one process."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.conftest import module_or_skip

from .conftest import RIGHT, WRONG, saved, text


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
    none.stdout.fnmatch_lines(["there is no certificate, so *none.html was not written"])
    assert not (pytester.path / "none.html").exists()


def test_without_a_cache_a_failure_says_how_to_keep_its_certificate(run):
    done = run(WRONG, "-p", "no:cacheprovider")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*certificate: not saved (--exactness-json DIR saves certificates)"])


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


TALKS = """
def test_talks(certify):
    print("before")
    certify(LAW.sample, LAW, plan=PLAN)
    print("after")
    assert False
"""
SIGN = r"exactness: test_it.py::test_talks: [\d,]+ of at most 4,000 draws after \d+ s"


@pytest.mark.parametrize("arguments", [(), ("-v",), ("-s",), ("--capture=sys",)], ids=str)
def test_a_test_that_draws_for_long_says_so_outside_of_its_captured_output(run, monkeypatch, arguments):
    monkeypatch.setattr("exactness.pytest_plugin._PATIENCE", 0.0)
    done = run(TALKS, *arguments)
    done.assert_outcomes(failed=1)
    signs = [i for i, line in enumerate(done.outlines) if re.fullmatch(SIGN, line)]
    assert signs
    if arguments != ("-s",):
        assert max(signs) < done.outlines.index("before") < done.outlines.index("after")


def test_a_test_that_is_quick_or_quiet_or_in_a_worker_writes_no_such_line(run, monkeypatch):
    assert not re.search(SIGN, text(run(TALKS)))
    monkeypatch.setattr("exactness.pytest_plugin._PATIENCE", 0.0)
    assert not re.search(SIGN, text(run(TALKS, "-q")))
    assert not re.search(SIGN, text(run(TALKS, "-p", "no:terminal")))
