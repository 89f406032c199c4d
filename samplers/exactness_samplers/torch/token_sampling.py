"""Speculative decoding with any law of the next token, any drafter and any rule; rows advance at their own speed.

Each round drafts after every unfinished row, asks the target once for the laws after the prefix and after each draft, and emits the
drafts that the rule keeps and one token more.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .token_drafters import Drafter, Law, after, write
from .token_trees import Parents, ancestors
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

    tokens: Tensor
    lengths: Tensor
    rounds: Tensor
    places: Tensor
    drafted: Tensor
    accepted: Tensor
    drafts: Tensor


class Asking(NamedTuple):
    """The rows that need noise: the number of the round, the row, and how many tokens it has emitted before, each (m,)."""

    rounds: Tensor
    rows: Tensor
    emitted: Tensor


class Noise(ABC):
    """The source of a run's randomness."""

    @abstractmethod
    def uniforms(self, asking: Asking, count: int) -> tuple[Tensor, Tensor]:
        """The uniforms of N = ``count`` drafts, (m, N), and those of their verification, (m, N + 1)."""

    @abstractmethod
    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> Tensor:
        """The exponentials of the race of N = ``count`` drafts, (m, N + 1, V)."""


@dataclass(frozen=True)
class GeneratorNoise(Noise):
    """Noise from a ``torch.Generator``, in double precision: a float32 uniform has only 2^24 values.

    >>> GeneratorNoise(torch.Generator().manual_seed(0)).uniforms(Asking(*torch.zeros(3, 2)), 3)[1].shape
    torch.Size([2, 4])
    """

    generator: torch.Generator

    def uniforms(self, asking: Asking, count: int) -> tuple[Tensor, Tensor]:
        return self._uniform(len(asking.rows), count), self._uniform(len(asking.rows), count + 1)

    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> Tensor:
        return -torch.log1p(-self._uniform(len(asking.rows), count + 1, vocabulary))

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, device=self.generator.device, generator=self.generator)


@dataclass(frozen=True)
class InjectedNoise(Noise):
    """Noise that is passed in, indexed by the round of the row and by the row. The same noise gives the same tokens everywhere.

    ``of_drafts`` is (R, n, N), and ``of_rule`` (R, n, N + 1), or (R, n, N + 1, V) for a race.
    """

    of_drafts: Tensor
    of_rule: Tensor

    def uniforms(self, asking: Asking, count: int) -> tuple[Tensor, Tensor]:
        return self.of_drafts[asking.rounds, asking.rows], self.of_rule[asking.rounds, asking.rows]

    def exponentials(self, asking: Asking, count: int, vocabulary: int) -> Tensor:
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

    Example:
        >>> from exactness_samplers.torch import tokens
        >>> from exactness_samplers.torch.token_drafters import LawDrafter
        >>> p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.3, 0.3])
        >>> always = lambda law: lambda tokens, lengths: law.expand(len(tokens), -1)
        >>> run = TokenSampler(always(p), 8, LawDrafter(always(q), (0, 1, 2)), tokens.block).sample(4, seed=0)
        >>> run.tokens.shape, run.lengths.tolist()
        (torch.Size([4, 8]), [8, 8, 8, 8])
    """

    target: Law
    length: int
    drafter: Drafter | None = None
    rule: Callable[..., tuple[Tensor, Tensor]] = plain
    end: int | None = None
    prompts: Sequence[Sequence[int]] = ((),)

    def sample(self, n: int, seed: int, device: torch.device | str = "cpu") -> TokenRun:
        """n rows from a generator that begins with this seed."""
        return self.run(n, GeneratorNoise(torch.Generator(device).manual_seed(seed)))

    def run(self, n: int, noise: Noise, device: torch.device | str = "cpu") -> TokenRun:
        """n rows with this noise.

        Raises ``ValueError`` if ``n`` or the length is not positive, or if the drafter drafts a tree and the rule verifies chains.
        """
        if n < 1 or self.length < 1:
            raise ValueError(f"n and length must be positive, not {n} and {self.length}")
        if self.drafter and not self.drafter.chain and not _of_trees(self.rule):
            raise ValueError("the drafter drafts a tree and the rule verifies chains: take a rule of token_trees")
        parents = self.drafter.parents if self.drafter else ()
        rows = _Rows.begin([self.prompts[i % len(self.prompts)] for i in range(n)], self.length, parents, device)
        counts: list[tuple[Tensor, Tensor]] = []
        while not bool(rows.done.all()):
            active = torch.nonzero(~rows.done)[:, 0]
            room = self.length - rows.emitted[active]
            at = rows.start[active] + rows.emitted[active]
            which = torch.full_like(active, len(counts))
            asking = Asking(which, active, rows.emitted[active])
            node, token, drafts, drafted = self._round(rows.text[active], at, asking, noise, room)
            kept = rows.depths[node]
            chain = drafted if self.drafter and self.drafter.chain else torch.zeros_like(drafted)
            rows.emit(active, node, token, drafts, chain, which, room, self.end)
            counts.append((active, torch.stack([drafted, kept])))
        by_round = torch.full((2, n, len(counts)), -1, device=device)
        for i, (active, found) in enumerate(counts):
            by_round[:, active, i] = found
        tokens, lengths, of_round, places, proposed = rows.result(self.length)
        return TokenRun(tokens, lengths, of_round, places, drafted=by_round[0], accepted=by_round[1], drafts=proposed)

    def _round(self, text: Tensor, at: Tensor, asking: Asking, noise: Noise, room: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The node that is kept and the token after it, the drafts (m, N) and how many there were."""
        if self.drafter is None:
            nothing = torch.zeros_like(at)
            laws = self.target(text, at)[:, None]
            token = plain(laws, laws[:, :0], text[:, :0], nothing, noise.uniforms(asking, 0)[1])[1]
            return nothing, token, text[:, :0], nothing
        parents, races = self.drafter.parents, getattr(self.drafter, "races", False)
        if races:
            vocabulary = self.target(text[:1], at[:1]).shape[1]
            coins = uniforms = noise.exponentials(asking, len(parents), vocabulary)
        else:
            uniforms, coins = noise.uniforms(asking, len(parents))
        drafts, draft_probs, counts = self.drafter.draft(text, at, uniforms)
        if self.drafter.chain:
            # No draft for a place past the last one: the last token of a row is the one after the drafts.
            counts = torch.minimum(counts, room - 1)
        prefixes = [after(text, at, drafts, parents, node) for node in range(len(parents) + 1)]
        every = self.target(torch.cat([tokens for tokens, _ in prefixes]), torch.cat([lengths for _, lengths in prefixes]))
        laws = torch.stack(every.chunk(len(prefixes)), 1)
        tree = (parents,) if _of_trees(self.rule) else ()
        node, token = self.rule(laws, draft_probs, drafts, counts, coins, *tree)
        return node, token, drafts, counts


