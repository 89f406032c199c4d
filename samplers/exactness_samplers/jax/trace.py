"""What a run cost, chain by chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

_COUNTS = ["rounds", "evaluations", "draft_evaluations", "windows", "residual_draws"]


@partial(register_dataclass, data_fields=[*_COUNTS, "drafted", "accepted", "calls", "computed"], meta_fields=[])
@dataclass(frozen=True)
class Trace:
    """All arrays are integers on the run's device.

    ``rounds`` (n,): sequential calls of the target, a batched verification counting as one; ``evaluations`` (n,): states at
    which the target was needed; ``draft_evaluations`` (n,): the same of an independent drafter; ``windows`` (n,);
    ``residual_draws`` (n,): draws spent on rejected steps; ``drafted`` and ``accepted`` (n, most windows): steps drafted and
    kept in each window, -1 where the chain had finished. ``calls``: batched calls of the target in the whole run.
    ``computed``: states at which it was really evaluated in them: a compiled batch also computes what is not needed, the columns
    past a chain's window and the slots that no chain is in.
    """

    rounds: jax.Array
    evaluations: jax.Array
    draft_evaluations: jax.Array
    windows: jax.Array
    residual_draws: jax.Array
    drafted: jax.Array
    accepted: jax.Array
    calls: int | jax.Array = 0
    computed: int | jax.Array = 0

    @classmethod
    def empty(cls, n: int, most_windows: int) -> Trace:
        counts = [jnp.zeros(n, jnp.int32) for _ in _COUNTS]
        return cls(*counts, *(jnp.full((n, most_windows), -1, jnp.int16) for _ in range(2)))

    def first(self, count: int) -> Trace:
        """Of the first chains alone; ``calls`` and ``computed`` stay those of the run that they were in."""
        return replace(self, **{name: getattr(self, name)[:count] for name in [*_COUNTS, "drafted", "accepted"]})

    def totals(self) -> dict[str, float]:
        """Sums over the chains, under the names that a certificate's cost uses."""
        # Over the chains on the host, in 64 bits: JAX without x64 has none.
        total = lambda counts: float(np.asarray(counts).sum(dtype=np.int64))  # noqa: E731
        steps = lambda table: total(jnp.maximum(table, 0).sum(1, dtype=jnp.int32))  # noqa: E731
        return {
            "calls": float(self.calls),
            "rounds": total(self.rounds),
            "evaluations": total(self.evaluations),
            "computed": float(self.computed),
            "draft_evaluations": total(self.draft_evaluations),
            "windows": total(self.windows),
            "drafted_steps": steps(self.drafted),
            "accepted_steps": steps(self.accepted),
            "residual_draws": total(self.residual_draws),
        }


@partial(register_dataclass, data_fields=["paths", "trace"], meta_fields=[])
@dataclass(frozen=True)
class Run:
    """``paths`` (n, K + 1, d) in running order, x_K first, or (n, d) if only the last states were asked for."""

    paths: jax.Array
    trace: Trace
