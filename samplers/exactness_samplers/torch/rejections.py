"""Rejection rules: what replaces a rejected draft. Each is exact at any weight, in token-wise and in block verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .couplings import Across, Along, _free_to_ask, emit_rejected, log_ratio
from .noise import Noise, RoundNoise


@dataclass(frozen=True)
class Rejected:
    """The rejected step of each chain.

    ``mean`` (m, d) and ``sigma`` (m,) belong to the target, ``axis`` (m, d) and ``delta`` (m,) to the draft. ``log_weight`` (m,)
    is the log-weight of the rejection, and ``draft`` (m, d) is the noise z of the draft. Rows where ``rejected`` (m,) is False are
    ignored.
    """

    mean: Tensor
    sigma: Tensor
    axis: Tensor
    delta: Tensor
    log_weight: Tensor
    draft: Tensor
    rejected: Tensor


Rejection = Callable[[Rejected, RoundNoise, Noise], tuple[Tensor, Tensor | int]]
"""It returns the states (m, d) and the number of draws taken, (m,) or one number."""


@dataclass(frozen=True)
class Maximal:
    """The couplings of :func:`.couplings.emit_rejected`, with its two choices. ``gamma`` and ``reflection`` are two of the four.

    >>> Maximal("quantile", "kept") == reflection
    True
    """

    along: Along = "independent"
    across: Across = "fresh"

    def __post_init__(self) -> None:
        if self.along not in ("independent", "quantile"):
            raise ValueError(f"along must be 'independent' or 'quantile', not {self.along!r}")
        if self.across not in ("fresh", "kept"):
            raise ValueError(f"across must be 'fresh' or 'kept', not {self.across!r}")

    @property
    def name(self) -> str:
        return f"{self.along}-{self.across}"

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, int]:
        # Where asking is free, only the rejected rows are computed.
        rows = step.rejected.nonzero()[:, 0] if _free_to_ask(step.rejected) else slice(None)
        state = step.mean.clone()
        state[rows] = emit_rejected(
            step.mean[rows], step.sigma[rows], step.axis[rows], step.delta[rows], step.log_weight[rows], step.draft[rows],
            noise.fresh[rows], noise.residual[rows], self.along, self.across,
        )  # fmt: skip
        return state, 1


gamma = Maximal("independent", "fresh")
reflection = Maximal("quantile", "kept")


@dataclass(frozen=True)
class UntilAccepted:
    """The old, slow rule: draw from the target and accept with probability (1 - q/(w p))_+, until a draw is accepted.

    It is exact without any quantile function, so it is an independent check of the other rules. The expected number of draws at a
    rejection is w/Z, which is unbounded as the draft gets better. ``most`` draws without success raise an error.

    >>> UntilAccepted(most=1 << 20).name
    'until-accepted'
    """

    most: int = 1 << 26
    name: str = "until-accepted"

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor]:
        m = len(step.delta)
        s = torch.zeros(m, dtype=torch.float64, device=step.delta.device)
        draws = torch.zeros(m, dtype=torch.int64, device=step.delta.device)
        open_rows = step.rejected.nonzero()[:, 0]
        count = 4
        while len(open_rows):
            normals, uniforms = source.candidates(len(open_rows), count)
            delta = step.delta[open_rows, None].double()
            # At the coordinate s of a target draw, where <e, z> = s - delta: log q/(w p) = -log r - log w.
            log_excess = -log_ratio(delta, normals - delta) - step.log_weight[open_rows, None].double()
            passed = uniforms < -torch.expm1(log_excess)
            hit, first = passed.any(1), passed.float().argmax(1)
            s[open_rows] = torch.where(hit, normals.gather(1, first[:, None])[:, 0], s[open_rows])
            draws[open_rows] += torch.where(hit, first + 1, torch.full_like(first, count))
            open_rows = open_rows[~hit]
            if len(open_rows) and int(draws.max()) > self.most:
                raise RuntimeError(f"no draw accepted in {self.most}: the draft is too close to the target for this rule")
            count = min(2 * count, 1 << 14)
        orthogonal = noise.fresh - (step.axis * noise.fresh).sum(-1, keepdim=True) * step.axis
        state = step.mean + step.sigma[:, None] * (s.to(step.mean.dtype)[:, None] * step.axis + orthogonal)
        return state, draws
