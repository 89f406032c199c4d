"""exactness: certify that a fast sampler is lossless.

    law + sampler -> paths -> batteries -> findings -> verdict -> certificate -> report

In reading order: say what is true (a law), claim that a sampler follows it, plan error rates and budget, certify, read.
"""

from .batteries import (
    Acceptance,
    Battery,
    CharacteristicFunction,
    Couplings,
    Innovations,
    MeanEmbedding,
    MixtureInnovations,
    PermutationTwoSample,
    ProjectedKS,
    Rosenblatt,
    SteinDiscrepancy,
    TwoSample,
)
from .certificate import Certificate, Finding, Verdict
from .claim import Claim
from .errors import BadInput, ExactnessError
from .judging.certify import certify
from .judging.shortcuts import certify_paths, compare
from .laws import (
    GaussianChain,
    GaussianCoupling,
    GaussianMixture,
    GridLaw,
    ProductLaw,
    TrustedSampler,
    UnivariateLaw,
    VerifiedWindow,
    chain_marginals,
)
from .plan import Plan
from .saved import SavedPaths
from .version import __version__ as __version__

__all__ = [
    "GaussianMixture",
    "GaussianChain",
    "GridLaw",
    "UnivariateLaw",
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
    "Verdict",
    "Finding",
    "Certificate",
    "Battery",
    "Innovations",
    "MixtureInnovations",
    "Rosenblatt",
    "ProjectedKS",
    "CharacteristicFunction",
    "MeanEmbedding",
    "SteinDiscrepancy",
    "TwoSample",
    "PermutationTwoSample",
    "Couplings",
    "Acceptance",
    "ExactnessError",
    "BadInput",
]
