"""What a battery is. Its author writes which functions of the output to look at; labelling, merging and testing are done here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..errors import BadInput
from ..laws.base import Law
from .nulls import Null
from .summaries import Summary


@dataclass(frozen=True)
class Result:
    """One test. ``rows`` > 1: the most extreme of so many rows, and the p-value is that of the row times their number."""

    battery: str
    name: str
    distribution: str
    null: Null
    where: str
    statistic: float
    n: int
    paths: int
    rows: int
    bounded: bool = True

    def bound(self, error: float) -> float | None:
        """An upper confidence bound on the effect, where there is one."""
        return self.null.bound(self.statistic, self.paths, error) if self.bounded else None

    @property
    def p_value(self) -> float:
        return self.null.p_over_rows(self.statistic, self.n, self.rows)


class Origin:
    """What evidence is of: two that differ in any of these do not add up.

    Taken when the battery has drawn what it looks along; the law is asked for its description when somebody wants to compare.
    """

    def __init__(self, battery: Battery, law: Law, generator: np.random.Generator) -> None:
        self.battery, self._law, self.state = battery, law, repr(generator.bit_generator.state)

    @cached_property
    def law(self) -> dict[str, object]:
        return self._law.describe()

    def __getstate__(self) -> dict[str, object]:
        # A law may hold a network, and functions that no other process knows.
        return {"battery": self.battery, "law": self.law, "state": self.state}

    def differences(self, other: Origin) -> list[str]:
        """In words; empty if there is none."""
        found = {
            "the battery": self.battery != other.battery, "the law": self.law != other.law, "the seed": self.state != other.state,
        }  # fmt: skip
        return [name for name, differs in found.items() if differs]


class Evidence:
    """Everything a battery keeps of the samples it has seen: constant memory, and it adds up.

    It may be pickled, to be merged elsewhere; what comes back takes no more draws in.
    """

    def __init__(self, origin: Origin, summaries: Mapping[str, Summary], update: Callable[[Array], None] | None) -> None:
        self.origin, self.summaries, self.paths = origin, summaries, 0
        self._update = update

    @property
    def battery(self) -> str:
        return self.origin.battery.name

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_update": None}

    def update(self, sample: Array) -> None:
        """Take in more draws; ``sample`` has been accepted by the law."""
        if self._update is None:
            raise BadInput("this evidence was made elsewhere and takes no draws in: merge it into evidence that was started here")
        self._update(sample)
        for summary in self.summaries.values():
            summary.close()
        self.paths += int(sample.shape[0])

    def merge(self, other: Evidence) -> None:
        """Take in another evidence of the same battery, law and seed, of other draws. Associative and commutative."""
        if other is self:
            raise BadInput("evidence was to be merged with itself: its draws would count twice")
        if differ := self.origin.differences(other.origin):
            raise BadInput(
                f"evidence of {other.battery!r} does not add to that of {self.battery!r}, they differ in {' and '.join(differ)}: "
                "start both with the same battery, law and seed"
            )
        for name, summary in self.summaries.items():
            summary.merge(other.summaries[name])
        self.paths += other.paths

    def results(self) -> list[Result]:
        return [
            Result(self.battery, name, summary.distribution, t.null, t.where, t.statistic, t.n, self.paths, t.rows, t.bounded)
            for name, summary in self.summaries.items()
            for t in summary.tests()
        ]

    def monitored(self) -> list[tuple[Null, int]]:
        """The tests that will have bounds, with their numbers of rows: known before anything is sampled."""
        return [pair for summary in self.summaries.values() for pair in summary.monitored()]

    def histograms(self, bins: int = 32) -> list[tuple[str, str, np.ndarray]]:
        """``(name, where, counts)`` of probability integral transforms, flat if the law is right."""
        found = {name: summary.histogram(bins) for name, summary in self.summaries.items()}
        return [(name, *h) for name, h in found.items() if h is not None]


class Battery(ABC):
    """One way of looking at samples.

    To add one: say which laws it ``applies`` to, and make an :class:`Evidence` of ``Origin(self, law, generator)`` whose summaries
    are fed by ``update(sample)`` with values whose null distribution is known. Tests, multiplicity, bounds and labels follow
    from the summaries.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        """Batteries are frozen dataclasses of counts: each must be an integer that makes sense."""
        for label, value in vars(self).items():
            least = 0 if label in ("directions", "lags") else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise BadInput(f"{label} of {type(self).__name__} must be an integer of at least {least}, not {value!r}")

    @abstractmethod
    def applies(self, law: Law) -> bool:
        """Whether the law knows what this battery looks at."""

    @abstractmethod
    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        """Empty evidence. ``generator`` is the judge's own: the same root seed gives the same directions."""
