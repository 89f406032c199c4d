"""Tests of token sequences: each token is compared with its law, given all tokens before it.

If the sequences follow the law, F(x_t - 1) + V p(x_t) with V uniform is an independent uniform at every position, for every order
of the vocabulary that the past determines. Which order shows an error depends on the error. Only what is known before a token is
drawn may choose the order or the stratum: the position, the place in the round, and how many drafts earlier rounds accepted. That
a token was accepted is not known before, and conditioning on it would refute right samplers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, double, integers_like, like, namespace, normal_scores, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import Bets, Lags, Speculation, Summary, Support, Tally
from ..laws.base import Law, Predicting, Prediction

# Positions beyond these are tested together, in groups that double.
_SINGLE = 32
# Places in a round, and numbers of accepted drafts, beyond this are tested together.
_PLACES = 8
# What part of its wealth a bet risks.
_RISKS = 0.5 ** np.arange(1, 9)
# The exponents of bets on events: wealth is multiplied by exp(e) if the event happens, and by as little as is fair if not.
_EXPONENTS = np.concatenate([sign * 0.5 ** np.arange(6) for sign in (1.0, -1.0)])
_TEMPERATURES = (0.8, 1.25)
_TINY = 1e-16
# The exponential of a larger number overflows.
_LARGEST = 700.0


@dataclass(frozen=True)
class Tokens(Battery):
    """Tests that every token follows its law, given the prompt and the tokens before it.

    * A token of probability 0 refutes at once, and the finding names it. For greedy decoding, this is the only test.
    * Uniform transforms, with the vocabulary in the order of its numbers, of decreasing probability and, if the draft is known, of
      decreasing p/q.
    * Bets, whose wealth is valid at any time: on the draft's law, on the law at other temperatures, on the residual without
      weights, and on what draft and target have in common. Each is what a wrong verifier would emit too often.
    * The share of tokens with p > q, by place in the round and by the number of drafts that the round before accepted.
    * The dependence of each token on those some positions before.

    Applies to a law of token sequences, such as :class:`exactness.TokenChain`.

    Args:
        lags: the largest number of positions over which dependence is tested.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.TokenChain(lambda prefixes: np.zeros((len(prefixes), 3)), vocabulary=3, length=4)
    >>> stuck = lambda n, seed: np.repeat(law.sample(n, seed)[:, :1], 4, axis=1)
    >>> ex.certify(stuck, law, plan=ex.Plan(tolerance=0.1)).leading.name.split(",")[0]
    'tokens: dependence on earlier tokens'
    """

    lags: int = 8
    name: ClassVar[str] = "tokens"
    apart: ClassVar[bool] = True

    def applies(self, law: Law) -> bool:
        return isinstance(law, Predicting)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Predicting)
        looks = _Looks(law, self.lags)

        def update(sample: Array, noise: np.random.Generator) -> None:
            looks.take(law, sample, noise)

        return Evidence(Origin(self, law, generator), looks.summaries, update)


class _Looks:
    """The summaries of a law's tokens."""

    def __init__(self, law: Predicting, lags: int) -> None:
        self.group, names = _groups(law.length)
        self.support = Support()
        self.speculation = Speculation()
        self.summaries: dict[str, Summary] = {"support": self.support, "rounds": self.speculation}
        self.orders: dict[str, Tally] = {}
        if law.greedy:
            return
        orders = ["by number", "by probability", *(["by p/q"] if law.drafted else [])]
        self.orders = {order: Tally(names, "uniform", relation="independent") for order in orders}
        self.lags = Lags([True] * law.length, min(lags, law.length - 1))
        self.bets = Bets([f"temperature {t:g}" for t in _TEMPERATURES] + (list(_OF_DRAFT) if law.drafted else []), len(_RISKS))
        self.summaries |= {f"transforms {order}": tally for order, tally in self.orders.items()}
        self.summaries |= {"dependence on earlier tokens": self.lags, "bets": self.bets}
        if law.drafted:
            places = [
                f"place {i}" + ("" if a < 0 else f" after {a} accepted") for a in range(-1, _PLACES + 1) for i in range(_PLACES + 1)
            ]
            self.shares = Bets(["all", *places], len(_EXPONENTS))
            self.summaries |= {"share of tokens with p > q": self.shares}

    def take(self, law: Predicting, sample: Array, noise: np.random.Generator) -> None:
        """Take in a batch of sequences."""
        n = int(sample.shape[0])
        place, before = _rounds(to_numpy(sample[:, 1]))
        alive = to_numpy(sample[:, 0]) >= 0
        self.speculation.add(int(((place == 0) & alive).sum()), int(((place == 1) & alive).sum()))
        scores: dict[int, np.ndarray] = {}
        for step in law.predictions(sample):
            tokens = to_numpy(step.tokens)
            where = step.rows, step.position
            u = self._one(step, tokens, noise, place[where], before[where])
            if u is not None:
                scores.setdefault(step.position, np.zeros(n))[step.rows] = normal_scores(np.clip(u, _TINY, 1.0 - _TINY))
        self._dependence(scores)

    def _one(
        self, step: Prediction, tokens: np.ndarray, noise: np.random.Generator, place: np.ndarray, before: np.ndarray
    ) -> np.ndarray | None:
        """Look at one token of some sequences. The result is its transform in the order of decreasing probability."""
        alive = tokens >= 0
        ids = np.where(alive, tokens, 0)
        log_p = step.log_p
        here = _at(log_p, ids)
        impossible = alive & (here == -np.inf)
        self.support.add(tokens[impossible].astype(np.float64), int(alive.sum()))
        if not self.orders:
            return None
        good = alive & ~impossible
        count = int(good.sum())
        p = namespace(log_p).exp(log_p)
        keys: dict[str, Array | None] = {"by number": None, "by probability": log_p}
        if step.log_q is not None:
            keys["by p/q"] = _ratio(log_p, step.log_q)
        spread = noise.random(len(ids))
        # Where a sequence has ended, the judge's own noise stands for a transform, so that n is not chosen by the draws.
        filler = noise.random(len(ids))
        transforms = {}
        for order, key in keys.items():
            transforms[order] = np.where(good, _transform(p, key, ids, np.exp(here), spread), filler)
            self.orders[order].add(self.group[step.position], transforms[order])
        if count:
            self._bet(step, ids, p, good, here, place, before)
        return transforms["by probability"]

    def _bet(
        self, step: Prediction, ids: np.ndarray, p: Array, good: np.ndarray, here: np.ndarray, place: np.ndarray, before: np.ndarray
    ) -> None:
        count = int(good.sum())
        for row, log_a in enumerate(_bets(step.log_p, step.log_q)):
            odds = np.exp(np.minimum(_at(log_a, ids)[good] - here[good], _LARGEST))
            self.bets.add(row, np.log1p(_RISKS[:, None] * (odds - 1.0)[None]).sum(axis=1), count)
        if step.log_q is not None:
            self._shares(step, ids, p, good, place, before)

    def _shares(self, step: Prediction, ids: np.ndarray, p: Array, good: np.ndarray, place: np.ndarray, before: np.ndarray) -> None:
        """Bets on the event that a token has p > q."""
        xp = namespace(p)
        event = step.log_p > step.log_q
        chance = np.clip(to_numpy(xp.sum(xp.where(event, p, xp.zeros_like(p)), axis=1)).astype(np.float64), 0.0, 1.0)
        happened = _at(event, ids).astype(bool)
        logs = _EXPONENTS[:, None] * happened[None] - np.log1p(chance[None] * np.expm1(_EXPONENTS)[:, None])
        self.shares.add(0, logs[:, good].sum(axis=1), int(good.sum()))
        rows = 1 + np.minimum(place, _PLACES)
        for stratum, known in ((rows, place >= 0), (rows + (1 + np.minimum(before, _PLACES)) * (_PLACES + 1), before >= 0)):
            for row in np.unique(stratum[good & known]):
                mine = good & known & (stratum == row)
                self.shares.add(int(row), logs[:, mine].sum(axis=1), int(mine.sum()))

    def _dependence(self, scores: dict[int, np.ndarray]) -> None:
        for lag in self.lags.sums if self.orders else ():
            for t in range(lag, len(scores)):
                self.lags.add(lag, scores[t][:, None], scores[t - lag][:, None])


