"""Where the draft's mean comes from. The draft shares sigma with the target; exactness never depends on a drafter.

* ``Independent``: another, cheaper prediction, evaluated at every drafted state.
* ``Frozen``: the target's prediction at the window's first state, reused for the whole window; one extra round a window.
* ``Free``: the prediction that the last verification computed at the drafted state which stands where the chain now is;
  nothing extra. A chain's first window has none to reuse: it drafts nothing, and its one evaluation makes one step.

Sources: De Bortoli et al. 2025, section 3 (independent, frozen); Soen et al. 2026 (free). Which quantity is reused, the
noise, the clean sample or the velocity, is a parameter: E[x_0 | x_k] is a martingale along the exact reverse chain (Doob),
so a reused clean sample is the best mean-square forecast, and a reused noise prediction is not. ``posterior`` corrects it
along the drafted states. Where a chain is nearly a flow, predictions move steadily instead: ``Extrapolation`` goes on with that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..schedules import Kind
from .processes import Predict, Process, Tables

Memory = tuple[Tensor, ...]
"""What a drafter keeps of a chain between windows: tensors of shape (m, ...), one row a chain."""
Base = Literal["free", "frozen"]


@dataclass(frozen=True)
class Seen:
    """States at which the target was evaluated: ``steps`` (m,), ``x`` and ``prediction`` (m, d), of the network's kind.

    ``before_*`` is the state that precedes it in the same window, or the same state again where there is none. ``now_steps`` and
    ``now_x`` is where the chain stands: at the same step if the state seen was rejected and replaced, one further if it was kept.
    """

    steps: Tensor
    x: Tensor
    prediction: Tensor
    before_steps: Tensor
    before_x: Tensor
    before_prediction: Tensor
    now_steps: Tensor
    now_x: Tensor

    @property
    def paired(self) -> Tensor:
        """Whether there is a state before, (m,)."""
        return self.before_steps > self.steps


def check_base(base: str) -> None:
    if base not in get_args(Base):
        raise ValueError(f"base must be 'free' or 'frozen', not {base!r}")


class Drafter(ABC):
    """One more: say what is kept of a chain (``start``, ``remember``) and what is predicted from it (``prediction``).

    ``base``: where a reused prediction comes from; None if none is reused. ``evaluates``: whether drafting evaluates a model of its
    own at every drafted state. ``primed``: whether there is something to draft with before anything was evaluated. So follow
    ``frozen``, a window begins with an evaluation of the target, and ``cold``, a first window drafts nothing.
    """

    name: str
    base: Base | None = None
    evaluates = False
    primed = False

    @property
    def frozen(self) -> bool:
        return self.base == "frozen"

    @property
    def cold(self) -> bool:
        return self.base == "free" and not self.primed

    @abstractmethod
    def start(self, tables: Tables, x: Tensor) -> Memory:
        """The memory of chains that stand at x_K, (m, d)."""

    @abstractmethod
    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory: ...

    @abstractmethod
    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        """The forecast of the target's prediction at drafted states: (m,), (m, d) -> (m, d), of the network's kind."""

    def check(self, process: Process, window: int) -> None:  # noqa: B027
        """Raises ``ValueError`` if this drafter cannot draft windows of this length for ``process``."""


@dataclass(frozen=True)
class Independent(Drafter):
    """``predict`` returns predictions of the process's own kind: (steps (m,), states (m, d), condition) -> (m, d)."""

    predict: Predict
    name: str = "independent"
    evaluates = True

    def start(self, tables: Tables, x: Tensor) -> Memory:
        return ()

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return memory

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        return self.predict(steps, x, condition).to(x.dtype)


@dataclass(frozen=True)
class Reuse(Drafter):
    """A prediction made elsewhere, carried to each drafted state as ``kind``: ``Free`` or ``Frozen``."""

    kind: Kind = "sample"
    base: Base = "free"

    def __post_init__(self) -> None:
        check_base(self.base)
        if self.kind not in get_args(Kind):
            raise ValueError(f"a drafter reuses one of {', '.join(get_args(Kind))}, not {self.kind!r}")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-{self.kind}"

    def check(self, process: Process, window: int) -> None:
        if self.kind not in process.schedule.kinds:
            raise ValueError(f"a drafter of this process reuses one of {', '.join(process.schedule.kinds)}, not {self.kind!r}")

    def start(self, tables: Tables, x: Tensor) -> Memory:
        return (torch.zeros_like(x),)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return (tables.convert("to", self.kind, seen.steps, seen.x, seen.prediction),)

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        return tables.convert("from", self.kind, steps, x, memory[0])


@dataclass(frozen=True)
class Extrapolation(Reuse):
    """Reuse with a memory of the last two predictions: their difference, times ``momentum``, is added at every further step."""

    momentum: float = 0.75

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-{self.kind}-extrapolated"

    def start(self, tables: Tables, x: Tensor) -> Memory:
        return torch.zeros_like(x), torch.zeros_like(x), torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        last = tables.convert("to", self.kind, seen.steps, seen.x, seen.prediction)
        before = tables.convert("to", self.kind, seen.before_steps, seen.before_x, seen.before_prediction)
        # A frozen drafter's evaluation stands alone: the last move known is that of the window before.
        return last, torch.where(seen.paired[:, None], last - before, memory[1]), seen.steps

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        last, move, base = memory
        ahead = self.momentum * torch.clamp(base - steps, min=0).to(x.dtype)
        return tables.convert("from", self.kind, steps, x, last + ahead[:, None] * move)


@dataclass(frozen=True)
class Ahead(Drafter):
    """A learned forecast: ``network(steps, x, base_steps, base_x, base_sample)`` -> the clean sample predicted at x, (m, d).

    The base is where the target was last evaluated, as for :class:`Reuse`; see `exactness_samplers.torch.networks.DigitsAhead`.
    """

    network: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    base: Base = "free"
    evaluates = True

    def __post_init__(self) -> None:
        check_base(self.base)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-ahead"

    def check(self, process: Process, window: int) -> None:
        if "sample" not in process.schedule.kinds:
            raise ValueError("a network that looks ahead predicts clean samples, and this process has none behind it")

    def start(self, tables: Tables, x: Tensor) -> Memory:
        return torch.ones(len(x), dtype=torch.int64, device=x.device), x, torch.zeros_like(x)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return seen.steps, seen.x, tables.convert("to", "sample", seen.steps, seen.x, seen.prediction)

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        base, base_x, base_sample = memory
        # Drafts past the last step are masked later; the network must not see a base that lies behind them.
        sample = self.network(steps, x, torch.maximum(base, steps), base_x, base_sample).to(x.dtype)
        return tables.convert("from", "sample", steps, x, sample)


def Free(kind: Kind = "sample") -> Reuse:
    return Reuse(kind, "free")


def Frozen(kind: Kind = "sample") -> Reuse:
    return Reuse(kind, "frozen")
