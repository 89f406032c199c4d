"""The page of the study."""

from __future__ import annotations

import math

from ..page import table, versions
from .measure import LADDER, LEVEL, Row

# What prototypes of these tests took (features chosen for each target, antisymmetric sums with Hoeffding's bound).
_WITHIN = 2.0


def page(rows: list[Row], seeds: int, command: str) -> str:
    both = [(row, row.claim / row.expected) for row in rows if row.claim is not None and row.expected]
    ratio = math.exp(sum(math.log(r) for _, r in both) / len(both)) if both else math.nan
    outside = [f"{row.name} ({r:.1f})" for row, r in both if r > _WITHIN]
    unseen = [row.name for row in rows if row.claim is None]
    paid = [row.certificate / row.claim for row in rows if row.claim is not None and row.certificate is not None]
    price = math.exp(sum(math.log(r) for r in paid) / len(paid)) if paid else math.nan
    head = ["fault", "seen by", "after alone", "fresh partner", "paired", "reference", "ratio", "certificate"]
    lines = [
        (
            row.name, row.seen_by, _n(row.after), _n(row.partner), _n(row.paired), _n(row.expected),
            "" if row.claim is None or not row.expected else f"{row.claim / row.expected:.2f}", _n(row.certificate),
        )
        for row in rows
    ]  # fmt: skip
    return f"""# Markov kernels: draws until a fault is seen

Made by `{command}`. {versions("exactness", "numpy", "scipy", "torch")}.

Each number is the median over {seeds} seeds of the first size on a ladder from {LADDER[0]:,} to {LADDER[-1]:,} draws, a factor of
the square root of 2 apart, at which one test of a battery has p <= {LEVEL:g} by itself. A dash means that it was not seen.

* **After alone**: the states after the move, against a trusted sampler of the target (`TwoSample`).
* **Fresh partner**: states after the move, and data, against fresh ones (`Moves`, without exchanging ends).
* **Paired**: both ends of the move, which may be exchanged if the kernel is reversible (`Moves`).
* **Reference**: an independent implementation, `tests/kernel_evidence.py`: features that suit each target, and Hoeffding's bound.
* **Ratio**: what the claim looks at (paired, or the fresh partner, the steps of a run, the margins of a pair), by the reference.
* **Certificate**: a whole certificate at alpha = {LEVEL:g}, with all batteries, rows and stages, median over a third of the seeds.

Compared with the reference, the claims take {ratio:.2f} times the draws in geometric mean over {len(both)} faults.
{_listed("More than twice the reference", outside)} {_listed("Not seen at all", unseen)}
A whole certificate takes {price:.2f} times what its best test takes by itself. Its sizes are powers of 2 times {LADDER[0]}.

{table(head, lines, 6)}"""


def _listed(what: str, names: list[str]) -> str:
    return f"{what}: {', '.join(names)}." if names else f"{what}: none."


def _n(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
