"""The code of the README and of every page of docs/ runs, prints what the page says, and names files that exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from exactness.catalogue import entries
from tests.conftest import module_or_skip

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
LIBRARIES = ("torch", "diffusers", "hypothesis", "numpyro", "blackjax")


def blocks_of(page: Path) -> list[tuple[str, str | None]]:
    """The Python blocks of a page, each with the text block that follows it at once: what it prints."""
    found = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page.read_text(), flags=re.DOTALL)
    return [(code, printed or None) for code, printed in found]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_in_order_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(page)
    for library in LIBRARIES:
        if any(re.search(rf"^(import|from) {library}\b", code, flags=re.MULTILINE) for code, _ in blocks):
            module_or_skip(library)
    namespace: dict = {"__name__": page.stem}
    for code, printed in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(page), "exec"), namespace)
        assert printed is None or output.getvalue() == printed
    if page.stem == "walk":
        assert "<svg" in (tmp_path / "report.html").read_text()


def test_the_readme_is_short_and_shows_three_verdicts():
    assert len(README.read_bytes()) < 6_000
    assert [printed.split()[0].rstrip(":") for _, printed in blocks_of(README) if printed] == ["certified"] * 3


def test_the_counts_are_those_of_the_catalogue():
    exact = sum(e.kind != "control" for e in entries())
    controls = sum(e.kind == "control" for e in entries())
    assert f"{exact} samplers and {controls} controls" in README.read_text()


def test_every_word_of_the_glossary_is_explained_once():
    words = re.findall(r"^\| \*\*(.+?)\*\* \| ", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE)
    assert len(words) == len(set(words)) > 17


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "tests" / "golden" / "README.md"], ids=lambda p: p.stem)
def test_every_file_that_is_named_exists(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:exactness|samplers|tests|notebooks|docs)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path
