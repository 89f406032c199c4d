"""Drafters: they give the mean of the draft. The draft has the target's sigma, and exactness never depends on a drafter.

* ``Independent`` evaluates another, cheaper prediction at every drafted state.
* ``Frozen`` reuses the target's prediction at the first state of the window for the whole window. It takes one extra round per
  window.
* ``Free`` reuses the prediction that the last verification computed at the drafted state where the chain now stands. It costs
  nothing extra. The first window of a chain has no prediction to reuse, so it drafts nothing and makes one step.

Sources: De Bortoli et al. 2025, section 3 (independent, frozen); Soen et al. 2026 (free). A parameter says which quantity is
reused: the noise, the clean sample or the velocity. E[x_0 | x_k] is a martingale along the exact reverse chain (Doob), so a reused
clean sample is the best mean-square forecast, and a reused noise prediction is not. ``Posterior`` corrects it along the drafted
states. If a chain is nearly a flow, predictions move steadily instead, and ``Extrapolation`` continues this movement.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from ..schedules import Kind
from .processes import Predict, Process, Tables

Memory = tuple[jax.Array, ...]
"""The memory of a drafter between windows: arrays of shape (m, ...), one row per chain.

Shapes and dtypes never change, because a compiled loop carries them.
"""
Base = Literal["free", "frozen"]


@dataclass(frozen=True)
class Seen:
    """States at which the target was evaluated: ``steps`` (m,), ``x`` (m, d) and ``prediction`` (m, d), of the network's kind.

    ``before_*`` is the preceding state of the same window, or the same state again if it was the first. ``now_steps`` and ``now_x``
    say where the chain stands: at the same step if the state was rejected and replaced, and one step further if it was kept.
    """

    steps: jax.Array
    x: jax.Array
    prediction: jax.Array
    before_steps: jax.Array
    before_x: jax.Array
    before_prediction: jax.Array
    now_steps: jax.Array
    now_x: jax.Array

    @property
    def paired(self) -> jax.Array:
        """Whether the window has a preceding state, (m,)."""
        return self.before_steps > self.steps


def check_base(base: str) -> None:
    if base not in get_args(Base):
        raise ValueError(f"base must be 'free' or 'frozen', not {base!r}")


class Drafter(ABC):
    """The base class of drafters. To add one, define its memory (``start``, ``remember``) and its ``prediction``.

    ``base`` says where a reused prediction comes from; it is None if nothing is reused. ``evaluates`` says whether the drafter
    evaluates a model of its own at every drafted state. ``primed`` says whether it can draft before anything was evaluated. Two
    properties follow: with ``frozen``, each window begins with an evaluation of the target; with ``cold``, a first window drafts
    nothing.
    All of them are read while tracing.
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
    def start(self, tables: Tables, x: jax.Array) -> Memory:
        """The initial memory of chains that stand at x_K, (m, d)."""

    @abstractmethod
    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory: ...

    @abstractmethod
    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        """Forecast the target's prediction at drafted states: (m,), (m, d) -> (m, d), of the network's kind."""

    def check(self, process: Process, window: int) -> None:  # noqa: B027
        """Raise ``ValueError`` if this drafter cannot draft windows of this length for ``process``."""


@dataclass(frozen=True)
class Independent(Drafter):
    """Draft with another prediction. ``predict`` maps (steps (m,), states (m, d), condition) to (m, d), of the process's kind.

    >>> Independent(lambda steps, x, condition: 0.9 * x).evaluates
    True
    """

    predict: Predict
    name: str = "independent"
    evaluates = True

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        return ()

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return memory

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        return self.predict(steps, x, condition).astype(x.dtype)


@dataclass(frozen=True)
class Reuse(Drafter):
    """Reuse a prediction of the target at each drafted state, as a quantity of this ``kind``. See :func:`Free`, :func:`Frozen`.

    >>> Reuse("sample", "frozen").name
    'frozen-sample'
    """

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

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        return (jnp.zeros_like(x),)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return (tables.convert("to", self.kind, seen.steps, seen.x, seen.prediction),)

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        (reused,) = memory
        return tables.convert("from", self.kind, steps, x, reused)


@dataclass(frozen=True)
class Extrapolation(Reuse):
    """Reuse with a memory of the last two predictions. At every further step it adds ``momentum`` times their difference.

    >>> Extrapolation("velocity").name
    'free-velocity-extrapolated'
    """

    momentum: float = 0.75

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-{self.kind}-extrapolated"

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        return jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros(len(x), jnp.int32)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        last = tables.convert("to", self.kind, seen.steps, seen.x, seen.prediction)
        before = tables.convert("to", self.kind, seen.before_steps, seen.before_x, seen.before_prediction)
        # The evaluation of a frozen drafter has no predecessor, so the last known move is that of the window before.
        return last, jnp.where(seen.paired[:, None], last - before, memory[1]), seen.steps

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        last, move, base = memory
        ahead = self.momentum * jnp.maximum(base - steps, 0).astype(x.dtype)
        return tables.convert("from", self.kind, steps, x, last + ahead[:, None] * move)


@dataclass(frozen=True)
class Ahead(Drafter):
    """Draft with a learned forecast: ``network(steps, x, base_steps, base_x, base_sample)`` predicts the clean sample at x, (m, d).

    The base is the state where the target was last evaluated, as for :class:`Reuse`. An example of a network is
    :class:`exactness_samplers.jax.networks.DigitsAhead`.

    >>> Ahead(lambda steps, x, base_steps, base_x, base_sample: base_sample).name  # this one is plain reuse
    'free-ahead'
    """

    network: Callable[[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]
    base: Base = "free"
    evaluates = True

    def __post_init__(self) -> None:
        check_base(self.base)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-ahead"

    def check(self, process: Process, window: int) -> None:
        if "sample" not in process.schedule.kinds:
            raise ValueError("a network that looks ahead predicts clean samples, but this process has none behind it")

    def start(self, tables: Tables, x: jax.Array) -> Memory:
        return jnp.ones(len(x), jnp.int32), x, jnp.zeros_like(x)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return seen.steps, seen.x, tables.convert("to", "sample", seen.steps, seen.x, seen.prediction)

    def prediction(self, tables: Tables, steps: jax.Array, x: jax.Array, memory: Memory, condition: jax.Array | None) -> jax.Array:
        base, base_x, base_sample = memory
        # Drafts past the last step are masked later. The network must not see a base that lies behind them.
        sample = self.network(steps, x, jnp.maximum(base, steps), base_x, base_sample).astype(x.dtype)
        return tables.convert("from", "sample", steps, x, sample)


def Free(kind: Kind = "sample") -> Reuse:
    """The drafter that reuses the prediction of the last verification, as a quantity of this ``kind``.

    >>> Free("noise").name
    'free-noise'
    """
    return Reuse(kind, "free")


def Frozen(kind: Kind = "sample") -> Reuse:
    """The drafter that reuses the target's prediction at the first state of the window, as a quantity of this ``kind``.

    >>> Frozen("noise").frozen
    True
    """
    return Reuse(kind, "frozen")
