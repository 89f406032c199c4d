"""The matrix of controls: after how many draws each test refutes each fault, and the scores that follow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..certificate import Environment
from ..errors import BadInput
from ..plan import Plan
from ..strangers import read_json

FORMAT = "exactness-controls/1"

UNUSABLE = "usable output"
"""The name of the check that catches output with NaN, infinite numbers or another shape, before any test."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one fault that was judged.

    Attributes:
        name, group, what, touches, seen, expected, law: the description of the fault.
        method: how it was judged: by ``draws``, or without any by the ``exact law`` of the verifier or by ``forced coins``, where
            draws cannot show the fault. Then this is the one test, and it takes 0 draws.
        must_be_seen_by: the tests that must refute it alone.
        caught_at: the draws after which all tests together refuted it, adjusted for their number. None if they did not.
        alone: for each test, the draws after which it refuted the fault alone. None if it did not.
        paths: the draws that were judged.
        adjusted_p, leading: the smallest adjusted p-value of all tests together at the end, and its finding.
        seconds: the time that it took.
        beyond: if no test can be expected to see the fault, the reason.
        most_power: an upper bound on the power of any test against such a fault, with this budget and alpha.
    """

    name: str
    group: str
    what: str
    touches: str
    seen: list[str]
    expected: str
    must_be_seen_by: list[str]
    law: str
    caught_at: int | None
    paths: int
    adjusted_p: float
    leading: str
    alone: dict[str, int | None]
    seconds: float
    beyond: str | None = None
    most_power: float | None = None
    method: str = "draws"

    @property
    def as_it_should(self) -> bool:
        """Whether each test that must catch the fault did. An exact sampler must not be caught; beyond reach, either is right."""
        if self.expected == "exact":
            return self.caught_at is None
        if self.expected == "beyond":
            return True
        return self.caught_at is not None and all(self.alone.get(test) is not None for test in self.must_be_seen_by)


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """The records of all faults of a backend, judged with one plan."""

    records: list[Record]
    plan: Plan
    seed: int
    backend: str
    environment: Environment
    created: str
    format: str = FORMAT

    @property
    def wrong(self) -> list[Record]:
        """The faults that must be caught."""
        return [r for r in self.records if r.expected == "caught"]

    @property
    def exact(self) -> list[Record]:
        """The samplers that only look wrong, and must not be caught."""
        return [r for r in self.records if r.expected == "exact"]

    @property
    def beyond(self) -> list[Record]:
        """The faults that no test can be expected to catch."""
        return [r for r in self.records if r.expected == "beyond"]

    @property
    def tests(self) -> list[str]:
        """The tests, those that catch most faults first."""
        names = {test for r in self.records for test in r.alone}
        return sorted(names, key=lambda test: (-self.score_of(test)[0], test))

    @property
    def score(self) -> tuple[int, int]:
        """The mutation score: the number of faults that were caught, and of those that must be."""
        return sum(r.caught_at is not None for r in self.wrong), len(self.wrong)

    @property
    def false_alarms(self) -> tuple[int, int]:
        """The number of right samplers that were caught, and of all right samplers."""
        return sum(r.caught_at is not None for r in self.exact), len(self.exact)

    @property
    def holds(self) -> bool:
        """Whether every record is as it should be."""
        return all(r.as_it_should for r in self.records)

    def score_of(self, test: str) -> tuple[int, int]:
        """The number of faults that this test refutes alone, and of those that it was run on and must be caught."""
        run = [r for r in self.wrong if test in r.alone]
        return sum(r.alone[test] is not None for r in run), len(run)

    def smallest_set(self) -> list[str]:
        """The fewest tests that together catch every fault that any test catches. Of several such sets, the fastest one.

        This is a set cover problem, which HiGHS of scipy solves exactly.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        tests = self.tests
        seen = [r for r in self.wrong if any(n is not None for n in r.alone.values())]
        if not seen:
            return []
        covers = np.array([[r.alone.get(test) is not None for test in tests] for r in seen], dtype=float)
        draws = np.array([np.mean([np.log2(r.alone.get(test) or 2.0 * self.plan.max_paths) for r in seen]) for test in tests])
        # The tie-breaker adds up to less than one test.
        cost = 1.0 + draws / (draws.sum() + 1.0)
        solved = milp(cost, constraints=LinearConstraint(covers, lb=1.0), bounds=Bounds(0, 1), integrality=np.ones(len(tests)))
        return [test for test, chosen in zip(tests, solved.x, strict=True) if chosen > 0.5]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the matrix as JSON, and return the path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Matrix:
        """Read a matrix that ``save`` wrote. Raises ``BadInput`` if the file is missing, unreadable or not a matrix."""
        found = read_json(path, cls, "a matrix of controls")
        if found.format != FORMAT:
            raise BadInput(
                f"{path} has format {found.format!r}; this version reads {FORMAT!r}: run `exactness controls` again to get one"
            )
        return found


class _Formatted(msgspec.Struct):
    format: str = ""


def is_matrix(path: Path) -> bool:
    """Whether a file says that it is a matrix of controls."""
    try:
        return read_json(path, _Formatted, "").format.startswith(FORMAT.rpartition("/")[0] + "/")
    except BadInput:
        return False


def in_order(records: Sequence[Record], names: Sequence[str]) -> list[Record]:
    """The records in the order of their ``names``."""
    place = {name: i for i, name in enumerate(names)}
    return sorted(records, key=lambda r: place[r.name])
