"""Kernels of libraries as they are, judged on targets that are known exactly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import exactness as ex

# Certificates stop at the tolerance, or where this many moves do not reach it.
PLAN = ex.Plan(tolerance=0.1, max_paths=10_000, per_call=100)


@dataclass(frozen=True)
class Case:
    """A kernel on a target. ``make`` returns the law and the sampler, and is called when the case is measured.

    ``known`` says what is known beforehand: ``right``, ``wrong``, or a public thread that reports the kernel.
    """

    library: str
    target: str
    kernel: str
    make: Callable[[], tuple[ex.Law, Any]]
    known: str = "right"
    plan: ex.Plan = PLAN


def measured(cases: Iterable[Case], seed: int = 0) -> Iterator[dict[str, Any]]:
    """A row per case: the verdict, moves, processor seconds with compilation, and the share of states that moved."""
    for case in cases:
        started = time.process_time()
        law, sample = case.make()
        found = ex.certify(sample, law, plan=case.plan, seed=seed)
        said = " ".join(found.reasons)
        moved = re.search(r"moved ([\d.]+) of [\d,]+ states", said)
        never = re.search(r"moved 0\.00 of ([^:;]+)[:;]", said)
        yield {
            "library": case.library,
            "target": case.target,
            "kernel": case.kernel,
            "known": case.known,
            "verdict": found.verdict.value,
            "n": found.paths,
            "steps": getattr(law, "steps", 1),
            "seconds": round(time.process_time() - started, 1),
            "moved": float(moved[1]) if moved else 0.0,
            "never": never[1] if never else "",
            "reason": found.reasons[0],
        }
