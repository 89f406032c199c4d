"""Which wrong samplers do the tests in use today catch? The same paths of every fault through each of them, and through ours.

    python -m studies.field

The ring in the plane, 40 steps, at 10,000 and 100,000 paths; the smaller sample is the beginning of the larger. A trusted sample
of final states, as large, is drawn by the plain sampler, anew for each fault. Every fault is saved when it is done, all of the
smaller size first, and a run that was stopped goes on there. Writes ``field.json``, ``field.md``, ``field.svg`` and the page of the
docs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exactness_samplers.faults import FAULTS, Fault

from exactness.arrays import to_numpy
from exactness.catalogue import Setting, find
from exactness.claim import Claim
from exactness.controls.judge import chosen, claim_of
from exactness.errors import BadInput
from exactness.laws import GaussianChain
from exactness.run.executors import workers
from exactness.seeds import sampler_seed

from . import field_tests as tests
from .field_tests import refutes
from .page import REPORTS, versions, write

SIZES = (10_000, 100_000)
ALARMS = (50, 10)
"""How often each test is given the plain sampler itself, at each size."""
DOCS = Path(__file__).parents[1] / "docs"
LEFT_OUT = {"label-of-another-chain": "it is about labels: another law, of which there are final states alone"}


def measure(claim: Claim, sizes: Sequence[int], seed: int) -> dict[str, Any]:
    """Each test's outcome at the last of the sizes. Those before it are the beginning of its sample: as many calls are made."""
    law, plain = claim.law, find(["ring/sequential"])[0].build(Setting())
    assert isinstance(law, GaussianChain)
    ours = tests.Ours(law, seed)
    drawn, trusted, n = [], [], 0
    for index, size in enumerate(sizes):
        # One call for each size: what a sampler repeats within a call, it repeats here.
        part, _ = claim.sample(size - n, sampler_seed(seed, claim.name, index))
        more, _ = plain.sample(size - n, sampler_seed(seed, f"trusted beside {claim.name}", index))
        drawn.append(part)
        trusted.append(to_numpy(more[:, -1]))
        n = size
    with torch.no_grad():
        found = tests.classical(law, torch.cat(drawn), np.concatenate(trusted), seed)
        for part in drawn:
            found["ours"] = ours.judge(part)
    return found


def right(number: int) -> Claim:
    """The plain sampler under another name, and so with other seeds: no test should refuse it."""
    plain = find(["ring/sequential"])[0].build(Setting())
    return Claim(f"plain {number}", plain.sample, plain.law)


class Saved:
    """The report so far, in one file, replaced whenever something was added. Kept from an earlier run if measured alike."""

    def __init__(self, target: Path, settings: dict[str, Any], fresh: bool) -> None:
        earlier = json.loads(target.read_text()) if target.exists() and not fresh else {}
        alike = earlier.get("settings") == settings
        self.target = target
        self.report: dict[str, Any] = earlier if alike else {"settings": settings, "faults": {}, "alarms": {}}
        self.report["versions"] = versions("exactness", "numpy", "scipy", "torch")

    def add(self, task: Task, found: dict[str, Any]) -> None:
        if task.number is None:
            self.report["faults"][task.name]["at"][str(task.size)] = found
        else:
            self.report["alarms"][task.name] = found
        self.target.parent.mkdir(parents=True, exist_ok=True)
        beside = self.target.with_suffix(".part")
        beside.write_text(json.dumps(self.report, indent=1) + "\n")
        beside.replace(self.target)


@dataclass(frozen=True)
class Task:
    """A fault by name, or (``number``) the plain sampler, at the last of the sizes."""

    name: str
    sizes: tuple[int, ...]
    seed: int
    number: int | None = None

    @property
    def size(self) -> int:
        return self.sizes[-1]

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(1)
        _say(f"{self.size:,} paths: {self.name}")
        if self.number is None:
            (fault,) = chosen([self.name])
            return measure(claim_of(fault, Setting()), self.sizes, self.seed)
        found = measure(right(self.number + self.size), self.sizes, self.seed)
        return {test: outcome["p_value"] for test, outcome in found.items()}


def said_of(fault: Fault) -> dict[str, Any]:
    return {"group": fault.group, "expected": fault.expected, "what": fault.what}


def study(
    faults: Sequence[Fault], sizes: Sequence[int], alarms: Sequence[int], out: Path, *,
    seed: int = 0, jobs: int = 1, fresh: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What is not there yet, size by size: the faults, then alarms on the plain sampler."""
    settings = {
        "seed": seed, "sizes": list(sizes), "alpha": tests.ALPHA, "alpha of ours": tests.OURS, "tolerance": tests.TOLERANCE,
        "subsample": tests.SUBSAMPLE, "permutations": tests.PERMUTATIONS, "bins": tests.BINS, "law": "ring",
    }  # fmt: skip
    saved = Saved(out / "field.json", settings, fresh)
    report, wanted = saved.report, [f for f in faults if f.name not in LEFT_OUT]
    # In the catalogue's order. What is said of a fault may have been put better since; what was measured stays.
    known = {f.name: said_of(f) | {"at": {}} for f in wanted} | report["faults"]
    report["faults"] = {f.name: known[f.name] | said_of(f) for f in FAULTS if f.name in known}
    plain = {n: [Task(f"{n}/{i}", (n,), seed, i) for i in range(count)] for n, count in zip(sizes, alarms, strict=True)}
    with workers(jobs) as submit:
        for i, size in enumerate(sizes):
            tasks = [Task(f.name, tuple(sizes[: i + 1]), seed) for f in wanted if str(size) not in report["faults"][f.name]["at"]]
            if i:
                # Wrong before right, and first what fewer paths have settled least: a run that is stopped has said the most.
                tasks.sort(key=lambda task: unsettled(report["faults"][task.name], sizes[i - 1]))
            for task, found in submit(Task.run, tasks + [task for task in plain[size] if task.name not in report["alarms"]]):
                saved.add(task, found)
    report["alarms"] = {task.name: report["alarms"][task.name] for tasks in plain.values() for task in tasks}
    return report


def unsettled(fault: dict[str, Any], n: int) -> tuple[bool, int]:
    """Whether it is right, and how many tests refute it at n."""
    outcomes = fault["at"][str(n)].items()
    return fault["expected"] == "exact", sum(refutes(outcome["p_value"], tests.alpha_of(test)) for test, outcome in outcomes)


def main(arguments: Sequence[str] | None = None) -> None:
    from .field_page import publish

    parser = argparse.ArgumentParser(prog="python -m studies.field", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("faults", nargs="*", help="names (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="paths, from few to many")
    parser.add_argument("--alarms", type=int, nargs="+", default=ALARMS, help="runs of the plain sampler at each size")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--pages", action="store_true", help="measure nothing: write the pages of what is in field.json")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of field.json, field.md and field.svg")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of field_study.md")
    options = parser.parse_args(arguments)
    if len(options.alarms) != len(options.sizes) or list(options.sizes) != sorted(set(options.sizes)) or min(options.sizes) < 16:
        parser.error("--sizes must grow, from 16 paths at least, and --alarms must give one number for each")
    try:
        faults = chosen(options.faults)
    except BadInput as error:
        parser.error(str(error))
    if options.pages:
        publish(json.loads((options.out / "field.json").read_text()), options.out, options.docs)
        return
    report = study(faults, options.sizes, options.alarms, options.out, seed=options.seed, jobs=options.jobs, fresh=options.fresh)
    write("field.json", json.dumps(report, indent=1) + "\n", options.out)
    publish(report, options.out, options.docs)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
