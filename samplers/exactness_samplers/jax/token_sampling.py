"""Speculative decoding with any law of the next token, any drafter and any rule; rows advance at their own speed.

Each round drafts after every unfinished row, asks the target once for the laws after the prefix and after each draft, and emits the
drafts that the rule keeps and one token more. A round is compiled once; it also computes the rows that have finished, which it
leaves as they are.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from .token_drafters import Drafter, Law, after, write
from .token_trees import ancestors
from .tokens import plain


class TokenRun(NamedTuple):
    """What a run emitted, without the prompts. All are integers on the device of the run.

    ``tokens`` (n, T) are the ids, -1 past the ``lengths`` (n,) of the rows. For each token, -1 past the length: ``rounds`` (n, T)
    is the number of the round that emitted it, from 0 on, and ``places`` (n, T) its place in that round, 0 for the first.

    For each round, (n, R), -1 after the row has finished: ``drafted`` is the number of drafts (nodes of a tree) proposed, and
    ``accepted`` the number kept along one path, also where the row's end cut the round short.

    ``drafts`` (n, T) are the tokens that a chain of drafts proposed at each position in its round: the kept ones, and the next one,
    which was rejected. They are -1 where there was none, past the lengths, and for trees.
    """

    tokens: jax.Array
    lengths: jax.Array
    rounds: jax.Array
    places: jax.Array
    drafted: jax.Array
    accepted: jax.Array
    drafts: jax.Array


class Asking(NamedTuple):
    """The rows that need noise: the number of the round, the row, and how many tokens it has emitted before, each (m,)."""

    rounds: jax.Array
    rows: jax.Array
    emitted: jax.Array


class Noise(ABC):
    """The source of a run's randomness."""

    @abstractmethod
    def uniforms(self, asking: Asking, count: int) -> tuple[jax.Array, jax.Array]:
        """The uniforms of N = ``count`` drafts, (m, N), and those of their verification, (m, N + 1)."""

    @abstractmethod
    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> jax.Array:
        """The exponentials of the race of N = ``count`` drafts, (m, N + 1, V)."""


@partial(register_dataclass, data_fields=["key"], meta_fields=[])
@dataclass(frozen=True)
class KeyNoise(Noise):
    """Noise from a typed key, in the widest dtype that is enabled: a function of the key, the row and its round.

    >>> KeyNoise(jax.random.key(0)).uniforms(Asking(jnp.zeros(2, int), jnp.arange(2), jnp.zeros(2, int)), 3)[1].shape
    (2, 4)
    """

    key: jax.Array

    def uniforms(self, asking: Asking, count: int) -> tuple[jax.Array, jax.Array]:
        every = self._uniform(asking, (2 * count + 1,))
        return every[:, :count], every[:, count:]

    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> jax.Array:
        return -jnp.log1p(-self._uniform(asking, (count + 1, vocabulary)))

    def _uniform(self, asking: Asking, shape: tuple[int, ...]) -> jax.Array:
        def of_row(which: jax.Array, row: jax.Array) -> jax.Array:
            return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(self.key, row), which), shape, float)

        return jax.vmap(of_row)(asking.rounds, asking.rows)


@partial(register_dataclass, data_fields=["of_drafts", "of_rule"], meta_fields=[])
@dataclass(frozen=True)
class InjectedNoise(Noise):
    """Noise that is passed in, indexed by the round of the row and by the row. The same noise gives the same tokens everywhere.

    ``of_drafts`` is (R, n, N), and ``of_rule`` (R, n, N + 1), or (R, n, N + 1, V) for a race.
    """

    of_drafts: jax.Array
    of_rule: jax.Array

    def uniforms(self, asking: Asking, count: int) -> tuple[jax.Array, jax.Array]:
        return self.of_drafts[asking.rounds, asking.rows], self.of_rule[asking.rounds, asking.rows]

    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> jax.Array:
        return self.of_rule[asking.rounds, asking.rows]


