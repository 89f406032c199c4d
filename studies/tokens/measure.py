"""Both parts of the study, task by task; what is finished is saved."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exactness import Plan, TokenChain, TokenDraws
from exactness.judging.judgement import adjust

from ..ours import OneStage, applying
from ..page import versions, write
from . import peers
from .laws import LAWS, Tables, zipf
from .references import References
from .sampling import Verifier, right, wrong

ALPHA = 1e-6
LENGTH = 16
SEEDS = {"V = 4": 10, "V = 50": 10, "Zipf 50,000": 1}
LADDER = tuple(m * 10**k for k in range(2, 6) for m in (1, 2, 5))
CAPS = {"V = 4": 20_000, "V = 50": 10_000, "Zipf 50,000": 200}
"""The most sequences per law. The issue that asked for this study wanted 200,000 everywhere, which would take days of one core."""
# Sequences that are drawn at a time, which bounds memory.
BATCH = {"V = 4": 5_000, "V = 50": 1_000, "Zipf 50,000": 10}
ALARMS = 5
"""Runs of each test of the field on each right rule."""
OURS_AT = 2_000
"""Sequences of each of our certificates of right rules."""

# Seconds.
_SAVED_EVERY = 20.0

tables = cache(zipf)


@dataclass(frozen=True)
class Task:
    """One piece of work: a ``kind`` ("n", "field", "alarm" or "ours"), a law or test, a verifier, and a seed."""

    kind: str
    where: str
    verifier: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.where}/{self.verifier}/{self.seed}"

    def run(self) -> Any:
        torch.set_num_threads(1)
        if self.kind == "n":
            return needed(tables(LAWS[self.where]), self.verifier, self.seed, CAPS[self.where], BATCH[self.where])
        if self.kind == "ours":
            verifier = Verifier(self.verifier, tables(LAWS[self.where]))
            return certificate_p(verifier, OURS_AT, self.seed, BATCH[self.where])
        return peers.TESTS[self.where].refutes(self.verifier, self.seed)


def needed(law: Tables, name: str, seed: int, cap: int, batch: int) -> dict[str, int]:
    """The number of sequences on the ladder at which each test first refutes; tests that do not until ``cap`` are left out.

    ``single test`` is our most extreme single test, unadjusted; ``certificate`` is adjusted for all tests and stages; the other
    entries are the prototypes. It stops when both of ours and one prototype have refuted.
    """
    verifier = Verifier(name, law)
    promised = verifier.promised
    references = References(promised, law.target if promised is not law else None, seed)
    judge, chain = judge_of(promised, seed)
    found: dict[str, int] = {}
    for n, drawn, rounds in _grown(verifier, seed, cap, batch):
        references.add(drawn, rounds)
        judge.update(chain.accept(TokenDraws(drawn, rounds=rounds), len(drawn)))
        if n not in LADDER:
            continue
        for test, p in {**ours(judge), **references.p_values(n * LENGTH)}.items():
            if p <= ALPHA:
                found.setdefault(test, n)
        if {"single test", "certificate"} <= found.keys() and len(found) > 2:
            break
    return found


def judge_of(promised: Tables, seed: int) -> tuple[OneStage, TokenChain]:
    """All standard batteries that apply to sequences with this law."""
    chain = TokenChain(promised.log_target, vocabulary=promised.vocabulary, length=LENGTH, draft=promised.log_draft)
    return OneStage(chain, applying(chain), seed), chain


def ours(judge: OneStage) -> dict[str, float]:
    """Our smallest p-value of one row of one test, and the smallest adjusted p-value of a certificate with the default plan."""
    results = [result for one in judge.evidence for result in one.results()]
    return {
        "single test": min(r.null.p_value(r.statistic, r.n) for r in results),
        "certificate": min(adjust([r.p_value for r in results], Plan())),
    }


def certificate_p(verifier: Verifier, n: int, seed: int, batch: int) -> float:
    judge, chain = judge_of(verifier.promised, seed)
    for _, drawn, rounds in _grown(verifier, seed, n, batch):
        judge.update(chain.accept(TokenDraws(drawn, rounds=rounds), len(drawn)))
    return ours(judge)["certificate"]


def _grown(verifier: Verifier, seed: int, cap: int, batch: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Sequences in batches that end at every number of the ladder, each with the number drawn so far."""
    n = 0
    for goal in [*(step for step in LADDER if step < cap), cap]:
        while n < goal:
            count = min(batch, goal - n)
            # Each call has a seed of its own.
            drawn, rounds = verifier.run(count, int(np.random.SeedSequence([seed, n]).generate_state(1)[0]), LENGTH)
            n += count
            yield n, drawn, rounds


def tasks(seeds: dict[str, int], alarms: int) -> list[Task]:
    """Everything that is measured. The first seeds come first, so that a run that is stopped has something of everything."""
    numbers = [Task("n", law, name, seed) for seed in range(max(seeds.values())) for law in seeds for name in wrong()]
    numbers = [task for task in numbers if task.seed < seeds[task.where]]
    small = [task for task in numbers if LAWS[task.where] < 1_000]
    first = [task for task in small if task.seed == 0]
    wide = [task for task in numbers if LAWS[task.where] >= 1_000]
    field = [Task("field", test, name, 0) for test in peers.TESTS for name in wrong()]
    null = [Task("ours", law, name, i) for i in range(alarms) for law in seeds if LAWS[law] < 1_000 for name in right()]
    null += [Task("alarm", test, name, i) for i in range(alarms) for test in peers.TESTS for name in right()]
    null.sort(key=lambda task: task.seed)
    # The last test is the slowest.
    quick, brief = field[: -len(wrong())], [task for task in null if task.where != list(peers.TESTS)[-1]]
    every = [*first, *quick, *brief[: 2 * len(brief) // max(1, alarms)], *field, *small[: 3 * len(first)], *wide, *null, *small]
    return list(dict.fromkeys(every))


def study(out: Path, *, seeds: dict[str, int], alarms: int, minutes: float, jobs: int, fresh: bool) -> dict[str, Any]:
    """Measure what is still missing, for at most about this number of minutes."""
    target, begin = out / "tokens.json", time.monotonic()
    report: dict[str, Any] = {"found": {}} if fresh or not target.exists() else json.loads(target.read_text())
    # A verifier that sampling no longer has to show is forgotten.
    known = {*wrong(), *right()}
    report["found"] = {key: value for key, value in report["found"].items() if key.split("/")[2] in known}
    report |= {
        "alpha": ALPHA, "length": LENGTH, "seeds": seeds, "caps": CAPS, "ours at": OURS_AT,
        "versions": versions("exactness", "numpy", "scipy", "torch"),
    }  # fmt: skip
    todo = [task for task in tasks(seeds, alarms) if task.key not in report["found"]]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=os.nice, initargs=(5,)) as pool:
        waiting: dict[Any, Task] = {}
        saved = begin
        while waiting or (todo and time.monotonic() - begin < 60 * minutes):
            while todo and len(waiting) < 2 * jobs and time.monotonic() - begin < 60 * minutes:
                task = todo.pop(0)
                waiting[pool.submit(Task.run, task)] = task
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                report["found"][waiting.pop(done).key] = done.result()
            if time.monotonic() - saved > _SAVED_EVERY or not waiting:
                saved = time.monotonic()
                save(report, out)
    return report


def save(report: dict[str, Any], out: Path) -> None:
    text = json.dumps(report, separators=(",", ":"))
    write("tokens.json", text.replace('"n/', '\n"n/').replace('"field/', '\n"field/') + "\n", out)
