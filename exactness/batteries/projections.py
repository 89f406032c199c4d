"""Final samples along one-dimensional functions whose distribution the law knows: coordinates and fixed random directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import THE_DRAW, Tally
from ..laws.base import Law, Projected


@dataclass(frozen=True)
class ProjectedKS(Battery):
    """Kolmogorov tests of the last states. The directions are seen by the same draws, so each is a test of its own.

    Final samples are where speculation hides its errors best: this battery refutes gross ones and bounds the rest.
    """

    directions: int = 8
    name: ClassVar[str] = "projected KS"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Projected)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        output = law.output_law
        assert isinstance(output, Projected)
        projections = output.projections(self.directions, generator)
        tally = Tally(projections.names, "uniform", relation="dependent")
        if law.output_law is not None and law.output_law.event_shape == (1,) and len(projections.names) == 1:
            tally.measures = THE_DRAW

        def update(sample: Array, noise: np.random.Generator) -> None:
            for row, values in enumerate(projections.transform(law.output(sample))):
                tally.add(row, values)

        return Evidence(Origin(self, law, generator), {"final states": tally}, update)
