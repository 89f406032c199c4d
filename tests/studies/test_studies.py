"""Studies run from end to end and write their pages; a peer that is missing is a row that says so."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess

import pytest
import torch
from exactness_samplers.torch.drafters import Free
from exactness_samplers.torch.speculative import Speculative

from studies import calibrate, flakiness, power, rounds, rounds_page, schedulers, schedulers_page
from tests.conftest import module_or_skip

PEERS = ("hyppo", "pqm", "goodpoints")


@pytest.fixture
def no_peers(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in PEERS else find(name, *rest))


def test_the_quick_study_writes_its_tables(tmp_path, no_peers):
    power.main(["--quick", "--out", str(tmp_path)])
    text, report = (tmp_path / "power.md").read_text(), json.loads((tmp_path / "power.json").read_text())
    assert list(report["parts"]) == ["A", "B", "C", "D"]
    assert all(f"\n## {part}. " in text for part in "ABCD")
    for peer in PEERS:
        assert all("not installed" in line for line in text.splitlines() if f"({peer})" in line and line.startswith("|"))
    assert "| PQMass, 100 regions (pqm) | n draws | not installed |" in text
    for part in ("A", "B"):
        cases = report["parts"][part]["departures" if part == "A" else "controls"]
        assert all(row["point"]["repetitions"] for case in cases for row in case["rows"] if row["installed"])
    assert all(row["limit"] > 0 and len(row["ratios"]) == 3 for row in report["parts"]["D"]["rows"])


def test_rows_and_parts_that_are_not_asked_for_stay(tmp_path, no_peers):
    power.main(["--quick", "--parts", "C", "--out", str(tmp_path)])
    target = tmp_path / "power.json"
    report = json.loads(target.read_text())
    for row in (row for case in report["parts"]["C"]["departures"] for row in case["rows"]):
        row["seconds"] = 1e3
    target.write_text(json.dumps(report))
    power.main(["--quick", "--parts", "C", "--only", "two-sample", "--out", str(tmp_path)])
    rows = [row for case in json.loads(target.read_text())["parts"]["C"]["departures"] for row in case["rows"]]
    assert {row["name"] for row in rows if row["seconds"] < 1e3} == {"exactness: two-sample"}


@pytest.mark.parametrize("arguments", [["--parts", "E"], ["--parts", ""]])
def test_bad_parts_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        power.main(arguments)
    assert "must name some of ABCD" in capsys.readouterr().err


def test_rounds_are_measured_and_held_against_theory(tmp_path):
    """One fixed seed a method; at another one each z would exceed 5 with probability 6e-7."""
    rows = [rounds.measure(rounds.Job("two modes", 30, 4, name)) for name in rounds.methods("two modes")]
    assert {row["method"] for row in rows} == set(rounds.methods("two modes"))
    for row in rows:
        assert 30 / 5 <= row["rounds"] < 30
        assert abs(row["z"]) < 5
        assert row["block_less_token"] > -1e-9
    peer = [rounds.measure_peer((2, name, draw)) for name in rounds.PEER_METHODS for draw in (0, 1)]
    speed = [{"sampler": "plain", "chains_a_second": 1.0}]
    refilled = {"chains": 1, "batch": 1, "calls_a_chain": 1.0, "mean": 1.0, "most": 1.0}
    peer += [{**row, "dim": 512} for row in peer]
    rounds_page.page({"rows": rows, "peer": peer, "speed": speed, "refilling": refilled}, tmp_path)
    text = (tmp_path / "rounds.md").read_text()
    assert "0 beyond 4" in text
    assert "as stated for a public sampler" in text
    assert (tmp_path / "rounds.svg").read_text().startswith("<?xml")


def test_theory_would_notice_a_verifier_that_keeps_too_much():
    """Thresholds 1.1 times too large, at one fixed seed: beyond 6 standard errors, where the page's mark is 4."""
    recorded = rounds.Recorded("block")
    right = recorded.verify
    recorded.verify = lambda ratios, deltas, uniforms, lengths: right(ratios, deltas, uniforms / 1.1, lengths)
    law = rounds.laws()["ring"]
    config = Speculative(law.process(30), 4, Free("noise"), recorded)
    config.run(2_000, torch.Generator().manual_seed(0))
    assert recorded.gap / recorded.square**0.5 > 6