def of_prefixes(law: Callable[[Tensor], Tensor]) -> Law:
    """The :data:`Law` of a function that takes prefixes (m, t) of one length t and returns logits or log-probabilities (m, V).

    It is called once for every length that occurs.

    Example:
        >>> coin = of_prefixes(lambda prefixes: torch.zeros(len(prefixes), 2))
        >>> coin(torch.zeros(2, 9, dtype=torch.long), torch.tensor([3, 5])).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    def grouped(tokens: Tensor, lengths: Tensor) -> Tensor:
        found: Tensor | None = None
        for length in lengths.unique().tolist():
            rows = torch.nonzero(lengths == length)[:, 0]
            probabilities = torch.softmax(law(tokens[rows, :length]), dim=-1)
            if found is None:
                found = probabilities.new_empty(len(tokens), probabilities.shape[1])
            found[rows] = probabilities
        assert found is not None
        return found

    return grouped


@dataclass(frozen=True)
class _Rows:
    """The rows of a run, written in place. ``text`` (n, W) begins with the prompts, whose lengths are ``start``."""

    text: Tensor
    start: Tensor
    emitted: Tensor
    done: Tensor
    rounds: Tensor
    places: Tensor
    proposed: Tensor
    paths: Tensor
    depths: Tensor

    @classmethod
    def begin(cls, prompts: list[Sequence[int]], length: int, parents: Parents, device: torch.device | str) -> _Rows:
        paths = [ancestors(parents, node) for node in range(len(parents) + 1)]
        deepest = max(map(len, paths))
        width = max(map(len, prompts)) + length + deepest + 1
        text = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts], dtype=torch.long, device=device)
        return cls(
            text,
            start=torch.tensor([len(prompt) for prompt in prompts], device=device),
            emitted=torch.zeros_like(text[:, 0]),
            done=torch.zeros_like(text[:, 0], dtype=torch.bool),
            rounds=torch.zeros_like(text),
            places=torch.zeros_like(text),
            proposed=torch.zeros_like(text),
            # The columns of the drafts on the way to each node, and anything past them.
            paths=torch.tensor([[*path, *[1] * (deepest + 1 - len(path))] for path in paths], device=device) - 1,
            depths=torch.tensor([len(path) for path in paths], device=device),
        )

    def emit(
        self,
        active: Tensor,
        node: Tensor,
        token: Tensor,
        drafts: Tensor,
        chain: Tensor,
        which: Tensor,
        room: Tensor,
        end: int | None,
    ) -> None:
        """The drafts on the way to ``node`` and the token after them, as far as there is room and up to the end token.

        ``chain`` (m,) is the number of drafts if they form a chain, and 0 if not.
        """
        kept, place = self.depths[node], torch.arange(self.paths.shape[1], device=node.device)
        along = drafts.gather(1, self.paths[node]) if drafts.shape[1] else token[:, None]
        new = torch.where(place < kept[:, None], along, token[:, None])
        count = torch.minimum(kept + 1, room)
        ended = torch.zeros_like(new, dtype=torch.bool) if end is None else (new == end) & (place < count[:, None])
        count = torch.where(ended.any(1), ended.int().argmax(1) + 1, count)
        # What is written past the count is overwritten in the next round, or lies past the row's length.
        at = (self.start + self.emitted)[active]
        padded = torch.cat([drafts, torch.full_like(new, -1)], 1)[:, : new.shape[1]]
        shown = torch.where(place < chain[:, None], padded, -1)
        every = (
            (self.text, new),
            (self.rounds, which[:, None].expand_as(new)),
            (self.places, place.expand_as(new)),
            (self.proposed, shown),
        )
        for table, values in every:
            table[active] = write(table[active], values, at)
        self.emitted[active] += count
        self.done[active] = ended.any(1) | (count == room)

    def result(self, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Tokens, lengths, rounds, places and drafts, as :class:`TokenRun` has them."""
        columns = torch.arange(length, device=self.text.device)
        own, there = self.start[:, None] + columns, columns < self.emitted[:, None]
        tables = self.text, self.rounds, self.places, self.proposed
        text, rounds, places, drafts = (torch.where(there, table.gather(1, own), -1) for table in tables)
        return text, self.emitted, rounds, places, drafts


def _of_trees(rule: Callable[..., tuple[Tensor, Tensor]]) -> bool:
    """Whether a rule takes the parents of its nodes."""
    return "parents" in inspect.signature(rule).parameters
