"""The laws of the study: tables of a target and a draft, whose row is chosen by the last token and the position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

# The number of rows of the tables has no factor in common with the stride, so that all rows are met.
_ROWS, _STRIDE = 8, 3


@dataclass(frozen=True, eq=False)
class Tables:
    """Probabilities of a target and of a draft, (rows, V) each."""

    target: np.ndarray
    draft: np.ndarray

    @property
    def vocabulary(self) -> int:
        return int(self.target.shape[1])

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """The row from which each token of sequences (n, T) is drawn, (n, T)."""
        before = np.concatenate([np.zeros_like(tokens[:, :1]), tokens[:, :-1]], axis=1)
        return (before + _STRIDE * np.arange(tokens.shape[1])) % len(self.target)

    def log_target(self, prefixes: np.ndarray) -> np.ndarray:
        return self._logs[0][_next(prefixes) % len(self.target)]

    def log_draft(self, prefixes: np.ndarray) -> np.ndarray:
        return self._logs[1][_next(prefixes) % len(self.draft)]

    @cached_property
    def _logs(self) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            return np.log(self.target), np.log(self.draft)


def _next(prefixes: np.ndarray) -> np.ndarray:
    n, t = prefixes.shape
    return (prefixes[:, -1] if t else np.zeros(n, dtype=np.int64)) + _STRIDE * t


@dataclass(frozen=True, eq=False)
class Lookup:
    """A table as samplers call it: (tokens (m, W), lengths (m,)) -> (m, V)."""

    table: Tensor

    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        last = tokens.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
        return self.table[(torch.where(lengths > 0, last, 0) + _STRIDE * lengths) % len(self.table)]


def zipf(vocabulary: int, rows: int = _ROWS, seed: int = 19) -> Tables:
    """Zipf's law, whose likely tokens differ from row to row, with random factors for the target and others for the draft."""
    generator = np.random.default_rng(seed + vocabulary)
    usual = generator.permuted(np.tile(-np.log1p(np.arange(vocabulary)), (rows, 1)), axis=1)
    masses = [np.exp(usual + generator.standard_normal((rows, vocabulary))) for _ in range(2)]
    return Tables(*(m / m.sum(axis=1, keepdims=True) for m in masses))


LAWS = {"V = 4": 4, "V = 50": 50, "Zipf 50,000": 50_000}
