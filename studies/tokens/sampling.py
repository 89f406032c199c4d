"""Sequences that a verifier writes: the wrong ones of the collection, those that only look wrong, and right rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from exactness_samplers.faults import Backend
from exactness_samplers.faults.tokens import TOKEN_FAULTS, KeyedByPosition, TokenFault, token_fault
from exactness_samplers.torch import token_trees, tokens
from exactness_samplers.torch.token_drafters import Drafter, LawDrafter, after
from exactness_samplers.torch.token_sampling import GeneratorNoise, InjectedNoise, TokenSampler
from torch import Tensor

from .laws import Lookup, Tables

CHAIN, TREE, PATHS = (0, 1, 2, 3), (0, 0, 1, 1, 2, 2), (0, 0, 1, 2)
KEYED = "block-coins-keyed-by-position"
GREATEST = "greatest-path-verified-against-draft"
RIGHT: dict[str, Any] = {
    "token-wise": tokens.token_wise, "block": tokens.block, "recursive": token_trees.recursive, "traversal": token_trees.traversal,
}  # fmt: skip


def wrong() -> list[str]:
    """The names of the verifiers that sampling can show to be wrong."""
    return list(dict.fromkeys([*(f.name for f in TOKEN_FAULTS if f.seen_by in ("law", "rounds")), KEYED]))


def right() -> list[str]:
    """Right rules, those that only look wrong among them. One that accepts nothing is left out, since it never speculates."""
    return [*RIGHT, *(f.name for f in TOKEN_FAULTS if f.exact and f.name != "nothing-accepted")]


@dataclass(frozen=True)
class Drafts(Drafter):
    """Drafts from one law that report another. A chain reports the law after its last draft as well."""

    base: LawDrafter
    law: Lookup

    @property
    def parents(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.base.parents

    @property
    def races(self) -> bool:
        return self.base.races

    def draft(self, tokens: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        drafts, _, counts = self.base.draft(tokens, lengths, noise)
        nodes = [*self.parents, *([len(self.parents)] if self.chain else [])]
        laws = [self.law(*after(tokens, lengths, drafts, self.parents, node)) for node in nodes]
        return drafts, torch.stack(laws, 1), counts


@dataclass(frozen=True)
class Verifier:
    """A verifier by its name, with what its drafts need. ``promised`` is the target's table that it claims to keep."""

    name: str
    tables: Tables
    parents: tuple[int, ...] | None = None

    @property
    def fault(self) -> TokenFault | None:
        return None if self.name in RIGHT or self.name == KEYED else token_fault(self.name)

    @property
    def promised(self) -> Tables:
        change = self.fault.claims if self.fault else None
        return self.tables if change is None else Tables(_changed(change, self.tables.target), self.tables.draft)

    @property
    def rule(self) -> Callable[..., Any]:
        return RIGHT.get(self.name) or (self.fault.verifier("torch") if self.fault else tokens.block)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tree of its drafts. ``parents`` replaces the chain."""
        if self.name == GREATEST:
            return PATHS
        trees = self.fault.trees if self.fault else self.name in ("recursive", "traversal")
        return TREE if trees else self.parents or CHAIN

    def run(self, n: int, seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and the numbers of their rounds, (n, length) each."""
        dtype = torch.float64 if self.tables.vocabulary < 10_000 else torch.float32
        target, draft = (Lookup(torch.tensor(t, dtype=dtype)) for t in (self.tables.target, self.tables.draft))
        drawn, fault = draft, self.fault
        if fault and fault.drawn:
            drawn = Lookup(torch.tensor(_changed(fault.drawn, self.tables.draft), dtype=dtype))
        parents = self.shape
        base = LawDrafter(drawn, parents, fault.replacement if fault else True, fault.races if fault else False)
        loop = TokenSampler(target, length, Drafts(base, draft), self.rule)
        generator = torch.Generator().manual_seed(seed)
        noise: Any = GeneratorNoise(generator)
        if self.name == KEYED:
            sizes = [(length + len(parents), n, len(parents) + more) for more in (0, 1)]
            given = (torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes)
            noise = KeyedByPosition(Backend("torch"), InjectedNoise(*given))
        found = loop.run(n, noise)
        return found.tokens.numpy(), found.rounds.numpy()

    def window(self, n: int, seed: int) -> np.ndarray:
        """The tokens of one round, -1 after them: (n, depth + 1)."""
        depth = max(_depths(self.shape))
        written, rounds = self.run(n, seed, depth + 1)
        return np.where(rounds == 0, written, -1)


def _depths(parents: tuple[int, ...]) -> list[int]:
    depths = [0]
    for parent in parents:
        depths.append(depths[parent] + 1)
    return depths


def _changed(change: Callable[[Backend, Any], Any], table: np.ndarray) -> np.ndarray:
    return np.asarray(change(Backend("torch"), torch.tensor(table)))
