"""The law of the tokens that one verified window emits, by enumeration: of all drafts, and of the sides of the thresholds on
which the uniforms may fall. No sampling, so an error of 1e-12 is seen.

A window drafts y_1..y_L from q, keeps tau of them, draws one more token from the residual (w p - q)_+ of position tau + 1, or from
p if all were kept, and goes on from p until L + 1 tokens are out. Whatever a verifier keeps is a function of which uniforms lie
below their thresholds h_i, so it is asked once for each of these 2^L cases, and each counts as the product of its h_i and 1 - h_i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from exactness_samplers import faults

from tests.backends import Backend

Array = np.ndarray
Rule = Callable[..., Any]
"""A verifier of ``exactness_samplers``: (log-ratios, masses, uniforms, lengths) -> (tau, log-weight)."""


@dataclass(frozen=True)
class Laws:
    """Next-token laws of target and draft: entry i, of shape (V,) * (i + 1), holds that of token i + 1 after each i tokens."""

    target: list[Array]
    draft: list[Array]

    @property
    def length(self) -> int:
        return len(self.draft)

    @property
    def vocabulary(self) -> int:
        return len(self.target[0])

    @classmethod
    def of_pair(cls, target: Array, draft: Array, length: int) -> Laws:
        """The same two laws after whatever tokens."""
        return cls.of_chains((target, target[None]), (draft, draft[None]), length)

    @classmethod
    def of_chains(cls, target: tuple[Array, Array], draft: tuple[Array, Array], length: int) -> Laws:
        """Chains of first order: each the law of the first token (V,), and of the next after every token (V, V)."""

        def after(start: Array, then: Array, i: int) -> Array:
            return start if i == 0 else np.broadcast_to(then, (len(start),) * (i + 1))

        return cls([after(*target, i) for i in range(length + 1)], [after(*draft, i) for i in range(length)])

    @classmethod
    def random(cls, vocabulary: int, length: int, generator: np.random.Generator) -> Laws:
        """Laws that depend on all tokens before."""
        draw = lambda count: [generator.dirichlet(np.ones(vocabulary), (vocabulary,) * i) for i in range(count)]  # noqa: E731
        return cls(draw(length + 1), draw(length))

    def joint(self, first: int = 0) -> Array:
        """The target's law of tokens first + 1 .. L + 1 after each ``first`` tokens, of shape (V,) * (L + 1)."""
        law = np.ones((self.vocabulary,) * first)
        for following in self.target[first:]:
            law = law[..., None] * following
        return law


def masses_at(xp: Any, target: Any, draft: Any) -> Callable[[Any], Any]:
    """What a verifier asks for: Z_i from the laws (n, L - 1, V) of the token after each y_1..y_i."""

    def masses(log_weights: Any) -> Any:
        excess = xp.clip(xp.exp(log_weights[:, 1:-1, None]) * target - draft, 0.0, None)
        return xp.concat([xp.sum(excess, axis=-1), xp.zeros_like(log_weights[:, :1])], axis=1)

    return masses


@dataclass(frozen=True)
class Way:
    """A way to verify and to replace. A wrong one differs in one field.

    Attributes:
        rule: ``block`` or ``token_wise``, or what makes a verifier of the samplers of a backend.
        ahead: of how many tokens after y_i the masses Z_i are; 1 is right.
        weight: of the residual, as a function of the one that the verifier gave, in logarithms.
    """

    rule: str | Callable[[faults.Backend], Rule] = "block"
    ahead: int = 1
    weight: Callable[[Array], Array] = lambda log_weight: log_weight


RIGHT = Way()


def window(backend: Backend, laws: Laws, way: Way = RIGHT) -> tuple[Array, Array]:
    """The law of the first L + 1 tokens, of shape (V,) * (L + 1), and that of tau, (L + 1,)."""
    size, length = laws.vocabulary, laws.length
    tokens = np.indices((size,) * length).reshape(length, -1).T
    at = lambda tables, i: tables[i][tuple(tokens[:, :i].T)] * np.ones((len(tokens), 1))  # noqa: E731
    p, q = (np.stack([at(tables, i) for i in range(len(tables))], axis=1) for tables in (laws.target, laws.draft))
    with np.errstate(divide="ignore"):
        log_p, log_q = (np.take_along_axis(np.log(law[:, :length]), tokens[..., None], 2)[..., 0] for law in (p, q))
    drafted = np.exp(log_q.sum(1))
    possible = drafted > 0
    tokens, p, q, drafted = tokens[possible], p[possible], q[possible], drafted[possible]
    ratios = (log_p - np.where(np.isneginf(log_q), 0.0, log_q))[possible]

    lengths, of = np.full(len(tokens), length), faults.Backend(backend.name)  # type: ignore[arg-type]
    next_p, next_q = (law[:, way.ahead : way.ahead + length - 1] for law in (p, q))
    rule = getattr(of.verification, way.rule) if isinstance(way.rule, str) else way.rule(of)

    def thresholds(ratios: Any, p: Any, q: Any, lengths: Any) -> Any:
        if way.rule == "token_wise":
            return of.xp.exp(of.xp.clip(ratios, None, 0.0))
        log_weights = rule.weights(ratios)
        return rule.thresholds(log_weights, masses_at(of.xp, p, q)(log_weights), lengths)

    def verified(ratios: Any, p: Any, q: Any, uniforms: Any, lengths: Any) -> Any:
        return rule(ratios, masses_at(of.xp, p, q), uniforms, lengths)

    h = backend.apply(thresholds, ratios, next_p, next_q, lengths)
    emitted, kept = np.zeros((size,) * (length + 1)), np.zeros(length + 1)
    for below in np.ndindex((2,) * length):
        uniforms = np.where(below, h / 2, (1 + h) / 2)
        chance = drafted * np.where(below, h, 1.0 - h.astype(float)).prod(1)
        tau, log_weight = backend.apply(verified, ratios, next_p, next_q, uniforms, lengths)
        weight = np.exp(way.weight(log_weight.astype(float)))
        kept += np.bincount(tau, chance, length + 1)
        for i in range(length + 1):
            rows = tau == i
            following = p[rows, i] if i == length else _shared(np.maximum(weight[rows, None] * p[rows, i] - q[rows, i], 0.0))
            begun = np.zeros((size**i, size))
            np.add.at(begun, tokens[rows, :i] @ size ** np.arange(i)[::-1], chance[rows, None] * following)
            emitted += begun.reshape((size,) * (i + 1) + (1,) * (length - i)) * laws.joint(i + 1)
    return emitted, kept


def distance(backend: Backend, laws: Laws, way: Way = RIGHT) -> float:
    """Total variation of the emitted tokens from the target's law."""
    return 0.5 * float(np.abs(window(backend, laws, way)[0] - laws.joint()).sum())


def _shared(excess: Array) -> Array:
    total = excess.sum(1, keepdims=True)
    return np.divide(excess, total, out=np.zeros_like(excess), where=total > 0)