@dataclass(frozen=True)
class TokenSampler:
    """Draws sequences of tokens from a law, with or without speculation.

    Attributes:
        target: the law p of the next token, a :data:`Law`; :func:`of_prefixes` makes one of a function of equally long prefixes.
        length: T, the most tokens that are emitted per row.
        drafter: what proposes tokens; None for one plain draw at a time, whatever the rule.
        rule: a verifier of ``tokens`` or ``token_trees``. One of trees is called with the drafter's parents.
        end: the id after which a row has finished, if there is one.
        prompts: lists of ids, taken in rotation: row i begins with prompt i modulo their number.
        compiled: whether a round is compiled, for which the laws must be traceable.

    Example:
        >>> from exactness_samplers.jax import tokens
        >>> from exactness_samplers.jax.token_drafters import LawDrafter
        >>> p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.4, 0.3, 0.3])
        >>> always = lambda law: lambda tokens, lengths: jnp.tile(law, (len(tokens), 1))
        >>> run = TokenSampler(always(p), 8, LawDrafter(always(q), (0, 1, 2)), tokens.block).sample(4, seed=0)
        >>> run.tokens.shape, run.lengths.tolist()
        ((4, 8), [8, 8, 8, 8])
    """

    target: Law
    length: int
    drafter: Drafter | None = None
    rule: Callable[..., tuple[jax.Array, jax.Array]] = plain
    end: int | None = None
    prompts: Sequence[Sequence[int]] = ((),)
    compiled: bool = True

    def sample(self, n: int, seed: int) -> TokenRun:
        """n rows from a key of this seed."""
        return self.run(n, KeyNoise(jax.random.key(seed)))

    def run(self, n: int, noise: Noise) -> TokenRun:
        """n rows with this noise.

        Raises ``ValueError`` if ``n`` or the length is not positive, or if the drafter drafts a tree and the rule verifies chains.
        """
        if n < 1 or self.length < 1:
            raise ValueError(f"n and length must be positive, not {n} and {self.length}")
        if self.drafter and not self.drafter.chain and not _of_trees(self.rule):
            raise ValueError("the drafter drafts a tree and the rule verifies chains: take a rule of token_trees")
        prompts = [self.prompts[i % len(self.prompts)] for i in range(n)]
        parents = self.drafter.parents if self.drafter else ()
        longest, deepest = max(map(len, prompts)), max(len(ancestors(parents, node)) for node in range(len(parents) + 1))
        text = np.zeros((n, longest + self.length + deepest + 1), int)
        for row, prompt in zip(text, prompts, strict=True):
            row[: len(prompt)] = prompt
        start = jnp.array([len(prompt) for prompt in prompts])
        empty = jnp.zeros(text.shape, int)
        rows = _Rows(jnp.asarray(text), start, empty, empty, empty, jnp.full(n, self.length, int), jnp.zeros(n, int))
        # The compiled round is found again by the sampler, without the prompts, which need not be hashable.
        sampler = replace(self, prompts=())
        step = _compiled_round if self.compiled else _round
        counts: list[tuple[jax.Array, jax.Array]] = []
        while bool(jnp.any(rows.room > 0)):
            rows, found = step(sampler, rows, jnp.array(len(counts)), noise)
            counts.append(found)
        columns, emitted = jnp.arange(self.length), rows.emitted
        pick = lambda table: jnp.where(  # noqa: E731
            columns < emitted[:, None], jnp.take_along_axis(table, start[:, None] + columns, axis=1), -1
        )
        drafted, accepted = (jnp.stack(column, axis=1) for column in zip(*counts, strict=True))
        tables = pick(rows.text), emitted, pick(rows.rounds), pick(rows.places)
        return TokenRun(*tables, drafted, accepted, pick(rows.proposed))


@partial(register_dataclass, data_fields=["text", "at", "rounds", "places", "proposed", "room", "emitted"], meta_fields=[])
@dataclass(frozen=True)
class _Rows:
    """The rows of a run: ``text`` (n, W) is filled up to ``at`` (n,), and ``room`` (n,) tokens may follow, none after the end."""

    text: jax.Array
    at: jax.Array
    rounds: jax.Array
    places: jax.Array
    proposed: jax.Array
    room: jax.Array
    emitted: jax.Array


