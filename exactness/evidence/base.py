"""Batteries and the evidence that they keep.

The author of a battery chooses which functions of the draws to look at. Naming, merging and testing are done here.
"""

from __future__ import annotations

import copy
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..arrays import Array, at_hand, digest
from ..errors import BadInput
from ..laws.base import Law
from .nulls import Null
from .pictures import Picture, heat_maps, table
from .summaries import Summary
from .summaries.base import Row


@dataclass(frozen=True)
class Result:
    """The result of one test.

    If ``rows`` > 1, it is the most extreme of this many rows, and the p-value is that of the row times the number of rows.
    ``measures`` names the tested quantity, where another summary may hold the same one.
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
    ends: tuple[Row, ...] = ()

    def bound(self, error: float) -> float | None:
        """An upper confidence bound on the effect, the largest over all rows. None if this test has no bound.

        The bound of each row fails with probability ``error``.
        """
        return self.loosest(error)[0]

    def loosest(self, error: float) -> tuple[float | None, Row]:
        """The largest bound, and its row. The row of the p-value comes first among rows with equal bounds."""
        own = Row(self.null, self.where, self.statistic, self.n)
        if not self.bounded:
            return None, own
        bounds = [(bound, row) for row in (own, *self.ends) if (bound := row.bound(self.paths, error)) is not None]
        return max(bounds, key=lambda pair: pair[0], default=(None, own))

    @property
    def p_value(self) -> float:
        """The p-value over all rows, before it is adjusted for the other tests."""
        return self.null.p_over_rows(self.statistic, self.n, self.rows)


class Origin:
    """The battery, law and seed of an evidence. Only evidence with the same origin can be merged.

    An origin is made after the battery has drawn its directions. The law is asked for its description only when two origins are
    compared.
    """

    def __init__(self, battery: Battery, law: Law, generator: np.random.Generator) -> None:
        self.battery, self._law, self.state = battery, law, repr(generator.bit_generator.state)

    @cached_property
    def law(self) -> dict[str, object]:
        return self._law.describe()

    def __getstate__(self) -> dict[str, object]:
        # The law itself does not travel: it may hold a network, or functions that no other process knows.
        return {"battery": self.battery, "law": self.law, "state": self.state}

    def arrays_of(self, sample: Array) -> Array:
        """The sample as the law takes it: see :attr:`.Law.portable`."""
        return at_hand(sample) if self._law.portable else sample

    def noise_of(self, sample: Array) -> np.random.Generator:
        """The judge's noise for a sample, where nothing else identifies it: the noise depends on every bit of the sample."""
        return np.random.default_rng([zlib.crc32(self.state.encode()), digest(sample)])

    def differences(self, other: Origin) -> list[str]:
        """What differs between two origins, in words. The list is empty if they are equal."""
        found = {
            "the battery": self.battery != other.battery, "the law": self.law != other.law, "the seed": self.state != other.state,
        }  # fmt: skip
        return [name for name, differs in found.items() if differs]


Update = Callable[[Array, np.random.Generator], None]
"""A function ``update(sample, noise)`` that feeds the summaries. ``noise`` is the judge's own generator for these draws."""


