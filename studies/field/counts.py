"""Counts of the study's findings: pure functions of its report."""

from __future__ import annotations

from typing import Any

from .tests import alpha_of, refutes

Report = dict[str, Any]
GROUPS = ("coupling", "acceptance", "block", "bookkeeping", "randomness", "whole law")
FINAL = ("ks", "moments z", "energy", "mmd")
"""The tests of final samples that have an error rate."""


def sizes(report: Report) -> list[int]:
    return [int(n) for n in report["settings"]["sizes"]]


def names(report: Report, expected: str, n: int, group: str | None = None) -> list[str]:
    """The faults that have been run at n and that must be caught (``expected="caught"``), that no test can be asked to catch
    (``"beyond"``), or that are right (``"exact"``).
    """
    faults = report["faults"].items()
    return [name for name, f in faults if f["expected"] == expected and group in (None, f["group"]) and str(n) in f["at"]]


def caught(report: Report, test: str, n: int, expected: str, alpha: float | None = None, group: str | None = None) -> list[str]:
    """The faults that the test refutes, at its own alpha if none is given."""
    level = alpha_of(test) if alpha is None else alpha
    return [name for name in names(report, expected, n, group) if refutes(outcomes(report, name, n)[test]["p_value"], level)]


def alarms(report: Report, test: str, n: int) -> tuple[int, int]:
    """How many right samplers were refuted, of how many: those that only look wrong, and runs of the plain sampler."""
    plain = [found[test] for name, found in report["alarms"].items() if name.startswith(f"{n}/")]
    refuted = len(caught(report, test, n, "exact")) + sum(refutes(p, alpha_of(test)) for p in plain)
    return refuted, len(names(report, "exact", n)) + len(plain)


def seconds(report: Report, test: str, n: int) -> float:
    """The processor time of one call, as the median over all faults that were run."""
    times = sorted(outcomes(report, name, n)[test]["seconds"] for name, f in report["faults"].items() if str(n) in f["at"])
    return float(times[len(times) // 2]) if times else 0.0


def outcomes(report: Report, fault: str, n: int) -> dict[str, Any]:
    """The outcomes at n, by test."""
    found: dict[str, Any] = report["faults"][fault]["at"][str(n)]
    return found
