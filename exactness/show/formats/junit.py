"""JUnit XML, which most servers of continuous integration read: a suite with one test case per certificate."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ...certificate import Certificate
from ..text import one_line, plain
from .outcome import Outcome, outcome_of, repeat, seconds


def junit(certificates: Sequence[Certificate]) -> str:
    """Write JUnit XML. Refuted and inconclusive certificates and missed controls are failures; invalid ones are errors.

    No test case is skipped, because an inconclusive certificate that is shown as skipped would look like a pass.
    """
    outcomes = [outcome_of(c) for c in certificates]
    invalid = sum(o.kind == "invalid" for o in outcomes)
    totals = {
        "tests": str(len(outcomes)),
        "failures": str(sum(not o.passed for o in outcomes) - invalid),
        "errors": str(invalid),
        "skipped": "0",
        "time": f"{sum(map(seconds, certificates)):.3f}",
    }
    root = ET.Element("testsuites", {"name": "exactness", **totals})
    suite = ET.SubElement(root, "testsuite", {"name": "exactness", **totals, "timestamp": plain(certificates[0].created)})
    for certificate, outcome in zip(certificates, outcomes, strict=True):
        _case(suite, certificate, outcome)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, c: Certificate, outcome: Outcome) -> None:
    kind = one_line(str(c.law.get("kind", "law")))
    case = ET.SubElement(
        suite, "testcase", {"classname": f"exactness.{kind}", "name": one_line(c.name), "time": f"{seconds(c):.3f}"}
    )
    properties = ET.SubElement(case, "properties")
    facts = {
        "verdict": c.verdict.value,
        "expected": "refuted" if c.expected == "wrong" else "certified",
        "alpha": f"{c.plan.alpha:g}",
        "tolerance": f"{c.plan.tolerance:g}",
        "seed": c.seed,
        "draws": c.paths,
        "smallest adjusted p-value": None if c.leading is None else f"{c.leading.adjusted_p:.3g}",
        "largest bound": _number(c.largest_bound),
        "detectable": _number(c.detectable),
        "repeat": repeat(c),
        **{f"cost: {name}": f"{total:g}" for name, total in c.cost.items()},
    }
    for name, value in facts.items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": one_line(name), "value": one_line(str(value))})
    if not outcome.passed:
        tag = "error" if outcome.kind == "invalid" else "failure"
        message = one_line(f"{outcome.kind}: {c.reasons[0] if c.reasons else ''}")
        ET.SubElement(case, tag, {"type": outcome.kind, "message": message}).text = plain(outcome.why)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
