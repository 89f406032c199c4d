"""Bets against a law at fair odds. Their wealth is known at any time, however the number of draws was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import ClassVar

from scipy.special import ndtri

from .base import Null, Validity


class Wealth(Null):
    """The logarithm of the wealth of somebody who bets against the law, per value. The wealth starts at 1 and its mean stays 1.

    So it reaches 1/alpha, at any time, with probability at most alpha (Ville, see :class:`Bet`).
    """

    validity: ClassVar[Validity] = "bound"

    def p_value(self, statistic: float, n: int) -> float:
        return min(1.0, exp(min(0.0, -n * statistic)))

    def effect(self, statistic: float) -> float:
        return max(0.0, statistic)


@dataclass(frozen=True)
class Bet(Wealth):
    """The logarithm of the wealth of bets on each of n values at the odds of the law, per value.

    Each bet multiplies its wealth by a number whose mean is 1, given the past, if the law is right. The wealth starts at 1 and is
    divided evenly among ``bets`` bets, so it reaches 1/alpha at any time with probability at most alpha. The effect is the growth
    of the wealth, in nats per value. Planning takes the logarithm of the best bet as normal, with twice its mean as variance,
    which is exact for small normal shifts.
    Source: J. Ville, Étude critique de la notion de collectif, 1939.

    >>> round(Bet(bets=8).p_value(0.01, n=1_000), 7)
    4.54e-05
    """

    bets: int

    name: ClassVar[str] = "bet"
    unit: ClassVar[str] = "nats per value"

    def detectable(self, n: float, alpha: float, miss: float) -> float:
        # With growth g, the log-wealth is about n g - z sqrt(2 n g): a square root of n g that solves a quadratic equation.
        z, wanted = -float(ndtri(miss)), log(self.bets / alpha)
        root = (sqrt(2.0) * z + sqrt(2.0 * z * z + 4.0 * wanted)) / 2.0
        return root * root / n
