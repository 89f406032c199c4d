"""The members of the catalogue. Their names are known without torch or JAX, which are imported only when a claim is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..claim import Claim
from ..errors import BadInput
from .backends import BackendName, backend

Kind = Literal["sequential", "exact", "control"]


@dataclass(frozen=True)
class Setting:
    """Where and how the catalogue's samplers run.

    If ``dtype`` is None, each law uses its own: float32 in 32 dimensions or more, or if float64 is disabled in JAX, and float64
    otherwise.
    """

    device: str = "cpu"
    dtype: Literal["float64", "float32"] | None = None
    backend: BackendName = "torch"


@dataclass(frozen=True)
class Inspection:
    """What was found of a fault without drawing anything.

    Attributes:
        method: how it was looked at.
        seen: whether the fault shows.
        found: a sentence on what was found.
        dtype: the dtype of the arrays that were looked at.
    """

    method: str
    seen: bool
    found: str
    dtype: str


@dataclass(frozen=True)
class Entry:
    """One claim of the catalogue.

    Args:
        name: a readable name. Its parts are separated by slashes, and the first part is ``problem``.
        problem: the name of the law. Its controls are judged before its other claims, whose certificates list the outcomes.
        kind: ``exact``, or ``sequential`` for the plain sampler, must be certified. ``control`` must be refuted.
        make: a function that builds the claim.
        tour: whether the claim belongs to the short selection of ``exactness certify --tour``.
    """

    name: str
    problem: str
    kind: Kind
    make: Callable[[Entry, Setting], Claim]
    tour: bool = False

    def build(self, setting: Setting) -> Claim:
        """Build the claim. Raises ``BadInput`` if a library is missing, or if there is no such device or dtype."""
        backend(setting.backend).check(setting.device, setting.dtype)
        try:
            return self.make(self, setting)
        except ModuleNotFoundError as error:
            raise BadInput(f"the catalogue needs {error.name}: pip install 'exactness[catalogue]'") from None
        except (FileNotFoundError, ValueError) as error:  # The weights are missing or cannot be read.
            raise BadInput(str(error)) from error
