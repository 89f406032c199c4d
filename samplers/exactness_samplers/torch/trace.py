"""What a run cost, chain by chain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trace:
    """All tensors are integers on the run's device.

    ``rounds`` (n,): sequential calls of the target, a batched verification counting as one; ``evaluations`` (n,): states at
    which the target was evaluated; ``draft_evaluations`` (n,): the same of an independent drafter; ``windows`` (n,);
    ``residual_draws`` (n,): draws spent on rejected steps; ``drafted`` and ``accepted`` (n, most windows): steps drafted and
    kept in each window, -1 where the chain had finished. ``calls``: batched calls of the target in the whole run.
    ``computed``: states at which it was really evaluated in them; here no more than those that were needed.
    """

    rounds: Tensor
    evaluations: Tensor
    draft_evaluations: Tensor
    windows: Tensor
    residual_draws: Tensor
    drafted: Tensor
    accepted: Tensor
    calls: int = 0
    computed: int = 0

    @classmethod
    def empty(cls, n: int, most_windows: int, device: torch.device) -> Trace:
        count = lambda: torch.zeros(n, dtype=torch.int64, device=device)  # noqa: E731
        table = lambda: torch.full((n, most_windows), -1, dtype=torch.int16, device=device)  # noqa: E731
        return cls(count(), count(), count(), count(), count(), table(), table())

    def totals(self) -> dict[str, float]:
        """Sums over the chains, under the names that a certificate's cost uses."""
        kept, drafted = self.accepted.clamp(min=0), self.drafted.clamp(min=0)
        return {
            "calls": float(self.calls),
            "rounds": float(self.rounds.sum()),
            "evaluations": float(self.evaluations.sum()),
            "computed": float(self.computed),
            "draft_evaluations": float(self.draft_evaluations.sum()),
            "windows": float(self.windows.sum()),
            "drafted_steps": float(drafted.sum()),
            "accepted_steps": float(kept.sum()),
            "residual_draws": float(self.residual_draws.sum()),
        }


@dataclass(frozen=True)
class Run:
    """``paths`` (n, K + 1, d) in running order, x_K first, or (n, d) if only the last states were asked for."""

    paths: Tensor
    trace: Trace
