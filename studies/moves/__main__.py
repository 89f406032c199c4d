"""The command `python -m studies.moves`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..page import REPORTS, write
from .measure import faults, measure
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.moves", description="Measure when faults of kernels are seen.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--names", nargs="*", default=(), choices=[fault.name for fault in faults()], metavar="NAME")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    rows = measure(options.seeds, options.workers, options.names)
    print(write("moves.md", page(rows, options.seeds, f"python -m studies.moves --seeds {options.seeds}"), options.out))
    write("moves.json", json.dumps([asdict(row) for row in rows], indent=1) + "\n", options.out)


if __name__ == "__main__":
    main()
