"""The command `python -m studies.smollm2`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..page import REPORTS
from .measure import measured
from .page import write_page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.smollm2", description="Certify generation with SmolLM2-135M.")
    parser.add_argument("--plain", type=int, default=240, help="sequences of plain generation")
    parser.add_argument("--assisted", type=int, default=64, help="sequences of assisted generation, which takes one at a time")
    parser.add_argument("--lossy", type=int, default=40, help="sequences of assisted generation with an ensemble")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the page")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(write_page(measured(options.plain, options.assisted, options.lossy), options.out))


if __name__ == "__main__":
    main()
