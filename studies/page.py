"""Helpers that all pages share: the versions, tables, figures, and where a page is written."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"
DOCS = ROOT / "docs"


def versions(*packages: str) -> str:
    """The versions of Python and of the given packages, in one line."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"Python {platform.python_version()}, {', '.join(found)}; {platform.system()} {platform.machine()}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: int = 0) -> str:
    """A table in Markdown; the last ``right`` columns are aligned to the right, because they hold numbers."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * (len(head) - right)}{'---:|' * right}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def write(name: str, text: str, folder: Path = REPORTS) -> Path:
    """Write a file in one step, so that a study that is killed meanwhile leaves the earlier file in place."""
    folder.mkdir(parents=True, exist_ok=True)
    target, new = folder / name, folder / f".{name}.new"
    new.write_text(text)
    return new.replace(target)


def pyplot() -> Any:
    """matplotlib's pyplot, set up so that the same numbers always give the same SVG file."""
    import matplotlib

    matplotlib.use("svg")
    # Without a fixed salt the identifiers inside the file are random.
    matplotlib.rcParams["svg.hashsalt"] = "exactness"
    from matplotlib import pyplot as plt

    return plt


def save(figure: Any, target: Path) -> None:
    """Write a figure without a date, and close it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    pyplot().close(figure)
