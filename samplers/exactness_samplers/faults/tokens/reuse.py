"""Faults of randomness: one random number is used twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..base import Array, Backend
from .base import Given, Verified, at, emit, last_uniform, rows, rule

row = rows("tokens: randomness")


@row(
    "token-residual-uses-the-coin", "The coin that rejected a draft also draws its replacement.",
    seen=("vllm-ascend#16370",), least_vocabulary=3, standard=True,
)  # fmt: skip
def residual_uses_the_coin(of: Backend, given: Given) -> Verified:
    """An extra token has a uniform of its own."""
    kept, _ = emit(of, given)
    return emit(of, last_uniform(of, given, at(of, given.noise, kept)))


@row(
    "token-residual-uses-the-drafts-uniform", "The uniform that drew a draft also draws its replacement.",
    seen=("vllm#47386", "vllm#54282"), least_vocabulary=3, standard=True,
)  # fmt: skip
def residual_uses_the_drafts_uniform(of: Backend, given: Given) -> Verified:
    """Given a draft y, its uniform lies evenly between the draft's distribution function before y and at y."""
    xp = of.xp
    kept, _ = emit(of, given)
    place = xp.clip(kept, None, given.drafts.shape[1] - 1)
    y, q = at(of, given.drafts, place), at(of, given.draft, place)
    before = xp.sum(xp.where(of.arange(q.shape[1], q)[None, :] < y[:, None], q, xp.zeros_like(q)), axis=-1)
    again = before + given.noise[:, -1] * at(of, q, y)
    return emit(of, last_uniform(of, given, xp.where(kept < given.lengths, again, given.noise[:, -1])))


@row(
    "gumbel-residual-reuses-exponentials", "Where the two races differ, the residual is drawn with their exponentials.",
    races=True, seen=("vllm#47386",), least_vocabulary=3,
)  # fmt: skip
def gumbel_residual_reuses_exponentials(of: Backend, given: Given) -> Verified:
    kept, token = of.tokens.gumbel(*given)
    place = of.xp.clip(kept, None, given.drafts.shape[1] - 1)
    p, q = at(of, given.target, kept), at(of, given.draft, place)
    again = of.tokens.race(of.tokens.residual(p, q, of.xp.zeros_like(p[:, 0])), at(of, given.noise, kept))
    return kept, of.xp.where(kept < given.lengths, again, token)


@dataclass(frozen=True)
class KeyedByPosition:
    """The noise of a run in which a coin is a function of the position that it judges, so that later rounds meet it again.

    Block verification looks at coins past the token that it rejects, so it couples the rounds: each window has the right law, and
    sequences do not. Token by token no coin is met twice, and races are right whatever their exponentials are keyed by.

    Attributes:
        base: noise that is a function of the round and the row, so ``KeyNoise`` or ``InjectedNoise`` with a round per position.
    """

    of: Backend
    base: Any

    def uniforms(self, asking: Any, count: int) -> tuple[Array, Array]:
        drafts, coins = self.base.uniforms(asking, count)
        at = [self.base.uniforms(asking._replace(rounds=asking.emitted + i), count)[1][:, 0] for i in range(count)]
        return drafts, self.of.xp.stack([*at, coins[:, -1]], axis=1)


def keyed_by_position(of: Backend, base: Any) -> KeyedByPosition:
    of.own.traceable(KeyedByPosition, data=("base",), fixed=("of",))
    return KeyedByPosition(of, base)


block_coins_keyed_by_position = row(
    "block-coins-keyed-by-position", "A coin is a function of the position that it judges, so a later round meets it again.",
    seen_by="rounds", last_first=True, keyed=keyed_by_position,
)(rule("block"))  # fmt: skip
