"""The cost of a run, chain by chain."""

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
    """The counts of a run. All arrays are integers on the device of the run.

    Per chain, (n,): ``rounds`` are sequential calls of the target, where a batched verification counts as one; ``evaluations`` are
    the states at which the target was needed; ``draft_evaluations`` are those of an independent drafter; ``windows`` are the
    windows; ``residual_draws`` are the draws spent on rejected steps.

    Per chain and window, (n, most windows): ``drafted`` and ``accepted`` are the steps drafted and kept, -1 after the chain has
    finished.

    Per run: ``calls`` are batched calls of the target; ``computed`` are the states that these calls really evaluated. In JAX a
    compiled batch also computes states that are not needed: the columns past a chain's window, and empty slots.
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
        """The trace of the first chains alone. ``calls`` and ``computed`` stay those of the whole run."""
        return replace(self, **{name: getattr(self, name)[:count] for name in [*_COUNTS, "drafted", "accepted"]})

    def totals(self) -> dict[str, float]:
        """The sums over the chains, under the names that the cost of a certificate uses."""
        # The chains are summed on the host in 64 bits, which JAX has only with x64.
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
    """The ``trace`` and the ``paths`` (n, K + 1, d), x_K first, or (n, d) if only the last states were asked for."""

    paths: jax.Array
    trace: Trace
