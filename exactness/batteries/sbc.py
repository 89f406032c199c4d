"""Tests of laws that know each number of a draw by itself, such as the ranks of simulation-based calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..evidence.base import Battery, Evidence, Origin, Update
from ..evidence.summaries import Summary, Test
from ..laws.base import Discrete, Law, Margined
from .discrete import Frequencies


@dataclass(frozen=True)
class Margins(Battery):
    """Judges each number of a draw by :class:`Frequencies`. How the numbers of a draw depend on each other is not judged.

    Applies to a law that knows the laws of the numbers and nothing of their dependence, such as :class:`exactness.laws.SbcRanks`.
    The certificate says what such a law does not show.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.laws.SbcRanks(draws=9, quantities=["mu", "log-likelihood"])
    >>> def ranks(n, seed):  # The second rank never exceeds 8.
    ...     return np.random.default_rng(seed).integers(0, [10, 9], (n, 2))
    >>> judged = ex.certify(ranks, law, plan=ex.Plan(tolerance=0.1))
    >>> judged.verdict.value, judged.leading.name.split(",")[0]
    ('refuted', 'margins: log-likelihood: values')
    """

    name: ClassVar[str] = "margins"

    def applies(self, law: Law) -> bool:
        return isinstance(law, Margined)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, Margined)
        summaries: dict[str, Summary] = {}
        updates: list[Update] = []
        for column, (name, margin) in enumerate(law.margins.items()):
            assert isinstance(margin, Discrete)
            found, update_one = Frequencies().parts(margin, partial(_column, column), generator.spawn(1)[0])
            summaries |= {f"{name}: {what}": summary for what, summary in found.items()}
            updates.append(update_one)
        for name, summary in summaries.items():
            # What two columns look at is not the same.
            summary.once = summary.once and name
            summary.measures = summary.measures and f"{name}: {summary.measures}"

        def update(sample: Array, noise: np.random.Generator) -> None:
            for one in updates:
                one(sample, noise)

        return Evidence(Origin(self, law, generator), {**summaries, "what is not judged": _Caveat(law.caveat)}, update)


def _column(column: int, sample: Array) -> Array:
    return sample[:, column : column + 1]


class _Caveat(Summary):
    """A sentence for the certificate. It tests nothing."""

    distribution = "none"
    constant = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def merge(self, other: _Caveat) -> None:
        pass

    def tests(self) -> list[Test]:
        return []

    def remark(self) -> str | None:
        return self.text
