"""Verification: pure functions of log-ratios and uniforms that decide which drafted steps of a window are kept.

A window drafts y_1..y_L from y_0, and ``log_ratios[:, i-1]`` is log p(y_i | y_{i-1}) / q(y_i | y_{i-1}). Both verifiers return
tau, the number of drafted steps that are kept, and the log-weight at which step tau + 1 was rejected. They know nothing about
Gaussians: the residual masses are passed in as numbers, so discrete decoding uses the same functions.

``lengths`` says how many of the L columns a chain really drafted; later columns are ignored. L is static, so
windows compile to straight lines and scans of fixed length. tau has the integer dtype of ``lengths``.

In single precision a uniform lies on a grid of 2^-23 or 2^-24, so acceptance probabilities are only this accurate.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444, Algorithm 2 (block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from .couplings import residual_mass

Verifier = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(log_ratios (m, L), deltas (m, L), uniforms (m, L), lengths (m,)) -> (tau (m,), log_weight (m,))."""


def token_wise(log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accept step i with probability min(1, r_i) and stop at the first failure. A rejected step has weight 1.

    ``deltas`` is not used; both verifiers have the same signature.

    >>> uniforms = jnp.array([[0.2, 0.9]])
    >>> tau, log_weight = token_wise(jnp.log(jnp.array([[0.5, 0.5]])), uniforms, uniforms, jnp.array([2]))
    >>> int(tau[0]), float(log_weight[0])
    (1, 0.0)
    """
    # Strictly below, so that a step of ratio 0 fails even at u = 0.
    accepted = (uniforms < jnp.exp(log_ratios)) & _drafted(log_ratios, lengths)
    kept = lax.cummin(accepted.astype(lengths.dtype), axis=1)
    return kept.sum(1, dtype=lengths.dtype), jnp.zeros_like(log_ratios[:, 0])


def block_weights(log_ratios: jax.Array) -> jax.Array:
    """log P_0, ..., log P_L, shape (m, L + 1), with P_0 = 1 and P_i = min(1, P_{i-1} r_i)."""
    start = jnp.zeros_like(log_ratios[:, 0])
    _, columns = lax.scan(_capped, start, log_ratios.T)
    return jnp.concatenate([start[:, None], columns.T], axis=1)


def block_masses(log_weights: jax.Array, deltas: jax.Array) -> jax.Array:
    """Z_i = Z(P_i, delta_{i+1}) for i = 1..L-1, from log P_0..P_L, shape (m, L). The last column has no next step and is 0."""
    masses = residual_mass(log_weights[:, 1:-1], deltas[:, 1:]).astype(log_weights.dtype)
    return jnp.concatenate([masses, jnp.zeros_like(log_weights[:, :1])], axis=1)


def block_thresholds(log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
    """The thresholds h_1, ..., h_L, shape (m, L).

    h_i is Z_i / (Z_i + 1 - P_i) before the last drafted step, where 0/0 counts as 0. At the last drafted step it is P_i.
    """
    log_p = log_weights[:, 1:]
    total = masses - jnp.expm1(log_p)
    inner = jnp.where(total > 0.0, masses / jnp.where(total > 0.0, total, 1.0), 0.0)
    last = jnp.arange(1, log_p.shape[1] + 1)[None, :] == lengths[:, None]
    return jnp.where(last, jnp.exp(log_p), inner)


def block_length(uniforms: jax.Array, thresholds: jax.Array, lengths: jax.Array) -> jax.Array:
    """The LARGEST i with u_i < h_i, or 0 if no i has it: an early failure does not end the window."""
    passed = (uniforms < thresholds) & _drafted(thresholds, lengths)
    position = jnp.arange(1, thresholds.shape[1] + 1, dtype=lengths.dtype)
    return (passed * position).max(axis=1)


def weight_at(log_weights: jax.Array, tau: jax.Array) -> jax.Array:
    """log P_tau, shape (m,): the log-weight of the residual at step tau + 1."""
    return jnp.take_along_axis(log_weights, tau[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Block:
    """Block verification: tau is the largest i with u_i < h_i, and P_tau is the weight of the residual at step tau + 1.

    It is made of the functions above, in the order of their use. A fault replaces one of them.

    >>> log_ratios, deltas, uniforms = jnp.log(jnp.array([[0.5, 4.0]])), jnp.array([[1.0, 1.0]]), jnp.array([[0.9, 0.9]])
    >>> tau, log_weight = Block()(log_ratios, deltas, uniforms, jnp.array([2]))
    >>> int(tau[0]), float(log_weight[0])  # token by token, the first draft would have been rejected
    (2, 0.0)
    """

    weights: Callable[[jax.Array], jax.Array] = block_weights
    masses: Callable[[jax.Array, jax.Array], jax.Array] = block_masses
    thresholds: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = block_thresholds
    length: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = block_length
    weight: Callable[[jax.Array, jax.Array], jax.Array] = weight_at
    name: str = "block"

    def __call__(
        self, log_ratios: jax.Array, deltas: jax.Array, uniforms: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        log_weights = self.weights(log_ratios)
        thresholds = self.thresholds(log_weights, self.masses(log_weights, deltas), lengths)
        tau = self.length(uniforms, thresholds, lengths)
        return tau, self.weight(log_weights, tau)


block = Block()


def _capped(log_weight: jax.Array, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
    following = jnp.minimum(log_weight + ratio, 0.0)
    return following, following


def _drafted(like: jax.Array, lengths: jax.Array) -> jax.Array:
    return jnp.arange(like.shape[1])[None, :] < lengths[:, None]
