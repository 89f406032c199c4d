"""The tests that batteries are made of. Each gives a p-value, the smallest effect it sees, the n it needs, and a bound."""

from __future__ import annotations

from typing import Any

from .base import Null, Validity
from .bets import Bet
from .calls import VarianceRatio
from .cells import TotalVariation, Wager
from .counts import Promised, Share, Unmet
from .distinct import Distinct
from .equality import Equality
from .hilbert import AndersonDarling, CramerVonMises, KernelMean
from .kolmogorov import BINS, Kolmogorov, TwoSampleKolmogorov
from .limits import ChiSquareLimit, Permutation
from .neighbours import Neighbours, OwnRepeats
from .normal import MeanVector, NormalMean, NormalVariance
from .paired import PairedKolmogorov
from .products import MeanProduct
from .serial import SerialCorrelation
from .symmetric import SymmetricMean

ALL: tuple[type[Null], ...] = (
    Kolmogorov, TwoSampleKolmogorov, CramerVonMises, AndersonDarling, KernelMean, NormalMean, NormalVariance, MeanVector,
    MeanProduct, Share, Promised, SymmetricMean, ChiSquareLimit, Permutation, Equality, Distinct, TotalVariation,
    Wager, SerialCorrelation, VarianceRatio, Neighbours, OwnRepeats, Bet,
    PairedKolmogorov, Unmet,
)  # fmt: skip


def null_of(name: str, parameters: dict[str, Any]) -> Null:
    """Make the test that a certificate names. Raises ``KeyError`` if this version does not know it.

    >>> round(null_of("mean vector", {"dim": 2}).p_value(0.1, n=1_000), 6)
    0.006738
    """
    kind = {null.name: null for null in ALL}[name]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()})


__all__ = [
    "ALL", "BINS", "AndersonDarling", "Bet", "ChiSquareLimit", "CramerVonMises", "Distinct", "Equality", "KernelMean",
    "Kolmogorov", "MeanProduct", "MeanVector", "Neighbours", "NormalMean", "NormalVariance", "Null", "OwnRepeats",
    "PairedKolmogorov", "Permutation", "Promised",
    "SerialCorrelation", "Share", "SymmetricMean", "TotalVariation", "TwoSampleKolmogorov", "Unmet",
    "Validity", "VarianceRatio", "Wager",
    "null_of",
]  # fmt: skip
