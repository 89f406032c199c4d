"""The command `python -m studies.overhead`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..page import REPORTS
from .measure import compiled_residual, in_jax, in_torch
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.overhead", description="Measure the cost of speculation.")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = {
        "torch": in_torch(options.repeats),
        "jax": in_jax(options.repeats),
        "compiled": compiled_residual(options.repeats),
    }
    print(page(data, options.out))


if __name__ == "__main__":
    main()
