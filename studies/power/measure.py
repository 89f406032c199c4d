"""The four parts of the study, and how their results are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..page import versions
from .controls import part_b
from .mixture import part_a, part_c
from .ratio import part_d
from .running import Run
from .search import FULL, QUICK

_PACKAGES = ("exactness", "numpy", "scipy", "torch", "scikit-learn", "hyppo", "pqm", "goodpoints")

PARTS: dict[str, Callable[[Run], dict[str, Any]]] = {"A": part_a, "B": part_b, "C": part_c, "D": part_d}


def study(parts: Sequence[str], file: Path, seed: int, quick: bool, only: str = "") -> Iterator[dict[str, Any]]:
    """Yields the report after every part. Results of ``file`` are kept if its seed, effort and versions are the same."""
    command = "python -m studies.power" + (" --quick" if quick else "") + (f" --seed {seed}" if seed else "")
    effort = QUICK if quick else FULL
    report: dict[str, Any] = {"command": command, "seed": seed, "versions": versions(*_PACKAGES), "effort": asdict(effort)}
    for part in parts:
        result = PARTS[part](Run(effort, seed, quick, only, _rows_of(_kept(file, report))))
        together = _kept(file, report) | {part: result}
        yield report | {"parts": dict(sorted(together.items()))}


def _kept(target: Path, report: dict[str, Any]) -> dict[str, Any]:
    earlier = json.loads(target.read_text()) if target.exists() else {}
    return earlier.get("parts", {}) if all(earlier.get(key) == value for key, value in report.items()) else {}


def _rows_of(parts: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    cases = [(f"{p} {c['name']}", c) for p in ("A", "B", "C") for c in _cases(parts.get(p, {}))]
    cases += [("A false alarms", parts["A"]["false alarms"])] if "A" in parts else []
    return {(name, row["name"]): row for name, case in cases for row in case["rows"]}


def _cases(part: dict[str, Any]) -> list[dict[str, Any]]:
    return part.get("departures", []) + part.get("controls", [])