def test_schedulers_are_ranked_at_equal_evaluations_and_no_winner_is_named_among_what_is_exact():
    def row(name, estimate, verdict="certified", steps=10, evaluations=10):
        spot = {"question": "finals", "law": "ring", "spacing": "as shipped", "mmd": 0.0}
        numbers = {"estimate": estimate, "bound": estimate + 0.02, "steps": steps, "evaluations": evaluations}
        return {**spot, **numbers, "scheduler": name, "verdict": verdict}

    def said(*rows):
        floor = {"question": "floor", "law": "ring", "estimate": 0.009, "bound": 0.028}
        return schedulers_page._finals([floor, *rows], "ring", "as shipped")

    far, near = row("slow", 0.3, "refuted"), row("fast", 0.1, "refuted")
    cheat = row("two calls a step", 0.01, evaluations=19)
    text = said(far, near, cheat)
    assert "At 10: closest to the data: fast." in text
    assert "0.010 < 0.030 (19 evaluations)" in text
    assert "closest to the data: fast; beside." in said(far, near, row("beside", 0.11, "refuted"))
    assert "At 10: not told apart from exact draws: one; other." in said(far, row("one", 0.012), row("other", 0.008))
    assert schedulers_page._cost({"paths": 0, "finals": 246.0}) == "seconds of one core: finals 246 (not taken: paths)."


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_schedulers_are_judged_and_the_page_says_which_are_ddpms_chain(tmp_path):
    """Fixed seeds; at others DDPM would be refuted with probability 1e-6 a row. SDE-DPM-Solver++ takes other steps."""
    module_or_skip("diffusers")
    schedulers.main(["--quick", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "schedulers.json").read_text())
    rows = [row for part in report["parts"].values() for row in part]
    paths = {(r["scheduler"], r["steps"]): r["verdict"] for r in rows if r["question"] == "paths"}
    assert all((verdict == "refuted") == (name == "SDE-DPM-Solver++") for (name, _), verdict in paths.items())
    assert {r["scheduler"] for r in rows if r["question"] == "finals"} == set(schedulers.SCHEDULERS)
    assert all(r["verdict"] != "refuted" for r in rows if r["question"] == "floor")
    assert "## What goes wrong" in (tmp_path / "schedulers.md").read_text()
    assert (tmp_path / "schedulers.svg").read_text().startswith("<?xml")


def test_runs_add_up_folder_by_folder_and_failures_are_said(tmp_path):
    for of, runs, passed, failed in (
        ("tests/docs", 4, 28, []), ("tests/docs", 6, 41, ["test_x[seed=7]"]), ("tests/batteries", 2_000, 358_000, []),
    ):  # fmt: skip
        flakiness.add(tmp_path, of, "a", "abc1234", runs, passed, failed)
    page = (tmp_path / "flakiness.md").read_text()
    # Clopper and Pearson at 95%: 1 - 0.05^(1/2000), and the root of (1 - p)^10 + 10 p (1 - p)^9 = 0.05.
    assert "| abc1234 | 179 | 2,000 | 358,000 | 0 | 1.5e-03 |" in page
    assert "| abc1234 | 7 | 10 | 70 | 1 | 3.9e-01 |" in page
    assert "| test_x[seed=7] | abc1234 | 1 |" in page
    assert page.count("not counted yet") == len(flakiness.FOLDERS) - 2
    assert set(flakiness.counted(tmp_path)) == {"tests/docs", "tests/batteries"}


