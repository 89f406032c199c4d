"""What every page of a study says: its command, its seed, its versions."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

REPORTS = Path(__file__).parents[1] / "reports"


def versions(*packages: str) -> str:
    """Python and packages that are installed, in one line."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"Python {platform.python_version()}, {', '.join(found)}; {platform.system()} {platform.machine()}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: int = 0) -> str:
    """Markdown; the last ``right`` columns are aligned to the right, as numbers are."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * (len(head) - right)}{'---:|' * right}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def write(name: str, text: str, folder: Path = REPORTS) -> Path:
    """In one go: a study that is killed meanwhile leaves the page of before."""
    folder.mkdir(parents=True, exist_ok=True)
    target, new = folder / name, folder / f".{name}.new"
    new.write_text(text)
    return new.replace(target)
