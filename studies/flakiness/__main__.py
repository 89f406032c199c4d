"""The command `python -m studies.flakiness`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS
from .counts import FOLDERS
from .measure import count_runs


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.flakiness", description="Count failures of the statistical tests.")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--of", choices=FOLDERS, help="which folder of tests (default: all folders, one after the other)")
    parser.add_argument("--each", type=int, default=20, help="runs per process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600.0, help="start no further process after this time")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    for folder in [options.of] if options.of else FOLDERS:
        count_runs(folder, options)


if __name__ == "__main__":
    main()
