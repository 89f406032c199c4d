"""Samplers of wrong verifiers: a law, a draft and a fault make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..base import Array, Backend, BackendName
from .base import Parents, TokenFault

Law = Callable[[Array, Array], Array]
"""(tokens (m, W), lengths (m,)) -> probabilities (m, V), see ``token_drafters``."""


@dataclass(frozen=True)
class Reporting:
    """A drafter that reports other laws than those that it draws from, and for chains also the law after its last draft.

    Attributes:
        of: the library.
        inner: draws the drafts.
        told: the law that is reported.
    """

    of: Backend
    inner: Any
    told: Law
    races: bool = field(default=False)

    @property
    def parents(self) -> Parents:
        parents: Parents = self.inner.parents
        return parents

    @property
    def chain(self) -> bool:
        return bool(self.inner.chain)

    def draft(self, tokens: Array, lengths: Array, noise: Array) -> tuple[Array, Array, Array]:
        """Drafts (m, N), the laws (m, N, V), or (m, N + 1, V) for a chain, and how many drafts there are, (m,)."""
        drafts, _, count = self.inner.draft(tokens, lengths, noise)
        nodes = (*self.parents, len(self.parents)) if self.chain else self.parents
        laws = {node: self.told(*self.of.token_drafters.after(tokens, lengths, drafts, self.parents, node)) for node in set(nodes)}
        return drafts, self.of.xp.stack([laws[node] for node in nodes], axis=1), count


def token_sampler(
    fault: TokenFault, backend: BackendName, target: Law, draft: Law, length: int, parents: Parents, **options: Any
) -> Any:
    """A ``TokenSampler`` of ``exactness_samplers.<backend>`` whose verifier has this fault.

    The drafts are drawn from ``draft`` as the fault changes it, and ``draft`` is what is reported. The noise of its runs goes
    through ``fault.keyed``. What the law promises instead of ``target`` is for the caller to see to (``fault.claims``).

    Args:
        fault: what is wrong with the verifier.
        backend: torch or jax.
        target, draft: laws of the next token, in arrays of that library.
        length: the number of tokens.
        parents: the tree of drafts; it must be a chain unless the fault is one of trees.
        options: further fields of ``TokenSampler``.

    Example:
        >>> import torch
        >>> from exactness_samplers.faults.tokens import token_fault, token_sampler
        >>> always = lambda *law: lambda tokens, lengths: torch.tensor(law).expand(len(tokens), -1)
        >>> fault = token_fault("draft-is-greedy")
        >>> sampler = token_sampler(fault, "torch", always(0.5, 0.5), always(0.9, 0.1), 4, (0, 1))
        >>> sampler.sample(3, seed=0).tokens.shape
        torch.Size([3, 4])
    """
    of = Backend(backend)
    really = draft
    if fault.drawn is not None:
        change = fault.drawn
        really = lambda tokens, lengths: change(of, draft(tokens, lengths))  # noqa: E731
    drafter = of.token_drafters.LawDrafter(really, parents, fault.replacement, fault.races)
    reporting = Reporting(of, drafter, draft, fault.races)
    return of.token_sampling.TokenSampler(target, length, reporting, fault.verifier(backend), **options)
