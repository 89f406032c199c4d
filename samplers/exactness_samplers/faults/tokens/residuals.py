"""Faults of the token after the drafts: what a rejected draft is replaced by, and what follows a full window."""

from __future__ import annotations

from ..base import Array, Backend
from .base import Given, Verified, at, drawn_from_target, emit, kept_by_ratios, rows
from .laws import nucleus

row = rows("tokens: residual")


@row(
    "token-residual-from-target", "A rejected draft is drawn again from the target instead of from the residual.", standard=True,
)  # fmt: skip
def residual_from_target(of: Backend, given: Given) -> Verified:
    return drawn_from_target(of, given, kept_by_ratios(of, given))


@row(
    "token-residual-softmax", "The residual (p - q)_+ goes through a softmax before it is drawn from.",
    seen=("transformers#28508",), standard=True,
)  # fmt: skip
def residual_softmax(of: Backend, given: Given) -> Verified:
    return emit(of, given, leftover=lambda *laws: of.xp.exp(of.tokens.residual(*laws)))


@row(
    "token-residual-filtered", "The residual is cut to its most likely tokens again (top-p 0.6), as if it were the target.",
    least_vocabulary=3, standard=True,
)  # fmt: skip
def residual_filtered(of: Backend, given: Given) -> Verified:
    def leftover(p: Array, q: Array, log_weight: Array) -> Array:
        masses = of.tokens.residual(p, q, log_weight)
        return nucleus(of, masses / of.xp.sum(masses, axis=-1, keepdims=True), 0.6)

    return emit(of, given, leftover=leftover)


@row("token-extra-from-draft", "When all drafts are accepted, the token after them is drawn from the draft's law.", standard=True)
def extra_from_draft(of: Backend, given: Given) -> Verified:
    kept, token = emit(of, given)
    after = at(of, given.draft, of.xp.clip(given.lengths, None, given.draft.shape[1] - 1))
    return kept, of.xp.where(kept == given.lengths, of.tokens.draw(after, given.noise[:, -1]), token)
