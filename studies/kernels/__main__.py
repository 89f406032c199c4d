"""The command `python -m studies.kernels`."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write
from .measure import measured
from .page import page

# Each has its cases in `rows_<library>.py`.
LIBRARIES = ("numpyro", "blackjax", "pymc")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.kernels", description="Judge the kernels of libraries.")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES, help="rows of others stay as they are")
    parser.add_argument("--only", default="", help="only the cases whose target or kernel contains this text")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    saved = options.out / "kernels.json"
    rows = {_key(row): row for row in json.loads(saved.read_text())["rows"]} if saved.exists() else {}
    for library in options.libraries:
        cases = importlib.import_module(f".rows_{library}", __package__).cases()
        for row in measured(case for case in cases if options.only in f"{case.target} {case.kernel}"):
            rows[_key(row)] = row
            print(*(f"{key}={value}" for key, value in row.items()), flush=True)
            # What was measured stays if the study is stopped.
            write("kernels.json", json.dumps({"rows": list(rows.values())}, indent=1) + "\n", options.out)
    print(write("kernels.md", page(list(rows.values())), options.out))


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row["library"], row["target"], row["kernel"]


if __name__ == "__main__":
    main()
