"""The command `python -m studies.memory`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write
from .measure import SIZES, measure, one
from .page import figure, page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.memory", description="Measure memory and time of a certificate.")
    parser.add_argument("--one", type=int, help="judge this many paths in this process and print what it took")
    parser.add_argument("--most", type=int, default=max(SIZES), help="leave out larger numbers of paths")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one(options.one)))
        return
    points = [measure(n) for n in SIZES if n <= options.most]
    if not points:
        parser.error(f"--most must be at least {min(SIZES):,}")
    write("memory.json", json.dumps(points, indent=1) + "\n", options.out)
    figure(points, options.out / "memory.svg")
    print(write("memory.md", page(points), options.out))


if __name__ == "__main__":
    main()
