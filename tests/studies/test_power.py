"""The power study runs from end to end and writes its page; a package that is missing is a row that says so."""

from __future__ import annotations

import importlib.util
import json

import pytest

from studies.power.__main__ import main

PEERS = ("hyppo", "pqm", "goodpoints")


@pytest.fixture
def no_peers(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in PEERS else find(name, *rest))


@pytest.mark.slow
def test_the_quick_study_writes_its_tables(tmp_path, no_peers):
    main(["--quick", "--out", str(tmp_path)])
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
    main(["--quick", "--parts", "C", "--out", str(tmp_path)])
    target = tmp_path / "power.json"
    report = json.loads(target.read_text())
    for row in (row for case in report["parts"]["C"]["departures"] for row in case["rows"]):
        row["seconds"] = 1e3
    target.write_text(json.dumps(report))
    main(["--quick", "--parts", "C", "--only", "two-sample", "--out", str(tmp_path)])
    rows = [row for case in json.loads(target.read_text())["parts"]["C"]["departures"] for row in case["rows"]]
    assert {row["name"] for row in rows if row["seconds"] < 1e3} == {"exactness: two-sample"}


@pytest.mark.parametrize("arguments", [["--parts", "E"], ["--parts", ""]])
def test_bad_parts_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "must name some of ABCD" in capsys.readouterr().err
