"""Summaries: what is kept of the draws, and the tests that follow from it."""

from .base import COMPONENT_NOISE, THE_DRAW, Summary, Test, worst
from .bets import Bets
from .calls import Calls, UnusualCalls
from .cells import Cells, Support
from .features import Differences, Embedding
from .lags import Lags
from .meetings import MeetingTimes
from .neighbours import Neighbours
from .paired import MovedShare, PairedMeans
from .pairs import PairTally
from .points import Points
from .products import Products
from .promises import Promises
from .repeats import Repeats, RepeatsOfBoth
from .serial import Serial
from .shares import Shares
from .speculation import Speculation
from .tally import Tally
from .vectors import Vectors

__all__ = [
    "COMPONENT_NOISE",
    "Bets",
    "Cells",
    "Calls",
    "Differences",
    "Embedding",
    "Lags",
    "MeetingTimes",
    "MovedShare",
    "Neighbours",
    "PairTally",
    "PairedMeans",
    "Points",
    "Products",
    "Promises",
    "Repeats",
    "RepeatsOfBoth",
    "Serial",
    "THE_DRAW",
    "Shares",
    "Speculation",
    "Summary",
    "Support",
    "Tally",
    "Test",
    "UnusualCalls",
    "Vectors",
    "worst",
]
