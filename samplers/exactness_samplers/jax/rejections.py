"""What a rejected draft is replaced by. Each rule is exact, at any weight, in token-wise and in block verification."""

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
    """The rejected step of each chain: ``mean`` (m, d) and ``sigma`` (m,) of the target there, ``axis`` (m, d) and ``delta``
    (m,) of the draft, ``log_weight`` (m,), the ``draft`` noise z (m, d), and ``rejected`` (m,): rows where False are ignored.
    """

    mean: jax.Array
    sigma: jax.Array
    axis: jax.Array
    delta: jax.Array
    log_weight: jax.Array
    draft: jax.Array
    rejected: jax.Array


Rejection = Callable[[Rejected, RoundNoise, Noise], tuple[jax.Array, jax.Array | int]]
"""-> (states (m, d), draws taken (m,) or one number). Minus the draws taken, where a rule gave up: the run is then an error."""


@dataclass(frozen=True)
class Maximal:
    """The couplings of :func:`.couplings.emit_rejected`; ``gamma`` and ``reflection`` are two of its corners."""

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
    """The old, slow way: draw from the target and accept with probability (1 - q/(w p))_+, until one is.

    Exact with no quantile function at all, hence an independent reading of the others; the expected number of draws at one
    rejection is w/Z, unbounded as the draft gets better. ``most`` draws without success are an error, never a silent stop.
    Every turn draws equally many candidates, shared out among the rows that are still open: the fewer, the more each.
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
            # Of this round of the loop, since no chain does a round twice: no other round draws these.
            first = order[0]
            normals, uniforms = source.candidates(noise.rounds[first], noise.chains[first], attempt, count)
            delta = step.delta[row]
            # On the coordinate s of a target draw: log q/(w p) = -log r - log w, at <e, z> = s - delta.
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
        # The loop ends when one row has had too many; all rows that still wait are then without a state.
        return jnp.where(waiting[:, None], jnp.nan, state), jnp.where(waiting, -jnp.maximum(draws, 1), draws)
