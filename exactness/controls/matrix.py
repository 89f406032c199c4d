"""The matrix: control by test, refuted after how many draws. A record, with the scores that follow from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..certificate import Environment
from ..errors import BadInput
from ..plan import Plan

FORMAT = "exactness-controls/1"

UNUSABLE = "usable output"
"""What catches a sampler whose output is NaN, infinite or of another shape, before any test."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, judged. ``alone``: for each test of a battery, the draws at which it refutes with nothing beside it, or None.

    ``caught_at``: draws at which all tests together did, at the full price of their number. ``paths``: the draws that were looked
    at. ``adjusted_p``: the smallest, of all together at the end. ``beyond``: for a fault that no test can be asked to see, why, and
    ``most_power``, an upper bound on the power of any test at this budget and alpha.
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

    @property
    def as_it_should(self) -> bool:
        """Caught, by each test that must; or, if exact, not. One that is beyond reach may be caught or not."""
        if self.expected == "exact":
            return self.caught_at is None
        if self.expected == "beyond":
            return True
        return self.caught_at is not None and all(self.alone.get(test) is not None for test in self.must_be_seen_by)


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of a backend under one plan."""

    records: list[Record]
    plan: Plan
    seed: int
    backend: str
    environment: Environment
    created: str
    format: str = FORMAT

    @property
    def wrong(self) -> list[Record]:
        """Those that must be caught."""
        return [r for r in self.records if r.expected == "caught"]

    @property
    def exact(self) -> list[Record]:
        return [r for r in self.records if r.expected == "exact"]

    @property
    def beyond(self) -> list[Record]:
        return [r for r in self.records if r.expected == "beyond"]

    @property
    def tests(self) -> list[str]:
        """In the order of how much they see."""
        names = {test for r in self.records for test in r.alone}
        return sorted(names, key=lambda test: (-self.score_of(test)[0], test))

    @property
    def score(self) -> tuple[int, int]:
        """The mutation score: how many of those that must be caught are."""
        return sum(r.caught_at is not None for r in self.wrong), len(self.wrong)

    @property
    def false_alarms(self) -> tuple[int, int]:
        return sum(r.caught_at is not None for r in self.exact), len(self.exact)

    @property
    def holds(self) -> bool:
        return all(r.as_it_should for r in self.records)

    def score_of(self, test: str) -> tuple[int, int]:
        """How many that must be caught this test refutes alone, of those that it was run on."""
        run = [r for r in self.wrong if test in r.alone]
        return sum(r.alone[test] is not None for r in run), len(run)

    def smallest_set(self) -> list[str]:
        """The fewest tests that together still catch all that any of them does; among those, the ones that see soonest.

        A set cover, solved exactly (scipy's HiGHS).
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
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Matrix:
        """Raises ``BadInput`` for a file that is missing, unreadable or not a matrix."""
        try:
            found = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from None
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise BadInput(f"{path} is not a matrix of controls: {error}") from None
        if found.format != FORMAT:
            raise BadInput(f"{path} has format {found.format!r}; this version reads {FORMAT!r}")
        return found


class _Formatted(msgspec.Struct):
    format: str = ""


def is_matrix(path: Path) -> bool:
    """Whether a file says that it is one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Formatted).format.startswith(FORMAT.rpartition("/")[0] + "/")
    except (OSError, msgspec.MsgspecError):
        return False


def in_order(records: Sequence[Record], names: Sequence[str]) -> list[Record]:
    place = {name: i for i, name in enumerate(names)}
    return sorted(records, key=lambda r: place[r.name])
