"""The command `python -m studies.sbc`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write
from .figure import figure
from .measure import rows
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.sbc", description="Judge the tests of posterior samplers in use today."
    )
    parser.add_argument("--runs", type=int, default=40, help="runs of each method on each right kernel; 10 on wrong ones")
    parser.add_argument("--page", action="store_true", help="only write the page again, from the numbers in sbc.json")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    if options.page:
        report = json.loads((options.out / "sbc.json").read_text())
    else:
        report = []
        for row in rows(options.runs):
            print(row["kernel"], row["method"], f"{row['refused']}/{row['runs']}", row["needs"], flush=True)
            report.append(row)
        write("sbc.json", json.dumps(report, indent=1) + "\n", options.out)
    figure(report, options.out / "sbc.svg")
    print(write("sbc.md", page(report), options.out))


if __name__ == "__main__":
    main()
