"""The command `python -m studies.tails`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write
from .measure import measured
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.tails", description="Measure the tail of the one asymptotic null.")
    parser.add_argument("--certificates", type=int, default=1_500, help="samples per law and bandwidth")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    print(write("tails.md", page(list(measured(options.certificates))), options.out))


if __name__ == "__main__":
    main()
