"""Summaries: what is kept of the draws, and the tests that follow from it."""

from .base import COMPONENT_NOISE, THE_DRAW, Summary, Test, worst
from .bets import Bets
from .cells import Cells, Support
from .features import Differences, Embedding
from .lags import Lags
from .pairs import PairTally
from .points import Points
from .products import Products
from .promises import Promises
from .repeats import Repeats
from .shares import Shares
from .tally import Tally
from .vectors import Vectors

__all__ = [
    "COMPONENT_NOISE",
    "Bets",
    "Cells",
    "Differences",
    "Embedding",
    "Lags",
    "PairTally",
    "Points",
    "Products",
    "Promises",
    "Repeats",
    "THE_DRAW",
    "Shares",
    "Summary",
    "Support",
    "Tally",
    "Test",
    "Vectors",
    "worst",
]
