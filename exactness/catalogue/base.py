"""What a member of the catalogue is. Names are known without torch or JAX; building one imports it."""

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
    """Where and how the catalogue's samplers run. ``dtype`` None means each law's own, which is float32 from 32 dimensions on, and
    wherever JAX has no float64.
    """

    device: str = "cpu"
    dtype: Literal["float64", "float32"] | None = None
    backend: BackendName = "torch"


@dataclass(frozen=True)
class Entry:
    """One claim of the catalogue.

    Args:
        name: readable, its parts separated by slashes; the first part is ``problem``.
        problem: the law. Its controls are judged before its other claims, which then carry their outcomes.
        kind: a sampler that must be certified (``exact``, or the plain ``sequential``) or refuted (``control``).
        make: builds the claim.
        tour: whether it belongs to the short selection that tells the whole story.
    """

    name: str
    problem: str
    kind: Kind
    make: Callable[[Entry, Setting], Claim]
    tour: bool = False

    def build(self, setting: Setting) -> Claim:
        """The claim. Raises ``BadInput`` if the backend or scikit-learn is missing, or the device or dtype is."""
        backend(setting.backend).check(setting.device, setting.dtype)
        try:
            return self.make(self, setting)
        except ModuleNotFoundError as error:
            raise BadInput(f"the catalogue needs {error.name}: pip install 'exactness[catalogue]'") from None
        except (FileNotFoundError, ValueError) as error:  # Weights that are not there, or are not weights.
            raise BadInput(str(error)) from error
