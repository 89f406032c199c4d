"""The few parts of faults that differ in torch, where arrays have a device and noise is drawn from a generator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import array_api_compat.torch as xp
import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from ..torch.noise import GeneratorNoise, Noise, RoundNoise
from ..torch.speculative import Chains

__all__ = ["Antithetic", "Keyed", "arange", "begun_anew", "ndtr", "ndtri", "seeded", "traceable", "xp"]


def traceable(kind: type, data: tuple[str, ...], fixed: tuple[str, ...]) -> None:
    """Nothing: torch traces no functions here."""


def arange(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begun_anew(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """The noise of a round whose generator begins anew, with the same seed."""
    assert isinstance(source, GeneratorNoise)
    again = torch.Generator(device=source.generator.device).manual_seed(source.generator.initial_seed())
    return GeneratorNoise(again, source.dtype).round(chains.rounds, chains.chain, window, dim)


class Keyed(Noise):
    """Noise that is a function of the round and the chain: it is the same each time it is asked for."""

    def __init__(self, source: Noise) -> None:
        assert isinstance(source, GeneratorNoise)
        self.source, self.n = source, 0

    def start(self, n: int, dim: int) -> Tensor:
        self.n = n
        return self.source.start(n, dim)

    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise:
        found: RoundNoise | None = None
        for value in rounds.unique().tolist():
            here = rounds == value
            generator = torch.Generator(device=rounds.device).manual_seed(
                self.source.generator.initial_seed() * 1_000_003 + value + 1
            )
            every = torch.arange(self.n, device=rounds.device)
            noise = GeneratorNoise(generator, self.source.dtype).round(every, every, window, dim)
            if found is None:
                found = RoundNoise(*(part.new_empty((len(rounds), *part.shape[1:])) for part in vars(noise).values()))
            for part, of in zip(vars(found).values(), vars(noise).values(), strict=True):
                part[here] = of[chains[here]]
        assert found is not None
        return found

    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        return self.source.candidates(rows, count)


@dataclass(frozen=True)
class Antithetic(Noise):
    """Every second row has the negative of the normals of the row before."""

    source: Noise

    def start(self, n: int, dim: int) -> Tensor:
        return _mirrored(self.source.start(n, dim))

    def round(self, rounds: Tensor, chains: Tensor, window: int, dim: int) -> RoundNoise:
        noise = self.source.round(rounds, chains, window, dim)
        return replace(noise, drafts=_mirrored(noise.drafts), fresh=_mirrored(noise.fresh))

    def candidates(self, rows: int, count: int) -> tuple[Tensor, Tensor]:
        return self.source.candidates(rows, count)


def _mirrored(z: Tensor) -> Tensor:
    mirrored = z.clone()
    mirrored[1::2] = -z[: len(z) - 1 : 2] if len(z) % 2 else -z[::2]
    return mirrored
