"""Laws: each turns the output of an exact sampler into noise whose distribution is known."""

from . import families
from .base import Law, Projected, Projections
from .chains import GaussianChain
from .convergence import Coupled
from .copies import Copies
from .couplings import GaussianCoupling
from .densities import DensityLaw
from .discrete import DiscreteLaw
from .grids import GridLaw, chain_marginals
from .invariance import KernelInvariance
from .joint import JointLaw
from .mixtures import GaussianMixture
from .products import ProductLaw
from .rosenblatt import RosenblattLaw
from .sbc import SbcRanks
from .tokens import TokenChain, TokenDraws
from .transition import GaussianProposal, Transition
from .trusted import TrustedSampler
from .univariate import UnivariateLaw
from .windows import VerifiedWindow

__all__ = [
    "Copies",
    "Coupled",
    "DiscreteLaw",
    "DensityLaw",
    "GaussianChain",
    "GaussianCoupling",
    "GaussianMixture",
    "GaussianProposal",
    "GridLaw",
    "JointLaw",
    "KernelInvariance",
    "Law",
    "ProductLaw",
    "RosenblattLaw",
    "SbcRanks",
    "TokenChain",
    "TokenDraws",
    "Transition",
    "TrustedSampler",
    "UnivariateLaw",
    "VerifiedWindow",
    "Projected",
    "Projections",
    "chain_marginals",
    "families",
]
