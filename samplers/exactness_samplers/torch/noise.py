"""Randomness as data: what a round consumes, drawn from a generator or handed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RoundNoise:
    """What one round consumes; every number is used once.

    ``drafts`` (m, L, d) standard normals of the drafted steps; ``accept`` (m, L) uniforms of the verification, ``residual``
    (m,) the uniform of the residual's quantile; ``fresh`` (m, d) standard normals of the step after the accepted ones.
    """

    drafts: Tensor
    accept: Tensor
    residual: Tensor
    fresh: Tensor


class Noise(ABC):
    """Where a run's randomness comes from.

    ``rounds`` (m,): how many rounds each chain has done; ``chains`` (m,): which of the n chains it is.
    """

    @abstractmethod
    def start(self, n: int, dim: int) -> Tensor:
        """Standard normals of x_K, (n, d)."""

    @abstractmethod
    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise: ...

    def check(self, n: int, window: int) -> None:  # noqa: B027
        """Raises ``ValueError`` if there is no noise for n chains and windows of this length."""

    @abstractmethod
    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        """Normals and uniforms, each (rows, count), for draws that are repeated until accepted."""


@dataclass(frozen=True)
class GeneratorNoise(Noise):
    """Uniforms are double whatever the dtype of the states: a float32 uniform can round to 1 and has 2^24 values."""

    generator: torch.Generator
    dtype: torch.dtype = torch.float64

    def start(self, n: int, dim: int) -> Tensor:
        return self._normal(n, dim)

    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise:
        m = len(chains)
        return RoundNoise(self._normal(m, window, dim), self._uniform(m, window), self._uniform(m), self._normal(m, dim))

    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        normals = torch.randn(rows, count, dtype=torch.float64, device=self.generator.device, generator=self.generator)
        return normals, self._uniform(rows, count)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, dtype=self.dtype, device=self.generator.device, generator=self.generator)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, device=self.generator.device, generator=self.generator)


@dataclass(frozen=True)
class InjectedNoise(Noise):
    """Arrays made elsewhere, indexed by the chain's own round and the chain: the same noise gives the same path on every backend.

    ``x_start`` (n, d), ``drafts`` (R, n, L, d), ``accept`` (R, n, L), ``residual`` (R, n), ``fresh`` (R, n, d).
    """

    x_start: Tensor
    drafts: Tensor
    accept: Tensor
    residual: Tensor
    fresh: Tensor

    def check(self, n: int, window: int) -> None:
        if self.drafts.shape[1] != n or self.drafts.shape[2] != window or len(self.x_start) != n:
            raise ValueError(
                f"the injected noise is for {self.drafts.shape[1]} chains and windows of {self.drafts.shape[2]} steps, "
                f"the run has {n} and {window}"
            )

    def start(self, n: int, dim: int) -> Tensor:
        return self.x_start

    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise:
        if int(rounds.max()) >= len(self.drafts):
            raise ValueError(f"the injected noise lasts for {len(self.drafts)} rounds and the run needs more: inject K rounds")
        pick = lambda a: a[rounds, chains]  # noqa: E731
        return RoundNoise(pick(self.drafts), pick(self.accept), pick(self.residual), pick(self.fresh))

    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        raise ValueError("draw-until-accepted consumes an unbounded number of draws; it needs a generator, not injected noise")
