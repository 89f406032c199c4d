"""Right paths, handed out wrongly: runners around a runner."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from ..speculative import Speculative
from ..trace import Run

_PILOT, _SHARDS = 8192, 8


def rows(run: Run, index: jax.Array) -> Run:
    """These rows of a run, with their traces."""
    trace = run.trace
    picked: dict[str, Any] = {f.name: part[index] for f in fields(trace) if isinstance(part := getattr(trace, f.name), jax.Array)}
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

    def run(self, n: int, key: jax.Array, **options: Any) -> Run:
        return rows(self.inner.run(n, key, **options), jnp.arange(n - 1, -1, -1))


@dataclass(frozen=True)
class RepeatedShard(Around):
    """The last eighth of the chains is the first eighth once more."""

    def run(self, n: int, key: jax.Array, **options: Any) -> Run:
        index = jnp.arange(n)
        return rows(self.inner.run(n, key, **options), jnp.where(index < n - n // _SHARDS, index, index - (n - n // _SHARDS)))


@dataclass(frozen=True)
class Avoiding(Around):
    """Chains that end beyond the 99th percentile of the first coordinate are thrown away."""

    @cached_property
    def limit(self) -> float:
        pilot = self.inner.run(_PILOT, jax.random.key(1, impl="threefry2x32"), keep_paths=False)
        return float(jnp.quantile(pilot.paths[:, 0], 0.99))

    def run(self, n: int, key: jax.Array, **options: Any) -> Run:
        run = self.inner.run(n + n // 16 + 64, key, **options)
        last = run.paths if run.paths.ndim == 2 else run.paths[:, -1]
        return rows(run, jnp.flatnonzero(last[:, 0] < self.limit)[:n])
