"""Faults of the randomness: parts of a round that draw, and sources of noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .base import ALL, DRAFTED, Backend, Bound, row
from .runs import Around, picked
from .unspoiled import good, poor, stale

_SHARDS = 8


@row(
    "one-draw-for-two", "randomness", "The uniform that accepts a draft is computed from the normal that drew it.",
    touches=DRAFTED, replaces="round.draw", spoils=poor, standard=True,
    seen=("vllm#47386", "vllm#54282", "vllm-ascend#16370", "jax#14597"),
)  # fmt: skip
def one_draw_for_two(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
    """It is the probability integral transform of the first coordinate."""
    noise = of.speculative.draw(source, chains, window, dim)
    return replace(noise, accept=of.own.ndtr(of.xp.astype(noise.drafts[..., 0], noise.accept.dtype)))


@row(
    "same-key-every-round", "randomness", "Every round begins with the same key.",
    touches=ALL, replaces="round.draw", spoils=poor,
)  # fmt: skip
def same_key_every_round(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
    return of.own.begun_anew(source, chains, window, dim)


@row(
    "draws-keyed-by-position", "randomness",
    "The draws of a block are keyed by (seed, position), so the next round meets draws that the last one has already looked at.",
    touches="steps that were drafted twice", replaces="sampler", spoils=stale,
    seen=("a serving engine's block mode: chi-square 2597 on 186 degrees of freedom",),
)  # fmt: skip
def draws_keyed_by_position(of: Backend, right: Any) -> Any:
    """Only the draft and the coin of each position are keyed by it; what is emitted is drawn anew in each round."""

    def draw(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
        total, m = right.process.steps, len(chains.chain)
        position = total - chains.steps
        # A row for each position of each window, (m L,).
        row = of.arange(m * window, chains.chain) // window
        column = of.xp.astype(of.arange(m * window, chains.chain) % window, position.dtype)
        every = source.round(position[row] + column, chains.chain[row], 1, dim)
        once = source.round(position + 2 * total, chains.chain, 1, dim)
        return replace(once, drafts=of.xp.reshape(every.drafts, (m, window, dim)), accept=of.xp.reshape(every.accept, (m, window)))

    keyed = of.speculative.Round(source=of.own.Keyed, draw=Bound(of, draw, "keyed by position"))
    return replace(right, round=keyed)


@row(
    "antithetic-pairs", "randomness", "Every second chain has the negative of its neighbour's noise.",
    touches="pairs of paths", replaces="round.source", spoils=good, standard=True,
)  # fmt: skip
def antithetic_pairs(of: Backend, source: Any) -> Any:
    return of.own.Antithetic(source)


@row(
    "seeds-that-repeat", "randomness", "The last of eight shards has the seed of the first.",
    touches="pairs of paths", replaces="sampler", spoils=good, standard=True,
)  # fmt: skip
def seeds_that_repeat(of: Backend, right: Any) -> Any:
    """The last eighth of the chains is the first eighth once more."""

    def run(n: int, randomness: Any, **options: Any) -> Any:
        found, first = right.run(n, randomness, **options), n - n // _SHARDS
        index = of.arange(n, found.paths)
        return picked(of, found, of.xp.where(index < first, index, index - first))

    return Around(right, run)


@row(
    "uniforms-that-can-be-one", "randomness",
    "Normals are quantiles of uniforms that float32 rounds to 1 once in 2^25: the state is then infinite.",
    touches="one draw in 2^25", replaces="round.draw", spoils=poor, expected="beyond", seen=("pytorch#16706",),
)  # fmt: skip
def uniforms_that_can_be_one(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
    """All other normals are left alone."""
    noise = of.speculative.draw(source, chains, window, dim)
    lost = of.own.ndtr(-of.xp.astype(noise.fresh, noise.accept.dtype)) < 0.5**25
    return replace(noise, fresh=of.xp.where(lost, of.xp.full_like(noise.fresh, of.xp.inf), noise.fresh))


@row(
    "half-uniforms-that-can-be-one", "randomness",
    "Normals are quantiles of uniforms of 11 bits, of which one in 2^12 is 1.",
    touches="every fresh step", replaces="round.draw", spoils=poor, seen=("pytorch#16706",),
)  # fmt: skip
def half_uniforms_that_can_be_one(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
    noise = of.speculative.draw(source, chains, window, dim)
    coarse = of.xp.round(of.own.ndtr(of.xp.astype(noise.fresh, noise.accept.dtype)) * 2**11) / 2**11
    return replace(noise, fresh=of.xp.astype(of.own.ndtri(coarse), noise.fresh.dtype))