def _round(sampler: TokenSampler, rows: _Rows, number: jax.Array, noise: Noise) -> tuple[_Rows, tuple[jax.Array, jax.Array]]:
    """The rows after one more round, and the numbers of drafts proposed and kept, (n,), -1 where a row had finished."""
    parents = sampler.drafter.parents if sampler.drafter else ()
    node, token, drafts, drafted = _verified(sampler, rows, jnp.full(len(rows.text), number), noise)
    paths = [ancestors(parents, each) for each in range(len(parents) + 1)]
    place, kept = jnp.arange(max(map(len, paths)) + 1), jnp.array([len(path) for path in paths])[node]
    # The columns of the drafts on the way to each node, and anything past them.
    table = jnp.array([[*path, *[1] * (len(place) - len(path))] for path in paths]) - 1
    along = jnp.take_along_axis(drafts, table[node], axis=1) if parents else token[:, None]
    new = jnp.where(place < kept[:, None], along, token[:, None]).astype(rows.text.dtype)

    count = jnp.minimum(kept + 1, rows.room)
    ended = (new == (-1 if sampler.end is None else sampler.end)) & (place < count[:, None])
    count = jnp.where(ended.any(1), jnp.argmax(ended, axis=1) + 1, count)
    # What is written past the count is overwritten in the next round, or lies past the row's length.
    put = lambda table, values: write(table, jnp.broadcast_to(values, new.shape).astype(table.dtype), rows.at)  # noqa: E731
    running = rows.room > 0
    room = jnp.where(ended.any(1), 0, rows.room - count)
    # Of a chain, what was proposed at each place, the rejected draft among it.
    chain = drafted if sampler.drafter and sampler.drafter.chain else jnp.zeros_like(drafted)
    padded = jnp.concatenate([drafts.astype(new.dtype), jnp.full_like(new, -1)], axis=1)[:, : new.shape[1]]
    shown = jnp.where(place < chain[:, None], padded, -1)
    texts = put(rows.text, new), rows.at + count, put(rows.rounds, number), put(rows.places, place), put(rows.proposed, shown)
    return _Rows(*texts, room, rows.emitted + count), (jnp.where(running, drafted, -1), jnp.where(running, kept, -1))


_compiled_round = jax.jit(_round, static_argnums=0)


def _verified(sampler: TokenSampler, rows: _Rows, rounds: jax.Array, noise: Noise) -> tuple[jax.Array, ...]:
    """The node that is kept and the token after it, the drafts (n, N) and how many there were."""
    asking, drafter = Asking(rounds, jnp.arange(len(rows.text)), rows.emitted), sampler.drafter
    if drafter is None:
        laws = sampler.target(rows.text, rows.at)[:, None]
        nothing = jnp.zeros_like(rows.at)
        token = plain(laws, laws[:, :0], rows.text[:, :0], nothing, noise.uniforms(asking, 0)[1])[1]
        return nothing, token, rows.text[:, :0], nothing
    nodes = len(drafter.parents) + 1
    if getattr(drafter, "races", False):
        vocabulary = sampler.target(rows.text[:1], rows.at[:1]).shape[1]
        coins = uniforms = noise.exponentials(asking, nodes - 1, vocabulary)
    else:
        uniforms, coins = noise.uniforms(asking, nodes - 1)
    drafts, draft_probs, counts = drafter.draft(rows.text, rows.at, uniforms)
    if drafter.chain:
        # No draft for a place past the last one: the last token of a row is the one after the drafts.
        counts = jnp.clip(rows.room - 1, 0, counts)
    prefixes = [after(rows.text, rows.at, drafts, drafter.parents, node) for node in range(nodes)]
    texts, lengths = (jnp.stack(parts) for parts in zip(*prefixes, strict=True))
    every = sampler.target(texts.reshape(-1, texts.shape[2]), lengths.reshape(-1))
    laws = jnp.swapaxes(every.reshape(nodes, len(rows.text), -1), 0, 1)
    tree = (drafter.parents,) if _of_trees(sampler.rule) else ()
    node, token = sampler.rule(laws, draft_probs, drafts, counts, coins, *tree)
    return node, token, drafts, counts


def of_prefixes(law: Callable[[jax.Array], jax.Array]) -> Law:
    """The :data:`Law` of a function that takes prefixes (m, t) of one length t and returns logits or log-probabilities (m, V).

    It is called once for every length that occurs, so it cannot be compiled into a round.

    Example:
        >>> coin = of_prefixes(lambda prefixes: jnp.zeros((len(prefixes), 2)))
        >>> coin(jnp.zeros((2, 9), int), jnp.array([3, 5])).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    def grouped(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        places, parts = [], []
        for length in np.unique(np.asarray(lengths)):
            rows = np.flatnonzero(np.asarray(lengths) == length)
            parts.append(jax.nn.softmax(law(tokens[rows, : int(length)]), axis=-1))
            places.append(rows)
        return jnp.concatenate(parts)[np.argsort(np.concatenate(places))]

    return grouped


def _of_trees(rule: Callable[..., tuple[jax.Array, jax.Array]]) -> bool:
    """Whether a rule takes the parents of its nodes."""
    return "parents" in inspect.signature(rule).parameters
