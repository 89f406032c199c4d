"""Right paths, handed out wrongly: runners around a runner."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..speculative import Speculative
from ..trace import Run

_PILOT, _SHARDS = 8192, 8


def rows(run: Run, index: Tensor) -> Run:
    """These rows of a run, with their traces."""
    trace = run.trace
    picked: dict[str, Any] = {f.name: part[index] for f in fields(trace) if isinstance(part := getattr(trace, f.name), Tensor)}
    return Run(run.paths[index], replace(trace, **picked))


@dataclass(frozen=True)
class Around:
    """What a runner shows besides its runs."""

    inner: Speculative

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


@dataclass(frozen=True)
class Reversed(Around):
    """The last chain first: right."""

    def run(self, n: int, generator: torch.Generator, **options: Any) -> Run:
        run = self.inner.run(n, generator, **options)
        return rows(run, torch.arange(n - 1, -1, -1, device=run.paths.device))


@dataclass(frozen=True)
class RepeatedShard(Around):
    """The last eighth of the chains is the first eighth once more."""

    def run(self, n: int, generator: torch.Generator, **options: Any) -> Run:
        run = self.inner.run(n, generator, **options)
        index = torch.arange(n, device=run.paths.device)
        return rows(run, torch.where(index < n - n // _SHARDS, index, index - (n - n // _SHARDS)))


@dataclass(frozen=True)
class Avoiding(Around):
    """Chains that end beyond the 99th percentile of the first coordinate are thrown away."""

    @cached_property
    def limit(self) -> float:
        pilot = self.inner.run(_PILOT, torch.Generator().manual_seed(1), keep_paths=False)
        return float(pilot.paths[:, 0].double().quantile(0.99))

    def run(self, n: int, generator: torch.Generator, **options: Any) -> Run:
        run = self.inner.run(n + n // 16 + 64, generator, **options)
        last = run.paths if run.paths.ndim == 2 else run.paths[:, -1]
        return rows(run, (last[:, 0] < self.limit).nonzero()[:n, 0])
