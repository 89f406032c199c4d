"""A badge: the JSON that a shields.io endpoint badge reads (its schema version 1)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...certificate import Certificate
from .outcome import GRAVITY, Kind, counts, outcome_of

# The most alarming first: what was refuted is not hidden by what could not be judged.
ALARM = ("red", "lightgrey", "yellow", "brightgreen")
COLOURS: dict[Kind, str] = {
    "certified": "brightgreen",
    "control refuted": "brightgreen",
    "inconclusive": "yellow",
    "refuted": "red",
    "control missed": "red",
    "invalid": "lightgrey",
}


def badge(certificates: Sequence[Certificate]) -> str:
    """How many of each outcome, the worst first, in the most alarming of their colours."""
    found = counts([outcome_of(c) for c in certificates])
    # Beside samplers, controls that did what they must are no news.
    told = {kind: n for kind, n in found.items() if kind != "control refuted" or len(found) == 1}
    message = ", ".join(f"{n} {_named(kind, n)}" for kind, n in sorted(told.items(), key=lambda item: -GRAVITY.index(item[0])))
    colour = min((COLOURS[kind] for kind in found), key=ALARM.index)
    return json.dumps({"schemaVersion": 1, "label": "exactness", "message": message, "color": colour}, indent=1) + "\n"


def _named(kind: Kind, n: int) -> str:
    return kind.replace("control", "controls") if n > 1 else kind
