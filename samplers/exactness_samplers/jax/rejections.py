"""Rejection rules: what replaces a rejected draft. Each is exact at any weight, in token-wise and in block verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from .couplings import Across, Along, emit_rejected, log_ratio
from .noise import Noise, RoundNoise


@dataclass(frozen=True)
class Rejected:
    """The rejected step of each chain.

    ``mean`` (m, d) and ``sigma`` (m,) belong to the target, ``axis`` (m, d) and ``delta`` (m,) to the draft. ``log_weight`` (m,)
    is the log-weight of the rejection, and ``draft`` (m, d) is the noise z of the draft. Rows where ``rejected`` (m,) is False are
    ignored.
    """

    mean: jax.Array
    sigma: jax.Array
    axis: jax.Array
    delta: jax.Array
    log_weight: jax.Array
    draft: jax.Array
    rejected: jax.Array


Rejection = Callable[[Rejected, RoundNoise, Noise], tuple[jax.Array, jax.Array | int]]
"""It returns the states (m, d) and the number of draws taken, (m,) or one number.

The number is negative where a rule gave up; the run then raises an error.
"""


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

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[jax.Array, int]:
        state = emit_rejected(
            step.mean, step.sigma, step.axis, step.delta, step.log_weight, step.draft, noise.fresh, noise.residual,
            self.along, self.across,
        )  # fmt: skip
        return state, 1


gamma = Maximal("independent", "fresh")
reflection = Maximal("quantile", "kept")

_CANDIDATES = 4096


@dataclass(frozen=True)
class UntilAccepted:
    """The old, slow rule: draw from the target and accept with probability (1 - q/(w p))_+, until a draw is accepted.

    It is exact without any quantile function, so it is an independent check of the other rules. The expected number of draws at a
    rejection is w/Z, which is unbounded as the draft gets better. ``most`` draws without success raise an error.
    Each turn of the loop draws the same number of candidates and shares them among the rows that are still open.

    >>> UntilAccepted(most=1 << 20).name
    'until-accepted'
    """

    most: int = 1 << 26
    name: str = "until-accepted"

    def __call__(self, step: Rejected, noise: RoundNoise, source: Noise) -> tuple[jax.Array, jax.Array]:
        m = len(step.delta)
        count = max(4 * m, _CANDIDATES)
        place = jnp.arange(count, dtype=jnp.int32)

        def turn(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            waiting, s, draws, attempt = carry
            order = jnp.argsort(~waiting, stable=True).astype(jnp.int32)
            many = waiting.sum(dtype=jnp.int32)
            row, turns = order[place % many], place // many
            # No chain does a round twice, so these belong to this round alone.
            first = order[0]
            normals, uniforms = source.candidates(noise.rounds[first], noise.chains[first], attempt, count)
            delta = step.delta[row]
            # At the coordinate s of a target draw, where <e, z> = s - delta: log q/(w p) = -log r - log w.
            log_excess = -log_ratio(delta, normals.astype(delta.dtype) - delta) - step.log_weight[row]
            passed = uniforms < -jnp.expm1(log_excess)
            hit = jnp.full(m, count, jnp.int32).at[row].min(jnp.where(passed, place, count))
            found = hit < count
            taken = jnp.zeros(m, jnp.int32).at[row].max(turns + 1)
            s = jnp.where(found, normals[jnp.minimum(hit, count - 1)], s)
            draws = draws + jnp.where(waiting, jnp.where(found, hit // many + 1, taken), 0)
            return waiting & ~found, s, draws, attempt + 1

        def go_on(carry: tuple[jax.Array, ...]) -> jax.Array:
            waiting, _, draws, _ = carry
            return jnp.any(waiting) & ~jnp.any(waiting & (draws > self.most))

        nothing = jnp.zeros(m, jnp.int32)
        begin: tuple[jax.Array, ...] = (step.rejected, jnp.zeros(m, float), nothing, jnp.int32(0))
        waiting, s, draws, _ = lax.while_loop(go_on, turn, begin)
        orthogonal = noise.fresh - (step.axis * noise.fresh).sum(-1, keepdims=True) * step.axis
        state = step.mean + step.sigma[:, None] * (s.astype(step.mean.dtype)[:, None] * step.axis + orthogonal)
        # The loop ends when one row has had too many draws. All rows that still wait then have no state.
        return jnp.where(waiting[:, None], jnp.nan, state), jnp.where(waiting, -jnp.maximum(draws, 1), draws)