class Evidence:
    """Everything that a battery keeps of the draws it has seen. It needs constant memory, and evidence of other draws can be added.

    Evidence can be pickled and merged in another process. Unpickled evidence takes no more draws, but can be merged.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> one, other = (batteries.ProjectedKS().start(law, np.random.default_rng(0)) for _ in range(2))
    >>> one.update(law.sample(1_000, seed=1))
    >>> other.update(law.sample(500, seed=2))
    >>> one.merge(other)
    >>> one.paths, min(result.p_value for result in one.results()) > 0.001
    (1500, True)
    """

    def __init__(self, origin: Origin, summaries: Mapping[str, Summary], update: Update | None) -> None:
        self.origin, self.summaries, self.paths = origin, summaries, 0
        self._update = update
        # The contents of the summaries before the first draw, so that ``take`` can replace the contents that it returns.
        self._empty: dict[str, dict[str, object]] | None = None

    @property
    def battery(self) -> str:
        return self.origin.battery.name

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_update": None, "_empty": None}

    def update(self, sample: Array, noise: np.random.Generator | None = None, calls: Sequence[int] | None = None) -> None:
        """Take in more draws: a ``sample`` (n, *event_shape) that the law has accepted.

        ``calls`` are the numbers of draws that each call of the sampler returned, in their order. If they are left out, all draws
        come from one call.

        ``noise`` is the judge's noise for these draws. If it is left out, it follows from the bits of the draws. Then different
        shards get different noise wherever they are judged, and the same shard always gets the same noise.
        """
        if self._update is None:
            raise BadInput(
                "this evidence was made elsewhere and takes no draws in: merge it into evidence that was started in this process"
            )
        count = int(sample.shape[0])
        for summary in self.summaries.values():
            summary.open((count,) if calls is None else tuple(calls))
        noise = noise or self.origin.noise_of(sample)
        self._update(self.origin.arrays_of(sample), noise)
        for summary in self.summaries.values():
            summary.close()
        self.paths += count

    def empty(self) -> Evidence:
        """Empty evidence of the same battery, law and seed, to merge other evidence into."""
        if self._empty is None:
            if self.paths:
                raise BadInput("empty() was called too late: call it before the first update()")
            self._empty = {name: _remembered(summary) for name, summary in self.summaries.items()}
        fresh = Evidence(self.origin, {name: copy.copy(summary) for name, summary in self.summaries.items()}, None)
        fresh._reset(self._empty)
        return fresh

    def take(self) -> Evidence:
        """Separate evidence of all draws since the start, or since the last call. This evidence is empty afterwards.

        Call :meth:`empty` before the first draws.
        """
        if self._empty is None:
            raise BadInput("take() needs a copy of the empty evidence: call empty() before the first update()")
        # The update function refers to the summaries themselves, so their contents are handed out and replaced.
        taken = Evidence(self.origin, {name: copy.copy(summary) for name, summary in self.summaries.items()}, None)
        taken.paths, self.paths = self.paths, 0
        self._reset(self._empty)
        return taken

    def _reset(self, contents: Mapping[str, dict[str, object]]) -> None:
        for name, summary in self.summaries.items():
            vars(summary).clear()
            vars(summary).update(_recalled(contents[name], summary.constant))

    def merge(self, other: Evidence) -> None:
        """Add evidence of the same battery, law and seed, of other draws. The order of merging does not matter.

        Raises ``BadInput`` if the battery, law or seed differ, or for evidence that is merged with itself.
        """
        if other is self:
            raise BadInput("evidence cannot be merged with itself: its draws would count twice")
        if differ := self.origin.differences(other.origin):
            raise BadInput(
                f"evidence of {other.battery!r} does not add to evidence of {self.battery!r}, because they differ in "
                f"{' and '.join(differ)}: start both with the same battery, law and seed"
            )
        for name, summary in self.summaries.items():
            summary.merge(other.summaries[name])
        self.paths += other.paths

    def results(self) -> list[Result]:
        """The results of all tests. The list is empty if nothing was seen."""
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
                t.ends,
            )
            for name, summary in self.summaries.items()
            for t in summary.tests()
        ]

    def monitored(self) -> list[tuple[Null, int]]:
        """The tests that will have bounds, each with its number of rows. They are known before anything is sampled."""
        return [pair for summary in self.summaries.values() for pair in summary.monitored()]

    def objections(self) -> list[str]:
        """Why a pass would mean nothing; see :meth:`.Summary.objection`."""
        return [why for summary in self.summaries.values() if (why := summary.objection()) is not None]

    def remarks(self) -> list[str]:
        """What the certificate says about the sampler, whatever the verdict; see :meth:`.Summary.remark`."""
        return [said for summary in self.summaries.values() if (said := summary.remark()) is not None]

    def histograms(self, bins: int = 32) -> list[tuple[str, str, np.ndarray]]:
        """``(name, where, counts)`` of probability integral transforms. The counts are flat if the law is right."""
        found = {name: summary.histogram(bins) for name, summary in self.summaries.items()}
        return [(name, *h) for name, h in found.items() if h is not None]

    def pictures(self) -> list[Picture]:
        """Heat maps of z-scores, and what happened by steps, for the page."""
        by_steps = [
            Picture(kind="steps", battery=self.battery, name=name, rows=list(rows), columns=list(columns), values=table(numbers))
            for name, summary in self.summaries.items()
            if (found := summary.table()) is not None
            for rows, columns, numbers in [found]
        ]
        return [*heat_maps(self.battery, {name: summary.scores() for name, summary in self.summaries.items()}), *by_steps]


