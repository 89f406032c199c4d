"""Tests of the rounds of speculative decoding: which drafts were accepted, and whether rounds depend on those before them."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, double, like, namespace, to_numpy
from ..evidence.summaries import Bets, Summary, Tally
from ..laws.base import Prediction
from ..laws.token_rules import Rule, acceptance, at, block_weight

# Places in a round, and numbers of accepted drafts, beyond this are tested together.
PLACES = 8
# Sums of rows of more tokens are not made in double precision, and such rows are looked at one by one.
LONG = 1024
# What part of its wealth a bet risks.
RISKS = 0.5 ** np.arange(1, 9)
# The exponents of bets on events: wealth is multiplied by exp(e) if the event happens, and by as little as is fair if not.
EXPONENTS = np.concatenate([sign * 0.5 ** np.arange(6) for sign in (1.0, -1.0)])
_BOTH_SIGNS = np.concatenate([RISKS, -RISKS])
# Weights and masses that differ from 1 and 0 by less are taken for these: single precision knows no more.
_ROUNDING = 1e-5
# Drafts whose chances lie in the same one of this many equal parts of [0, 1] are tested together.
_PARTS = 4


def event_logs(happened: np.ndarray, chance: np.ndarray, exponents: np.ndarray = EXPONENTS) -> np.ndarray:
    """The logarithms by which bets on events (n,) of known chance (n,) multiply their wealth: (exponents, n).

    A factor lies between exp(-|e|) and exp(|e|), so that a chance that is rounded to 0 or 1 ruins nobody.
    """
    return exponents[:, None] * happened[None] - np.log1p(chance[None] * np.expm1(exponents)[:, None])


class Acceptances:
    """Whether each draft was accepted, compared with how likely its rule is to accept it.

    The chance is known once the draft is, and does not depend on the drafts behind it. So the numbers of accepted drafts, less
    what they are expected to be, form a martingale.

    * Transforms: V c if a draft of chance c was accepted, and c + V (1 - c) if not, are independent uniforms. Where nothing was
      drafted, the judge's own noise stands for one, so that every draw counts and there is a bound.
    * Bets on acceptance: over all drafts, by place in the round, by the number that the round before accepted, and by the chance.

    An accepted draft is one that is emitted: none of the rules replaces a draft by itself. So a round that was cut by the end of
    its sequence counts as well.

    Args:
        rule: how drafts are verified.
        groups, names: the row of each position, and the names of the rows.
    """

    def __init__(self, rule: Rule, groups: list[int], names: list[str]) -> None:
        self.rule, self.groups = rule, groups
        self.transforms = Tally(names, "uniform", relation="independent")
        places = [f"place {i}" for i in range(PLACES + 1)]
        after = [f"after {i} accepted" for i in range(PLACES + 1)]
        chances = [f"chance {i / _PARTS:g} to {(i + 1) / _PARTS:g}" for i in range(_PARTS)]
        self.bets = Bets(["all drafts", *places, *after, *chances], len(EXPONENTS))
        self.summaries: dict[str, Summary] = {"transforms of accepted drafts": self.transforms, "accepted drafts": self.bets}
        self._weights = np.ones(0)

    def begin(self, n: int) -> None:
        """Begin a batch of n sequences."""
        self._weights = np.ones(n)

    def take(
        self,
        step: Prediction,
        drafts: np.ndarray,
        place: np.ndarray,
        before: np.ndarray,
        noise: np.random.Generator,
    ) -> np.ndarray:
        """Look at one position of some sequences (m,). The result is, for each draft, whether it was accepted less the
        chance of that, as a part of the largest difference that there can be: (m,) in [-1, 1], or NaN where nothing was drafted.
        """
        tokens = step.tokens
        weights = np.where(place == 0, 1.0, self._weights[step.rows])
        # A round that goes on without a draft has no weight any more.
        weights[drafts < 0] = np.nan
        known = (drafts >= 0) & (tokens >= 0) & (place >= 0) & ~np.isnan(weights)
        spread = noise.random(len(tokens))
        transforms, found = spread.copy(), np.full(len(tokens), np.nan)
        mine = np.flatnonzero(known)
        if len(mine):
            every = len(mine) == len(tokens)
            log_p, log_q = (x if every or x is None else x[mine] for x in (step.log_p, step.log_q))
            chance, weights[mine] = acceptance(self.rule, log_p, log_q, drafts[mine], weights[mine])
            accepted = tokens[mine] == drafts[mine]
            transforms[mine] = np.where(accepted, spread[mine] * chance, chance + spread[mine] * (1.0 - chance))
            found[mine] = (accepted - chance) / np.maximum(chance, 1.0 - chance)
            self._bet(accepted, chance, place[mine], before[mine])
        self._weights[step.rows] = weights
        self.transforms.add(self.groups[step.position], transforms)
        return found

    def _bet(self, accepted: np.ndarray, chance: np.ndarray, place: np.ndarray, before: np.ndarray) -> None:
        logs = event_logs(accepted, chance)
        self.bets.add(0, logs.sum(axis=1), len(chance))
        part = np.minimum((chance * _PARTS).astype(int), _PARTS - 1)
        for first, stratum in ((1, np.minimum(place, PLACES)), (2 + PLACES, np.minimum(before, PLACES)), (3 + 2 * PLACES, part)):
            self.bets.add_by(np.where(stratum >= 0, first + stratum, -1), logs)


class BlockWeights:
    """The law that block verification gives if it forgets the weight of its residual.

    Let P be the weight of what a round has emitted so far. Given that the round goes on, the next token is an accepted draft x with
    mass min(q(x), P p(x)), and otherwise it is drawn from the residual, whose mass is Z = sum_x (P p(x) - q(x))_+; the sum is P.
    The residual is (P p - q)_+, and then the law is p. If it is (p - q)_+ instead, the law is

        a(x) = (min(q(x), P p(x)) + Z (p(x) - q(x))_+ / sum_y (p(y) - q(y))_+) / P.

    P follows from the tokens of the round, so a is known before x is drawn, and the bet is fair whatever rule verifies.
    """

    def __init__(self) -> None:
        self._weights = np.ones(0)

    def begin(self, n: int) -> None:
        """Begin a batch of n sequences."""
        self._weights = np.ones(n)

    def odds(
        self, rows: np.ndarray, ids: np.ndarray, p: Array, q: Array, excess: Array, place: np.ndarray, good: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The places where a differs from p, of tokens (m,) at one position of some sequences, and a/p of the tokens there.

        ``p``, ``q`` and ``excess``, which is (p - q)_+, are (m, V); tokens that are not ``good`` are left out.
        """
        own_p, own_q, own_excess = (at(values, ids) for values in (p, q, excess))
        weights = np.where(place == 0, 1.0, self._weights[rows])
        self._weights[rows] = block_weight(weights, own_p, own_q)
        mine = np.flatnonzero(good & (place > 0) & (weights > 0.0) & (weights < 1.0 - _ROUNDING))
        if not len(mine):
            return mine, np.ones(0)
        xp = namespace(p)
        left = row_sums(xp.clip(like(weights[:, None], p) * p - q, 0.0, None))
        whole = row_sums(excess)
        w, own = weights[mine], own_p[mine]
        # A weight below 1 says that target and draft differed before, but here they may be the same.
        part = np.divide(left, whole, out=np.zeros_like(left), where=whole > _ROUNDING)[mine]
        found = (np.minimum(own_q[mine], w * own) + part * own_excess[mine]) / (w * own)
        return mine, np.where(whole[mine] > _ROUNDING, found, 1.0)


