"""What the outer world asks of a certificate: did it pass, what is it called, what must be read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...certificate import Certificate, Verdict
from ...run.sources import words_of
from .text import writable

Kind = Literal["certified", "control refuted", "inconclusive", "refuted", "control missed", "invalid"]

GRAVITY: tuple[Kind, ...] = ("certified", "control refuted", "inconclusive", "refuted", "control missed", "invalid")
"""From the best to the worst, as the exit codes weigh them."""


@dataclass(frozen=True)
class Outcome:
    """``passed``: as claimed, which for a control means refuted. ``why``: the reasons, and what to do."""

    kind: Kind
    passed: bool
    why: str


def outcome_of(certificate: Certificate) -> Outcome:
    """``control missed`` is said of a control that was not refuted, and of a sampler that was judged beside one in vain."""
    verdict, control = certificate.verdict, certificate.expected == "wrong"
    why = list(certificate.reasons)
    kind: Kind
    if verdict is Verdict.INVALID:
        kind = "invalid"
    elif control:
        kind = "control refuted" if certificate.as_claimed else "control missed"
        why.insert(0, f"A control, known to be wrong: {certificate.sampler.get('wrong', 'it does not say how')}")
    elif verdict is Verdict.REFUTED:
        kind = "refuted"
    elif not certificate.controls_hold:
        kind = "control missed"
    else:
        kind = "certified" if verdict is Verdict.CERTIFIED else "inconclusive"
    if not certificate.as_claimed and kind != "control missed":
        why.append(verdict.remedy)
    return Outcome(kind, certificate.as_claimed, "\n".join(why))


def seconds(certificate: Certificate) -> float:
    """Of sampling and judging together."""
    return certificate.cost.get("seconds_sampling", 0.0) + certificate.cost.get("seconds_judging", 0.0)


def per_draw(certificate: Certificate, cost: str) -> float | None:
    """A total of ``certificate.cost`` as a mean over the draws, None where it was not counted."""
    paths, total = certificate.cost.get("paths", 0.0), certificate.cost.get(cost)
    return None if total is None or not paths else total / paths


def repeat(certificate: Certificate) -> str | None:
    """The command that judges it again: the one that pytest recorded, or that of its source, None if it has neither.

    It names what the command line can change of a plan. Judged by itself a claim has all of alpha, so where several shared one
    (``plan.claims``) the draws are the same ones and the level is another.
    """
    if not certificate.source:
        recorded = certificate.sampler.get("repeat")
        return writable(recorded) if isinstance(recorded, str) and recorded else None
    plan = certificate.plan
    words = [*words_of(writable(certificate.source)), "--seed", str(certificate.seed)]
    words += ["--alpha", f"{plan.alpha}", "--tolerance", f"{plan.tolerance}", "--max-paths", f"{plan.max_paths}"]
    return "exactness certify " + shlex.join(words)


def counts(outcomes: Sequence[Outcome]) -> dict[Kind, int]:
    """How many of each kind there are, best first, without those that there are none of."""
    return {kind: n for kind in GRAVITY if (n := sum(o.kind == kind for o in outcomes))}
