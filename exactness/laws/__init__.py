"""What is true: laws that turn the output of an exact sampler into noise whose distribution is known."""

from .base import Law, Projected, Projections
from .chain import GaussianChain
from .coupling import GaussianCoupling
from .grid import GridLaw, chain_marginals
from .mixture import GaussianMixture
from .product import ProductLaw
from .trusted import TrustedSampler
from .univariate import UnivariateLaw
from .window import VerifiedWindow

__all__ = [
    "GaussianChain",
    "GaussianCoupling",
    "GaussianMixture",
    "GridLaw",
    "Law",
    "ProductLaw",
    "TrustedSampler",
    "UnivariateLaw",
    "VerifiedWindow",
    "Projected",
    "Projections",
    "chain_marginals",
]
