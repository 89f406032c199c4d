"""Where the draft's mean comes from. The draft shares sigma with the target; exactness never depends on a drafter.

* ``Independent``: another, cheaper prediction, evaluated at every drafted state.
* ``Frozen``: the target's prediction at the window's first state, reused for the whole window; one extra round a window.
* ``Free``: the prediction that the last verification computed at the drafted state which stands where the chain now is;
  nothing extra but in the first window.

Sources: De Bortoli et al. 2025, section 3 (independent, frozen); Soen et al. 2026 (free). Which quantity is reused, the
noise, the clean sample or the velocity, is a parameter: E[x_0 | x_k] is a martingale along the exact reverse chain (Doob),
so a reused clean sample is the best mean-square forecast, and a reused noise prediction is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..schedules import KINDS, Kind
from .processes import Predict, Tables


@dataclass(frozen=True)
class Independent:
    """``predict`` returns predictions of the process's own kind: (steps (m,), states (m, d), condition) -> (m, d)."""

    predict: Predict
    refresh: Literal["never"] = "never"
    name: str = "independent"

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Tensor, condition: Tensor | None) -> Tensor:
        return self.predict(steps, x, condition)


@dataclass(frozen=True)
class Reuse:
    """A prediction made elsewhere, carried to each drafted state as ``kind``. Use ``Frozen`` or ``Free``."""

    kind: Kind = "sample"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a drafter reuses one of {', '.join(KINDS)}, not {self.kind!r}")

    def remember(self, tables: Tables, steps: Tensor, x: Tensor, prediction: Tensor) -> Tensor:
        return tables.convert("to", self.kind, steps, x, prediction)

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Tensor, condition: Tensor | None) -> Tensor:
        return tables.convert("from", self.kind, steps, x, memory)


@dataclass(frozen=True)
class Frozen(Reuse):
    refresh: Literal["window"] = "window"

    @property
    def name(self) -> str:
        return f"frozen-{self.kind}"


@dataclass(frozen=True)
class Free(Reuse):
    refresh: Literal["first"] = "first"

    @property
    def name(self) -> str:
        return f"free-{self.kind}"


Drafter = Independent | Frozen | Free
