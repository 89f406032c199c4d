"""Notebooks are executed, and what they claim is asserted in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

NOTEBOOKS = {p.stem: p for p in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))}
# What a run of few draws has in place of what is published: fewer final samples, which bound their distances less closely.
SMALLER = {
    "01_why_final_samples_are_blind": {"=100_000": "=4_000", "tolerance=0.02": "tolerance=0.09"},
}


def read(name: str, smaller: dict[str, str]):
    import nbformat

    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any("assert" in cell.source for cell in cells)
    for published, fewer in smaller.items():
        assert any(published in cell.source for cell in cells), f"{name} no longer says {published}"
        for cell in cells:
            cell.source = cell.source.replace(published, fewer)
    return notebook


def test_the_smaller_runs_are_of_notebooks_that_there_are():
    assert NOTEBOOKS
    assert set(SMALLER) <= set(NOTEBOOKS)


# The first notebook takes most of the time, and `make study` executes it as it is published.
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SMALLER else n for n in NOTEBOOKS])
def test_notebook_runs(name, tmp_path, monkeypatch):
    """Every cell and every assertion, in this process and with fewer draws where the published number takes a minute."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
            for cell in read(name, SMALLER.get(name, {})).cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, f"{name}, {cell.id}", "exec"), names)
        assert pyplot.get_fignums(), "a notebook shows a picture"
    finally:
        pyplot.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_as_published(name, tmp_path):
    """From a clean kernel, with all draws; ``make test`` executes the same cells in :func:`test_notebook_runs`."""
    from nbclient import NotebookClient

    NotebookClient(read(name, {}), timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
