"""The right samplers that the wrong ones are made of: configurations in which errors show."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..drafters import Free, Independent
from ..processes import Process
from ..rejections import gamma
from ..speculative import Speculative
from ..verification import block, token_wise


@dataclass(frozen=True)
class Offset:
    """The target's own prediction, moved so that the draft's mean is ``sigmas`` of the step away, in the direction of the state."""

    process: Process
    sigmas: float = 1.0

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None) -> Tensor:
        tables = self.process.tables(x)
        sigma, b = tables.at("sigma", steps), tables.at("b", steps)
        # A step that ignores its prediction cannot be moved.
        size = torch.where(b == 0, 0.0, self.sigmas * sigma / torch.where(b == 0, 1.0, b))
        return self.process.evaluate(steps, x, condition) + size[:, None] * torch.nn.functional.normalize(x, dim=-1)


def stale(process: Process) -> Speculative:
    """Drafts go stale: the first kind of prediction is reused over windows as long as the chain, verified as a block."""
    return Speculative(process, max(1, min(process.steps - 1, 20)), Free(process.schedule.kinds[0]), block, gamma)


def poor(process: Process, sigmas: float = 1.0) -> Speculative:
    """Every draft is a standard deviation off, so that many are rejected, token by token."""
    return Speculative(process, 8, Independent(Offset(process, sigmas)), token_wise, gamma)


def good(process: Process) -> Speculative:
    """Drafts are mostly kept."""
    kinds = process.schedule.kinds
    return Speculative(process, 8, Free("sample" if "sample" in kinds else kinds[0]), token_wise, gamma)
