"""The page of `studies.flakiness`."""

from __future__ import annotations

import json
from pathlib import Path

from scipy.stats import beta

from ..page import table, write
from .counts import FOLDERS, Count, in_order


def write_pages(out: Path, kept: dict[str, list[Count]]) -> None:
    """Write flakiness.json and flakiness.md."""
    write("flakiness.json", json.dumps(kept, indent=1) + "\n", out)
    write("flakiness.md", page(kept), out)


def page(kept: dict[str, list[Count]]) -> str:
    text = "# Flakiness of the statistical tests\n\n"
    text += "Command: `python -m studies.flakiness --of FOLDER`. "
    text += "; ".join(dict.fromkeys(count["versions"] for counts in kept.values() for count in counts)) + ".\n\n"
    text += (
        "Every test marked `statistical` (each test that takes a seed), except the slow tier, is run with seeds from the operating "
        "system's entropy. Runs of the same code add up, whatever else the commits in between changed; other code has a row of its "
        "own, the latest first. **commit** is where that code can be read. **at most** bounds, at 95% confidence, how often a run "
        "of the folder has a failure.\n\n"
    )
    head = ("folder", "what it tests", "commit", "tests a run", "runs", "tests run", "failures", "at most")
    rows = [(f"`{of}`", about, "", "", "not counted yet", "", "", "") for of, about in FOLDERS.items() if of not in kept]
    counts = [(of, count) for of in in_order(kept) for count in reversed(kept[of])]
    text += table(head, [*(_row(of, count) for of, count in counts), *rows], right=5)
    failures = [(test, count["commit"] or "none", times) for _, count in counts for test, times in sorted(count["failed"].items())]
    return text + ("\n" + table(("test and seed", "commit", "failures"), failures) if failures else "")


def _row(folder: str, count: Count) -> tuple[object, ...]:
    bad, runs = sum(count["failed"].values()), count["runs"]
    total = count["passed"] + bad
    # Clopper and Pearson 1934, for the chance that a run of the folder has a failure, whichever test fails.
    most = 1.0 if bad >= runs else float(beta.ppf(0.95, bad + 1, runs - bad))
    about = FOLDERS.get(folder, "a folder of earlier code")
    return f"`{folder}`", about, count["commit"] or "none", f"{total / runs:.0f}", f"{runs:,}", f"{total:,}", bad, f"{most:.1e}"
