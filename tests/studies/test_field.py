"""The field study: its tests refute gross faults and pass right samplers, it goes on where it stopped,
and its pages are its numbers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from exactness_samplers.faults import FAULTS

from exactness.catalogue import Setting, find
from exactness.controls.judge import chosen, claim_of
from studies import field, field_page, field_tests
from studies.field_story import story
from studies.permutations import p_value
from studies.power_search import Pair

ROOT = Path(__file__).parents[2]
WITH_A_RATE = [test for test in field_tests.TESTS if test != "moments"]


def pair(shift: float, n: int, seed: int) -> Pair:
    x, y = np.random.default_rng(seed).standard_normal((2, n, 2))
    return Pair(x + shift, y, lambda n, s: y)


def test_every_test_refutes_a_gross_fault(seed):
    """It moves every step and every final mean by many standard errors: fails by chance less than once in a million."""
    (fault,) = chosen(["no-reflection"])
    found = field.measure(claim_of(fault, Setting()), [1_000], seed)
    assert set(found) == set(field_tests.TESTS)
    for test, outcome in found.items():
        assert field_page.refutes(outcome["p_value"], field_tests.alpha_of(test)), (test, outcome)


def test_a_right_sampler_passes_every_test_that_has_an_error_rate(seed):
    """At 1e-3 each, and ours at 1e-6: of three right samples every test passes two at least. Fails once in 50,000 runs."""
    found = [field.measure(field.right(i), [200], seed) for i in range(3)]
    for test in WITH_A_RATE:
        refuted = [field_page.refutes(one[test]["p_value"], field_tests.alpha_of(test)) for one in found]
        assert sum(refuted) < 2, (test, [one[test] for one in found])


def test_a_tolerance_refutes_right_samplers_and_a_z_test_does_not(seed):
    """100 pairs of right samples at n = 10,000: the tolerance fails about 19 in 20, and fewer than 60 never; the z-test fails five
    or more with probability 1e-8.
    """
    pairs = [pair(0.0, 10_000, 1_000 * seed + i) for i in range(100)]
    assert sum(field_tests.within_tolerance(p)[0] == 0.0 for p in pairs) > 60
    assert sum(field_tests.moments_z(p)[0] <= field_tests.ALPHA for p in pairs) < 5


@pytest.mark.parametrize("test", [field_tests.energy, lambda p, seed: (field_tests.random_features(p, seed, 10, 100), "")])
def test_permutation_tests_tell_a_shift_from_nothing(test, seed):
    """A right pair fails at most once in 1,000, three of them once in 10^9; half a standard deviation is never missed."""
    assert test(pair(0.5, 400, seed), seed)[0] == 1 / (1 + field_tests.PERMUTATIONS)
    assert max(test(pair(0.0, 200, 3 * seed + i), seed)[0] for i in range(3)) > field_tests.ALPHA


@pytest.mark.parametrize("enough", [None, 10])
def test_permutation_p_values_are_exact(enough, seed):
    """Of 4,000 p-values of exchangeable statistics, those up to 0.05 are 5%, within five standard errors: fails once in 10^6."""
    generator = np.random.default_rng(seed)
    p = [p_value(generator.standard_normal(), generator.standard_normal, 199, 50, enough) for _ in range(4_000)]
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 5 * (0.05 * 0.95 / 4_000) ** 0.5
    # The +1: nothing reaches the observed statistic, and p is not 0.
    assert p_value(1e9, generator.standard_normal, 199, 50, enough) == 1 / 200


def test_nan_fails_whatever_looks_at_it_and_nothing_else():
    """One path ends in NaN: tests of final samples and ours fail it, those of an earlier step do not see it. Fixed draws."""
    plain = find(["ring/sequential"])[0].build(Setting())
    paths = plain.sample(500, 1)[0]
    trusted = plain.sample(500, 2)[0][:, -1].numpy()
    paths[7, -1] = torch.nan
    found = field_tests.classical(plain.law, paths, trusted, 0) | {"ours": field_tests.Ours(plain.law, 0).judge(paths)}
    for test in ("ks", "moments", "moments z", "energy", "mmd", "ours"):
        assert found[test]["p_value"] is None, test
    for test in ("step", "first step"):
        assert found[test]["p_value"] > field_tests.ALPHA


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    measured = []

    def measure(claim, sizes, seed):
        measured.append(claim.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        outcome = {"p_value": 0.5, "says": "", "seconds": 0.0}
        return dict.fromkeys(field_tests.TESTS, outcome)

    monkeypatch.setattr(field, "measure", measure)
    faults = chosen(["accept-always", "never-accepts", "label-of-another-chain"])
    with pytest.raises(KeyboardInterrupt):
        field.study(faults, [100], [1], tmp_path)
    report = field.study(faults, [100], [1], tmp_path)
    assert measured == ["control/accept-always", "control/never-accepts", "control/never-accepts", "plain 100"]
    assert list(report["faults"]) == ["accept-always", "never-accepts"]
    field.study(faults, [100], [1], tmp_path)
    assert len(measured) == 4
    # Other sizes are another study.
    field.study(faults, [200], [0], tmp_path)
    assert measured[4:] == ["control/accept-always", "control/never-accepts"]


def test_a_small_study_writes_its_pages(tmp_path):
    names = ["accept-always", "accept-in-bfloat16", "never-accepts"]
    field.main([*names, "--sizes", "200", "400", "--alarms", "1", "1", "--out", str(tmp_path), "--docs", str(tmp_path)])
    report = json.loads((tmp_path / "field.json").read_text())
    assert (tmp_path / "field.svg").read_text().startswith("<?xml")
    assert (tmp_path / "field_study.md").read_text() == story(report)
    text = (tmp_path / "field.md").read_text()
    assert all(f"| `{name}` |" in text for name in names)
    assert "| exactness: innovations of paths | 1 of 1 | 1 of 1 | 0 of 2 | 0 of 2 |" in text


@pytest.mark.parametrize("arguments", [["--sizes", "400", "200"], ["--sizes", "400"], ["no-such-fault"], ["--sizes", "2", "4"]])
def test_bad_arguments_are_refused(arguments, tmp_path):
    with pytest.raises(SystemExit) as refused:
        field.main([*arguments, "--out", str(tmp_path)])
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
    assert field_page.names(report, "caught", 10) == ["a", "b", "c"]
    assert field_page.names(report, "caught", 100) == []
    assert field_page.caught(report, "ks", 10, "caught") == ["a", "b"]
    assert field_page.caught(report, "ours", 10, "caught") == ["b"]
    assert field_page.alarms(report, "ks", 10) == (2, 3)
    assert field_page.alarms(report, "ours", 10) == (0, 3)


def test_the_published_pages_are_those_of_the_published_numbers():
    """Every figure of the docs' page is counted from the JSON: written anew, it is the same, to the letter."""
    report = json.loads((ROOT / "reports" / "field.json").read_text())
    assert (ROOT / "docs" / "field_study.md").read_text() == story(report)
    assert (ROOT / "reports" / "field.md").read_text() == field_page.markdown(report)
    assert {n: f["expected"] for n, f in report["faults"].items()} == {
        f.name: f.expected for f in FAULTS if f.name not in field.LEFT_OUT
    }, "faults were added or changed: `make field` measures what is missing"


def test_every_link_of_the_page_leads_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "docs" / "field_study.md").read_text()):
        assert (ROOT / "docs" / link).exists(), link