class AcrossRounds:
    """Whether rounds depend on those before them, as they do if coins or noise are used twice.

    Of each token there is a number in [-1, 1] whose mean is 0, given the past. A bet multiplies its wealth by 1 + r x y, where y is
    the number of an earlier token: that at the same place in the round before or, for the first of a round, the last of the round
    before. Which is y, is known before x is drawn.
    """

    def __init__(self, kinds: list[str]) -> None:
        self.kinds = kinds
        rows = [f"{kind}, {where}" for kind in kinds for where in _where()]
        self.bets = Bets(rows, len(_BOTH_SIGNS))
        self.summaries: dict[str, Summary] = {"dependence of rounds on the round before": self.bets}

    def take(self, numbers: dict[str, np.ndarray], place: np.ndarray, before: np.ndarray) -> None:
        """Take in the numbers of whole sequences by kind, (n, T), NaN where a token has none, and what is known of the rounds."""
        position = np.broadcast_to(np.arange(place.shape[1]), place.shape)
        # The round before began before + 1 tokens ahead of this one.
        pairs = (
            ((place == 0) & (before >= 0), position - 1, np.zeros_like(place)),
            ((place >= 0) & (place <= before), position - before - 1, 1 + np.minimum(place, PLACES)),
        )
        for k, kind in enumerate(self.kinds):
            for chosen, earlier, row in pairs:
                rows, columns = np.nonzero(chosen)
                product = numbers[kind][rows, columns] * numbers[kind][rows, earlier[rows, columns]]
                both = ~np.isnan(product)
                logs = np.log1p(_BOTH_SIGNS[:, None] * product[both][None])
                self.bets.add_by((k * len(_where()) + row[rows, columns])[both], logs)


def row_sums(values: Array) -> np.ndarray:
    """The sum of each row, in double precision if rows are short: (m, V) -> (m,)."""
    wide = double(values) if int(values.shape[1]) <= LONG else values
    return to_numpy(namespace(wide).sum(wide, axis=1)).astype(np.float64)


def _where() -> list[str]:
    return ["first of a round and last of the one before", *(f"place {i} in both" for i in range(PLACES + 1))]


def rounds_of(rounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each token, its place in its round, and the number of drafts that the round before accepted; -1 if not known.

    A round emits its accepted drafts and one more token. Both numbers are known before the token is drawn.

    >>> [found.tolist() for found in rounds_of(np.array([[0, 0, 0, 1, 2, 2]]))]
    [[[0, 1, 2, 0, 0, 1]], [[-1, -1, -1, 2, 0, 0]]]
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
