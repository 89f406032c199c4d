"""The README's blocks run, in order, in one namespace; its figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from exactness.catalogue import entries

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CI = (ROOT / "docs" / "ci.md").read_text()


def test_the_walk_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 7
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_the_property_test_of_the_recipe_runs():
    (block,) = re.findall(r"```python\n(.*?)```", CI, flags=re.DOTALL)
    exec(compile(block, "docs/ci.md", "exec"), {"__name__": "ci"})


def test_the_counts_are_those_of_the_catalogue():
    exact = sum(e.kind != "control" for e in entries())
    controls = sum(e.kind == "control" for e in entries())
    assert f"judges {exact} samplers" in README
    assert f"{controls} times a wrong sampler" in README.replace("\n", " ")


def test_every_file_that_is_named_exists():
    for document in ("README.md", "CONTRIBUTING.md", "docs/ci.md", "tests/golden/README.md"):
        text = (ROOT / document).read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / document).parent.joinpath(link).exists(), (document, link)
        for path in re.findall(r"`((?:exactness|samplers|tests|notebooks|docs)/[\w/.]*)`", text):
            assert (ROOT / path).exists(), (document, path)