class Battery(ABC):
    """A set of tests that look at one aspect of the draws.

    To add a battery, write a frozen dataclass with two methods. ``applies`` says which laws it can judge: ask for a capability of
    :mod:`exactness.laws.base`, not for a certain law. ``start`` returns an :class:`Evidence` with ``Origin(self, law, generator)``
    and some summaries; its function ``update(sample, noise)`` feeds them with values whose null distribution is known. The tests,
    their number, their bounds and their names follow from the summaries.

    >>> from dataclasses import dataclass
    >>> from typing import Protocol, runtime_checkable
    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness.batteries import Evidence, Origin
    >>> from exactness.evidence.summaries import Shares
    >>> class Coin(ex.Law):
    ...     event_shape, dtypes, chance = (1,), ("int64",), 0.5
    ...     def describe(self):
    ...         return {"kind": "Coin", "chance": self.chance}
    >>> @runtime_checkable
    ... class Tossed(Protocol):
    ...     chance: float
    >>> @dataclass(frozen=True)
    ... class Heads(ex.Battery):
    ...     name = "heads"
    ...     def applies(self, law):
    ...         return isinstance(law, Tossed)
    ...     def start(self, law, generator):
    ...         share = Shares(["heads"], [law.chance])
    ...         def update(sample, noise):
    ...             share.add([int(sample.sum())], len(sample))
    ...         return Evidence(Origin(self, law, generator), {"share of heads": share}, update)
    >>> def biased(n, seed):
    ...     return (np.random.default_rng(seed).random((n, 1)) < 0.6).astype(np.int64)
    >>> ex.certify(biased, Coin(), batteries=[Heads()]).verdict.value
    'refuted'
    """

    name: ClassVar[str]
    apart: ClassVar[bool] = False
    """Whether the matrix of controls lists the tests of this battery one by one."""

    def __post_init__(self) -> None:
        """Check that every field is an integer that makes sense: batteries are frozen dataclasses of counts."""
        for label, value in vars(self).items():
            least = 0 if label in ("directions", "lags") else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise BadInput(f"{label} of {type(self).__name__} must be an integer of at least {least}, not {value!r}")

    def __repr__(self) -> str:
        """The settings, so that two batteries that look alike are the same in every process."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    @abstractmethod
    def applies(self, law: Law) -> bool:
        """Whether the law can do what this battery needs."""

    @abstractmethod
    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        """Empty evidence. ``generator`` belongs to the judge: the same root seed gives the same directions."""


def once(evidence: Sequence[Evidence]) -> Sequence[Evidence]:
    """The same evidence, in which every quantity with ``Summary.once`` is looked at by the first battery that can.

    Call it before the first draws. The law and the batteries decide what is left out, and never the draws.
    """
    seen: set[str] = set()
    for one in evidence:
        doubles = [name for name, summary in one.summaries.items() if summary.once in seen]
        seen.update(summary.once for summary in one.summaries.values() if summary.once is not None)
        for name in doubles:
            one.summaries[name].silent = True
        one.summaries = {name: summary for name, summary in one.summaries.items() if name not in doubles}
    return evidence


_SIMPLE = (int, float, str, type(None))
"""Values that nobody can write into, so they need not be copied."""


def _remembered(summary: Summary) -> dict[str, object]:
    """The contents of an empty summary. Arrays of zeros, which most of them are, take no memory."""
    return {
        name: value
        if name in summary.constant or isinstance(value, _SIMPLE)
        else np.broadcast_to(value.dtype.type(0), value.shape)
        if isinstance(value, np.ndarray) and not value.any()
        else copy.deepcopy(value)
        for name, value in vars(summary).items()
    }


def _recalled(contents: Mapping[str, object], constant: Collection[str]) -> dict[str, object]:
    """The same contents, to be written into."""
    return {
        name: value
        if name in constant or isinstance(value, _SIMPLE)
        else np.array(value)
        if isinstance(value, np.ndarray)
        else copy.deepcopy(value)
        for name, value in contents.items()
    }
