"""A folder per study, the same files in each, and no import cycle."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.parent.name for path in (ROOT / "studies").glob("*/__main__.py"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules that a file imports, at its top or inside a function."""
    package, names = path.relative_to(ROOT).parent.parts, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = [*above, *filter(None, [node.module])]
            names |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return names & modules - {module(path)}


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """What is left after removing, again and again, the modules that import nothing that is left: empty where there is no cycle."""
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_studies_have_no_import_cycle():
    files = {module(path): path for path in (ROOT / "studies").rglob("*.py")}
    graph = {name: imported(path, set(files)) for name, path in files.items()}
    assert "studies.peers" in graph["studies.field.tests"] & graph["studies.power.mixture"]
    assert cycle(graph) == []


def test_a_cycle_would_be_noticed():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_every_folder_is_a_study_with_the_same_files():
    folders = {path.name for path in (ROOT / "studies").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(STUDIES)
    for name in STUDIES:
        for file in ("__init__.py", "measure.py", "page.py"):
            assert (ROOT / "studies" / name / file).exists(), (name, file)


def test_a_cheap_study_runs_as_a_command(tmp_path):
    """From the command line to the page, with the least effort."""
    command = [sys.executable, "-m", "studies.tails", "--certificates", "2", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Command: `python -m studies.tails`" in (tmp_path / "tails.md").read_text()
