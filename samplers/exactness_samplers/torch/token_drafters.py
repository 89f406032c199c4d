"""What drafts tokens: a smaller law, along a chain or a tree, or the text so far.

``draft(tokens, lengths, noise)`` takes token ids (m, W), of which the first ``lengths`` (m,) are the prefix of a row, and (m, N)
uniforms. It returns the drafts (m, N), the laws (m, N, V) that they were drawn from, or None if there is no law, and how many
of the N a row has, (m,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .token_trees import Parents, ancestors, children, draft_law
from .tokens import draw, race

Law = Callable[[Tensor, Tensor], Tensor]
"""(tokens (m, W), lengths (m,)) -> the probabilities (m, V) of the token after the first ``lengths`` of each row.

Ids past a row's length are arbitrary and must not matter.
"""


class Drafter(ABC):
    """Proposes tokens; see the module's first lines for shapes. ``parents`` is the tree of its drafts."""

    parents: Parents

    @property
    def chain(self) -> bool:
        return self.parents == tuple(range(len(self.parents)))

    @abstractmethod
    def draft(self, tokens: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | None, Tensor]: ...


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
        >>> q = torch.tensor([0.25, 0.75])
        >>> drafter = LawDrafter(lambda tokens, lengths: q.expand(len(tokens), 2), (0, 1))
        >>> drafter.draft(torch.zeros(1, 5, dtype=torch.long), torch.tensor([3]), torch.tensor([[0.1, 0.5]]))[0].tolist()
        [[0, 1]]
    """

    law: Law
    parents: Parents
    replacement: bool = True
    races: bool = False

    def draft(self, tokens: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = len(self.parents)
        drafts = torch.zeros(len(tokens), count, dtype=torch.long, device=tokens.device)
        laws: list[Tensor] = [torch.empty(0)] * count
        for node in range(count + 1):
            below = children(self.parents, node)
            if not below:
                continue
            q = self.law(*after(tokens, lengths, drafts, self.parents, node))
            refused = torch.zeros_like(q, dtype=torch.bool)
            for child in below:
                laws[child - 1] = q
                b = q if self.replacement else draft_law(q[:, None], 1, refused)
                found = race(q, noise[:, child - 1]) if self.races else draw(b, noise[:, child - 1])
                drafts[:, child - 1] = found
                # Nothing is left to draw without replacement: the node is absent.
                if not self.replacement:
                    left = torch.where(refused, 0.0, q).sum(-1) > 0
                    drafts[:, child - 1] = torch.where(left, found, -1)
                    refused = refused.scatter(1, found[:, None], True)
        return drafts, torch.stack(laws, 1), torch.full((len(tokens),), count, device=tokens.device)


@dataclass(frozen=True)
class PromptLookup(Drafter):
    """Copies what followed the latest earlier occurrence of the last ``ngram`` tokens. It draws nothing and has no law.

    Verify it by ``tokens.one_hot`` or ``tokens.sampled_verify``.

    Attributes:
        window: L, the most tokens that are copied.
        ngram: how many tokens must recur.

    Example:
        >>> text = torch.tensor([[5, 6, 7, 8, 5, 6]])
        >>> drafts, _, count = PromptLookup(3).draft(text, torch.tensor([6]), torch.zeros(1, 3))
        >>> drafts.tolist(), count.tolist()
        ([[7, 8, 5]], [3])
    """

    window: int
    ngram: int = 2

    @property
    def parents(self) -> Parents:  # type: ignore[override]
        return tuple(range(self.window))

    def draft(self, tokens: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, None, Tensor]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        # Place s is a match if the n-gram that ends before it equals the last one, and it is itself part of the text.
        match = (places >= self.ngram) & (places < lengths[:, None])
        for k in range(1, self.ngram + 1):
            last = tokens.gather(1, (lengths - k).clamp(min=0)[:, None])
            match = match & (tokens.roll(k, 1) == last)
        start = torch.where(match, places, -1).amax(1)
        copied = (start[:, None] + torch.arange(self.window, device=tokens.device)).clamp(0, tokens.shape[1] - 1)
        count = torch.where(start >= 0, (lengths - start).clamp(max=self.window), 0)
        return tokens.gather(1, copied), None, count


def after(tokens: Tensor, lengths: Tensor, drafts: Tensor, parents: Parents, node: int) -> tuple[Tensor, Tensor]:
    """The tokens (m, W) and lengths (m,) of the prefixes that end with this node of the drafts (m, N).

    An absent draft counts as id 0: what comes after it is never used.
    """
    path = ancestors(parents, node)
    if not path:
        return tokens, lengths
    return write(tokens, drafts[:, [n - 1 for n in path]].clamp(min=0), lengths), lengths + len(path)


def write(tokens: Tensor, new: Tensor, at: Tensor) -> Tensor:
    """Tokens (m, W) with the columns ``new`` (m, k) written from the places ``at`` (m,) on, which leave room for them."""
    return tokens.scatter(1, at[:, None] + torch.arange(new.shape[1], device=tokens.device), new)
