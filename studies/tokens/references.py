"""Prototypes of single tests of token sequences, apart from the judge's code: the figure to compare with is the best of them.

Each value depends on the row of the tables and on the token alone, so it is looked up. All p-values are those of single tests:
nothing is adjusted for the number of tests, places or strata.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, logsumexp, ndtr

from .laws import Tables

BINS = 32
_RISKS = 0.5 ** np.arange(1, 9)
# Shares are compared by their normal limit, which needs some variance.
_ENOUGH = 9.0


class References:
    """Running sums of all prototypes, for sequences that claim to follow ``tables.target``.

    Args:
        tables: the law that is claimed, and the draft's.
        bug: the law that this bug would give, (rows, V), if it is a law of the next token.
    """

    def __init__(self, tables: Tables, bug: np.ndarray | None, seed: int) -> None:
        p, q = tables.target, tables.draft
        self.tables, self.noise = tables, np.random.default_rng(seed)
        with np.errstate(divide="ignore", invalid="ignore"):
            keys = {"by number": None, "by probability": -p, "by p/q": np.where(p > 0, -(p / q), 0.0)}
            self.below = {name: _below(p, key) for name, key in keys.items()}
            self.more = p > q
            self.share = (p * self.more).sum(axis=1)
            residual = np.where(self.more, p - q, 0.0)
            laws = {
                "bet on q": q, "bet on the residual": _normal(np.where(residual.sum(1, keepdims=True) > 0, residual, p)),
                "bet on temperature 0.8": _normal(p ** (1 / 0.8)), "bet on temperature 1.25": _normal(p ** (1 / 1.25)),
                **({} if bug is None else {"bet on the bug's law": bug}),
            }  # fmt: skip
            self.odds = {name: np.where(p > 0, a / p, 1.0) for name, a in laws.items()}
        self.counts = {name: np.zeros(BINS) for name in self.below}
        self.wealth = {name: np.zeros(len(_RISKS)) for name in self.odds}
        self.places: dict[tuple[int, int], np.ndarray] = {}
        self.impossible = 0

    def add(self, tokens: np.ndarray, rounds: np.ndarray) -> None:
        rows, p = self.tables.rows(tokens), self.tables.target
        own = p[rows, tokens]
        self.impossible += int((own <= 0).sum())
        for name, below in self.below.items():
            u = below[rows, tokens] + self.noise.random(tokens.shape) * own
            self.counts[name] += np.bincount(np.clip((u * BINS).astype(int), 0, BINS - 1).ravel(), minlength=BINS)
        for name, odds in self.odds.items():
            found = np.bincount((rows * p.shape[1] + tokens).ravel(), minlength=0)
            seen = np.flatnonzero(found)
            each = odds.ravel()[seen]
            self.wealth[name] += (np.log1p(_RISKS[:, None] * (each - 1.0)) * found[seen]).sum(axis=1)
        place, before = places(rounds)
        chance = self.share[rows]
        excess, variance = self.more[rows, tokens] - chance, chance * (1.0 - chance)
        for earlier in (np.full_like(before, -1), before):
            for at in np.unique(place * 100 + earlier):
                mine = place * 100 + earlier == at
                sums = self.places.setdefault((int(at), int(earlier is before)), np.zeros(2))
                sums += (excess[mine].sum(), variance[mine].sum())

    def p_values(self, n: int) -> dict[str, float]:
        """The smallest p-value of each prototype, after n tokens."""
        found = {"support": 0.0 if self.impossible else 1.0}
        for name, counts in self.counts.items():
            even = n / BINS
            found[f"transform {name}"] = float(chdtrc(BINS - 1, ((counts - even) ** 2).sum() / even))
        for name, logs in self.wealth.items():
            found[name] = float(np.exp(min(0.0, np.log(len(_RISKS)) - logsumexp(logs))))
        for label, which in (("share of A by place", 0), ("share of A by place and earlier count", 1)):
            z = [abs(e) / np.sqrt(v) for (_, kind), (e, v) in self.places.items() if kind == which and v >= _ENOUGH]
            found[label] = float(2.0 * ndtr(-max(z))) if z else 1.0
        return found


def places(rounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each token its place in its round, and how many drafts the round before accepted, 9 if there was none."""
    place, before = np.zeros_like(rounds), np.full_like(rounds, 9)
    for t in range(1, rounds.shape[1]):
        same = rounds[:, t] == rounds[:, t - 1]
        place[:, t] = np.where(same, place[:, t - 1] + 1, 0)
        before[:, t] = np.where(same, before[:, t - 1], place[:, t - 1])
    return place, before


def _below(p: np.ndarray, key: np.ndarray | None) -> np.ndarray:
    """The probability of all tokens before each, in the order of a key: (rows, V) -> (rows, V)."""
    order = np.broadcast_to(np.arange(p.shape[1]), p.shape) if key is None else np.argsort(key, axis=1, kind="stable")
    inside = np.take_along_axis(p, order, axis=1)
    found = np.empty_like(p)
    np.put_along_axis(found, order, np.cumsum(inside, axis=1) - inside, axis=1)
    return found


def _normal(masses: np.ndarray) -> np.ndarray:
    return masses / masses.sum(axis=1, keepdims=True)
