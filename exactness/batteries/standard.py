"""The one list of batteries that ``certify`` runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import BadInput
from ..evidence.base import Battery
from .chains import Innovations
from .convergence import MeetingPairs
from .couplings import Couplings
from .discrete import Frequencies
from .kernels import CharacteristicFunction, SteinDiscrepancy
from .mixtures import MixtureInnovations, Rosenblatt
from .moves import Moves
from .projections import ProjectedKS
from .sbc import Margins
from .support import Possible
from .tokens import Tokens
from .transition import Steps
from .trusted import TwoSample
from .windows import Acceptance

STANDARD: tuple[type[Battery], ...] = (
    Innovations,
    MixtureInnovations,
    Rosenblatt,
    ProjectedKS,
    CharacteristicFunction,
    SteinDiscrepancy,
    TwoSample,
    Tokens,
    Frequencies,
    Possible,
    Couplings,
    Moves,
    Steps,
    MeetingPairs,
    Margins,
    Acceptance,
)
"""The one list of batteries that ``certify`` runs. Each is used where the law knows what the battery looks at."""


def standard() -> tuple[Battery, ...]:
    """The batteries that ``certify`` runs, with their default settings.

    >>> from exactness import batteries
    >>> print(*(battery.name for battery in batteries.standard()[:4]), sep=", ")
    innovations, mixture innovations, Rosenblatt transform, projected KS
    """
    return tuple(battery() for battery in STANDARD)


def chosen_batteries(batteries: Sequence[Battery] | None) -> tuple[Battery, ...]:
    """The batteries that were asked for, or the standard ones. Raises ``BadInput`` for anything that is not a battery."""
    if batteries is None:
        return standard()
    if isinstance(batteries, (str, Battery)) or not isinstance(batteries, Sequence):
        raise BadInput(f"batteries must be a list of batteries, as in [{_example(batteries)}]; got {batteries!r:.60}")
    for battery in batteries:
        if not isinstance(battery, Battery):
            raise BadInput(f"batteries must be exactness batteries, such as {_example(battery)}; got {battery!r:.60}")
    if not batteries:
        raise BadInput("batteries is an empty list: an empty set of checks certifies nothing; name a battery, or leave it out")
    return tuple(batteries)


def _example(given: object) -> str:
    """The battery that the user may have meant."""
    kind = given if isinstance(given, type) else type(given)
    return f"{kind.__name__}()" if issubclass(kind, Battery) else "MixtureInnovations()"
