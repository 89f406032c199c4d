"""The command `python -m studies.field`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from exactness.controls.judge import chosen
from exactness.errors import BadInput

from ..page import DOCS, REPORTS, write
from .measure import ALARMS, SIZES, study
from .page import publish


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.field", description="Run the tests in use today on every fault.")
    parser.add_argument("faults", nargs="*", help="names (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of paths, from few to many")
    parser.add_argument("--alarms", type=int, nargs="+", default=ALARMS, help="runs of the plain sampler at each size")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--pages", action="store_true", help="measure nothing, and write the pages from field.json")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of field.json, field.md and field.svg")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of field_study.md")
    options = parser.parse_args(arguments)
    if len(options.alarms) != len(options.sizes) or list(options.sizes) != sorted(set(options.sizes)) or min(options.sizes) < 16:
        parser.error("--sizes must increase and start at 16 paths or more, and --alarms must give one number per size")
    try:
        faults = [fault for fault in chosen(options.faults) if fault.family == "chains"]
    except BadInput as error:
        parser.error(str(error))
    if options.pages:
        publish(json.loads((options.out / "field.json").read_text()), options.out, options.docs)
        return
    report = study(faults, options.sizes, options.alarms, options.out, seed=options.seed, jobs=options.jobs, fresh=options.fresh)
    write("field.json", json.dumps(report, indent=1) + "\n", options.out)
    publish(report, options.out, options.docs)


if __name__ == "__main__":
    main()
