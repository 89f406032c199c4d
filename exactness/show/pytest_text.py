"""Writes what pytest shows of certificates: a failing test's message and section, JUnit properties, and the summary's table."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ..certificate import Certificate, Verdict

_LOUDEST = 3
_LISTED = 6
# A test in a loop, or under Hypothesis, may make very many certificates. The table shows this many of one test.
_SHOWN = 5


def facts_of(certificate: Certificate, call: int, saved: Path | None) -> dict[str, Any]:
    """The facts that the summary shows of one certificate, as JSON types, so that they travel between processes.

    ``call``: which call of ``certify`` in its test made the certificate, from 1. ``saved``: the file that holds it, if any.
    """
    paths = certificate.cost.get("paths", 0.0)
    rounds = certificate.cost.get("rounds")
    return {
        "call": call,
        "name": certificate.name,
        "verdict": certificate.verdict.value,
        "expected": certificate.expected,
        "held": certificate.as_claimed,
        "paths": certificate.paths,
        "bound": certificate.largest_bound,
        "tolerance": certificate.plan.tolerance,
        "detectable": certificate.detectable,
        "alpha": certificate.plan.alpha,
        "claims": certificate.plan.claims,
        "seed": certificate.seed,
        "seconds": round(certificate.cost["seconds_sampling"] + certificate.cost["seconds_judging"], 3),
        "rounds": rounds / paths if rounds is not None and paths else None,
        "certificate": None if saved is None else str(saved),
    }


def properties_of(fact: dict[str, Any]) -> list[tuple[str, object]]:
    """The facts as properties of a JUnit test case. The second call of a test has its number in the names.

    >>> properties_of({"call": 2, "verdict": "certified", "bound": None})
    [('exactness.2.verdict', 'certified')]
    """
    prefix = "exactness." if fact["call"] == 1 else f"exactness.{fact['call']}."
    return [(prefix + key, value) for key, value in fact.items() if key not in ("call", "held") and value is not None]


def message_of(certificate: Certificate, test: str, call: int, saved: Path | None, profile: str) -> str:
    """The message of a failing test: it says what was found, what to do about it, and how to repeat it."""
    from .text import plain

    plan = certificate.plan
    verdict = f"{certificate.name}: {certificate.verdict.value}"
    if certificate.expected == "wrong":
        verdict += f", but this sampler must be refuted: {certificate.sampler['wrong']}"
    lines = [verdict, *(f"  {reason}" for reason in certificate.reasons)]
    if certificate.expected == "exact" and certificate.verdict is not Verdict.CERTIFIED:
        lines.append(f"  {certificate.verdict.remedy}")
    lines += [
        f"    {f.name} ({f.where}): effect {f.effect:+.3g} {f.unit}, adjusted p-value {f.adjusted_p:.2g}"
        + ("" if f.bound is None else f", bound {f.bound:.3g}")
        for f in certificate.findings[:_LOUDEST]
    ]
    which = "" if call == 1 else f", call {call} of the test"
    lines.append(
        f"  seed {certificate.seed}, {certificate.paths:,} paths, 1/{plan.claims} of alpha {plan.alpha:g}, "
        f"tolerance {plan.tolerance:g}, profile {profile}{which}"
    )
    lines.append(f"  repeat: {certificate.sampler['repeat']}")
    lines.append(f"  certificate: {saved or 'not saved (--exactness-json DIR saves certificates)'}")
    return plain("\n".join(lines))


def section_of(certificate: Certificate) -> str:
    """The certificate as text, with its loudest findings."""
    from .console import findings_table, print_certificate
    from .text import PlainConsole

    console = PlainConsole(file=io.StringIO(), width=132, color_system=None, force_terminal=False)
    print_certificate(console, certificate)
    console.print(f"  law: {certificate.law}\n  plan: {certificate.plan}", highlight=False, markup=False)
    for stage in certificate.stages:
        console.print(
            f"  after {stage.paths:,} paths: smallest adjusted p-value {stage.smallest_p:.2g}, {stage.decision}", highlight=False
        )
    if certificate.findings:
        console.print(findings_table(certificate, _LISTED))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def table_of(facts: dict[str, list[dict[str, Any]]]) -> list[tuple[str, dict[str, bool]]]:
    """The lines of the summary's table, each with its markup for pytest's terminal writer.

    ``facts``: those of every test, by node id. The columns: ``bound``, the largest upper bound on an effect, next to the tolerance
    (``of``); ``detects``, the smallest difference of probabilities that the tests would have detected; ``rounds``, the mean number
    per path. If a test made many certificates, the worst are shown.
    """
    if not facts:
        return []
    rows: list[tuple[str, str, dict[str, bool]]] = []
    for nodeid, of_test in facts.items():
        worst = sorted(of_test, key=lambda f: (f["held"], -(f["bound"] or 0.0)))
        for fact in worst[:_SHOWN]:
            numbers, where = _numbers(fact), nodeid + (f" (call {fact['call']})" if fact["call"] > 1 else "")
            rows.append((_verdict(fact), f"{numbers}  {where}", {"green" if fact["held"] else "red": True}))
        if rest := worst[_SHOWN:]:
            rows.append(("", f"{'':<51}  and {len(rest)} more in this test, {sum(f['held'] for f in rest)} of them as claimed", {}))
    width = max(len(verdict) for verdict, _, _ in rows)
    heads = f"{'verdict':<{width}}{'paths':>9}{'bound':>8}{'of':>8}{'detects':>9}{'seconds':>9}{'rounds':>8}  test"
    return [(heads, {}), *((f"{verdict:<{width}}{line}", colour) for verdict, line, colour in rows)]


def _verdict(fact: dict[str, Any]) -> str:
    if fact["expected"] == "exact":
        return str(fact["verdict"])
    return f"{fact['verdict']} as it must be" if fact["held"] else f"{fact['verdict']}: MISSED"


def _numbers(fact: dict[str, Any]) -> str:
    def number(key: str, form: str) -> str:
        return "" if fact[key] is None else format(fact[key], form)

    return (
        f"{fact['paths']:>9,}{number('bound', '.3f'):>8}{fact['tolerance']:>8.3g}{number('detectable', '.3f'):>9}"
        f"{fact['seconds']:>9.2f}{number('rounds', '.1f'):>8}"
    )
