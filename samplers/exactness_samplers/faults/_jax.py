"""The few parts of faults that differ in JAX, where noise is already a function of the key, the chain and its round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
from jax import numpy as xp
from jax.scipy.special import ndtr, ndtri

from ..jax.noise import Noise, RoundNoise
from ..jax.speculative import Chains

__all__ = ["Antithetic", "Keyed", "arange", "begun_anew", "ndtr", "ndtri", "seeded", "traceable", "xp"]


@cache
def traceable(kind: type, data: tuple[str, ...], fixed: tuple[str, ...]) -> None:
    """Lets a dataclass be an argument of compiled functions: ``data`` are its arrays, ``fixed`` the other fields."""
    jax.tree_util.register_dataclass(kind, data_fields=data, meta_fields=fixed)


def arange(count: int, like: jax.Array) -> jax.Array:
    return jnp.arange(count)


def seeded(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")


def begun_anew(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """The noise of a round that does not enter the key."""
    return source.round(jnp.zeros_like(chains.rounds), chains.chain, window, dim)


def Keyed(source: Noise) -> Noise:
    """Noise that is a function of the round and the chain, as it always is here."""
    return source


@dataclass(frozen=True)
class Antithetic(Noise):
    """Every second chain has the negative of the normals of the chain before."""

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
