"""The noise of a law of single draws: by components, and by conditional distribution functions. Exact at every n and dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, clip, double, like, namespace, rows_where, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import THE_DRAW, Shares, Summary, Tally, Vectors
from ..laws.base import Law, Mixed, Transformed, unit_directions

# With more components than this only all of them together are looked at.
_MOST_COMPONENTS = 64
_TINY = 1e-37


@dataclass(frozen=True)
class MixtureInnovations(Battery):
    """Component drawn from the responsibilities, then whitened: c ~ w and z ~ N(0, I) independent of c, exactly if X is right.

    It sees what projections hide: a correlation inside components, a mode that is missing, one that is too wide. The noise with
    which the component is drawn is the judge's own.
    """

    directions: int = 4
    name: ClassVar[str] = "mixture innovations"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Mixed)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        mixture = law.output_law
        assert isinstance(mixture, Mixed)
        count, dim = len(mixture.weights), mixture.dim
        fixed = unit_directions(self.directions if dim > 1 else 0, dim, generator)
        each = [f"component {c}" for c in range(count)] if 1 < count <= _MOST_COMPONENTS else []
        shares = Shares([f"component {c}" for c in range(count)], mixture.weights)
        coordinates = Tally([f"coordinate {i}" for i in range(dim)], "normal", relation="independent")
        norm = Tally(["all components"], "chi2", freedom=dim, relation="independent")
        by_component, norms = Tally(each, "normal", relation="disjoint"), Tally(each, "chi2", freedom=dim, relation="disjoint")
        along = Tally([f"direction {i}" for i in range(len(fixed))], "normal", relation="dependent")
        vectors = Vectors(dim)
        if dim == 1 and count == 1:
            coordinates.measures = THE_DRAW

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            label, z = mixture.decompose(draws, noise.random(int(draws.shape[0])))
            squared = namespace(z).sum(z * z, axis=1)
            if count > 1:
                shares.add(np.bincount(to_numpy(label), minlength=count), int(label.shape[0]))
            for i in range(dim):
                coordinates.add(i, z[:, i])
            norm.add(0, squared)
            vectors.add(z)
            for i, v in enumerate(fixed):
                along.add(i, z @ like(v, z))
            for c in range(len(each)):
                here = label == c
                by_component.add(c, rows_where(z, here))
                norms.add(c, rows_where(squared, here))

        summaries: dict[str, Summary] = {
            # The share of a single component is 1 whatever the sampler does.
            **({"components": shares} if count > 1 else {}),
            "coordinates": coordinates, "squared norm": norm, "vectors": vectors, "directions": along,
        }  # fmt: skip
        if each:
            summaries |= {"coordinates by component": by_component, "squared norm by component": norms}
        return Evidence(Origin(self, law, generator), summaries, update)


@dataclass(frozen=True)
class Rosenblatt(Battery):
    """u_i = F(x_i | x_1..x_{i-1}) are independent uniforms (Rosenblatt 1952): no noise of the judge's is needed."""

    name: ClassVar[str] = "Rosenblatt transform"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Transformed)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        output = law.output_law
        assert isinstance(output, Transformed)
        coordinates = Tally([f"coordinate {i}" for i in range(output.dim)], "uniform", relation="independent")
        # Fisher's sum of -2 log u is chi-square too, of either tail.
        low = Tally(["all"], "chi2", freedom=2 * output.dim, relation="independent")
        high = Tally(["all"], "chi2", freedom=2 * output.dim, relation="independent")

        if output.dim == 1:
            for tally in (coordinates, low, high):
                tally.measures = THE_DRAW

        def update(sample: Array, noise: np.random.Generator) -> None:
            u = output.rosenblatt(double(law.output(sample)))
            xp = namespace(u)
            for i in range(output.dim):
                coordinates.add(i, u[:, i])
            for tally, tail in ((low, u), (high, 1.0 - u)):
                tally.add(0, -2.0 * xp.sum(xp.log(clip(tail, _TINY, 1.0)), axis=1))

        return Evidence(Origin(self, law, generator), {"transforms": coordinates, "lower tails": low, "upper tails": high}, update)
