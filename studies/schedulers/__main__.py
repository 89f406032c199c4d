"""The command `python -m studies.schedulers`."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ..page import REPORTS
from .measure import ALPHA, STEPS, Row, cases, finals_of, paths_of
from .page import page

FINALS, PATHS, MANY = 20_000, 2_500, 50_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.schedulers", description="Judge the schedulers of diffusers.")
    parser.add_argument("--quick", action="store_true", help="few draws and few steps, to see that it runs")
    parser.add_argument(
        "--parts", default="paths,finals,cases", help="the parts to measure; the others stay as schedulers.json has them"
    )
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    steps = STEPS[:2] if options.quick else STEPS
    n, paths, many = (1_000, 500, 5_000) if options.quick else (FINALS, PATHS, MANY)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "paths": lambda: paths_of(steps, paths),
        "finals": lambda: finals_of(steps, n),
        "cases": lambda: cases(many),
    }
    target = options.out / "schedulers.json"
    before = json.loads(target.read_text()) if target.exists() else {"parts": {}, "seconds": {}}
    data = {**before, "finals": n, "paths": paths, "alpha": ALPHA}
    for part in options.parts.split(","):
        started = time.process_time()
        data["parts"][part] = list(parts[part]())
        data["seconds"][part] = time.process_time() - started
    print(page(data, options.out))


if __name__ == "__main__":
    main()
