"""Tests of the noise behind single draws, by components or by conditional distribution functions.

The tests are exact at every n and in every dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, clip, double, like, namespace, normal_scores, rows_where, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import Dependence, labels_as_normals
from ..evidence.summaries import COMPONENT_NOISE, THE_DRAW, Repeats, Shares, Summary, Tally, Vectors
from ..laws.base import Law, Mixed, OnSurface, Transformed, frame, unit_directions

# With more components than this, only all of them together are tested.
_MOST_COMPONENTS = 64
# Up to this many dimensions, every pair of coordinates is tested. Beyond, as many random orthogonal directions are.
_MOST_COORDINATES = 256
_TINY = 1e-37


@dataclass(frozen=True)
class MixtureInnovations(Battery):
    """Tests the component and the whitened noise behind each draw of a Gaussian mixture.

    The judge draws the component c of a draw from the responsibilities, with noise of its own, and whitens the draw to z. The
    sampler is right exactly if c has the mixture's weights and z ~ N(0, I) is independent of c. The battery sees what projections
    hide: a correlation inside components, a missing mode, or a mode that is too wide. Applies to a law that is a mixture, such as
    :class:`exactness.GaussianMixture`.

    Up to 256 dimensions, z is tested in every pair of coordinates. Beyond, the pairs are those of 256 random orthogonal directions,
    so that the work per draw grows with d and not with its square. A correlation of two coordinates alone is then hardly seen by
    these pairs, and one that many coordinates share is.

    Args:
        directions: the number of fixed random directions along which z is tested. It does not matter in one dimension.

    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianMixture([0.3, 0.7], [[2.0, 0.0], [-1.0, 0.0]], [0.1, 0.2])
    >>> other = ex.GaussianMixture([0.4, 0.6], [[2.0, 0.0], [-1.0, 0.0]], [0.1, 0.2])
    >>> plan, chosen = ex.Plan(tolerance=0.1), [batteries.MixtureInnovations()]
    >>> ex.certify(law.sample, law, plan=plan, batteries=chosen).verdict.value
    'certified'
    >>> judged = ex.certify(other.sample, law, plan=plan, batteries=chosen)
    >>> judged.verdict.value, judged.leading.name
    ('refuted', 'mixture innovations: components, share, worst row')
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
        axes = frame(_MOST_COORDINATES, dim, generator) if dim > _MOST_COORDINATES else None
        vectors = Vectors(min(dim, _MOST_COORDINATES))
        # Components depend on each other as easily as the noise within them: think of draws that are sorted by component.
        dependence = Dependence(dim + (count > 1), generator, repeats=Repeats(range(dim)) if law.atomless else None)
        # The mean and the variance of each coordinate are those of the vectors.
        coordinates.measures = vectors.measures = THE_DRAW if dim == count == 1 else COMPONENT_NOISE

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            label, z = mixture.decompose(draws, noise.random(int(draws.shape[0])))
            dependence.add(z if count == 1 else labels_as_normals(label, z, mixture.weights, noise), noise, draws)
            squared = namespace(z).sum(z * z, axis=1)
            if count > 1:
                shares.add(np.bincount(to_numpy(label), minlength=count), int(label.shape[0]))
            coordinates.add(range(dim), namespace(z).stack([z[:, i] for i in range(dim)]))
            norm.add(0, squared)
            vectors.add(z if axes is None else z @ like(axes, z))
            if len(fixed):
                along.add(range(len(fixed)), namespace(z).stack([z @ like(v, z) for v in fixed]))
            for c in range(len(each)):
                here = label == c
                by_component.add(c, rows_where(z, here))
                norms.add(c, rows_where(squared, here))

        summaries: dict[str, Summary] = {
            # A single component has the share 1, whatever the sampler does.
            **({"components": shares} if count > 1 else {}),
            "coordinates": coordinates, "squared norm": norm, "vectors": vectors, "directions": along,
        }  # fmt: skip
        if each:
            summaries |= {"coordinates by component": by_component, "squared norm by component": norms}
        return Evidence(Origin(self, law, generator), {**summaries, **dependence.summaries()}, update)


@dataclass(frozen=True)
class Rosenblatt(Battery):
    """Tests that u_i = F(x_i | x_1..x_{i-1}) are independent uniforms. The judge needs no noise of its own.

    Applies to a law that knows its conditional distribution functions, such as :class:`exactness.GaussianMixture`.
    Source: M. Rosenblatt, Remarks on a multivariate transformation, 1952.

    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianMixture([0.5, 0.5], [[0.0], [3.0]], [1.0, 1.0])
    >>> plan, chosen = ex.Plan(tolerance=0.1), [batteries.Rosenblatt()]
    >>> ex.certify(law.sample, law, plan=plan, batteries=chosen).verdict.value
    'certified'
    >>> ex.certify(lambda n, seed: law.sample(n, seed) + 0.3, law, plan=plan, batteries=chosen).verdict.value
    'refuted'
    """

    name: ClassVar[str] = "Rosenblatt transform"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Transformed)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        output = law.output_law
        assert isinstance(output, Transformed)
        coordinates = Tally([f"coordinate {i}" for i in range(output.dim)], "uniform", relation="independent")
        # Fisher's sum of -2 log u is chi-square distributed, for either tail.
        low = Tally(["all"], "chi2", freedom=2 * output.dim, relation="independent")
        high = Tally(["all"], "chi2", freedom=2 * output.dim, relation="independent")

        # On a surface, some entries are constant, and some follow from others.
        places = output.varying if isinstance(output, OnSurface) else range(output.dim)
        repeats = Repeats(places, free=min(output.dim, len(places))) if law.atomless else None
        dependence = Dependence(output.dim, generator, repeats=repeats)
        if output.dim == 1:
            for tally in (coordinates, low, high):
                tally.measures = THE_DRAW
        elif isinstance(output, Mixed) and len(output.weights) == 1:
            # The transform of a whitened coordinate is its conditional distribution function.
            coordinates.measures = COMPONENT_NOISE

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            u = output.rosenblatt(double(draws))
            dependence.add(normal_scores(u), noise, draws)
            xp = namespace(u)
            coordinates.add(range(output.dim), u.T)
            for tally, tail in ((low, u), (high, 1.0 - u)):
                tally.add(0, -2.0 * xp.sum(xp.log(clip(tail, _TINY, 1.0)), axis=1))

        summaries: dict[str, Summary] = {"transforms": coordinates, "lower tails": low, "upper tails": high}
        return Evidence(Origin(self, law, generator), {**summaries, **dependence.summaries()}, update)
