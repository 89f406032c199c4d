"""The counts so far, folder by folder and code by code, and how runs are added to them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

FOLDERS = {
    "tests/evidence": "the judge: what a test is, nulls, error rates",
    "tests/laws": "the judge: laws",
    "tests/batteries": "the judge: batteries",
    "tests/judging": "the judge: verdicts, plans, a user's own controls",
    "tests/samplers": "samplers: whole certificates, and theory's numbers",
    "tests/adapters": "adapters: samplers of other libraries",
    "tests/controls": "wrong samplers",
    "tests/studies": "the tests of the field study",
}
"""The folders that hold statistical tests, and what they test."""
Count = dict[str, Any]


def counted(out: Path) -> dict[str, list[Count]]:
    """All counts so far. For each folder there is one count per code, with the latest last."""
    path = out / "flakiness.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {of: kept[of] for of in in_order(kept)}


def in_order(kept: dict[str, list[Count]]) -> list[str]:
    """Today's folders that have counts, then folders of earlier code that have been renamed since."""
    return [*(of for of in FOLDERS if of in kept), *(of for of in kept if of not in FOLDERS)]


def added(counts: list[Count], code: str, commit: str, versions: str, runs: int, passed: int, failed: list[str]) -> Count:
    """Add runs to the count of the same code, or start one for this code."""
    count = next((c for c in counts if c["code"] == code), None)
    if count is None:
        counts.append(count := {"code": code, "commit": commit, "versions": versions, "runs": 0, "passed": 0, "failed": {}})
    count["runs"] += runs
    count["passed"] += passed
    count["failed"] = dict(Counter(count["failed"]) + Counter(failed))
    return count
