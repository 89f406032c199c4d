"""Certificates in the formats that other programs read. Each format is a pure function from certificates to text.

To add a format, write a file with a function ``(certificates) -> str`` and add a line to ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...certificate import Certificate
from ...errors import BadInput
from .badge import badge
from .intoto import intoto
from .junit import junit
from .markdown import markdown
from .outcome import Outcome, outcome_of
from .sarif import sarif
from .summary import summary

__all__ = ["FORMATS", "Format", "Outcome", "badge", "intoto", "junit", "markdown", "outcome_of", "render", "sarif", "summary"]


@dataclass(frozen=True)
class Format:
    """``write`` turns one or more certificates into text. ``file`` is the default file of the command line."""

    write: Callable[[Sequence[Certificate]], str]
    file: str


FORMATS = {
    "junit": Format(junit, "junit.xml"),
    "sarif": Format(sarif, "exactness.sarif"),
    "markdown": Format(markdown, "summary.md"),
    "badge": Format(badge, "badge.json"),
    "json": Format(summary, "summary.json"),
    "intoto": Format(intoto, "exactness.intoto.jsonl"),
}


def render(name: str, certificates: Sequence[Certificate]) -> str:
    """Write the certificates in the format of this name. Raises ``BadInput`` for an unknown name, or without certificates."""
    if name not in FORMATS:
        raise BadInput(f"the format must be one of {', '.join(FORMATS)}, not {name!r}")
    # A green badge must never stand for nothing.
    if not certificates:
        raise BadInput(f"no certificate to write as {name}: nothing was judged")
    return FORMATS[name].write(certificates)
