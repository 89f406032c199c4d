"""The command `python -m studies.controls`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from exactness.controls import Matrix

from ..page import REPORTS, write
from .measure import Backend, kept_beside, measure
from .page import outcome, page

FILES: dict[Backend, str] = {"torch": "controls.json", "jax": "controls_jax.json"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.controls", description="Judge every wrong sampler, test by test.")
    parser.add_argument("--backends", default="torch,jax", help="which are measured; the others stay as published")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--folder", type=Path, default=Path("controls"), help="folder of the records, from which a run continues")
    parser.add_argument("--names", nargs="*", default=[], help="only these samplers; the records of the others stay as published")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    found: dict[str, Matrix] = {}
    for backend, file in FILES.items():
        if backend in options.backends.split(","):
            found[backend] = measure(
                backend, options.names, options.jobs, options.folder, lambda r: print(f"{r.name}: {outcome(r)}", flush=True)
            )
            if options.names and (options.out / file).exists():
                found[backend] = kept_beside(found[backend], Matrix.load(options.out / file))
            found[backend].save(options.out / file)
        elif (options.out / file).exists():
            # What was measured before stays on the page, with its date.
            found[backend] = Matrix.load(options.out / file)
    print(write("controls.md", page(found), options.out))


if __name__ == "__main__":
    main()
