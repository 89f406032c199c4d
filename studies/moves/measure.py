"""Judges every fault of Markov kernels by single batteries, and by whole certificates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

import exactness as ex
from exactness.batteries import MeetingPairs, Moves, Steps, TwoSample
from exactness.catalogue.program_laws import law_of
from exactness.catalogue.programs import sampler_of

LEVEL = 1e-6
# The ladder of numbers of draws, a factor of the square root of 2 apart, as in the prototypes that are compared with.
LADDER = [round(100 * 2 ** (i / 2)) for i in range(21)]
_PLAN = ex.Plan(alpha=LEVEL, tolerance=1e-4, first_paths=100, max_paths=102_400, per_call=1_000, suspicion=1e-12)


@dataclass
class Row:
    """The number of draws after which a fault is seen, median over seeds, by each way of looking at it; None if it is not.

    ``after`` looks at the states after the move alone, ``partner`` compares them with fresh states, and ``paired`` exchanges both
    ends. ``claim`` is what the claim of the fault looks at: ``paired`` for a reversible kernel, ``partner`` for others, the steps
    of a run, or the margins of a pair. ``certificate`` is what a whole certificate takes, with all its tests and stages.
    """

    name: str
    what: str
    seen_by: str
    expected: int | None
    after: float | None
    partner: float | None
    paired: float | None
    claim: float | None
    certificate: float | None


def faults() -> list[Any]:
    """The faults that draws can show, in the order of their files."""
    from exactness_samplers.faults.markov import KERNEL_FAULTS

    return [fault for fault in KERNEL_FAULTS if not fault.exact]


def measure(seeds: int, workers: int, names: Sequence[str] = ()) -> list[Row]:
    chosen = [fault.name for fault in faults() if not names or fault.name in names]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(row_of, chosen, [seeds] * len(chosen)))


def row_of(name: str, seeds: int) -> Row:
    """One fault."""
    from exactness_samplers.faults import Backend
    from exactness_samplers.faults.markov import kernel_fault

    fault: Any = kernel_fault(name)
    of = Backend("torch")
    law = law_of(fault, of)
    ways: dict[str, Callable[[int], int | None]] = {}
    if isinstance(law, ex.KernelInvariance):
        still = ex.KernelInvariance(law.target, reversible=False, quantities=law.quantities)
        draw = sampler_of(fault, law, "torch")
        trusted = ex.TrustedSampler(lambda n, seed: fault.target.draws(n, seed))
        ways["after"] = lambda seed: seen_at(TwoSample(), trusted, lambda n, s: draw(n, s)[0][:, 1], seed)
        ways["partner"] = lambda seed: seen_at(Moves(), still, draw, seed)
        if law.reversible:
            ways["paired"] = lambda seed: seen_at(Moves(), law, draw, seed)
    elif isinstance(law, ex.JointLaw):
        fresh = ex.JointLaw(law.prior, law.simulate, quantities=law.quantities, reversible=False)
        draw = sampler_of(fault, law, "torch")
        ways["partner"] = lambda seed: seen_at(Moves(), fresh, draw, seed)
        ways["paired"] = lambda seed: seen_at(Moves(), law, draw, seed)
    else:
        draw = sampler_of(fault, law, "torch")
        battery = Steps() if isinstance(law, ex.Transition) else MeetingPairs()
        ways["claim"] = lambda seed: seen_at(battery, law, draw, seed)
    found = {way: middle([look(seed) for seed in range(seeds)]) for way, look in ways.items()}
    found.setdefault("claim", found.get("paired", found.get("partner")))
    few = range(max(1, seeds // 3))
    paid = middle([refuted_at(draw, law, seed) for seed in few])
    return Row(
        name, fault.what, fault.seen_by, fault.falls_by, found.get("after"), found.get("partner"), found.get("paired"),
        found["claim"], paid,
    )  # fmt: skip


def seen_at(battery: Any, law: ex.Law, sample: Callable[[int, int], Any], seed: int) -> int | None:
    """The first number of draws of the ladder at which one test of the battery, by itself, has a p-value of at most the level."""
    evidence = battery.start(law, np.random.default_rng([11, seed]))
    have = 0
    for step, n in enumerate(LADDER):
        drawn = sample(n - have, int(np.random.SeedSequence([13, seed, step]).generate_state(1)[0]) & 0x7FFFFFFF)
        drawn = drawn[0] if isinstance(drawn, tuple) else drawn
        evidence.update(law.accept(drawn, n - have))
        have = n
        if min((result.p_value for result in evidence.results()), default=1.0) <= LEVEL:
            return n
    return None


def refuted_at(sample: Any, law: ex.Law, seed: int) -> int | None:
    """The number of draws after which a certificate refutes."""
    judged = ex.certify(sample, law, plan=_PLAN, seed=seed, name="fault", wrong="it is a fault")
    return judged.paths if judged.verdict is ex.Verdict.REFUTED else None


def middle(values: Sequence[int | None]) -> float | None:
    """The median, where None is larger than all numbers; None if it is among the larger half."""
    found = median([float("inf") if v is None else float(v) for v in values])
    return None if found == float("inf") else found
