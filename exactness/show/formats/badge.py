"""A badge: the JSON of a shields.io endpoint badge (schema version 1)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...certificate import Certificate
from .outcome import GRAVITY, Kind, counts, outcome_of

# The most alarming colour comes first, so an invalid certificate does not hide a refuted one.
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
    """Write the number of each outcome, the worst first, in the most alarming of their colours."""
    found = counts([outcome_of(c) for c in certificates])
    # Next to samplers, controls that were refuted need not be mentioned.
    told = {kind: n for kind, n in found.items() if kind != "control refuted" or len(found) == 1}
    message = ", ".join(f"{n} {_named(kind, n)}" for kind, n in sorted(told.items(), key=lambda item: -GRAVITY.index(item[0])))
    colour = min((COLOURS[kind] for kind in found), key=ALARM.index)
    return json.dumps({"schemaVersion": 1, "label": "exactness", "message": message, "color": colour}, indent=1) + "\n"


def _named(kind: Kind, n: int) -> str:
    return kind.replace("control", "controls") if n > 1 else kind
