"""Judges one fault in stages, by all tests together and by each test alone, on the same draws."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..batteries.standard import standard
from ..catalogue import Inspection, Setting, family
from ..certificate import Environment
from ..claim import Claim
from ..environment import environment
from ..errors import BadInput, InvalidSample
from ..evidence.base import Evidence
from ..judging.draws import Draws, started
from ..judging.judgement import findings_of
from ..plan import Plan
from . import limits
from .expected import must_see
from .matrix import UNUSABLE, Record

if TYPE_CHECKING:
    from exactness_samplers.faults import AnyFault


def claim_of(fault: AnyFault, setting: Setting) -> Claim:
    """The fault as a claim on a law of its family."""
    return family(fault.family).control(fault, setting)


def judge_fault(fault: AnyFault, plan: Plan, seed: int, setting: Setting, patience: int) -> tuple[Record, Environment]:
    """Judge a fault until the plan ends, or until ``patience`` times the draws after which all tests together refuted it."""
    began = time.perf_counter()
    if (looked_at := _inspected(fault, setting)) is not None:
        found = 0 if looked_at.seen else None
        record = Record(
            **said_of(fault), caught_at=found, paths=0, adjusted_p=0.0 if looked_at.seen else 1.0, leading=looked_at.found,
            alone={looked_at.method: found}, seconds=round(time.perf_counter() - began, 3), method=looked_at.method,
        )  # fmt: skip
        return record, environment(setting.backend, looked_at.dtype, setting.device)
    claim = claim_of(fault, setting)
    draws = Draws(claim, plan, seed, started(claim, [b for b in standard() if b.applies(claim.law)], seed))
    parts = {name: part for one in draws.evidence for name, part in _apart(one)}
    alone: dict[str, int | None] = dict.fromkeys([*parts, UNUSABLE])
    caught_at: int | None = None
    smallest, leading = 1.0, ""
    try:
        draws.probe()
        for size in plan.stages:
            draws.up_to(size)
            for one in parts.values():
                one.paths = draws.paths
            findings = findings_of(draws.evidence, plan)
            smallest, leading = findings[0].adjusted_p, f"{findings[0].name} ({findings[0].where})"
            for name, one in parts.items():
                if alone[name] is None and one.results() and findings_of([one], plan)[0].adjusted_p <= plan.alpha:
                    alone[name] = draws.paths
            if caught_at is None and smallest <= plan.alpha:
                caught_at = draws.paths
            if caught_at is not None and (
                draws.paths >= caught_at * patience or all(n is not None for name, n in alone.items() if name != UNUSABLE)
            ):
                break
    except InvalidSample as error:
        smallest, leading = 0.0, str(error)
        # A wrong sampler with unusable output is caught only if that is its fault. Otherwise the control itself is broken. A right
        # sampler with unusable output counts as refuted.
        if UNUSABLE in must_see(fault.name) or fault.expected != "caught":
            # The probe draws too, and the block in which it happened was not finished.
            caught_at = alone[UNUSABLE] = max(draws.paths, plan.stages[0])
    limit = limits.of(fault, plan, claim.law) if fault.expected == "beyond" else None
    record = Record(
        **said_of(fault), caught_at=caught_at, paths=draws.paths, adjusted_p=smallest, leading=leading, alone=alone,
        seconds=round(time.perf_counter() - began, 3), beyond=None if limit is None else limit.why,
        most_power=None if limit is None else limit.power,
    )  # fmt: skip
    return record, environment(draws.where.array, draws.where.dtype, draws.where.device)


def _inspected(fault: AnyFault, setting: Setting) -> Inspection | None:
    """What a look at the fault without any draws showed, for faults that draws cannot show. None for the others."""
    inspect = getattr(family(fault.family), "inspect", None)
    return None if inspect is None else inspect(fault, setting)


def said_of(fault: AnyFault) -> dict[str, Any]:
    """The fields of a record that describe its fault."""
    return {
        "name": fault.name, "group": fault.group, "what": fault.what, "touches": fault.touches, "seen": list(fault.seen),
        "expected": fault.expected, "must_be_seen_by": list(must_see(fault.name)), "law": family(fault.family).problem_of(fault),
    }  # fmt: skip


def chosen(names: Sequence[str]) -> list[AnyFault]:
    """The faults with these names, or all faults if no name is given. Raises ``BadInput`` for an unknown name."""
    from exactness_samplers.faults import FAULTS

    known = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"there is no control {unknown[0]!r}; choose among {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(FAULTS)


def _apart(evidence: Evidence) -> list[tuple[str, Evidence]]:
    """The evidence of a battery, by test if the battery is ``apart``, otherwise whole.

    Each test is wrapped as if it were a whole battery. All of them share the sums, and only the original evidence takes in draws.
    """
    if not evidence.origin.battery.apart:
        return [(evidence.battery, evidence)]
    return [(name, Evidence(evidence.origin, {name: summary}, None)) for name, summary in evidence.summaries.items()]
