"""Verifiers that look wrong and are right: a judge that refutes one of them is itself refuted."""

from __future__ import annotations

from dataclasses import replace

from ..base import Backend
from .base import Given, Verified, rows, rule

row = rows("tokens: right", seen_by="nothing")

one_hot_of_sampled_drafts = row(
    "one-hot-of-sampled-drafts", "Sampled drafts are verified as if they were certain: accepted with p(y), else p without y.",
    seen=("vllm#40149 reports it as a bug",),
)(rule("one_hot"))  # fmt: skip

accepted_if_equal_to_a_draw = row(
    "accepted-if-equal-to-a-draw", "A token is drawn from the target, and the draft is accepted if it is the same.",
    seen=("mlx-swift-lm#459", "mlxcel#992"),
)(rule("sampled_verify"))  # fmt: skip

nothing_accepted = row("nothing-accepted", "No draft is ever accepted.")(rule("plain"))

tree_target_only = row(
    "tree-target-only", "Children are accepted by their share of the target, whatever they were drawn from."
)(rule("target_only"))  # fmt: skip


@row("another-order-of-the-vocabulary", "Residuals are inverted in the opposite order of the vocabulary.")
def another_order_of_the_vocabulary(of: Backend, given: Given) -> Verified:
    reverse = lambda masses, uniforms: masses.shape[1] - 1 - of.tokens.draw(of.xp.flip(masses, axis=1), uniforms)  # noqa: E731
    found: Verified = replace(of.tokens.token_wise, draw=reverse)(*given)
    return found
