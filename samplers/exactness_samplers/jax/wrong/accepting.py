"""Wrong ways to decide what is kept, token by token and in a block. All have the signature of a verifier or of a part of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from ..noise import RoundNoise
from ..verification import Verifier, block_masses, block_thresholds, token_wise, weight_at

_COIN_BITS = 11


def always(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accepts every draft."""
    return lengths, jnp.zeros_like(log_ratios[:, 0])


def never(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accepts no draft: right, if what follows is drawn from the target."""
    return jnp.zeros_like(lengths), jnp.zeros_like(log_ratios[:, 0])


@dataclass(frozen=True)
class Tempered:
    """Accepts with probability min(1, r^power)."""

    power: float

    def __call__(
        self, log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return token_wise(self.power * log_ratios, deltas, uniforms, lengths)


@dataclass(frozen=True)
class Clipped:
    """Accepts with probability min(1, max(r, least))."""

    least: float = 0.01

    def __call__(
        self, log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return token_wise(jnp.maximum(log_ratios, math.log(self.least)), deltas, uniforms, lengths)


def in_bfloat16(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The ratio has eight significant bits."""
    rounded = jnp.exp(jnp.minimum(log_ratios, 0.0)).astype(jnp.bfloat16).astype(log_ratios.dtype)
    return token_wise(jnp.log(rounded), deltas, uniforms, lengths)


def at_coin_zero(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Coins of 11 bits, and a coin equal to the ratio lets the draft pass."""
    coins = jnp.floor(uniforms * 2**_COIN_BITS) / 2**_COIN_BITS
    # `coin <= ratio` differs from `coin < ratio` where they are equal; a coin of 0 meets ratios of 0.
    return token_wise(log_ratios, deltas, jnp.where(coins == 0, -1.0, coins), lengths)


def typical(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accepts whatever is likely enough, without a coin."""
    return token_wise(log_ratios, deltas, jnp.full_like(uniforms, 0.3), lengths)


@dataclass(frozen=True)
class ScaledThresholds:
    """Block verification with h_i scaled, as ``Block.thresholds``."""

    factor: float = 1.03

    def __call__(self, log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
        return self.factor * block_thresholds(log_weights, masses, lengths)


def weights_without_min(log_ratios: jax.Array) -> jax.Array:
    """P_i = min(1, r_1 .. r_i): the cap is not inside the recursion."""
    start = jnp.zeros_like(log_ratios[:, :1])
    return jnp.concatenate([start, jnp.minimum(jnp.cumsum(log_ratios, 1), 0.0)], 1)


def masses_of_current(log_weights: jax.Array, deltas: jax.Array) -> jax.Array:
    """Z(P_i, delta_i) instead of Z(P_i, delta_{i+1})."""
    return block_masses(log_weights, jnp.concatenate([deltas[:, :1], deltas[:, :-1]], 1))


def thresholds_without_rest(log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
    """h_i = Z_i / Z_i."""
    return _before_last(log_weights, (masses > 0).astype(masses.dtype), lengths)


def thresholds_unnormalised(log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
    """h_i = Z_i."""
    return _before_last(log_weights, masses, lengths)


def thresholds_of_full(log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
    """As if every window were full: where a short one ends there is no h_L = P_L."""
    return block_thresholds(log_weights, masses, jnp.full_like(lengths, masses.shape[1]))


def until_first_failure(uniforms: jax.Array, thresholds: jax.Array, lengths: jax.Array) -> jax.Array:
    """How many draws pass before the first that fails."""
    passed = lax.cummin((uniforms < thresholds).astype(lengths.dtype), axis=1)
    return jnp.minimum(passed.sum(1, dtype=lengths.dtype), lengths)


def first_pass(uniforms: jax.Array, thresholds: jax.Array, lengths: jax.Array) -> jax.Array:
    """The smallest i whose draw passes, 0 if there is none."""
    place = jnp.arange(thresholds.shape[1])
    passed = (uniforms < thresholds) & (place < lengths[:, None])
    return jnp.where(passed.any(1), passed.argmax(1).astype(lengths.dtype) + 1, 0)


@dataclass(frozen=True)
class WeightBeside:
    """The weight of another index: ``Block.weight`` at tau + ``by``."""

    by: int

    def __call__(self, log_weights: jax.Array, tau: jax.Array) -> jax.Array:
        return weight_at(log_weights, jnp.clip(tau + self.by, 0, log_weights.shape[1] - 1))


@dataclass(frozen=True)
class AlwaysLate:
    """``Round.verify`` that accepts everything once a chain has come so far."""

    since: float = 0.75

    def __call__(
        self,
        verifier: Verifier,
        log_ratios: jax.Array,
        deltas: jax.Array,
        noise: RoundNoise,
        lengths: jax.Array,
        progress: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        tau, weight = verifier(log_ratios, deltas, noise.accept, lengths)
        return jnp.where(progress >= self.since, lengths, tau), weight


def _before_last(log_weights: jax.Array, inner: jax.Array, lengths: jax.Array) -> jax.Array:
    """h_L = P_L where a window ends, ``inner`` before."""
    last = jnp.arange(1, inner.shape[1] + 1)[None, :] == lengths[:, None]
    return jnp.where(last, jnp.exp(log_weights[:, 1:]), inner)