_OF_DRAFT = ("the draft's law", "the residual without weights", "what draft and target have in common")


def _bets(log_p: Array, log_q: Array | None) -> list[Array]:
    """The log-probabilities of the laws that are bet on, in the order of the rows."""
    xp = namespace(log_p)
    found = [_normalised(log_p / t) for t in _TEMPERATURES]
    if log_q is not None:
        p, q = xp.exp(log_p), xp.exp(log_q)
        more = p > q
        residual = xp.where(more, xp.log(xp.where(more, p - q, xp.ones_like(p))), like(np.array(-np.inf), p))
        found += [log_q, _normalised(residual, log_p), _normalised(xp.minimum(log_p, log_q), log_p)]
    return found


def _normalised(logs: Array, otherwise: Array | None = None) -> Array:
    """Log-probabilities that sum to 1. A row that holds nothing becomes that of another law."""
    xp = namespace(logs)
    top = xp.max(logs, axis=1, keepdims=True)
    empty = top == -np.inf
    shifted = logs - xp.where(empty, xp.zeros_like(top), top)
    found = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    return found if otherwise is None else xp.where(empty, otherwise, found)


def _ratio(log_p: Array, log_q: Array) -> Array:
    """log p/q. Tokens that neither draws come last, and never count."""
    xp = namespace(log_p)
    never = log_p == -np.inf
    return xp.where(never, log_p, log_p - log_q)


