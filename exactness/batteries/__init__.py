"""How it is judged: batteries turn samples into mergeable evidence, and evidence into tests with stated error rates."""

from .acceptance import Acceptance
from .base import Battery, Evidence, Origin, Result, standard
from .couplings import Couplings
from .innovations import Innovations
from .kernels import CharacteristicFunction, MeanEmbedding, SteinDiscrepancy
from .mixtures import MixtureInnovations, Rosenblatt
from .projected_ks import ProjectedKS
from .two_sample import PermutationTwoSample, TwoSample

__all__ = [
    "Acceptance", "Battery", "CharacteristicFunction", "Couplings", "Evidence", "Innovations", "MeanEmbedding",
    "MixtureInnovations", "Origin", "PermutationTwoSample", "ProjectedKS", "Result", "Rosenblatt", "SteinDiscrepancy", "TwoSample",
    "standard",
]  # fmt: skip
