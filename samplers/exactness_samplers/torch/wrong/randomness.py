"""Wrong randomness: parts of a round that draw, and sources of noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..noise import GeneratorNoise, Noise, RoundNoise
from ..speculative import Chains, draw


def one_draw_for_two(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """The coin is the normal's own probability integral transform."""
    noise = draw(source, chains, window, dim)
    return replace(noise, accept=torch.special.ndtr(noise.drafts[..., 0].double()))


def same_every_round(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """A generator that begins anew, with the same seed."""
    assert isinstance(source, GeneratorNoise)
    again = torch.Generator(device=source.generator.device).manual_seed(source.generator.initial_seed())
    return GeneratorNoise(again, source.dtype).round(chains.rounds, chains.chain, window, dim)


@dataclass(frozen=True)
class ByPosition:
    """Draft and coin of each position are a function of the position, whatever the round; what is emitted is of the round."""

    steps: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        position = self.steps - chains.steps
        columns = [source.round(position + i, chains.chain, 1, dim) for i in range(window)]
        once = draw(source, replace(chains, rounds=position + 2 * self.steps), 1, dim)
        drafts = torch.cat([c.drafts for c in columns], 1)
        return RoundNoise(drafts, torch.cat([c.accept for c in columns], 1), once.residual, once.fresh)


class Keyed(Noise):
    """Noise that is a function of the round and the chain: the same numbers are there each time they are asked for."""

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
                found = RoundNoise(*(torch.empty_like(part[: len(rounds)]) for part in vars(noise).values()))
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


@dataclass(frozen=True)
class FewBits:
    """Fresh normals as quantiles of uniforms that are rounded to so many bits, and can be 0 or 1."""

    bits: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise = draw(source, chains, window, dim)
        coarse = torch.round(torch.special.ndtr(noise.fresh.double()) * 2**self.bits) / 2**self.bits
        return replace(noise, fresh=torch.special.ndtri(coarse).to(noise.fresh.dtype))


@dataclass(frozen=True)
class RoundedToOne:
    """Fresh normals whose uniform, rounded to so many bits, is 1 are infinite; all others are left alone."""

    bits: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise = draw(source, chains, window, dim)
        lost = torch.special.ndtr(-noise.fresh.double()) < 0.5 ** (self.bits + 1)
        return replace(noise, fresh=torch.where(lost, torch.inf, noise.fresh))


@dataclass(frozen=True)
class Correlated:
    """Within a window each draft's noise has this correlation with that before it; each alone is standard normal."""

    correlation: float = 0.01

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise, own = draw(source, chains, window, dim), (1.0 - self.correlation**2) ** 0.5
        columns = [noise.drafts[:, 0]]
        for i in range(1, window):
            columns.append(self.correlation * columns[-1] + own * noise.drafts[:, i])
        return replace(noise, drafts=torch.stack(columns, 1))


def _mirrored(z: Tensor) -> Tensor:
    mirrored = z.clone()
    mirrored[1::2] = -z[: len(z) - 1 : 2] if len(z) % 2 else -z[::2]
    return mirrored
