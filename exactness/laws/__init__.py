"""What is true: laws that turn the output of an exact sampler into noise whose distribution is known."""

from .base import Law, Projected, Projections
from .chain import GaussianChain
from .grid import GridLaw, chain_marginals
from .mixture import GaussianMixture
from .product import ProductLaw
from .trusted import TrustedSampler

__all__ = [
    "GaussianChain",
    "GaussianMixture",
    "GridLaw",
    "Law",
    "ProductLaw",
    "TrustedSampler",
    "Projected",
    "Projections",
    "chain_marginals",
]
