"""A summary in GitHub's Markdown, for the step summary of a workflow or for a comment."""

from __future__ import annotations

from collections.abc import Sequence

from ...certificate import Certificate
from ..text import marked_down
from .outcome import Kind, Outcome, counts, outcome_of, per_draw, repeat, seconds

SIGNS: dict[Kind, str] = {
    "certified": "✅",
    "control refuted": "✅",
    "inconclusive": "⚠️",
    "refuted": "❌",
    "control missed": "❌",
    "invalid": "🚫",
}
_EXPLAINED = (
    "*bound*: no monitored difference of probabilities is larger. *detectable*: a difference of at least this would have been "
    "refuted, with the power of the plan. *rounds* and *evaluations* are means over the draws.\n"
)
COLUMNS = ("claim", "verdict", "draws", "smallest adj. p", "bound", "detectable", "rounds", "evaluations", "seconds")


def markdown(certificates: Sequence[Certificate]) -> str:
    """Write a table with one row per certificate, and below it the reasons of those that did not pass."""
    outcomes = [outcome_of(c) for c in certificates]
    said = ", ".join(f"{n} {kind}" for kind, n in counts(outcomes).items())
    lines = [f"### exactness: {said}", "", f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    lines += [f"| {' | '.join(_cells(c, o))} |" for c, o in zip(certificates, outcomes, strict=True)]
    for c, o in zip(certificates, outcomes, strict=True):
        if not o.passed:
            lines += ["", f"**{marked_down(c.name)}**: {SIGNS[o.kind]} {o.kind}", ""]
            lines += [f"- {marked_down(reason)}" for reason in o.why.split("\n") if reason.strip()]
            if (command := repeat(c)) is not None:
                lines.append(f"- To repeat: {marked_down(command)}")
    plans = {(c.plan.alpha, c.plan.claims, c.plan.tolerance) for c in certificates}
    lines += ["", _EXPLAINED, *(f"- {_promise(*plan)}" for plan in sorted(plans)), ""]
    return "\n".join(lines)


def _promise(alpha: float, claims: int, tolerance: float) -> str:
    of = "an exact sampler" if claims == 1 else f"any exact sampler of {claims:,} claims"
    return f"{of} is refuted with probability at most {alpha:g}; the tolerance is {tolerance:g}"


def _cells(c: Certificate, outcome: Outcome) -> list[str]:
    rounds, evaluations = per_draw(c, "rounds"), per_draw(c, "evaluations")
    return [
        marked_down(c.name),
        f"{SIGNS[outcome.kind]} {outcome.kind}",
        f"{c.paths:,}",
        "" if c.leading is None else f"{c.leading.adjusted_p:.2g}",
        _rounded(c.largest_bound, 3),
        _rounded(c.detectable, 3),
        _rounded(rounds, 1),
        _rounded(evaluations, 1),
        f"{seconds(c):.1f}",
    ]


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
