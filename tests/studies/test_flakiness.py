"""Runs of the statistical tests add up, folder by folder and code by code, and nothing is forgotten."""

from __future__ import annotations

import ast
import json
import re
import subprocess

import pytest

from studies.flakiness import code, counts, measure
from studies.flakiness.__main__ import main


def test_runs_add_up_folder_by_folder_and_failures_are_said(tmp_path):
    for of, runs, passed, failed in (
        ("tests/studies", 4, 28, []), ("tests/studies", 6, 41, ["test_x[seed=7]"]), ("tests/batteries", 2_000, 358_000, []),
    ):  # fmt: skip
        measure.add(tmp_path, of, "a", "abc1234", runs, passed, failed)
    page = (tmp_path / "flakiness.md").read_text()
    # Clopper and Pearson at 95%: 1 - 0.05^(1/2000), and the root of (1 - p)^10 + 10 p (1 - p)^9 = 0.05.
    assert "| abc1234 | 179 | 2,000 | 358,000 | 0 | 1.5e-03 |" in page
    assert "| abc1234 | 7 | 10 | 70 | 1 | 3.9e-01 |" in page
    assert "| test_x[seed=7] | abc1234 | 1 |" in page
    assert page.count("not counted yet") == len(counts.FOLDERS) - 2
    assert set(counts.counted(tmp_path)) == {"tests/studies", "tests/batteries"}


def test_other_code_is_another_count_and_nothing_is_forgotten(tmp_path, monkeypatch):
    for of in ("exactness", "samplers", "tests/x"):
        (tmp_path / of).mkdir(parents=True)
    source = tmp_path / "exactness" / "a.py"
    monkeypatch.setattr(code, "ROOT", tmp_path)
    digests = []
    for text in ('"""Says."""\nx = 1  # one\n', '"""Says more."""\nx = 1\n', "x = 2\n"):
        source.write_text(text)
        digests.append(code.digest("tests/x"))
    assert digests[0] == digests[1] != digests[2]
    # One test fails in every process of two runs.
    monkeypatch.setattr(measure, "batch", lambda of, seeds: (7 * len(seeds) - 1, ["test_x"]))
    arguments = ["--runs", "4", "--each", "2", "--out", str(tmp_path), "--of", "tests/studies"]
    for text, runs in (("x = 3\n", [4]), ("x = 3\n", [8]), ("x = 4\n", [8, 4]), ("x = 3\n", [12, 4])):
        source.write_text(text)
        main(arguments)
        found = counts.counted(tmp_path)["tests/studies"]
        assert [c["runs"] for c in found] == runs
        assert [c["failed"] for c in found] == [{"test_x": r // 2} for r in runs]
    assert (tmp_path / "flakiness.md").read_text().count("| `tests/studies` |") == 2


def test_what_other_processes_found_counts_when_one_breaks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(code, "digest", lambda of: "a")
    calls = []

    def batch(of, seeds):
        calls.append(seeds)
        if len(calls) == 2:
            raise RuntimeError("the tests did not run: killed")
        return 7 * len(seeds), []

    monkeypatch.setattr(measure, "batch", batch)
    with pytest.raises(SystemExit, match="killed"):
        main(["--runs", "8", "--each", "2", "--workers", "1", "--out", str(tmp_path), "--of", "tests/batteries"])
    assert len(calls) == 2
    assert counts.counted(tmp_path)["tests/batteries"][0]["runs"] == 2


@pytest.mark.parametrize(
    ("status", "said", "found"),
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
def test_failures_and_errors_are_read_off_what_pytest_prints(status, said, found):
    assert measure.outcome(status, said, "") == found


@pytest.mark.parametrize(("status", "said"), [(0, "no tests ran"), (1, "no tests ran"), (2, "12 passed"), (-9, "12 passed")])
def test_a_process_that_did_not_run_the_tier_counts_as_nothing(status, said):
    with pytest.raises(RuntimeError, match="did not run"):
        measure.outcome(status, said, "out of memory")


def test_the_commit_that_is_counted_is_named_unless_the_code_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "ROOT", tmp_path)
    assert code.commit() == ""
    (tmp_path / "reports").mkdir()
    for name in ("a.py", "reports/b.md"):
        (tmp_path / name).write_text("x = 1\n")
    for line in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *line.split()], cwd=tmp_path, check=True)
    (tmp_path / "reports" / "b.md").write_text("x = 2\n")
    assert re.fullmatch("[0-9a-f]{7,}", code.commit())
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code.commit() == ""


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
    monkeypatch.setattr(code, "ROOT", tmp_path)
    before = code.digest("tests/x")
    for name, matters in (("studies/other", False), ("tests/x/test_b", False), ("studies/two", True), ("tests/x/test_a", True)):
        path = tmp_path / f"{name}.py"
        path.write_text(path.read_text() + "y = 2\n")
        assert (code.digest("tests/x") != before) is matters, name
        path.write_text(files[f"{name}.py"])
    monkeypatch.setattr(code, "PACKAGES", ("numpy",))
    assert code.digest("tests/x") != before


def test_counts_of_a_folder_that_has_been_renamed_stay(tmp_path):
    kept = {"tests/conformance": [{"code": "a", "commit": "abc1234", "versions": "v", "runs": 3, "passed": 9, "failed": {}}]}
    (tmp_path / "flakiness.json").write_text(json.dumps(kept))
    measure.add(tmp_path, "tests/samplers", "b", "abc1235", 2, 8, [])
    assert counts.counted(tmp_path)["tests/conformance"] == kept["tests/conformance"]
    assert "| `tests/conformance` | a folder of earlier code | abc1234 | 3 | 3 | 9 | 0 |" in (tmp_path / "flakiness.md").read_text()


def test_every_folder_with_statistical_tests_is_counted():
    """A test with a parameter ``seed`` is statistical, unless Hypothesis draws the seed."""
    files = (path for path in (code.ROOT / "tests").rglob("test_*.py") if takes_the_fixture(path))
    found = {path.parent.relative_to(code.ROOT).as_posix() for path in files}
    assert found == set(counts.FOLDERS), "list the folders that hold statistical tests in studies/flakiness/counts.py"


def takes_the_fixture(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    own = [f for f in functions if f.name.startswith("test_") and not any("given" in ast.unparse(d) for d in f.decorator_list)]
    return any(argument.arg == "seed" for f in own for argument in f.args.args)
