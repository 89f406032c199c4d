"""Randomness as data: the noise of a round is drawn from a generator or passed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RoundNoise:
    """The noise of one round. Every number is used once.

    ``drafts`` (m, L, d) are the standard normals of the drafted steps, ``accept`` (m, L) the uniforms of the verification,
    ``residual`` (m,) the uniforms of the residual's quantile, and ``fresh`` (m, d) the standard normals of the step after the
    accepted ones.
    """

    drafts: Tensor
    accept: Tensor
    residual: Tensor
    fresh: Tensor


class Noise(ABC):
    """The source of a run's randomness.

    ``rounds`` (m,) is the number of rounds that each chain has done, and ``chains`` (m,) is its index among the n chains.
    """

    @abstractmethod
    def start(self, n: int, dim: int) -> Tensor:
        """The standard normals of x_K, (n, d)."""

    @abstractmethod
    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise: ...

    def check(self, n: int, window: int) -> None:  # noqa: B027
        """Raise ``ValueError`` if there is no noise for n chains and windows of this length."""

    @abstractmethod
    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        """Normals and uniforms, each (rows, count), for draws that are repeated until one is accepted."""


@dataclass(frozen=True)
class GeneratorNoise(Noise):
    """Noise from a ``torch.Generator``. ``dtype`` is the dtype of the normals.

    Uniforms are always in double precision, because a float32 uniform can round to 1 and has only 2^24 values.

    >>> GeneratorNoise(torch.Generator().manual_seed(0)).start(3, 2).shape
    torch.Size([3, 2])
    """

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
    """Noise that is passed in, indexed by the round of the chain and by the chain. The same noise gives the same path everywhere.

    The shapes are ``x_start`` (n, d), ``drafts`` (R, n, L, d), ``accept`` (R, n, L), ``residual`` (R, n) and ``fresh`` (R, n, d).
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