def test_other_code_is_another_count_and_nothing_is_forgotten(tmp_path, monkeypatch):
    for of in ("exactness", "samplers", "tests/x"):
        (tmp_path / of).mkdir(parents=True)
    source = tmp_path / "exactness" / "a.py"
    monkeypatch.setattr(flakiness, "ROOT", tmp_path)
    digests = []
    for text in ('"""Says."""\nx = 1  # one\n', '"""Says more."""\nx = 1\n', "x = 2\n"):
        source.write_text(text)
        digests.append(flakiness.digest("tests/x"))
    assert digests[0] == digests[1] != digests[2]
    # One test fails in every process of two runs.
    monkeypatch.setattr(flakiness, "batch", lambda of, seeds: (7 * len(seeds) - 1, ["test_x"]))
    monkeypatch.setattr("sys.argv", ["flakiness", "--runs", "4", "--each", "2", "--out", str(tmp_path), "--of", "tests/docs"])
    for text, runs in (("x = 3\n", [4]), ("x = 3\n", [8]), ("x = 4\n", [8, 4]), ("x = 3\n", [12, 4])):
        source.write_text(text)
        flakiness.main()
        found = flakiness.counted(tmp_path)["tests/docs"]
        assert [c["runs"] for c in found] == runs
        assert [c["failed"] for c in found] == [{"test_x": r // 2} for r in runs]
    assert (tmp_path / "flakiness.md").read_text().count("| `tests/docs` |") == 2


def test_what_other_processes_found_counts_when_one_breaks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flakiness, "digest", lambda of: "a")
    calls = []

    def batch(of, seeds):
        calls.append(seeds)
        if len(calls) == 2:
            raise RuntimeError("the tier did not run: killed")
        return 7 * len(seeds), []

    monkeypatch.setattr(flakiness, "batch", batch)
    monkeypatch.setattr(
        "sys.argv", ["", "--runs", "8", "--each", "2", "--workers", "1", "--out", str(tmp_path), "--of", "tests/batteries"]
    )
    with pytest.raises(SystemExit, match="killed"):
        flakiness.main()
    assert len(calls) == 2
    assert flakiness.counted(tmp_path)["tests/batteries"][0]["runs"] == 2


@pytest.mark.parametrize(
    ("code", "said", "found"),
    [
        (0, "..\n12 passed, 3 deselected in 2s", (12, [])),
        (1, "FAILED t.py::test_a[seed=3] - assert 1\n1 failed, 11 passed in 2s", (11, ["t.py::test_a[seed=3]"])),
        (1, "ERROR t.py::test_a[seed=3] - KeyError\n11 passed, 1 error in 2s", (11, ["t.py::test_a[seed=3]"])),
        (
            1,
            "FAILED t.py::test_a[seed=3]\nFAILED t.py::test_a[seed=4]\n2 failed",
            (0, ["t.py::test_a[seed=3]", "t.py::test_a[seed=4]"]),
        ),
    ],
)
def test_failures_and_errors_are_read_off_what_pytest_prints(code, said, found):
    assert flakiness.outcome(code, said, "") == found


@pytest.mark.parametrize(("code", "said"), [(0, "no tests ran"), (1, "no tests ran"), (2, "12 passed"), (-9, "12 passed")])
def test_a_process_that_did_not_run_the_tier_counts_as_nothing(code, said):
    with pytest.raises(RuntimeError, match="did not run"):
        flakiness.outcome(code, said, "out of memory")


def test_the_commit_that_is_counted_is_named_unless_the_code_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(flakiness, "ROOT", tmp_path)
    assert flakiness.commit() == ""
    (tmp_path / "reports").mkdir()
    for name in ("a.py", "reports/b.md"):
        (tmp_path / name).write_text("x = 1\n")
    for line in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *line.split()], cwd=tmp_path, check=True)
    (tmp_path / "reports" / "b.md").write_text("x = 2\n")
    assert re.fullmatch("[0-9a-f]{7,}", flakiness.commit())
    (tmp_path / "a.py").write_text("x = 2\n")
    assert flakiness.commit() == ""


def test_runs_count_on_when_code_changes_that_no_statistical_test_imports(tmp_path, monkeypatch):
    files = {
        "tests/x/test_a.py": "from studies import one\nfrom ..helper import h\n\ndef test_a(seed):\n    pass\n",
        "tests/x/test_b.py": "import studies.other\n\ndef test_b():\n    pass\n",
        "tests/helper.py": "h = 1\n", "tests/x/__init__.py": "", "studies/__init__.py": "", "studies/other.py": "x = 1\n",
        "studies/one.py": "from . import two\n", "studies/two.py": "x = 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(flakiness, "ROOT", tmp_path)
    before = flakiness.digest("tests/x")
    for name, counts in (("studies/other", False), ("tests/x/test_b", False), ("studies/two", True), ("tests/x/test_a", True)):
        path = tmp_path / f"{name}.py"
        path.write_text(path.read_text() + "y = 2\n")
        assert (flakiness.digest("tests/x") != before) is counts, name
        path.write_text(files[f"{name}.py"])
    monkeypatch.setattr(flakiness, "PACKAGES", ("numpy",))
    assert flakiness.digest("tests/x") != before


def test_a_law_is_calibrated_anew_and_the_others_are_kept():
    def counted(law, count):
        row = {"law": law, "test": "t", "validity": "exact", "reach": 0.0, "uniform": True, "counts": [count, 0, 0]}
        return {
            "rows": [row | {"certificates": 100, "uniformity": 0.5}], "family": [(law, 0.05, count, 100)],
            "strict": {law: (0, count)}, "stages": {law: [1.0, float(count)]} if law in calibrate.STAGED else {},
        }  # fmt: skip

    before = calibrate.together(counted("mixture", 4), counted("chain", 5), ["chain"])
    after = calibrate.together(before, counted("mixture", 60), ["mixture"])
    assert [(r["law"], r["counts"][0]) for r in after["rows"]] == [("chain", 5), ("mixture", 60)]
    assert [f[0] for f in after["family"]] == ["chain", "mixture"]
    assert after["strict"] == {"chain": (0, 5), "mixture": (0, 60)}
    page = calibrate.page(after, 100)
    assert "1 of 2 tests are as they must be: see those that are not." in page
    assert "too many at 0.05" in page
