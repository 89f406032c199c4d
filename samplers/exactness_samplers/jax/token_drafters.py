"""What drafts tokens: a smaller law, along a chain or a tree, or the text so far.

``draft(tokens, lengths, noise)`` takes token ids (m, W), of which the first ``lengths`` (m,) are the prefix of a row, and (m, N)
uniforms. It returns the drafts (m, N), the laws (m, N, V) that they were drawn from, or None if there is no law, and how many
of the N a row has, (m,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from .token_trees import Parents, ancestors, children, draft_law
from .tokens import draw, race

Law = Callable[[jax.Array, jax.Array], jax.Array]
"""(tokens (m, W), lengths (m,)) -> the probabilities (m, V) of the token after the first ``lengths`` of each row.

Ids past a row's length are arbitrary and must not matter.
"""


class Drafter(ABC):
    """Proposes tokens; see the module's first lines for shapes. ``parents`` is the tree of its drafts."""

    parents: Parents

    @property
    def chain(self) -> bool:
        return all(parent == i for i, parent in enumerate(self.parents))

    @abstractmethod
    def draft(self, tokens: jax.Array, lengths: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array | None, jax.Array]: ...


@dataclass(frozen=True)
class LawDrafter(Drafter):
    """Draws from a law.

    Attributes:
        law: the draft's law q of the next token.
        parents: of the nodes of the tree, as in ``token_trees``; (0, 1, ..., L - 1) is a chain of L drafts.
        replacement: whether siblings are drawn independently, or without replacement.
        races: whether the drafts of a chain win a race under q, see ``tokens.gumbel``. The exponentials (m, N + 1, V) of that
            race then take the place of the uniforms.

    Example:
        >>> q = jnp.array([0.25, 0.75])
        >>> drafter = LawDrafter(lambda tokens, lengths: jnp.tile(q, (len(tokens), 1)), (0, 1))
        >>> drafter.draft(jnp.zeros((1, 5), int), jnp.array([3]), jnp.array([[0.1, 0.5]]))[0].tolist()
        [[0, 1]]
    """

    law: Law
    parents: Parents
    replacement: bool = True
    races: bool = False

    def draft(self, tokens: jax.Array, lengths: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        found = jnp.zeros((len(tokens), len(self.parents)), tokens.dtype)
        laws: dict[int, jax.Array] = {}
        for node in sorted(set(self.parents)):
            q = self.law(*after(tokens, lengths, found, self.parents, node))
            left = jnp.ones(q.shape, bool)
            for child in children(self.parents, node):
                laws[child], coins = q, noise[:, child - 1]
                if self.races:
                    ids = race(q, coins)
                elif self.replacement:
                    ids = draw(q, coins)
                else:
                    ids = draw(jax.vmap(draft_law)(q, left), coins)
                    # Nothing is left to draw: the node is absent.
                    ids, left = (
                        jnp.where(jnp.any(left & (q > 0), axis=1), ids, -1),
                        left & (jnp.arange(q.shape[1]) != ids[:, None]),
                    )
                found = found.at[:, child - 1].set(ids.astype(found.dtype))
        every = jnp.stack([laws[child] for child in range(1, len(self.parents) + 1)], axis=1)
        return found, every, jnp.full(len(tokens), len(self.parents), lengths.dtype)


@dataclass(frozen=True)
class PromptLookup(Drafter):
    """Copies what followed the latest earlier occurrence of the last ``ngram`` tokens. It draws nothing and has no law.

    Verify it by ``tokens.one_hot`` or ``tokens.sampled_verify``.

    Attributes:
        window: L, the most tokens that are copied.
        ngram: how many tokens must recur.

    Example:
        >>> text = jnp.array([[5, 6, 7, 8, 5, 6]])
        >>> drafts, _, count = PromptLookup(3).draft(text, jnp.array([6]), jnp.zeros((1, 3)))
        >>> drafts.tolist(), count.tolist()
        ([[7, 8, 5]], [3])
    """

    window: int
    ngram: int = 2

    @property
    def parents(self) -> Parents:  # type: ignore[override]
        return tuple(range(self.window))

    def draft(self, tokens: jax.Array, lengths: jax.Array, noise: jax.Array) -> tuple[jax.Array, None, jax.Array]:
        def of_row(text: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
            padded = jnp.concatenate([text, jnp.zeros(max(self.window, self.ngram), text.dtype)])
            last = lax.dynamic_slice(text, [length - self.ngram], [self.ngram])
            begins = jnp.arange(len(text))
            grams = padded[begins[:, None] + jnp.arange(self.ngram)]
            found = jnp.max(jnp.where(jnp.all(grams == last, axis=1) & (begins + self.ngram < length), begins, -1))
            start = found + self.ngram
            there = (found >= 0) & (length >= self.ngram)
            copied = lax.dynamic_slice(padded, [start], [self.window])
            return copied, jnp.where(there, jnp.minimum(length - start, self.window), 0).astype(length.dtype)

        drafts, count = jax.vmap(of_row)(tokens, lengths)
        return drafts, None, count


def after(tokens: jax.Array, lengths: jax.Array, drafts: jax.Array, parents: Parents, node: int) -> tuple[jax.Array, jax.Array]:
    """The tokens (m, W) and lengths (m,) of the prefixes that end with this node of the drafts (m, N).

    An absent draft counts as id 0: what comes after it is never used.
    """
    path = ancestors(parents, node)
    if not path:
        return tokens, lengths
    new = jnp.maximum(drafts[:, jnp.array(path) - 1], 0).astype(tokens.dtype)
    return write(tokens, new, lengths), lengths + len(path)


def write(tokens: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:
    """Tokens (m, W) with the columns ``new`` (m, k) written from the places ``at`` (m,) on, which leave room for them."""
    return jax.vmap(lambda row, part, place: lax.dynamic_update_slice(row, part, (place,)))(tokens, new, at)
