"""The command `python -m studies.characters`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from exactness_samplers import weights

from ..page import REPORTS
from .measure import measured
from .page import write_page
from .train import train


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.characters", description="Train the character models and measure them."
    )
    parser.add_argument("--page", action="store_true", help="train nothing, and write the page from the weights that are there")
    parser.add_argument("--weights", type=Path, default=weights.path(weights.CHARACTERS).parent, help="folder of the weights")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the page")
    options = parser.parse_args(arguments)
    # With one core, sums are always taken in the same order, and the machine stays usable.
    torch.set_num_threads(1)
    if not options.page:
        train(options.weights)
    print(write_page(measured(options.weights), options.out))


if __name__ == "__main__":
    main()
