"""Would it notice? Every wrong sampler of both backends, test by test; the page says what took how many draws.

    python -m studies.controls [--backends torch,jax] [--jobs 2] [--folder FOLDER]

Test by test it is torch's samplers that are looked at; JAX's are judged until all tests together refute them, with 128,000 paths at
most, since most of their time is compilation.
A run that was killed goes on where it was, if it is given the same folder. The tests judge each wrong sampler at the draws that
are written here (`reports/controls.json`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from exactness.catalogue import Setting
from exactness.controls import Matrix, Record, run_faults
from exactness.run.faults import BUDGET, PATIENCE
from exactness.show.report.matrix import short

from .page import REPORTS, table, versions, write

FILES = {"torch": "controls.json", "jax": "controls_jax.json"}
PLANS = {"torch": BUDGET, "jax": msgspec.structs.replace(BUDGET, max_paths=128_000)}
PATIENCES = {"torch": PATIENCE, "jax": 1}


def page(found: dict[str, Matrix]) -> str:
    first = next(iter(found.values()))
    smallest = first.smallest_set()
    text = [
        "# Would it notice?\n",
        "Every wrong sampler of `samplers/exactness_samplers/faults/`, and those that only look wrong, on the ring of eight "
        "Gaussians in the plane "
        f"(DDPM, 40 steps; labels on the labelled mixture): alpha {first.plan.alpha:g} each, stages of {first.plan.stages[0]:,} "
        f"paths doubled up to {first.plan.max_paths:,}, seed {first.seed}. `all` is what all tests together take, which pay for "
        "their number; beside it stand the tests that refute soonest alone. A test was looked at until 32 times the draws at which "
        f"all together refuted; JAX's samplers are judged until then, with {PLANS['jax'].max_paths:,} paths at most. "
        "Made by `python -m studies.controls`; the whole matrix, test by test, is in `controls.json` "
        "(`exactness report reports/controls.json -o page.html` shows it).\n",
        f"{versions('exactness', 'numpy', 'scipy', 'torch', 'jax')}.\n",
        table(
            ["backend", "wrong samplers caught", "right ones refuted", "not to be asked", "time of its jobs"],
            [
                (
                    name,
                    "{} of {}".format(*m.score),
                    "{} of {}".format(*m.false_alarms),
                    len(m.beyond),
                    f"{sum(r.seconds for r in m.records) / 60:.0f} min",
                )
                for name, m in found.items()
            ],
            right=4,
        ),
        "The time is the sum over samplers of one job each, on a machine of two cores that had other work.\n",
        f"## What sees what\n\nThe fewest tests that catch all that any of them does: {', '.join(f'*{t}*' for t in smallest)}.\n",
        table(
            ["test, alone", "wrong samplers refuted"], [(t, "{} of {}".format(*first.score_of(t))) for t in first.tests], right=1
        ),
        "## Sampler by sampler\n",
    ]
    heads = ["sampler", *(f"all, {name}" for name in found), "soonest alone"]
    for group in dict.fromkeys(r.group for r in first.records):
        text.append(f"### {group[0].upper()}{group[1:]}\n")
        rows = []
        for r in (r for r in first.records if r.group == group):
            cells = [outcome(same) if (same := by_name(m, r.name)) else "not run" for m in found.values()]
            rows.append((f"**{r.name}** {r.what}", *cells, soonest(r)))
        text.append(table(heads, rows))
    if first.beyond:
        text.append("## What no test can be asked to see\n")
        text += [f"* **{r.name}**: {r.beyond} (alpha {first.plan.alpha:g}, {first.plan.max_paths:,} paths)." for r in first.beyond]
        text.append(
            "\nThe bound is Neyman and Pearson's: the likelihood-ratio test where it is known, else the data processing inequality "
            "(`exactness/controls/limits.py`).\n"
        )
    return "\n".join(text)


def by_name(matrix: Matrix, name: str) -> Record | None:
    return next((r for r in matrix.records if r.name == name), None)


def outcome(r: Record) -> str:
    if r.caught_at is not None:
        return short(r.caught_at)
    return "passes" if r.expected == "exact" else f"not in {short(r.paths)}"


def soonest(r: Record) -> str:
    seen = sorted((n, test) for test, n in r.alone.items() if n is not None)[:3]
    return ", ".join(f"{test} {short(n)}" for n, test in seen)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", default="torch,jax")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("controls"))
    parser.add_argument("--names", nargs="*", default=[], help="of some samplers alone")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    found = {}
    for backend in options.backends.split(","):
        found[backend] = run_faults(
            options.names, plan=PLANS[backend], patience=PATIENCES[backend], setting=Setting(backend=backend), jobs=options.jobs,
            folder=options.folder, resume=True,
            done=lambda r: print(f"{r.name}: {outcome(r)}", flush=True),
        )  # fmt: skip
        found[backend].save(options.out / FILES[backend])
    print(write("controls.md", page(found), options.out))


if __name__ == "__main__":
    main()
