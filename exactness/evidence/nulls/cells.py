"""Counts of all cells of a discrete law together. Both tests hold at every n and level, however rare the cells are."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import ClassVar

import numpy as np
from scipy.special import chndtrinc, gammaln

from .base import Null, Validity
from .bets import Wealth

# The weights of the bets: from sure that the law is wrong by as much as itself, to sure that it is right up to 1 in 2^12.
_WEIGHTS = 2.0 ** np.arange(25)


def log_wealth(counts: np.ndarray, masses: np.ndarray) -> float:
    """The logarithm of the wealth after betting on the draws, one after the other: ``counts`` (cells,) of positive ``masses``.

    A bet of weight a puts (a p_c + N_c)/(a + N) of the wealth on cell c when N draws were seen, N_c of them in c, and is paid at
    the odds 1/p_c. Its wealth after all draws is Gamma(a)/Gamma(a + n) prod_c Gamma(a p_c + N_c)/Gamma(a p_c)/p_c^N_c, whatever
    their order. The wealth starts at 1 and is divided evenly among the weights 1, 2, 4, ..., 2^24.
    """
    seen = counts > 0
    hits, p, n = counts[seen].astype(np.float64), masses[seen], float(counts.sum())
    paid = -float(hits @ np.log(p))
    each = [paid + float(gammaln(a) - gammaln(a + n) + (gammaln(a * p + hits) - gammaln(a * p)).sum()) for a in _WEIGHTS.tolist()]
    top = max(each)
    return top + log(sum(exp(e - top) for e in each) / len(each))


@dataclass(frozen=True)
class Wager(Wealth):
    """The logarithm of the wealth of a gambler who bets on each of n draws at the odds of the law, per draw.

    If the law is right, the odds are fair: the expected wealth is 1 (see :func:`log_wealth`), so it reaches 1/alpha with
    probability at most alpha (Ville 1939). The gambler bets that each cell keeps the share that it had so far, so that the wealth
    grows if any of the ``cells`` departs. The test has almost the power of Pearson's chi-square, whose distribution is not known
    far out or where cells are rare.

    The effect is the growth of the wealth, in nats per draw; for many draws it is the relative entropy of the sampler to the law.
    Planning takes the counts as normal.
    Source: Dirichlet mixtures as bets are those of Krichevsky and Trofimov, The performance of universal encoding, 1981.

    >>> round(Wager(cells=6).p_value(0.01, n=1_000), 7)
    4.54e-05
    """

    cells: int

    name: ClassVar[str] = "wager"
    unit: ClassVar[str] = "nats per draw"

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The smallest detectable relative entropy.

        The counts have a chi-square statistic x with d = cells - 1 degrees of freedom. With s = n/(a + 1), a bet of weight a has
        the log-wealth s x/(2 (1 + s)) - d log(1 + s)/2. So the x that it takes is known, and with it the non-centrality, which is
        2 n times the relative entropy.
        """
        freedom = max(1, self.cells - 1)
        s = n / (_WEIGHTS + 1.0)
        wanted = log(len(_WEIGHTS) / alpha) + 0.5 * freedom * np.log1p(s)
        enough = float((wanted * 2.0 * (1.0 + s) / s).min())
        return float(chndtrinc(enough, freedom, miss)) / (2.0 * n)


@dataclass(frozen=True)
class TotalVariation(Null):
    """The total variation between the n draws and the law: the largest difference of the shares of any event.

    ``spread`` is sum_c sqrt(p_c (1 - p_c)) over the ``cells``, so the mean under the law is at most spread/(2 sqrt(n)). One draw
    changes the statistic by at most 1/n, so the p-value is the inequality of McDiarmid (On the method of bounded differences,
    1989).

    >>> null = TotalVariation(cells=2, spread=1.0)
    >>> round(null.p_value(0.06, n=1_000), 4), round(null.bound(0.01, paths=100_000, error=1e-3), 4)
    (0.0201, 0.0175)
    """

    cells: int
    spread: float

    name: ClassVar[str] = "total variation"
    unit: ClassVar[str] = "probability"
    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return exp(-2.0 * n * max(0.0, statistic - 0.5 * self.spread / sqrt(n)) ** 2)

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        found = (0.5 * self.spread + sqrt(0.5 * log(1.0 / alpha)) + sqrt(0.5 * log(1.0 / miss))) / sqrt(n)
        return found if found <= 1.0 else inf

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        return ((0.5 * self.spread + sqrt(0.5 * log(1.0 / alpha)) + sqrt(0.5 * log(1.0 / miss))) / effect) ** 2

    def bound(self, statistic: float, paths: int, error: float) -> float:
        """The observed distance, plus that of the draws from their own law, by the same inequality: sum_c sqrt(q_c (1 - q_c)) is
        at most sqrt(cells - 1) for every law q."""
        return min(1.0, statistic + (0.5 * sqrt(self.cells - 1.0) + sqrt(0.5 * log(1.0 / error))) / sqrt(paths))

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        return ((0.5 * (self.spread + sqrt(self.cells - 1.0)) + 2.0 * sqrt(0.5 * log(1.0 / error))) / tolerance) ** 2
