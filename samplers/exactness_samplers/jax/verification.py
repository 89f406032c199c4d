"""Which drafted steps of a window are kept: pure functions of log-ratios and uniforms.

A window drafts y_1..y_L out of y_0, steps of a diffusion or tokens of a language model; ``log_ratios[:, i-1]`` is
log p(y_i)/q(y_i), both laws given y_0..y_{i-1}. Both verifiers return tau, the number of drafted steps that are kept, and log w,
the log-weight at which step tau + 1 was rejected: it is drawn again from the residual, which is proportional to (w p - q)_+.

Block verification also asks how much mass the next residual has: ``masses(log_weights)`` takes log P_0..log P_L, shape (m, L + 1),
and returns Z_1..Z_L, shape (m, L). Z_i is the mass of (P_i p - q)_+ under the laws p and q of y_{i+1}, given y_0..y_i. The
last column has no next step, and nothing reads it: let it be 0. For Gaussian steps ``couplings.GaussianMasses`` is such a
function; for tokens Z_i is a sum over the vocabulary.

``lengths`` (m,) says how many of the L columns a chain really drafted; columns past it are ignored. L is static, so that windows
compile to straight lines and scans of fixed length; tau has the integer dtype of ``lengths``.

In single precision a uniform lies on a grid of 2^-23 or 2^-24, and an acceptance probability is met no better than that.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444, Algorithm 2 (block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

Masses = Callable[[jax.Array], jax.Array]
"""log_weights (m, L + 1) -> the masses of the next residuals (m, L)."""

Verifier = Callable[[jax.Array, Masses, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(log_ratios (m, L), masses, uniforms (m, L), lengths (m,)) -> (tau (m,), log_weight (m,))."""


def token_wise(log_ratios: jax.Array, masses: Masses, uniforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Accepts step i with probability min(1, r_i) and stops at the first failure; a rejected step has weight 1.

    ``masses`` is never called: it is here because both verifiers have one signature.
    """
    # Strictly below: a step of ratio 0 must fail even at u = 0.
    accepted = (uniforms < jnp.exp(log_ratios)) & _drafted(log_ratios, lengths)
    kept = lax.cummin(accepted.astype(lengths.dtype), axis=1)
    return kept.sum(1, dtype=lengths.dtype), jnp.zeros_like(log_ratios[:, 0])


def block_weights(log_ratios: jax.Array) -> jax.Array:
    """log P_0, ..., log P_L, shape (m, L + 1): P_0 = 1, P_i = min(1, P_{i-1} r_i)."""
    start = jnp.zeros_like(log_ratios[:, 0])
    _, columns = lax.scan(_capped, start, log_ratios.T)
    return jnp.concatenate([start[:, None], columns.T], axis=1)


def block_thresholds(log_weights: jax.Array, masses: jax.Array, lengths: jax.Array) -> jax.Array:
    """h_1, ..., h_L: h_i = Z_i / (Z_i + 1 - P_i) before the last drafted step, h_L = P_L; 0/0 counts as 0. Shape (m, L)."""
    log_p = log_weights[:, 1:]
    total = masses - jnp.expm1(log_p)
    inner = jnp.where(total > 0.0, masses / jnp.where(total > 0.0, total, 1.0), 0.0)
    last = jnp.arange(1, log_p.shape[1] + 1)[None, :] == lengths[:, None]
    return jnp.where(last, jnp.exp(log_p), inner)


def block_length(uniforms: jax.Array, thresholds: jax.Array, lengths: jax.Array) -> jax.Array:
    """The LARGEST i with u_i < h_i, or 0 without such an i: a draw that fails early does not end the window."""
    passed = (uniforms < thresholds) & _drafted(thresholds, lengths)
    position = jnp.arange(1, thresholds.shape[1] + 1, dtype=lengths.dtype)
    return (passed * position).max(axis=1)


def weight_at(log_weights: jax.Array, tau: jax.Array) -> jax.Array:
    """log P_tau, (m,): the weight of the residual to draw from at step tau + 1."""
    return jnp.take_along_axis(log_weights, tau[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Block:
    """Block verification: tau is the largest i with u_i < h_i, and the residual at step tau + 1 has the weight P_tau.

    It keeps at least as many steps on average as :func:`token_wise` does. It is made of the functions above, in the order of
    their use; a wrong sampler is this with one of them replaced.

    Source: Sun et al. 2024, arXiv 2403.10444, Algorithm 2.

    Example:
        Two tokens that were drafted from q, whatever came before. Block verification keeps both; the other would reject the first.

        >>> import jax.numpy as jnp
        >>> p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.2, 0.3, 0.5])
        >>> def masses(log_weights):
        ...     excess = jnp.maximum(jnp.exp(log_weights[:, 1:-1, None]) * p - q, 0.0).sum(-1)
        ...     return jnp.concatenate([excess, jnp.zeros((len(excess), 1))], axis=1)
        >>> drafts, uniforms = jnp.array([[2, 0]]), jnp.array([[0.9, 0.5]])
        >>> tau, log_weight = block(jnp.log(p / q)[drafts], masses, uniforms, jnp.array([2]))
        >>> tau.tolist(), jnp.exp(log_weight).tolist()
        ([2], [1.0])
        >>> token_wise(jnp.log(p / q)[drafts], masses, uniforms, jnp.array([2]))[0].tolist()
        [0]
    """

    weights: Callable[[jax.Array], jax.Array] = block_weights
    thresholds: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = block_thresholds
    length: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = block_length
    weight: Callable[[jax.Array, jax.Array], jax.Array] = weight_at
    name: str = "block"

    def __call__(
        self, log_ratios: jax.Array, masses: Masses, uniforms: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        log_weights = self.weights(log_ratios)
        mass = masses(log_weights)
        if mass.shape != log_ratios.shape:
            raise ValueError(
                f"masses gave shape {tuple(mass.shape)} for log-ratios of {tuple(log_ratios.shape)}: it gives one mass for each "
                "drafted step, and 0 for the last one"
            )
        thresholds = self.thresholds(log_weights, mass, lengths)
        tau = self.length(uniforms, thresholds, lengths)
        return tau, self.weight(log_weights, tau)


block = Block()


def _capped(log_weight: jax.Array, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
    following = jnp.minimum(log_weight + ratio, 0.0)
    return following, following


def _drafted(like: jax.Array, lengths: jax.Array) -> jax.Array:
    return jnp.arange(like.shape[1])[None, :] < lengths[:, None]
