"""Tests of token sequences for small vocabularies: whole sequences, and tokens by the tokens just before them."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, to_numpy
from ..errors import BadInput
from ..evidence.summaries import Bets, Cells, Shares, Summary
from ..laws.base import Enumerable, Law, Predicting, Prediction
from .token_rounds import EXPONENTS, event_logs

# Whole sequences are counted if there are at most this many, and the most probable ones are tested one by one.
_MOST_SEQUENCES = 4096
_SINGLE = 64
# Up to this many sequences, the total variation is bounded.
_FEW = 16
# Events "this token, after these tokens" are bet on if there are at most this many.
_MOST_EVENTS = 512
_RISKED = EXPONENTS[::2]


class Sequences:
    """How often each whole sequence occurs, for a law that can list its sequences, if they are few.

    The total variation of few sequences bounds every event of a whole sequence. The target is asked with numpy arrays, and nothing
    is counted if it cannot take these.
    """

    def __init__(self, law: Law) -> None:
        self.summaries: dict[str, Summary] = {}
        if not isinstance(law, Enumerable) or not isinstance(law, Predicting) or not 2 <= law.sequences <= _MOST_SEQUENCES:
            return
        try:
            ids, masses = law.enumerate()
        except BadInput:
            return
        order = np.argsort(-masses, kind="stable")
        ids, masses = ids[order], masses[order] / masses.sum()
        self._digits = law.vocabulary ** np.arange(law.length)[::-1]
        # The last cell is for impossible sequences, which the test of the support refutes.
        self._cell = np.full(law.sequences, len(masses))
        self._cell[ids @ self._digits] = np.arange(len(masses))
        names = ["sequence " + " ".join(map(str, row)) for row in ids[:_SINGLE].tolist()]
        self.all, self.single = Cells(masses, _FEW), Shares(names, masses[:_SINGLE])
        if len(masses) > 1:
            self.summaries = {"whole sequences": self.all, "frequent sequences": self.single}

    def take(self, tokens: np.ndarray) -> None:
        """Take in whole sequences (n, T), -1 after their ends."""
        if self.summaries:
            counts = np.bincount(self._cell[np.maximum(tokens, 0) @ self._digits], minlength=len(self.all.masses) + 1)[:-1]
            self.all.add(counts)
            self.single.add(counts[: len(self.single.events)], len(tokens))


class Contexts:
    """Bets on each token after each token, and after each two tokens, if the vocabulary is small."""

    def __init__(self, law: Predicting) -> None:
        size, length = law.vocabulary, law.length
        self._size = size
        self.bets: dict[int, Bets] = {}
        for order in (1, 2):
            if length > order and size ** (order + 1) <= _MOST_EVENTS:
                contexts = np.indices((size,) * (order + 1)).reshape(order + 1, -1).T.tolist()
                self.bets[order] = Bets([f"token {row[-1]} after {' '.join(map(str, row[:-1]))}" for row in contexts], len(_RISKED))
        self.summaries: dict[str, Summary] = {f"tokens by the {_NAMES[order]} before": bets for order, bets in self.bets.items()}

    def take(self, step: Prediction, ids: np.ndarray, p: Array, good: np.ndarray, tokens: np.ndarray) -> None:
        """Look at one position, whose ``tokens`` before it are (m, t) of whole sequences."""
        mine = np.flatnonzero(good)
        if not len(mine) or all(step.position < order for order in self.bets):
            return
        chance = np.clip(to_numpy(p).astype(np.float64), 0.0, 1.0)[mine]
        size = self._size
        happened = ids[mine, None] == np.arange(size)
        logs = event_logs(happened.ravel(), chance.ravel(), _RISKED)
        for order, bets in self.bets.items():
            if step.position >= order:
                context = tokens[mine, step.position - order : step.position] @ size ** np.arange(order)[::-1]
                bets.add_by((context[:, None] * size + np.arange(size)).ravel(), logs)


_NAMES = {1: "token", 2: "two tokens"}
