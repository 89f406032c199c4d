"""Counts of the study's findings: pure functions of its report."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from scipy.stats import beta

from .sampling import wrong

Report = dict[str, Any]
OURS = ("single test", "certificate")


def _of(report: Report, kind: str, where: str) -> dict[str, list[Any]]:
    """The findings of a kind of task, at a law or by a test, for each verifier."""
    found: dict[str, list[Any]] = {}
    for key, value in report["found"].items():
        one, place, verifier, _ = key.split("/")
        if (one, place) == (kind, where):
            found.setdefault(verifier, []).append(value)
    return found


def needed(report: Report, law: str) -> dict[str, dict[str, float]]:
    """For each wrong verifier, the median over seeds of the number of sequences that each test needs, inf if beyond the cap."""
    found = {}
    for name, runs in _of(report, "n", law).items():
        tests = sorted({*OURS, *(test for run in runs for test in run)})
        found[name] = {test: float(median(run.get(test, math.inf) for run in runs)) for test in tests}
    return {name: found[name] for name in wrong() if name in found}


def seeds(report: Report, law: str) -> list[int]:
    """The numbers of seeds that were run."""
    return sorted({len(runs) for runs in _of(report, "n", law).values()})


def best(row: dict[str, float]) -> tuple[str, float]:
    """The prototype that needs fewest sequences."""
    found = {test: n for test, n in row.items() if test not in OURS}
    name = min(found, key=lambda test: found[test], default="none")
    return (name, found[name]) if found and found[name] < math.inf else ("none", math.inf)


def ratios(rows: dict[str, dict[str, float]], of: str = "single test") -> dict[str, float]:
    """How many times as many sequences ours needs as the best prototype, where both refute."""
    return {
        name: row[of] / best(row)[1] for name, row in rows.items() if max(row[of], best(row)[1]) < math.inf
    }  # fmt: skip


def mean(values: list[float]) -> float:
    """The geometric mean, NaN of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def sees(report: Report, test: str) -> list[str]:
    """The wrong verifiers that a test of the field refutes."""
    return [name for name, found in _of(report, "field", test).items() if found[0]]


def complete(report: Report, test: str) -> bool:
    """Whether a test of the field has been run on all wrong verifiers."""
    return _of(report, "field", test).keys() == set(wrong())


def misses(report: Report, test: str) -> list[str]:
    return [name for name, found in _of(report, "field", test).items() if not found[0]]


def alarms(report: Report, test: str) -> tuple[int, int]:
    """How often a test of the field refuted a right rule, of how many runs."""
    runs = [one for found in _of(report, "alarm", test).values() for one in found]
    return sum(map(bool, runs)), len(runs)


def our_alarms(report: Report, law: str) -> tuple[int, int]:
    runs = [p for found in _of(report, "ours", law).values() for p in found]
    return sum(p <= report["alpha"] for p in runs), len(runs)


def certified_within(report: Report, law: str, n: float) -> list[str]:
    """The wrong verifiers that a certificate refutes with at most n sequences."""
    return [name for name, row in needed(report, law).items() if row["certificate"] <= n]


def interval(k: int, n: int) -> tuple[float, float]:
    """The 95% confidence interval of a share, by Clopper and Pearson 1934."""
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    return low, 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
