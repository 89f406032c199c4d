"""The batteries: each turns draws into evidence that merges, and evidence into tests with known null distributions."""

from ..evidence.base import Battery, Evidence, Origin, Result
from .chains import Innovations
from .convergence import MeetingPairs
from .couplings import Couplings
from .discrete import Frequencies
from .kernels import CharacteristicFunction, MeanEmbedding, SteinDiscrepancy
from .mixtures import MixtureInnovations, Rosenblatt
from .moves import Moves
from .projections import ProjectedKS
from .sbc import Margins
from .standard import standard
from .support import Possible
from .tokens import Tokens
from .transition import Steps
from .trusted import PermutationTwoSample, TwoSample
from .windows import Acceptance

__all__ = [
    "Acceptance", "Battery", "CharacteristicFunction", "Couplings", "Evidence", "Frequencies", "Innovations", "Margins",
    "MeanEmbedding", "MeetingPairs", "MixtureInnovations", "Moves", "Origin", "PermutationTwoSample", "Possible", "ProjectedKS",
    "Result", "Rosenblatt", "SteinDiscrepancy", "Steps", "Tokens", "TwoSample", "standard",
]  # fmt: skip
