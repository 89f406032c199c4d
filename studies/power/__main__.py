"""The command `python -m studies.power`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write
from .measure import PARTS, study
from .page import markdown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.power", description="Compare power with the tests in use today.")
    parser.add_argument("--quick", action="store_true", help="a few repetitions of everything, in under a minute")
    parser.add_argument("--parts", default="ABCD", help="which of A, B, C and D (default: all)")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of power.json and power.md")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="measure rows with this in their names; the others stay as power.json has them")
    chosen = parser.parse_args(arguments)
    if not set(chosen.parts) <= set(PARTS) or not chosen.parts:
        parser.error(f"--parts must name some of {''.join(PARTS)}, not {chosen.parts!r}")
    for report in study(sorted(set(chosen.parts)), chosen.out / "power.json", chosen.seed, chosen.quick, chosen.only):
        write("power.json", json.dumps(report, indent=1) + "\n", chosen.out)
        write("power.md", markdown(report), chosen.out)


if __name__ == "__main__":
    main()
