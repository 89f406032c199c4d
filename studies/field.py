"""Which wrong samplers do the tests in use today catch? The same paths of every fault through each of them, and through ours.

    python -m studies.field

The ring in the plane, 40 steps, at 10,000 and 100,000 paths; the smaller sample is the beginning of the larger. A trusted sample
of final states, as large, is drawn by the plain sampler, anew for each fault. Every fault is saved when it is done, and a run that
was stopped goes on there. Writes ``field.json``, ``field.md`` and ``field.svg``, and beside them the page of the docs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exactness.arrays import to_numpy
from exactness.catalogue import Setting, find
from exactness.claim import Claim
from exactness.controls.judge import chosen, claim_of
from exactness.errors import BadInput
from exactness.laws import GaussianChain
from exactness.seeds import sampler_seed
from exactness.workers import workers
from samplers.faults import FAULTS, Fault

from . import field_tests as tests
from .page import REPORTS, versions, write

SIZES = (10_000, 100_000)
ALARMS = (100, 10)
"""How often each test is given the plain sampler itself, at each size."""
DOCS = Path(__file__).parents[1] / "docs"
LEFT_OUT = {"label-of-another-chain": "it is about labels: another law, of which there are final states alone"}


def measure(claim: Claim, sizes: Sequence[int], seed: int) -> dict[str, Any]:
    """Each test's outcome at each size, on the same paths."""
    law, plain = claim.law, find(["ring/sequential"])[0].build(Setting())
    assert isinstance(law, GaussianChain)
    ours = tests.Ours(law, seed)
    found: dict[str, Any] = {"sampling": 0.0, "at": {}}
    paths, trusted, n = torch.empty(0), np.empty((0, law.dim)), 0
    for index, size in enumerate(sizes):
        started = time.process_time()
        # One call for each size: what a sampler repeats within a call, it repeats here.
        part, _ = claim.sample(size - n, sampler_seed(seed, claim.name, index))
        found["sampling"] = round(found["sampling"] + time.process_time() - started, 3)
        more, _ = plain.sample(size - n, sampler_seed(seed, f"trusted beside {claim.name}", index))
        paths, trusted, n = torch.cat([paths, part]), np.concatenate([trusted, to_numpy(more[:, -1])]), size
        with torch.no_grad():
            outcomes = tests.classical(law, paths, trusted, seed) | {"ours": ours.judge(part)}
        found["at"][str(size)] = outcomes
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

    def add(self, kind: str, name: str, found: dict[str, Any]) -> None:
        self.report[kind][name] = found
        self.target.parent.mkdir(parents=True, exist_ok=True)
        beside = self.target.with_suffix(".part")
        beside.write_text(json.dumps(self.report, indent=1) + "\n")
        beside.replace(self.target)


@dataclass(frozen=True)
class Task:
    """A fault by name at all sizes, or (``number``) the plain sampler at one."""

    name: str
    sizes: tuple[int, ...]
    seed: int
    number: int | None = None

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(1)
        _say(self.name)
        if self.number is None:
            (fault,) = chosen([self.name])
            return said_of(fault) | measure(claim_of(fault, Setting()), self.sizes, self.seed)
        (size,) = self.sizes
        found = measure(right(self.number + size), self.sizes, self.seed)["at"][str(size)]
        return {test: outcome["p_value"] for test, outcome in found.items()}


def said_of(fault: Fault) -> dict[str, Any]:
    return {"group": fault.group, "expected": fault.expected, "what": fault.what}


def study(
    faults: Sequence[Fault], sizes: Sequence[int], alarms: Sequence[int], out: Path, *,
    seed: int = 0, jobs: int = 1, fresh: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What is not there yet: the faults, then alarms on the plain sampler."""
    settings = {
        "seed": seed, "sizes": list(sizes), "alpha": tests.ALPHA, "alpha of ours": tests.OURS, "tolerance": tests.TOLERANCE,
        "subsample": tests.SUBSAMPLE, "permutations": tests.PERMUTATIONS, "bins": tests.BINS, "law": "ring",
    }  # fmt: skip
    saved = Saved(out / "field.json", settings, fresh)
    report = saved.report
    tasks = [Task(f.name, tuple(sizes), seed) for f in faults if f.name not in (*LEFT_OUT, *report["faults"])]
    plain = [Task(f"{n}/{i}", (n,), seed, i) for n, count in zip(sizes, alarms, strict=True) for i in range(count)]
    tasks += [task for task in plain if task.name not in report["alarms"]]
    with workers(jobs) as submit:
        for task, found in submit(Task.run, tasks):
            saved.add("faults" if task.number is None else "alarms", task.name, found)
    # In the catalogue's order. What is said of a fault may have been put better since; what was measured stays.
    report["faults"] = {f.name: report["faults"][f.name] | said_of(f) for f in FAULTS if f.name in report["faults"]}
    report["alarms"] = {task.name: report["alarms"][task.name] for task in plain}
    return report | {"versions": versions("exactness", "numpy", "scipy", "torch")}


def main(arguments: Sequence[str] | None = None) -> None:
    from .field_page import publish

    parser = argparse.ArgumentParser(prog="python -m studies.field", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("faults", nargs="*", help="names (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="paths, from few to many")
    parser.add_argument("--alarms", type=int, nargs="+", default=ALARMS, help="runs of the plain sampler at each size")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of field.json, field.md and field.svg")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of field_study.md")
    options = parser.parse_args(arguments)
    if len(options.alarms) != len(options.sizes) or list(options.sizes) != sorted(set(options.sizes)) or min(options.sizes) < 16:
        parser.error("--sizes must grow, from 16 paths at least, and --alarms must give one number for each")
    try:
        faults = chosen(options.faults)
    except BadInput as error:
        parser.error(str(error))
    report = study(faults, options.sizes, options.alarms, options.out, seed=options.seed, jobs=options.jobs, fresh=options.fresh)
    write("field.json", json.dumps(report, indent=1) + "\n", options.out)
    publish(report, options.out, options.docs)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
