"""The command `python -m studies.rounds`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ..page import REPORTS
from .laws import laws
from .measure import jobs, measure, refilling
from .page import page
from .public import every_job, measure_public, speed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.rounds", description="Count the rounds that a chain takes.")
    parser.add_argument("--law", action="append", default=[], help="only this law (repeatable); the others keep their measurements")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    kept = options.out / "rounds.json"
    data = json.loads(kept.read_text()) if kept.exists() else {"rows": [], "peer": [], "speed": [], "refilling": {}}
    todo = jobs(options.law)
    renewed = {job.law for job in todo}
    data["rows"] = [row for row in data["rows"] if row["law"] not in renewed and row["law"] in laws()]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for i, row in enumerate(pool.map(measure, todo, chunksize=8)):
            data["rows"].append(row)
            if i % 100 == 99:
                print(f"{i + 1} of {len(todo)}", flush=True)
                page(data, options.out)
        if not options.law:
            data["peer"] = list(pool.map(measure_public, every_job()))
    if not options.law:
        data["speed"], data["refilling"] = speed(), refilling()
    page(data, options.out)


if __name__ == "__main__":
    main()
