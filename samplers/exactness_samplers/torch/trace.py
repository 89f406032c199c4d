"""The cost of a run, chain by chain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trace:
    """The counts of a run. All tensors are integers on the device of the run.

    Per chain, (n,): ``rounds`` are sequential calls of the target, where a batched verification counts as one; ``evaluations`` are
    the states at which the target was evaluated; ``draft_evaluations`` are those of an independent drafter; ``windows`` are the
    windows; ``residual_draws`` are the draws spent on rejected steps.

    Per chain and window, (n, most windows): ``drafted`` and ``accepted`` are the steps drafted and kept, -1 after the chain has
    finished.

    Per run: ``calls`` are batched calls of the target; ``computed`` are the states that these calls really evaluated. In torch
    these are only the states that were needed.
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
        """The sums over the chains, under the names that the cost of a certificate uses.

        >>> Trace.empty(3, 5, torch.device("cpu")).totals()["rounds"]
        0.0
        """
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
    """The ``trace`` and the ``paths`` (n, K + 1, d), x_K first, or (n, d) if only the last states were asked for."""

    paths: Tensor
    trace: Trace
