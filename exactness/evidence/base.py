"""What a battery is. Its author writes which functions of the output to look at; labelling, merging and testing are done here."""

from __future__ import annotations

import copy
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..arrays import Array, digest
from ..errors import BadInput
from ..laws.base import Law
from .nulls import Null
from .summaries import Summary


@dataclass(frozen=True)
class Result:
    """One test. ``rows`` > 1: the most extreme of that many rows, and the p-value is that of the row times their number.

    ``measures`` names the tested quantity where another summary may hold the same one.
    """

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
    measures: str | None = None

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

    def noise_of(self, sample: Array) -> np.random.Generator:
        """The judge's noise for a sample of which nothing else is known: it depends on every bit of the sample."""
        return np.random.default_rng([zlib.crc32(self.state.encode()), digest(sample)])

    def differences(self, other: Origin) -> list[str]:
        """In words; empty if there is none."""
        found = {
            "the battery": self.battery != other.battery, "the law": self.law != other.law, "the seed": self.state != other.state,
        }  # fmt: skip
        return [name for name, differs in found.items() if differs]


Update = Callable[[Array, np.random.Generator], None]
"""``update(sample, noise)`` feeds the summaries of an evidence; ``noise`` is the judge's own generator for these draws."""


class Evidence:
    """Everything that a battery keeps of the samples it has seen: constant memory, and it adds up.

    It may be pickled, to be merged elsewhere; what comes back takes no more draws in.
    """

    def __init__(self, origin: Origin, summaries: Mapping[str, Summary], update: Update | None) -> None:
        self.origin, self.summaries, self.paths = origin, summaries, 0
        self._update = update
        # The contents of the summaries before the first draw, so that what ``take`` hands out can be replaced.
        self._empty: dict[str, dict[str, object]] | None = None

    @property
    def battery(self) -> str:
        return self.origin.battery.name

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_update": None, "_empty": None}

    def update(self, sample: Array, noise: np.random.Generator | None = None) -> None:
        """Take in more draws; ``sample`` has been accepted by the law.

        ``noise`` is the judge's noise for these draws. If it is left out, it follows from the draws' own bits, so that shards get
        different noise wherever they are judged, and the same shard always gets the same.
        """
        if self._update is None:
            raise BadInput("this evidence was made elsewhere and takes no draws in: merge it into evidence that was started here")
        self._update(sample, noise or self.origin.noise_of(sample))
        for summary in self.summaries.values():
            summary.close()
        self.paths += int(sample.shape[0])

    def empty(self) -> Evidence:
        """Evidence of the same battery, law and seed that has seen nothing: merge others into it."""
        if self._empty is None:
            if self.paths:
                raise BadInput("ask for empty evidence before the first draws are taken in")
            self._empty = {name: _remembered(summary) for name, summary in self.summaries.items()}
        fresh = Evidence(self.origin, {name: copy.copy(summary) for name, summary in self.summaries.items()}, None)
        fresh._reset(self._empty)
        return fresh

    def take(self) -> Evidence:
        """What was seen since the start, or since the last call, as evidence of its own. This one is empty again.

        Needs a call of :meth:`empty` before the first draws.
        """
        if self._empty is None:
            raise BadInput("call empty() before the first draws are taken in")
        # The update function holds the summaries themselves, so their contents are handed out and replaced.
        taken = Evidence(self.origin, {name: copy.copy(summary) for name, summary in self.summaries.items()}, None)
        taken.paths, self.paths = self.paths, 0
        self._reset(self._empty)
        return taken

    def _reset(self, contents: Mapping[str, dict[str, object]]) -> None:
        for name, summary in self.summaries.items():
            vars(summary).clear()
            vars(summary).update(_recalled(contents[name]))

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
            Result(
                self.battery,
                name,
                summary.distribution,
                t.null,
                t.where,
                t.statistic,
                t.n,
                self.paths,
                t.rows,
                t.bounded,
                summary.measures,
            )
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

    To add one, say which laws it ``applies`` to (ask for a capability of :mod:`exactness.laws.base`, not for a certain law), and
    make an :class:`Evidence` of ``Origin(self, law, generator)`` whose summaries are fed by ``update(sample, noise)`` with values
    whose null distribution is known. Tests, multiplicity, bounds and labels follow from the summaries.
    """

    name: ClassVar[str]
    apart: ClassVar[bool] = False
    """Whether the matrix of controls lists its tests one by one."""

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


def _remembered(summary: Summary) -> dict[str, object]:
    """The contents of an empty summary. Its arrays are mostly zeros, of which none are stored."""
    return {
        name: np.broadcast_to(value.dtype.type(0), value.shape)
        if isinstance(value, np.ndarray) and not value.any()
        else copy.deepcopy(value)
        for name, value in vars(summary).items()
    }


def _recalled(contents: Mapping[str, object]) -> dict[str, object]:
    """The same contents, to be written into."""
    return {name: np.array(v) if isinstance(v, np.ndarray) else copy.deepcopy(v) for name, v in contents.items()}
