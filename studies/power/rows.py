"""The rows of the tables: our own tests, and any test that is shown only some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exactness import TrustedSampler
from exactness.batteries import Battery, TwoSample
from exactness.laws.base import Law

from ..ours import OneStage, applying
from ..peers import Pair, Refutes, Row

TOGETHER = "all standard batteries"


def ours(law: Law, smallest: int = 16) -> list[Row]:
    """Each standard battery that applies to the law by itself, then all of them together."""
    standard = applying(law)
    chosen = {b.name: [b] for b in standard}
    if len(standard) > 1:
        chosen[TOGETHER] = standard
    return [Row(f"exactness: {name}", "the law", judged(law, batteries), None, smallest) for name, batteries in chosen.items()]


def ours_two_sample() -> Row:
    return Row("exactness: two-sample", "n draws", _two_sample)


def on(row: Row, name: str, columns: Sequence[int]) -> Row:
    """The same test, shown only some columns of the samples."""
    chosen = list(columns)

    def refutes(pair: Pair, alpha: float, seed: int) -> float:
        seen = Pair(pair.x[:, chosen].copy(), pair.y[:, chosen].copy(), lambda n, s: pair.more(n, s)[:, chosen])
        return row.refutes(seen, alpha, seed)

    return Row(f"{row.name}: {name}", row.against, refutes, row.package, row.smallest)


def judged(law: Law, batteries: Sequence[Battery]) -> Refutes:
    """A certificate of one stage: all tests of the batteries, Holm-adjusted together."""

    def refutes(pair: Pair, alpha: float, seed: int) -> float:
        certificate = OneStage(law, batteries, seed)
        certificate.update(pair.x)
        return float(certificate.smallest_p() <= alpha)

    return refutes


def _two_sample(pair: Pair, alpha: float, seed: int) -> float:
    """The judge's reference is the sample that every other test gets; its pilot, 512 more draws, is drawn afresh."""
    reference: list[Any] = []
    law = TrustedSampler(lambda n, s: reference[0] if reference else pair.more(n, s))
    certificate = OneStage(law, [TwoSample()], seed)
    reference.append(pair.y)
    certificate.update(pair.x)
    return float(certificate.smallest_p() <= alpha)
