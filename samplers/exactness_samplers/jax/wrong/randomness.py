"""Wrong randomness: parts of a round that draw, and sources of noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from ..noise import Noise, RoundNoise
from ..speculative import Chains, draw


def one_draw_for_two(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """The coin is the normal's own probability integral transform."""
    noise = draw(source, chains, window, dim)
    return replace(noise, accept=jax.scipy.special.ndtr(noise.drafts[..., 0].astype(noise.accept.dtype)))


def same_every_round(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """The round does not enter the key."""
    return draw(source, chains._replace(rounds=jnp.zeros_like(chains.rounds)), window, dim)


@dataclass(frozen=True)
class ByPosition:
    """Draft and coin of each position are a function of the position, whatever the round; what is emitted is of the round."""

    steps: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        position = self.steps - chains.steps

        def column(i: jax.Array) -> tuple[jax.Array, jax.Array]:
            noise = source.round(position + i, chains.chain, 1, dim)
            return noise.drafts[:, 0], noise.accept[:, 0]

        drafts, accept = jax.vmap(column)(jnp.arange(window, dtype=jnp.int32))
        once = draw(source, chains._replace(rounds=position + 2 * self.steps), 1, dim)
        return replace(once, drafts=jnp.swapaxes(drafts, 0, 1), accept=accept.T, rounds=chains.rounds)


def Keyed(source: Noise) -> Noise:
    """Noise that is a function of the round and the chain: so it is here, always."""
    return source


@partial(register_dataclass, data_fields=["source"], meta_fields=[])
@dataclass(frozen=True)
class Antithetic(Noise):
    """Every second row has the negative of the normals of the row before."""

    source: Noise

    def start(self, n: int, dim: int) -> jax.Array:
        every = self.source.start(n + n % 2, dim)
        return jnp.stack([every[::2], -every[::2]], 1).reshape(-1, dim)[:n]

    def round(self, rounds: jax.Array, chains: jax.Array, window: int, dim: int) -> RoundNoise:
        noise = self.source.round(rounds, chains - chains % 2, window, dim)
        sign = jnp.where(chains % 2 == 0, 1.0, -1.0).astype(noise.fresh.dtype)
        return replace(noise, drafts=sign[:, None, None] * noise.drafts, fresh=sign[:, None] * noise.fresh, chains=chains)

    def candidates(self, round_: jax.Array, chain: jax.Array, attempt: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        return self.source.candidates(round_, chain, attempt, count)


@dataclass(frozen=True)
class FewBits:
    """Fresh normals as quantiles of uniforms that are rounded to so many bits, and can be 0 or 1."""

    bits: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise = draw(source, chains, window, dim)
        coarse = jnp.round(jax.scipy.special.ndtr(noise.fresh.astype(float)) * 2**self.bits) / 2**self.bits
        return replace(noise, fresh=jax.scipy.special.ndtri(coarse).astype(noise.fresh.dtype))


@dataclass(frozen=True)
class RoundedToOne:
    """Fresh normals whose uniform, rounded to so many bits, is 1 are infinite; all others are left alone."""

    bits: int

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise = draw(source, chains, window, dim)
        lost = jax.scipy.special.ndtr(-noise.fresh.astype(float)) < 0.5 ** (self.bits + 1)
        return replace(noise, fresh=jnp.where(lost, jnp.inf, noise.fresh))


@dataclass(frozen=True)
class Correlated:
    """Within a window each draft's noise has this correlation with that before it; each alone is standard normal."""

    correlation: float = 0.01

    def __call__(self, source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
        noise, own = draw(source, chains, window, dim), (1.0 - self.correlation**2) ** 0.5
        columns = [noise.drafts[:, 0]]
        for i in range(1, window):
            columns.append(self.correlation * columns[-1] + own * noise.drafts[:, i])
        return replace(noise, drafts=jnp.stack(columns, 1))
