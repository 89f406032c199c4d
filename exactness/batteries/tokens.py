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

from ..arrays import Array, integers_like, namespace, normal_scores, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import Dependence
from ..evidence.summaries import Bets, Lags, Speculation, Summary, Support, Tally
from ..laws.base import Law, Predicting, Prediction
from ..laws.token_rules import at
from .token_contexts import Contexts, Sequences
from .token_rounds import EXPONENTS, LONG, PLACES, RISKS, Acceptances, AcrossRounds, BlockWeights, event_logs, rounds_of, row_sums

# Positions beyond these are tested together, in groups that double.
_SINGLE = 32
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
    * The dependence of each token on those some positions before, of rounds on the round before, and of sequences on each other, as
      where two requests share a seed.
    * If the law says how drafts are verified, whether each draft was accepted, against the probability that its rule must accept it
      with: transforms, and bets by place in the round, by the number of drafts that the round before accepted, and by the
      probability.
    * For small vocabularies, each token after each one and after each two tokens, and whole sequences, if at most 4,096 are
      possible: the most frequent ones one by one, and all together.

    Applies to a law of token sequences, such as :class:`exactness.TokenChain`.

    Args:
        lags: the largest number of positions over which dependence is tested.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.TokenChain(lambda prefixes: np.zeros((len(prefixes), 3)), vocabulary=3, length=4)
    >>> stuck = lambda n, seed: np.repeat(law.sample(n, seed)[:, :1], 4, axis=1)
    >>> ex.certify(stuck, law, plan=ex.Plan(tolerance=0.1)).leading.name.split(",")[0]
    'tokens: frequent sequences'
    """

    lags: int = 8
    name: ClassVar[str] = "tokens"
    apart: ClassVar[bool] = True

    def applies(self, law: Law) -> bool:
        return isinstance(law, Predicting)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        looks = _Looks(law, self.lags, generator)
        assert isinstance(law, Predicting)

        def update(sample: Array, noise: np.random.Generator) -> None:
            looks.take(law, sample, noise)

        return Evidence(Origin(self, law, generator), looks.summaries, update)


class _Looks:
    """The summaries of a law's tokens."""

    def __init__(self, law: Law, lags: int, generator: np.random.Generator) -> None:
        assert isinstance(law, Predicting)
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
        self.bets = Bets([f"temperature {t:g}" for t in _TEMPERATURES] + (list(_OF_DRAFT) if law.drafted else []), len(RISKS))
        self.summaries |= {f"transforms {order}": tally for order, tally in self.orders.items()}
        self.summaries |= {"dependence on earlier tokens": self.lags, "bets": self.bets}
        if law.drafted:
            places = [
                f"place {i}" + ("" if a < 0 else f" after {a} accepted") for a in range(-1, PLACES + 1) for i in range(PLACES + 1)
            ]
            self.shares = Bets(["all", *places], len(EXPONENTS))
            self.summaries |= {"share of tokens with p > q": self.shares}
        self.acceptances = None if law.rule is None else Acceptances(law.rule, self.group, names)
        self.blocks = BlockWeights()
        self.dependence = Dependence(1, generator, noisy=[True] * law.length)
        self.summaries |= self.dependence.summaries()
        self.across = AcrossRounds(["tokens", *([] if law.rule is None else ["accepted drafts"])])
        self.sequences, self.contexts = Sequences(law), Contexts(law)
        for one in (self.acceptances, self.across, self.contexts, self.sequences):
            self.summaries |= {} if one is None else one.summaries

    def take(self, law: Predicting, sample: Array, noise: np.random.Generator) -> None:
        """Take in a batch of sequences."""
        tokens, rounds, drafts = (to_numpy(sample[:, i]) for i in range(3))
        place, before = rounds_of(rounds)
        alive = tokens >= 0
        self.speculation.add(int(((place == 0) & alive).sum()), int(((place == 1) & alive).sum()))
        if not self.orders:
            for step in law.predictions(sample):
                self._possible(step, step.tokens)
            return
        for one in (self.acceptances, self.blocks):
            if one is not None:
                one.begin(len(tokens))
        self.sequences.take(tokens)
        scores = np.zeros((law.length, len(tokens)))
        kinds = {kind: np.full(tokens.shape, np.nan) for kind in self.across.kinds}
        for step in law.predictions(sample):
            rows, t = step.rows, step.position
            here = place[rows, t], before[rows, t]
            likely, kinds["tokens"][rows, t] = self._one(step, tokens[rows, : t + 1], noise, *here)
            scores[t, rows] = normal_scores(np.clip(likely, _TINY, 1.0 - _TINY))
            if self.acceptances is not None:
                kinds["accepted drafts"][rows, t] = self.acceptances.take(step, drafts[rows, t], *here, noise)
        for lag in self.lags.sums:
            for t in range(lag, law.length):
                self.lags.add(lag, scores[t][:, None], scores[t - lag][:, None])
        self.across.take(kinds, place, before)
        for z in scores:
            self.dependence.take(z[:, None])
        self.dependence.close(noise)

    def _possible(self, step: Prediction, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The log-probability of each token, and whether it is a token that the law draws. Others refute at once."""
        alive = tokens >= 0
        here = at(step.log_p, np.where(alive, tokens, 0))
        impossible = alive & (here == -np.inf)
        self.support.add(tokens[impossible].astype(np.float64), int(alive.sum()))
        return here, alive & ~impossible

    def _one(
        self, step: Prediction, until: np.ndarray, noise: np.random.Generator, place: np.ndarray, before: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Look at one token of some sequences, given those ``until`` it, (m, t + 1), the last of which it is.

        The results are its transforms in the order of decreasing probability, with the judge's noise where a sequence has ended,
        and those in the order of the numbers, from -1 to 1, with NaN there.
        """
        tokens, log_p = until[:, -1], step.log_p
        here, good = self._possible(step, tokens)
        ids = np.where(good, tokens, 0)
        p = namespace(log_p).exp(log_p)
        keys: dict[str, Array | None] = {"by number": None, "by probability": p}
        if step.log_q is not None:
            keys["by p/q"] = _ratio(log_p, step.log_q)
        spread = noise.random(len(ids))
        # Where a sequence has ended, the judge's own noise stands for a transform, so that n is not chosen by the draws.
        filler = noise.random(len(ids))
        transforms = {}
        for order, key in keys.items():
            transforms[order] = np.where(good, _transform(p, key, ids, np.exp(here), spread), filler)
            self.orders[order].add(self.group[step.position], transforms[order])
        if good.any():
            self._bet(step, ids, p, good, here, place, before)
            self.contexts.take(step, ids, p, good, until)
        return transforms["by probability"], np.where(good, 2.0 * transforms["by number"] - 1.0, np.nan)

    def _bet(
        self, step: Prediction, ids: np.ndarray, p: Array, good: np.ndarray, here: np.ndarray, place: np.ndarray, before: np.ndarray
    ) -> None:
        """Bets on the laws of other temperatures and, if the draft is known, on what it makes too likely."""
        xp, count = namespace(p), int(good.sum())
        every = [here * (1.0 / t - 1.0) - np.log(row_sums(xp.exp(step.log_p / t))) for t in _TEMPERATURES]
        if step.log_q is not None:
            q = xp.exp(step.log_q)
            excess, common = xp.clip(p - q, 0.0, None), xp.minimum(p, q)
            # Tokens that are left out may have probability 0 under both.
            with np.errstate(invalid="ignore"):
                every.append(at(step.log_q, ids) - here)
            every += [_share(masses, ids, here) for masses in (excess, common)]
            mine, block = self.blocks.odds(step.rows, ids, p, q, excess, place, good)
            self.bets.add(len(every), np.log1p(RISKS[:, None] * (block - 1.0)[None]).sum(axis=1), len(mine))
            self._shares(p, excess, ids, good, place, before)
        for row, logs in enumerate(every):
            odds = np.exp(np.minimum(logs[good], _LARGEST))
            self.bets.add(row, np.log1p(RISKS[:, None] * (odds - 1.0)[None]).sum(axis=1), count)

    def _shares(self, p: Array, excess: Array, ids: np.ndarray, good: np.ndarray, place: np.ndarray, before: np.ndarray) -> None:
        """Bets on the event that a token has p > q."""
        xp = namespace(p)
        event = excess > 0.0
        chance = np.clip(row_sums(xp.where(event, p, xp.zeros_like(p))), 0.0, 1.0)
        logs = event_logs(at(event, ids).astype(bool), chance)
        self.shares.add(0, logs[:, good].sum(axis=1), int(good.sum()))
        rows = 1 + np.minimum(place, PLACES)
        by_both = rows + (1 + np.minimum(before, PLACES)) * (PLACES + 1)
        for stratum, known in ((rows, place >= 0), (by_both, before >= 0)):
            self.shares.add_by(np.where(good & known, stratum, -1), logs)


_OF_DRAFT = (
    "the draft's law", "the residual without weights", "what draft and target have in common",
    "block verification whose residual forgets its weight",
)  # fmt: skip


def _share(masses: Array, ids: np.ndarray, here: np.ndarray) -> np.ndarray:
    """log a/p of each token, where the law a is proportional to masses (m, V); 0 if nothing is left of it."""
    own, total = at(masses, ids), row_sums(masses)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(total > 0.0, np.log(own) - np.log(total) - here, 0.0)
    return found


def _ratio(log_p: Array, log_q: Array) -> Array:
    """log p/q. Tokens that neither draws come last, and never count."""
    xp = namespace(log_p)
    with np.errstate(invalid="ignore"):
        found = log_p - log_q
    return xp.where(log_p == -np.inf, log_p, found)


def _transform(p: Array, key: Array | None, ids: np.ndarray, own: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The probability of all tokens before each token, plus a random part of its own: (m, V) -> (m,).

    Tokens with larger ``key`` come first, and of those that tie the ones with smaller numbers. No sorting is needed.
    """
    if isinstance(p, np.ndarray) and p.shape[1] > LONG:
        below = np.array([_before(row, None if key is None else key[i], int(ids[i])) for i, row in enumerate(p)])
    else:
        xp = namespace(p)
        number, own_number = integers_like(np.arange(int(p.shape[1]))[None], p), integers_like(ids[:, None], p)
        first = number < own_number
        if key is not None:
            mine = xp.take_along_axis(key, own_number, axis=1)
            first = (key > mine) | ((key == mine) & first)
        below = row_sums(xp.where(first, p, xp.zeros_like(p)))
    return np.clip(below + spread * own, 0.0, 1.0)


def _before(p: np.ndarray, key: np.ndarray | None, own: int) -> float:
    """The probability of all tokens before one, for one long row: (V,) -> a number."""
    if key is None:
        # The shorter side.
        return float(p[:own].sum()) if 2 * own < len(p) else 1.0 - float(p[own:].sum())
    # Of tokens that tie with it, those with smaller numbers come first. A product with 0 and 1 is faster than a choice.
    left, right = (key[:own] >= key[own]).astype(p.dtype), (key[own:] > key[own]).astype(p.dtype)
    return float(left @ p[:own]) + float(right @ p[own:])


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
