"""exactness: certify that a fast sampler is lossless.

    law + sampler -> draws -> batteries -> findings -> verdict -> certificate -> report

In reading order: say what is true (a law), claim that a sampler follows it, plan error rates and budget, certify, read.
The batteries themselves are in :mod:`exactness.batteries`.
"""

from .adapters.exact_laws import ExactLaw, exact_law
from .certificate import Certificate, Finding, Verdict
from .claim import Claim
from .errors import BadInput, ExactnessError
from .evidence.base import Battery
from .judging.certify import certify, certify_paths, compare
from .judging.shards import Shard, certify_shards, draw_shard
from .laws import (
    Coupled,
    DensityLaw,
    DiscreteLaw,
    GaussianChain,
    GaussianCoupling,
    GaussianMixture,
    GaussianProposal,
    GridLaw,
    JointLaw,
    KernelInvariance,
    Law,
    ProductLaw,
    RosenblattLaw,
    TokenChain,
    TokenDraws,
    Transition,
    TrustedSampler,
    UnivariateLaw,
    VerifiedWindow,
    chain_marginals,
)
from .monitor import Monitor
from .plan import Plan
from .saved import SavedPaths
from .version import __version__ as __version__

__all__ = [
    "Law",
    "GaussianMixture",
    "GaussianChain",
    "GridLaw",
    "UnivariateLaw",
    "DensityLaw",
    "RosenblattLaw",
    "DiscreteLaw",
    "TokenChain",
    "Monitor",
    "ExactLaw",
    "exact_law",
    "TokenDraws",
    "KernelInvariance",
    "JointLaw",
    "Transition",
    "GaussianProposal",
    "Coupled",
    "ProductLaw",
    "TrustedSampler",
    "chain_marginals",
    "GaussianCoupling",
    "VerifiedWindow",
    "Claim",
    "Plan",
    "certify",
    "SavedPaths",
    "certify_paths",
    "compare",
    "Shard",
    "draw_shard",
    "certify_shards",
    "Battery",
    "Verdict",
    "Finding",
    "Certificate",
    "ExactnessError",
    "BadInput",
]