def _transform(p: Array, key: Array | None, ids: np.ndarray, own: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The probability of all tokens before each token, plus a random part of its own: (m, V) -> (m,).

    Tokens with larger ``key`` come first, and of those that tie the ones with smaller numbers. No sorting is needed.
    """
    xp, count = namespace(p), int(p.shape[1])
    number, at = integers_like(np.arange(count)[None], p), integers_like(ids[:, None], p)
    first = number < at
    if key is not None:
        mine = xp.take_along_axis(key, at, axis=1)
        first = (key > mine) | ((key == mine) & first)
    below = to_numpy(xp.sum(double(xp.where(first, p, xp.zeros_like(p))), axis=1))
    return np.clip(below + spread * own, 0.0, 1.0)


def _at(values: Array, ids: np.ndarray) -> np.ndarray:
    """The value of each row at a token, in double precision: (m, V) -> (m,)."""
    xp = namespace(values)
    return to_numpy(xp.take_along_axis(values, integers_like(ids[:, None], values), axis=1))[:, 0].astype(np.float64)


def _groups(length: int) -> tuple[list[int], list[str]]:
    """The row of each position, and the names of the rows."""
    rows: list[int] = []
    names: list[str] = []
    for t in range(length):
        row = t if t < _SINGLE else _SINGLE + int(np.log2(t // _SINGLE))
        if row == len(names):
            names.append(f"position {t}" if t < _SINGLE else f"from position {t} on")
        rows.append(row)
    return rows, names


def _rounds(rounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each token, its place in its round, and the number of drafts that the round before accepted; -1 if not known.

    A round emits its accepted drafts and one more token. Both numbers are known before the token is drawn.
    """
    place, before = np.full(rounds.shape, -1), np.full(rounds.shape, -1)
    if not rounds.size or (rounds < 0).all():
        return place, before
    for t in range(rounds.shape[1]):
        known = rounds[:, t] >= 0
        same = known & (t > 0) & (rounds[:, t] == rounds[:, t - 1])
        place[:, t] = np.where(~known, -1, np.where(same, place[:, t - 1] + 1, 0))
        before[:, t] = np.where(same, before[:, t - 1], np.where(known & (t > 0), place[:, t - 1], -1))
    return place, before
