"""Tests of final samples along one-dimensional functions whose distribution the law knows: coordinates and random directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, double, namespace, normal_scores
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import Dependence, RankedDependence
from ..evidence.summaries import THE_DRAW, Repeats, Tally
from ..laws.base import Law, Projected

# Of as many projections, dependence between draws is looked at.
_MOST_RANKED = 4


@dataclass(frozen=True)
class ProjectedKS(Battery):
    """Tests the last states along coordinates and fixed random directions, by their distribution functions.

    All directions look at the same draws, so their values are not pooled. Final samples hide the errors of speculative samplers
    best: this battery refutes gross errors and bounds the others. Applies to a law that knows the distributions of its
    projections, such as :class:`exactness.GaussianMixture`, or a chain with such a ``final`` law.

    Args:
        directions: the number of random directions.

    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianMixture([0.5, 0.5], [[2.0, 0.0], [-2.0, 0.0]], [0.2, 0.2])
    >>> plan, chosen = ex.Plan(tolerance=0.1), [batteries.ProjectedKS()]
    >>> ex.certify(law.sample, law, plan=plan, batteries=chosen).verdict.value
    'certified'
    >>> ex.certify(lambda n, seed: 1.1 * law.sample(n, seed), law, plan=plan, batteries=chosen).verdict.value
    'refuted'
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
        dependence: Dependence | RankedDependence
        repeats = None
        if projections.whole:
            tally.measures = THE_DRAW
            dependence = Dependence(1, generator, repeats=Repeats(range(1)) if law.atomless else None)
        else:
            # Nothing says how many numbers of a draw are free, but one of them is.
            repeats = Repeats(range(math.prod(law.output_law.event_shape)), free=1) if law.atomless else None
            dependence = RankedDependence(projections.names[:_MOST_RANKED], repeats)

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            found = projections.transform(draws)
            values = namespace(found[0]).stack(found)
            tally.add(range(len(found)), values)
            columns = values[:_MOST_RANKED].T
            if isinstance(dependence, Dependence):
                dependence.add(normal_scores(double(columns)), noise, draws)
            else:
                dependence.add(columns, noise)
                if repeats is not None and not repeats.silent:
                    repeats.add(draws)

        return Evidence(Origin(self, law, generator), {"final states": tally, **dependence.summaries()}, update)
