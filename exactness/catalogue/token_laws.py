"""The token laws of the catalogue. Each has a target and a draft model, a length, and a budget.

Laws that are made of tables depend on the context: the last token and the position choose one of a few rows. So a vocabulary of
50,000 costs no more than its rows, and every law of sequences is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..arrays import like, namespace, to_numpy
from ..laws import TokenChain
from ..plan import Plan
from .backends import Backend, backend

Law = Callable[[Any, Any], Any]
"""(tokens (m, W), lengths (m,)) -> probabilities (m, V), in arrays of a library: what its samplers call."""
Predict = Callable[[Any], Any]
"""Prefixes (n, t) -> log-probabilities (n, V): what the judge calls."""
Change = Callable[[np.ndarray], np.ndarray]

# The number of rows of the tables. It has no factor in common with _STRIDE, so that all rows are met.
_CONTEXTS, _STRIDE = 8, 3


class Models(NamedTuple):
    """A target and a draft, for the samplers of a library and for the judge."""

    target: Law
    draft: Law
    log_target: Predict
    log_draft: Predict


@dataclass(frozen=True)
class TokenLaw:
    """The description of a law of tokens.

    Attributes:
        name, about: the name of the law, and a line about it.
        vocabulary, length: the number of tokens, V, and the length of sequences, T.
        models: makes the target and the draft for a library, a device and a dtype.
        plan: the default plan.
        window: the number of drafts of a round along a chain.
        tree, paths: the parents of a tree of drafts, and of several chains of one length.
        rows: the number of sequences that a sampler draws at a time, which bounds its memory.
        ngram: how many tokens must recur for a prompt lookup.
        dtype: the dtype of the laws, unless another is asked for.
    """

    name: str
    about: str
    vocabulary: int
    length: int
    models: Callable[[Backend, str, str], Models]
    plan: Plan
    window: int = 4
    tree: tuple[int, ...] = (0, 0, 1, 1, 2, 2)
    paths: tuple[int, ...] = (0, 0, 1, 2)
    rows: int = 1_000
    ngram: int = 1
    dtype: str = "float64"

    def chain(self, models: Models, promised: Change | None = None) -> TokenChain:
        """The law that is claimed: the target's, or what a ``promised`` change of probabilities makes of it."""
        target = models.log_target if promised is None else _changed(models.log_target, promised)
        return TokenChain(target, vocabulary=self.vocabulary, length=self.length, draft=models.log_draft, name=self.name)


@cache
def models(name: str, backend_name: str, device: str = "cpu", dtype: str | None = None) -> Models:
    """The target and draft of the law of this name. Raises ``BadInput`` if the library is missing."""
    of = backend(backend_name)
    return LAWS[name].models(of, device, of.dtype(dtype, LAWS[name].dtype))


def _changed(predict: Predict, change: Change) -> Predict:
    def changed(prefixes: Any) -> Any:
        given = predict(prefixes)
        with np.errstate(divide="ignore"):
            return like(np.log(change(np.exp(np.asarray(to_numpy(given), dtype=np.float64)))), given)

    return changed


def tables(target: np.ndarray, draft: np.ndarray) -> Callable[[Backend, str, str], Models]:
    """Models that look up their law in tables of probabilities (rows, V), by the last token and the position."""

    def build(of: Backend, device: str, dtype: str) -> Models:
        laws = [_law(of.constant(table, device, dtype)) for table in (target, draft)]
        logs = [_predict(of.for_judge(np.log(table), device, dtype)) for table in (target, draft)]
        return Models(laws[0], laws[1], logs[0], logs[1])

    return build


def _law(table: Any) -> Law:
    def law(tokens: Any, lengths: Any) -> Any:
        xp = namespace(tokens)
        last = xp.take_along_axis(tokens, xp.clip(lengths - 1, 0, None)[:, None], axis=1)[:, 0]
        return table[(xp.where(lengths > 0, last, xp.zeros_like(last)) + _STRIDE * lengths) % len(table)]

    return law


def _predict(table: Any) -> Predict:
    def predict(prefixes: Any) -> Any:
        n, t = (int(size) for size in prefixes.shape)
        last = to_numpy(prefixes)[:, -1] if t else np.zeros(n, dtype=np.int64)
        return table[(last + _STRIDE * t) % len(table)]

    return predict


def characters(of: Backend, device: str, dtype: str) -> Models:
    """The trained models of characters, which run in float32 on the CPU."""
    models = of.part("characters")
    target, draft = models.target(), models.draft()
    return Models(target.law, draft.law, target, draft)


def zipf(vocabulary: int, seed: int, contexts: int = _CONTEXTS) -> tuple[np.ndarray, np.ndarray]:
    """Tables of a target and a draft that overlap by a half. In each row, the likely tokens are others."""
    generator = np.random.default_rng(seed)
    shape = (contexts, vocabulary)
    usual = generator.permuted(np.tile(-np.log1p(np.arange(vocabulary)), (contexts, 1)), axis=1)
    found = []
    for _ in range(2):
        masses = np.exp(usual + generator.standard_normal(shape))
        found.append(masses / masses.sum(axis=1, keepdims=True))
    return found[0], found[1]


def _table_law(name: str, about: str, vocabulary: int, length: int, plan: Plan, seed: int, **more: Any) -> TokenLaw:
    return TokenLaw(name, about, vocabulary, length, tables(*zipf(vocabulary, seed)), plan, **more)


LAWS: dict[str, TokenLaw] = {
    law.name: law
    for law in (
        _table_law(
            "tokens-4", "four tokens, the law depends on the last token and the position", 4, 12,
            Plan(tolerance=0.05, first_paths=4_000, max_paths=32_000), seed=4,
        ),
        _table_law(
            "tokens-50", "fifty tokens by Zipf's law, permuted by the last token and the position", 50, 12,
            Plan(tolerance=0.08, first_paths=2_000, max_paths=16_000), seed=50,
        ),
        _table_law(
            "tokens-50-long", "the law of tokens-50, in sequences of 24 tokens, for the faults that take many draws", 50, 24,
            Plan(tolerance=0.08, first_paths=2_000, max_paths=64_000), seed=50,
        ),
        _table_law(
            "tokens-50000", "50,000 tokens by Zipf's law, permuted by the last token and the position", 50_000, 4,
            Plan(tolerance=0.3, first_paths=256, max_paths=1_024, per_call=64), seed=50_000, window=2, tree=(0, 0, 1),
            paths=(0, 0, 1, 2), rows=64, dtype="float32",
        ),
        TokenLaw(
            "characters", "a trained model of characters of Python's documentation, and a smaller one as its draft", 96, 12,
            characters, Plan(tolerance=0.2, first_paths=500, max_paths=4_000, per_call=250), rows=250, dtype="float32",
        ),
    )
}  # fmt: skip
