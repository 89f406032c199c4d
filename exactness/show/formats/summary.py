"""One JSON document for the whole run. The certificates themselves hold all details."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...certificate import Certificate
from ...run.runner import exit_code
from ..text import plain
from .outcome import counts, outcome_of, repeat

FORMAT = "exactness-summary/1"


def summary(certificates: Sequence[Certificate]) -> str:
    """Write one JSON document: an object per certificate, the count of each outcome, and the exit code of the run."""
    outcomes = [outcome_of(c) for c in certificates]
    document = {
        "format": FORMAT,
        "exit_code": exit_code(certificates),
        "passed": all(o.passed for o in outcomes),
        "counts": counts(outcomes),
        "certificates": [
            {
                "name": plain(c.name),
                "verdict": c.verdict.value,
                "outcome": o.kind,
                "passed": o.passed,
                "reasons": [plain(reason) for reason in c.reasons],
                "draws": c.paths,
                "smallest_adjusted_p": None if c.leading is None else c.leading.adjusted_p,
                "largest_bound": c.largest_bound,
                "detectable": c.detectable,
                "plan": c.plan,
                "seed": c.seed,
                "cost": c.cost,
                "repeat": repeat(c),
            }
            for c, o in zip(certificates, outcomes, strict=True)
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
