"""The command `python -m studies.judging`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ..page import REPORTS, write
from .measure import PATHS, ratios
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.judging", description="Measure what judging adds to sampling.")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [ratios(problem, paths, options.repeats) for problem, paths in PATHS.items()]
    write("judging.json", json.dumps(rows, indent=1) + "\n", options.out)
    print(write("judging.md", page(rows, options.repeats), options.out))


if __name__ == "__main__":
    main()
