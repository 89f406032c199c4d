"""Faults of what is handed out: a runner around a right sampler, and rows of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .base import Array, Backend


@dataclass(frozen=True)
class Around:
    """Runs ``handed_out`` and shows the parts of the sampler inside. ``handed_out`` is called as the sampler's ``run`` is."""

    inner: Any
    handed_out: Callable[..., Any]

    def run(self, n: int, randomness: Any = None, **options: Any) -> Any:
        return self.handed_out(n, randomness, **options)

    @property
    def window(self) -> int:
        return self.inner.window

    @property
    def drafter(self) -> Any:
        return self.inner.drafter

    @property
    def verifier(self) -> Any:
        return self.inner.verifier

    @property
    def rejection(self) -> Any:
        return self.inner.rejection


def picked(of: Backend, run: Any, index: Array) -> Any:
    """These rows of a run, with their traces. What the trace counts over the whole run stays as it is."""
    trace = run.trace
    parts = {f.name: getattr(trace, f.name) for f in fields(trace)}
    rows = {name: part[index] for name, part in parts.items() if not isinstance(part, int)}
    return of.trace.Run(run.paths[index], replace(trace, **rows))
