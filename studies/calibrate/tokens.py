"""Speculative decoding written out from the definition of each exact rule, in numpy, with whatever the law wants to know.

The samplers of this repository are written otherwise. So an error that the judge and they have in common shows here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import exactness as ex
from exactness.laws.token_rules import Rule

Kept = tuple[np.ndarray, np.ndarray]
_WINDOW = 3


def claim(
    rule: Rule, p: np.ndarray, q: np.ndarray, length: int, end: int | None
) -> tuple[ex.TokenChain, Callable[[int, int], ex.TokenDraws]]:
    """A law of sequences that says how drafts are verified, and an exact sampler; p and q (V, V) follow the last token."""
    target, draft = (_after_the_last(table) for table in (p, q))
    law = ex.TokenChain(target, vocabulary=len(p), length=length, draft=draft, rule=rule, end=end)
    return law, partial(_speculate, rule, p, q, length)


def _after_the_last(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    logs = np.log(table)
    return lambda prefixes: logs[prefixes[:, -1] if prefixes.shape[1] else np.zeros(len(prefixes), dtype=np.int64)]


def _speculate(rule: Rule, p: np.ndarray, q: np.ndarray, length: int, n: int, seed: int) -> ex.TokenDraws:
    """Speculative decoding of n sequences, written out from the definition of each rule; p and q (V, V) follow the last token."""
    rng, rows, size = np.random.default_rng(seed), np.arange(n), len(p)
    tokens = np.zeros((n, length + _WINDOW + 1), dtype=np.int64)
    rounds, proposed = np.zeros_like(tokens), np.full_like(tokens, -1)
    at, last = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    number = 0
    while (at < length).any():
        count = rng.integers(0, _WINDOW + 1, n)
        races = rng.exponential(size=(n, _WINDOW + 1, size))
        before, drafts = [last], []
        for i in range(_WINDOW):
            law = q[before[-1]]
            drafts.append((races[:, i] / law).argmin(1) if rule == "gumbel" else _drawn(law, rng))
            before.append(drafts[-1])
        # How many drafts are kept, and the masses from which the next token is drawn.
        kept, masses = KEEP[rule](p, q, before, drafts, count, races, rng)
        token = masses if rule in ("gumbel", "sampled-verify") else _drawn(masses, rng)
        for i in range(_WINDOW + 1):
            here = (i <= kept) & (at + i < length)
            tokens[rows[here], (at + i)[here]] = np.where(i < kept, drafts[min(i, _WINDOW - 1)], token)[here]
            rounds[rows[here], (at + i)[here]] = number
            if i < _WINDOW:
                proposed[rows[here], (at + i)[here]] = np.where(i < count, drafts[i], -1)[here]
        at = np.minimum(at + kept + 1, length)
        last, number = token, number + 1
    return ex.TokenDraws(tokens[:, :length], rounds=rounds[:, :length], drafts=proposed[:, :length])


def _drawn(masses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sums = np.cumsum(masses, axis=1)
    return (sums <= rng.random(len(masses))[:, None] * sums[:, -1:]).sum(1)


def _keep_one_by_one(
    p: np.ndarray,
    q: np.ndarray,
    before: list[Any],
    drafts: list[Any],
    count: np.ndarray,
    races: np.ndarray,
    rng: np.random.Generator,
    chance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    left: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Kept:
    """Drafts are kept until the first failure, with chances that depend on p and q of the draft alone."""
    rows, going = np.arange(len(count)), np.ones(len(count), dtype=bool)
    kept, masses = np.zeros(len(count), dtype=np.int64), p[before[0]]
    for i, y in enumerate(drafts):
        law, own = p[before[i]], q[before[i]]
        tried = going & (i < count)
        accepted = tried & (rng.random(len(rows)) < chance(law[rows, y], own[rows, y]))
        masses = np.where((tried & ~accepted)[:, None], left(law, own, y), masses)
        going, kept = accepted, kept + accepted
        masses = np.where(accepted[:, None], p[before[i + 1]], masses)
    return kept, masses


def _keep_block(
    p: np.ndarray,
    q: np.ndarray,
    before: list[Any],
    drafts: list[Any],
    count: np.ndarray,
    races: np.ndarray,
    rng: np.random.Generator,
) -> Kept:
    """Sun et al. 2024: the largest i whose coin falls below h_i."""
    rows, weight = np.arange(len(count)), np.ones(len(count))
    kept, masses = (
        np.zeros(len(count), dtype=np.int64),
        np.where((count > 0)[:, None], np.maximum(p[before[0]] - q[before[0]], 0), 0),
    )
    masses[count == 0] = p[before[0]][count == 0]
    for i, y in enumerate(drafts, 1):
        weight = np.minimum(1.0, weight * p[before[i - 1]][rows, y] / q[before[i - 1]][rows, y])
        here, final = np.less_equal(i, count), np.equal(i, count)
        excess = np.maximum(weight[:, None] * p[before[i]] - q[before[i]], 0.0)
        z = excess.sum(1)
        h = np.where(final, weight, z / np.maximum(z + 1.0 - weight, 1e-300))
        accepted = here & (rng.random(len(rows)) < h)
        kept = np.where(accepted, i, kept)
        masses = np.where(accepted[:, None], np.where(final[:, None], p[before[i]], excess), masses)
    return kept, masses


def _keep_while_equal(
    p: np.ndarray,
    q: np.ndarray,
    before: list[Any],
    drafts: list[Any],
    count: np.ndarray,
    races: np.ndarray,
    rng: np.random.Generator,
    coupled: bool,
) -> Kept:
    """A token is drawn from the target at each place; those that equal their drafts are kept until one does not."""
    going = np.ones(len(count), dtype=bool)
    kept, token = np.zeros(len(count), dtype=np.int64), np.zeros(len(count), dtype=np.int64)
    for i in range(_WINDOW + 1):
        law = p[before[i]]
        drawn = (races[:, i] / law).argmin(1) if coupled else _drawn(law, rng)
        token = np.where(going, drawn, token)
        going = going & (i < count) & (drawn == drafts[min(i, _WINDOW - 1)])
        kept = kept + going
    return kept, token


def _without(law: np.ndarray, own: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = law.copy()
    found[np.arange(len(y)), y] = 0.0
    return found


KEEP: dict[Rule, Callable[..., Kept]] = {
    "token-wise": partial(
        _keep_one_by_one, chance=lambda p, q: p / q, left=lambda law, own, y: np.maximum(law - own, 0.0)
    ),
    "block": _keep_block,
    "one-hot": partial(_keep_one_by_one, chance=lambda p, q: p, left=_without),
    "sampled-verify": partial(_keep_while_equal, coupled=False),
    "gumbel": partial(_keep_while_equal, coupled=True),
}  # fmt: skip
