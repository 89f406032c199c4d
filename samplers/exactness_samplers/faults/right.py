"""Samplers that look wrong and are right: a judge that refutes one of them is itself refuted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import coupling, randomness
from .base import Array, Backend, Bound, Masses, row
from .runs import Around, picked
from .unspoiled import good, hopeless, poor, stale


@row(
    "never-accepts", "right", "Every draft is thrown away and the step is drawn afresh from the target.",
    touches="none", expected="exact", replaces="sampler", spoils=poor,
)  # fmt: skip
def never_accepts(of: Backend, right: Any) -> Any:
    def no_draft(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> tuple[Array, Array]:
        return of.xp.zeros_like(lengths), of.xp.zeros_like(log_ratios[:, 0])

    from_target = coupling.rejected_from_target.part(of.name)
    return replace(right, verifier=Bound(of, no_draft, "no draft"), rejection=from_target)


@row(
    "orthogonal-kept", "right", "A rejected draft of a block keeps its part orthogonal to the mean difference.",
    touches="none", expected="exact", replaces="sampler", spoils=stale,
)  # fmt: skip
def orthogonal_kept(of: Backend, right: Any) -> Any:
    return replace(right, rejection=of.rejections.Maximal("independent", "kept"))


@row(
    "reflection-token-wise", "right", "Token by token, a rejected draft is replaced by its reflection.",
    touches="none", expected="exact", replaces="sampler", spoils=poor,
)  # fmt: skip
def reflection_token_wise(of: Backend, right: Any) -> Any:
    return replace(right, rejection=of.rejections.reflection)


@row(
    "chains-in-any-order", "right", "The paths are handed out in another order than they were drawn in.",
    touches="none", expected="exact", replaces="sampler", spoils=good,
)  # fmt: skip
def chains_in_any_order(of: Backend, right: Any) -> Any:
    """The last chain comes first."""

    def run(n: int, randomness: Any, **options: Any) -> Any:
        found = right.run(n, randomness, **options)
        return picked(of, found, n - 1 - of.arange(n, found.paths))

    return Around(right, run)


@row(
    "keyed-by-position-token-wise", "right",
    "Draws are keyed by (seed, position); token by token the next round meets only draws that nobody has looked at.",
    touches="none", expected="exact", replaces="sampler", spoils=good,
)  # fmt: skip
def keyed_by_position_token_wise(of: Backend, right: Any) -> Any:
    return randomness.draws_keyed_by_position.instead(of, right)


@row(
    "drafter-that-fails", "right", "One draft in two is NaN.",
    touches="none", expected="exact", replaces="sampler", spoils=poor,
)  # fmt: skip
def drafter_that_fails(of: Backend, right: Any) -> Any:
    """The draft fails where the state's first coordinate is positive."""

    def failing(of: Backend, steps: Array, x: Array, condition: Array | None) -> Array:
        prediction = right.process.evaluate(steps, x, condition)
        return of.xp.where(x[:, :1] > 0, of.xp.full_like(prediction, of.xp.nan), prediction)

    return replace(right, drafter=of.drafters.Independent(Bound(of, failing, "failing")))


@row(
    "drafter-without-hope", "right", "Drafts lie fifty standard deviations away, so none is ever accepted.",
    touches="none", expected="exact", replaces="sampler", spoils=hopeless,
)  # fmt: skip
def drafter_without_hope(of: Backend, right: Any) -> Any:
    return right


@row(
    "prediction-of-another-chain", "right", "A chain drafts with the prediction that its neighbour remembers.",
    touches="none", expected="exact", replaces="sampler", spoils=good,
)  # fmt: skip
def prediction_of_another_chain(of: Backend, right: Any) -> Any:
    """A draft may be any function of the past of all chains."""

    class ReuseOfNeighbour(of.drafters.Reuse):  # type: ignore[name-defined]
        def prediction(self, tables: Any, steps: Array, x: Array, memory: Any, condition: Array | None) -> Array:
            return super().prediction(tables, steps, x, (of.xp.roll(memory[0], 1, axis=0),), condition)

    return replace(right, drafter=ReuseOfNeighbour(right.drafter.kind))


@row(
    "window-as-long-as-the-chain", "right", "All steps are drafted at once, and most are thrown away.",
    touches="none", expected="exact", replaces="sampler", spoils=stale,
)  # fmt: skip
def window_as_long_as_the_chain(of: Backend, right: Any) -> Any:
    return replace(right, window=right.process.steps)


@row(
    "rejected-until-accepted", "right", "A rejected step is drawn from the target until a second coin lets it pass.",
    touches="none", expected="exact", replaces="sampler", spoils=poor,
)  # fmt: skip
def rejected_until_accepted(of: Backend, right: Any) -> Any:
    return replace(right, rejection=of.rejections.UntilAccepted())
