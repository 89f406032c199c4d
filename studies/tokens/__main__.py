"""The command `python -m studies.tokens`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS
from .measure import ALARMS, SEEDS, study
from .page import page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.tokens", description="Count the sequences until wrong verifiers show.")
    parser.add_argument("--law", action="append", default=[], choices=list(SEEDS), help="only this law (repeatable)")
    parser.add_argument("--seeds", type=int, help="seeds of each law")
    parser.add_argument("--alarms", type=int, default=ALARMS, help="runs of each test on each right rule")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin nothing new after this time")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--pages", action="store_true", help="measure nothing, and write the page from tokens.json")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    if options.pages:
        page(json.loads((options.out / "tokens.json").read_text()), options.out)
        return
    seeds = {law: options.seeds or count for law, count in SEEDS.items() if not options.law or law in options.law}
    report = study(options.out, seeds=seeds, alarms=options.alarms, minutes=options.minutes, jobs=options.jobs, fresh=options.fresh)
    page(report, options.out)


if __name__ == "__main__":
    main()
