"""The built-in claims: samplers that must be certified, and controls that must be refuted. Each family has one file."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..errors import BadInput
from .backends import BACKENDS
from .base import Entry, Inspection, Setting

__all__ = ["BACKENDS", "Entry", "FAMILIES", "Inspection", "Setting", "entries", "family", "find", "tour"]

FAMILIES = ("chains", "programs", "tokens")
"""The one list of families. Each is a file of this folder with ``entries()``. If it has faults, it has ``control(fault, setting)``
and ``problem_of(fault)`` as well, and ``inspect(fault, setting)`` if draws cannot show some of them."""


def family(name: str) -> Any:
    """The module of a family."""
    return importlib.import_module(f"{__name__}.{name}")


@cache
def entries() -> tuple[Entry, ...]:
    """All members of the catalogue, family by family."""
    return tuple(entry for name in FAMILIES for entry in family(name).entries())


def tour() -> list[Entry]:
    """A selection of about fifty members: every law, plain and published samplers, our best sampler, and controls."""
    return [entry for entry in entries() if entry.tour]


def find(patterns: Sequence[str]) -> list[Entry]:
    """The entries with these names or shell patterns, in the catalogue's order, or all entries if no pattern is given.

    Raises ``BadInput`` if a pattern matches nothing.

    >>> from exactness.catalogue import find
    >>> [entry.kind for entry in find(["ring/sequential", "ring/control/accept-always"])]
    ['sequential', 'control']
    """
    if not patterns:
        return list(entries())
    chosen: set[str] = set()
    for pattern in patterns:
        hits = [e.name for e in entries() if fnmatch.fnmatchcase(e.name, pattern)]
        if not hits:
            near = difflib.get_close_matches(pattern, [e.name for e in entries()], n=3, cutoff=0.4)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise BadInput(f"no claim of the catalogue is called {pattern!r}{hint} (`exactness list` shows all of them)")
        chosen.update(hits)
    return [e for e in entries() if e.name in chosen]
