"""Notebooks are executed from a clean kernel, and what they claim is asserted in them."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = {p.stem: p for p in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))}
# What a run of few draws has in place of what is published: fewer final samples, which bound their distances less closely.
SMALLER = {"01_why_final_samples_are_blind": {"=100_000": "=20_000", "tolerance=0.02": "tolerance=0.04"}}


def execute(name: str, folder: Path, smaller: dict[str, str]) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any("assert" in cell.source for cell in cells)
    for published, fewer in smaller.items():
        assert any(published in cell.source for cell in cells), f"{name} no longer says {published}"
        for cell in cells:
            cell.source = cell.source.replace(published, fewer)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


def test_the_smaller_runs_are_of_notebooks_that_there_are():
    assert NOTEBOOKS
    assert set(SMALLER) <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name, tmp_path):
    """Every cell and every assertion, with fewer draws where the published number takes a minute."""
    execute(name, tmp_path, SMALLER.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_notebook_runs_with_the_published_draws(name, tmp_path):
    """As it is published; ``make test`` executes the same cells with fewer draws in :func:`test_notebook_runs`."""
    execute(name, tmp_path, {})
