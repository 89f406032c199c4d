"""Every fault goes through every test, task by task; what is finished is saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exactness_samplers.faults import AnyFault, of_family

from exactness.arrays import to_numpy
from exactness.catalogue import Setting, find
from exactness.claim import Claim
from exactness.controls.judge import chosen, claim_of
from exactness.laws import GaussianChain
from exactness.run.executors import Lost, executor
from exactness.seeds import sampler_seed

from .. import peers
from ..page import versions
from . import tests
from .tests import refutes

SIZES = (10_000, 100_000)
ALARMS = (50, 10)
"""The number of times that each test is given the plain sampler itself, at each size."""
LEFT_OUT = {"label-of-another-chain": "it is about labels, that is another law, for which there are only final states"}


def measure(claim: Claim, sizes: Sequence[int], seed: int) -> dict[str, Any]:
    """Each test's outcome at the last of the sizes. The sampler is called once per size, and earlier sizes begin the sample."""
    law, plain = claim.law, find(["ring/sequential"])[0].build(Setting())
    assert isinstance(law, GaussianChain)
    ours = tests.Ours(law, seed)
    drawn, trusted, n = [], [], 0
    for index, size in enumerate(sizes):
        # One call per size, so that a sampler that repeats something within a call repeats it here.
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
    """The plain sampler under another name and therefore with other seeds. No test should refuse it."""
    plain = find(["ring/sequential"])[0].build(Setting())
    return Claim(f"plain {number}", plain.sample, plain.law)


class Saved:
    """The report so far, in one file that is replaced after every addition. An earlier run with the same settings is continued."""

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
    """A fault by its name, or run ``number`` of the plain sampler, at the last of the sizes."""

    name: str
    sizes: tuple[int, ...]
    seed: int
    number: int | None = None

    @property
    def size(self) -> int:
        return self.sizes[-1]

    def run(self, progress: object = None) -> dict[str, Any]:
        torch.set_num_threads(1)
        _say(f"{self.size:,} paths: {self.name}")
        if self.number is None:
            (fault,) = chosen([self.name])
            return measure(claim_of(fault, Setting()), self.sizes, self.seed)
        found = measure(right(self.number + self.size), self.sizes, self.seed)
        return {test: outcome["p_value"] for test, outcome in found.items()}


def said_of(fault: AnyFault) -> dict[str, Any]:
    return {"group": fault.group, "expected": fault.expected, "what": fault.what}


def study(
    faults: Sequence[AnyFault], sizes: Sequence[int], alarms: Sequence[int], out: Path, *,
    seed: int = 0, jobs: int = 1, fresh: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Measure what is still missing, size by size: first the faults, then false alarms on the plain sampler."""
    settings = {
        "seed": seed, "sizes": list(sizes), "alpha": tests.ALPHA, "alpha of ours": tests.OURS, "tolerance": peers.TOLERANCE,
        "subsample": peers.SUBSAMPLE, "permutations": peers.PERMUTATIONS, "bins": tests.BINS, "law": "ring",
    }  # fmt: skip
    saved = Saved(out / "field.json", settings, fresh)
    report, wanted = saved.report, [f for f in faults if f.name not in LEFT_OUT]
    # In the catalogue's order. The description of a fault may have been improved since; the measurements stay.
    known = {f.name: said_of(f) | {"at": {}} for f in wanted} | report["faults"]
    report["faults"] = {f.name: known[f.name] | said_of(f) for f in of_family("chains") if f.name in known}
    plain = {n: [Task(f"{n}/{i}", (n,), seed, i) for i in range(count)] for n, count in zip(sizes, alarms, strict=True)}
    with executor(jobs) as workers:
        for i, size in enumerate(sizes):
            tasks = [Task(f.name, tuple(sizes[: i + 1]), seed) for f in wanted if str(size) not in report["faults"][f.name]["at"]]
            if i:
                # Wrong samplers come first, and among them those that fewer paths settle least, in case the run is stopped.
                tasks.sort(key=lambda task: unsettled(report["faults"][task.name], sizes[i - 1]))
            for task, found in workers.run(tasks + [task for task in plain[size] if task.name not in report["alarms"]]):
                if isinstance(found, Lost):
                    raise RuntimeError(f"{task.name}: {found.why}")
                saved.add(task, found)
    report["alarms"] = {task.name: report["alarms"][task.name] for tasks in plain.values() for task in tasks}
    return report


def unsettled(fault: dict[str, Any], n: int) -> tuple[bool, int]:
    """A key to sort by: whether the fault is in fact right, and how many tests refute it at n."""
    outcomes = fault["at"][str(n)].items()
    return fault["expected"] == "exact", sum(refutes(outcome["p_value"], tests.alpha_of(test)) for test, outcome in outcomes)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
