"""The outcome of a certificate for other programs: whether it passed, its cost, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...certificate import Certificate, Verdict
from ...run.sources import words_of
from ..text import plain

Kind = Literal["certified", "control refuted", "inconclusive", "refuted", "control missed", "invalid"]

GRAVITY: tuple[Kind, ...] = ("certified", "control refuted", "inconclusive", "control missed", "refuted", "invalid")
"""The outcomes from the best to the worst, in the order of the exit codes."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a certificate. ``passed`` means as claimed, which for a control means refuted. ``why`` gives the reasons."""

    kind: Kind
    passed: bool
    why: str


def outcome_of(certificate: Certificate) -> Outcome:
    """The outcome of a certificate. A control that was not refuted has ``control missed``, and so has the sampler next to it."""
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
    """The seconds spent on sampling and judging together."""
    return certificate.cost.get("seconds_sampling", 0.0) + certificate.cost.get("seconds_judging", 0.0)


def per_draw(certificate: Certificate, cost: str) -> float | None:
    """A total of ``certificate.cost`` as a mean over the draws, or None if it was not counted."""
    paths, total = certificate.cost.get("paths", 0.0), certificate.cost.get(cost)
    return None if total is None or not paths else total / paths


def repeat(certificate: Certificate) -> str | None:
    """The command that judges the claim again: the one that pytest recorded, or that of its source. None if it has neither.

    It names the parts of the plan that the command line can change. A claim that is judged alone has all of alpha. If several
    claims shared alpha (``plan.claims``), the draws are therefore the same, but the level is different.
    """
    if not certificate.source:
        recorded = certificate.sampler.get("repeat")
        return plain(recorded) if isinstance(recorded, str) and recorded else None
    plan = certificate.plan
    words = [*words_of(plain(certificate.source)), "--seed", str(certificate.seed)]
    words += ["--alpha", f"{plan.alpha}", "--tolerance", f"{plan.tolerance}", "--max-paths", f"{plan.max_paths}"]
    return "exactness certify " + shlex.join(words)


def counts(outcomes: Sequence[Outcome]) -> dict[Kind, int]:
    """The number of each kind that occurs, best first."""
    return {kind: n for kind in GRAVITY if (n := sum(o.kind == kind for o in outcomes))}
