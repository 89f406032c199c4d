"""The command `python -m studies.calibrate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..page import REPORTS, write
from .cases import cases
from .measure import STAGED, calibrate, count_refuted, stage_cost, together
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.calibrate", description="Measure the error rates of all tests.")
    parser.add_argument("--certificates", type=int, default=2_000, help="certificates of exact samplers per law")
    parser.add_argument("--strict", type=int, default=10_000, help="certificates at alpha 1e-6, over all laws")
    parser.add_argument("--staged", type=int, default=20, help="certificates for the cost of stages")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=REPORTS)
    parser.add_argument("--of", choices=cases(), action="append", help="only this law (repeatable); the others keep their counts")
    options = parser.parse_args(arguments)
    n, workers = options.certificates, options.workers
    names, share = list(dict.fromkeys(options.of or cases())), options.strict // len(cases()) + 1
    new = {
        "rows": [asdict(row) for name in names for row in calibrate(name, n, workers)],
        "family": [(name, alpha, count_refuted(name, alpha, n, workers), n) for name in names for alpha in cases()[name].alphas],
        "strict": {name: (count_refuted(name, 1e-6, share, workers), share) for name in names},
        "stages": {name: stage_cost(name, 0.05, options.staged) for name in STAGED if name in names},
    }
    before = json.loads((options.out / "calibration.json").read_text()) if options.of else {}
    data = together(before, new, names)
    print(write("calibration.md", page(data, n), options.out))
    write("calibration.json", json.dumps(data, indent=1) + "\n", options.out)


if __name__ == "__main__":
    main()
