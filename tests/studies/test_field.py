"""The field study: its tests refute gross faults and pass right samplers, it goes on where it stopped,
and its pages are its numbers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from exactness_samplers.faults import of_family

from exactness.catalogue import Setting, find
from exactness.controls.judge import chosen, claim_of
from studies.field import counts, measure, tests
from studies.field.__main__ import main
from studies.field.page import markdown
from studies.field.story import story

ROOT = Path(__file__).parents[2]
WITH_A_RATE = [test for test in tests.TESTS if test != "moments"]


def test_every_test_refutes_a_gross_fault(seed):
    """It moves every step and every final mean by many standard errors: fails by chance less than once in a million."""
    (fault,) = chosen(["no-reflection"])
    found = measure.measure(claim_of(fault, Setting()), [1_000], seed)
    assert set(found) == set(tests.TESTS)
    for test, outcome in found.items():
        assert tests.refutes(outcome["p_value"], tests.alpha_of(test)), (test, outcome)


def test_a_right_sampler_passes_every_test_that_has_an_error_rate(seed):
    """At 1e-3 each, and ours at 1e-6: of three right samples every test passes two at least. Fails once in 50,000 runs."""
    found = [measure.measure(measure.right(i), [200], seed) for i in range(3)]
    for test in WITH_A_RATE:
        refuted = [tests.refutes(one[test]["p_value"], tests.alpha_of(test)) for one in found]
        assert sum(refuted) < 2, (test, [one[test] for one in found])


def test_nan_fails_whatever_looks_at_it_and_nothing_else():
    """One path ends in NaN: tests of final samples and ours fail it, those of an earlier step do not see it. Fixed draws."""
    plain = find(["ring/sequential"])[0].build(Setting())
    paths = plain.sample(500, 1)[0]
    trusted = plain.sample(500, 2)[0][:, -1].numpy()
    paths[7, -1] = torch.nan
    found = tests.classical(plain.law, paths, trusted, 0) | {"ours": tests.Ours(plain.law, 0).judge(paths)}
    for test in ("ks", "moments", "moments z", "energy", "mmd", "ours"):
        assert found[test]["p_value"] is None, test
    for test in ("step", "first step"):
        assert found[test]["p_value"] > tests.ALPHA


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    measured = []

    def recorded(claim, sizes, seed):
        measured.append(claim.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        outcome = {"p_value": 0.5, "says": "", "seconds": 0.0}
        return dict.fromkeys(tests.TESTS, outcome)

    monkeypatch.setattr(measure, "measure", recorded)
    faults = chosen(["accept-always", "never-accepts", "label-of-another-chain"])
    with pytest.raises(KeyboardInterrupt):
        measure.study(faults, [100], [1], tmp_path)
    report = measure.study(faults, [100], [1], tmp_path)
    assert measured == ["control/accept-always", "control/never-accepts", "control/never-accepts", "plain 100"]
    assert list(report["faults"]) == ["accept-always", "never-accepts"]
    measure.study(faults, [100], [1], tmp_path)
    assert len(measured) == 4
    # Other sizes are another study.
    measure.study(faults, [200], [0], tmp_path)
    assert measured[4:] == ["control/accept-always", "control/never-accepts"]


def test_a_small_study_writes_its_pages(tmp_path):
    names = ["accept-always", "accept-in-bfloat16", "never-accepts"]
    main([*names, "--sizes", "200", "400", "--alarms", "1", "1", "--out", str(tmp_path), "--docs", str(tmp_path)])
    report = json.loads((tmp_path / "field.json").read_text())
    assert (tmp_path / "field.svg").read_text().startswith("<?xml")
    assert (tmp_path / "field_study.md").read_text() == story(report)
    text = (tmp_path / "field.md").read_text()
    assert all(f"| `{name}` |" in text for name in names)
    assert "| exactness: innovations of paths | 1 of 1 | 1 of 1 | 0 of 2 | 0 of 2 |" in text


@pytest.mark.parametrize("arguments", [["--sizes", "400", "200"], ["--sizes", "400"], ["no-such-fault"], ["--sizes", "2", "4"]])
def test_bad_arguments_are_refused(arguments, tmp_path):
    with pytest.raises(SystemExit) as refused:
        main([*arguments, "--out", str(tmp_path)])
    assert refused.value.code == 2


def test_counts_are_those_of_the_p_values():
    def fault(p, expected):
        outcome = {"p_value": p, "says": "", "seconds": 1.0}
        return {"group": "block", "expected": expected, "at": {"10": {"ks": outcome, "ours": outcome}}}

    report = {
        "settings": {"sizes": [10]},
        "faults": {"a": fault(1e-4, "caught"), "b": fault(None, "caught"), "c": fault(0.5, "caught"), "d": fault(1e-4, "exact")},
        "alarms": {"10/0": {"ks": 0.5, "ours": 0.5}, "10/1": {"ks": 1e-3, "ours": 1e-3}, "100/0": {"ks": 0.0, "ours": 0.0}},
    }
    assert counts.names(report, "caught", 10) == ["a", "b", "c"]
    assert counts.names(report, "caught", 100) == []
    assert counts.caught(report, "ks", 10, "caught") == ["a", "b"]
    assert counts.caught(report, "ours", 10, "caught") == ["b"]
    assert counts.alarms(report, "ks", 10) == (2, 3)
    assert counts.alarms(report, "ours", 10) == (0, 3)


def test_the_published_pages_are_those_of_the_published_numbers():
    """Every figure of the docs' page is counted from the JSON: written anew, it is the same, to the letter."""
    report = json.loads((ROOT / "reports" / "field.json").read_text())
    assert (ROOT / "docs" / "field_study.md").read_text() == story(report)
    assert (ROOT / "reports" / "field.md").read_text() == markdown(report)
    assert {n: f["expected"] for n, f in report["faults"].items()} == {
        f.name: f.expected for f in of_family("chains") if f.name not in measure.LEFT_OUT
    }, "faults were added or changed: `make field` measures what is missing"


def test_every_link_of_the_page_leads_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "docs" / "field_study.md").read_text()):
        assert (ROOT / "docs" / link).exists(), link
