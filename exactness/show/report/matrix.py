"""The matrix of controls as the page shows it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import log2

from ...controls.matrix import Matrix, Record

_SHADES = 6


@dataclass(frozen=True)
class Cell:
    """One test of one fault. ``shade`` runs from 0 (not seen) to ``_SHADES`` (seen in the first stage).

    ``must`` says that this test has to see the fault.
    """

    text: str
    shade: int
    must: bool
    title: str


@dataclass(frozen=True)
class Line:
    """One fault. ``tone`` says whether it was judged as it should be."""

    name: str
    what: str
    seen: str
    outcome: str
    tone: str
    cells: list[Cell]


@dataclass(frozen=True)
class MatrixView:
    headline: str
    holds: bool
    facts: list[tuple[str, str]]
    tests: list[tuple[str, str]]
    groups: list[tuple[str, list[Line]]]


def view_of(matrix: Matrix) -> MatrixView:
    caught, wrong = matrix.score
    alarms, right = matrix.false_alarms
    tests = matrix.tests
    smallest = matrix.smallest_set()
    facts = [
        ("budget", f"{matrix.plan.max_paths:,} draws, alpha {matrix.plan.alpha:g}, seed {matrix.seed}, {matrix.backend}"),
        ("fewest tests that catch as many", f"{len(smallest)}: {', '.join(smallest)}"),
    ]
    if matrix.beyond:
        facts.append(("no test can be asked to see", "; ".join(f"{r.name} ({r.beyond})" for r in matrix.beyond)))
    return MatrixView(
        headline=f"{caught} of {wrong} wrong samplers caught, {alarms} of {right} right ones refuted",
        holds=matrix.holds,
        facts=facts,
        tests=[(test, "{} of {}".format(*matrix.score_of(test))) for test in tests],
        groups=[
            (group, [_line(r, tests, matrix) for r in members]) for group, members in groupby(matrix.records, key=lambda r: r.group)
        ],
    )


def _line(r: Record, tests: list[str], matrix: Matrix) -> Line:
    if r.caught_at is None:
        outcome = "passes" if r.expected == "exact" else f"not seen in {short(r.paths)}"
    else:
        outcome = short(r.caught_at) if r.method == "draws" else r.method
    return Line(
        name=r.name,
        what=f"{r.what} Touches: {r.touches}.",
        seen=", ".join(r.seen),
        outcome=outcome,
        tone="good" if r.as_it_should else "bad",
        cells=[_cell(r, test, matrix) for test in tests],
    )


def _cell(r: Record, test: str, matrix: Matrix) -> Cell:
    must = test in r.must_be_seen_by
    if test not in r.alone:
        return Cell("", 0, must, f"{test} does not apply")
    n = r.alone[test]
    if n is not None and r.method != "draws":
        return Cell("seen", _SHADES, must, f"{test}: seen without any draw")
    if n is None and not r.paths:
        return Cell("", 0, must, "no draw could be judged")
    if n is None:
        return Cell("·", 0, must, f"{test}: not in {r.paths:,} draws")
    first = matrix.plan.stages[0]
    shade = max(1, _SHADES - round(log2(max(n, first) / first) * (_SHADES - 1) / max(1.0, log2(matrix.plan.max_paths / first))))
    return Cell(short(n), shade, must, f"{test}: refuted at {n:,} draws")


def short(n: int) -> str:
    """A number in short form.

    >>> short(999), short(12_500)
    ('999', '12.5k')
    """
    return f"{n / 1000:.3g}k" if n >= 1000 else str(n)
