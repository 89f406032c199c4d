"""Tests against a trusted sampler, by paired differences of features and by distribution functions of projections.

Each draw X_i is paired with a draw Y_i of the trusted sampler. If both have the same law, every difference f(X_i) - f(Y_i) is
symmetric about zero, whatever f is. So the mean of the differences has a finite-sample tail bound
(:class:`exactness.evidence.nulls.SymmetricMean`) that holds at 1e-9, however heavy the tails of the features are. Only sums are
kept, and no permutations are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, double, histogram, like, namespace, to_numpy
from ..errors import BadInput
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import RankedDependence
from ..evidence.summaries import Differences, PairTally, RepeatsOfBoth, Summary
from ..evidence.summaries.permuted import Permuted
from ..laws.base import Discrete, Drawable, Law, Transformed, frame
from .reference import exact_draws, side_by_side

_PILOT = 512
# In more dimensions than this, as many random orthogonal directions are tested instead of the coordinates.
_MOST_DIMENSIONS = 16
_CELLS = 128
# Of as many coordinates or directions, dependence between draws is looked at.
_MOST_RANKED = 4


@dataclass(frozen=True)
class TwoSample(Battery):
    """Compares draws with those of a trusted sampler, or with exact draws of a law that can do nothing but draw.

    The tests compare means, second moments, characteristic functions at three bandwidths, and distribution functions along
    projections. Everything is scaled by a pilot sample of the trusted sampler, which is not used again. Applies to a law that can
    draw, unless it knows its conditional distribution functions or its probabilities.
    Source: Chwialkowski et al., Fast two-sample testing with analytic representations of probability measures, 2015, for the
    smooth characteristic functions.

    Args:
        frequencies: the number of random frequencies at each bandwidth: 1/4, 1/2 and 1 times the median distance.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> def dice(n, seed, faces=6):
    ...     return np.random.default_rng(seed).integers(1, faces + 1, (n, 2)).astype(float)
    >>> law = ex.TrustedSampler(dice)
    >>> ex.certify(lambda n, seed: dice(n, seed, 5), law, batteries=[batteries.TwoSample()]).verdict.value
    'refuted'
    """

    frequencies: int = 16
    name: ClassVar[str] = "two-sample"

    def applies(self, law: Law) -> bool:
        # A law that knows its conditional distribution functions, or its probabilities, is judged by them: more draws would only
        # add noise.
        return isinstance(law.output_law, Drawable) and not isinstance(law.output_law, (Discrete, Transformed))

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        view = _View(law.output_law, generator)
        waves = {}
        for factor in (0.25, 0.5, 1.0):
            waves[factor] = generator.standard_normal((view.dim, self.frequencies)) / (factor * view.median)
        i, j = np.triu_indices(view.dim)
        edges = np.quantile(view.pilot, np.arange(1, _CELLS) / _CELLS, axis=0)
        tally = PairTally([f"{view.label} {c}" for c in range(view.dim)], _CELLS)
        means, squares = Differences(view.dim), Differences(len(i))
        fields = {factor: Differences(2 * self.frequencies) for factor in waves}
        ranked = [f"{view.label} {c}" for c in range(min(view.dim, _MOST_RANKED))]
        repeats = RepeatsOfBoth()
        dependence = RankedDependence([*ranked, "distance from the middle"], repeats)
        all_waves = np.concatenate(list(waves.values()), axis=1)

        def update(sample: Array, noise: np.random.Generator) -> None:
            columns = []
            for ours, theirs in side_by_side(view.law, law.output(sample), noise):
                x, y = view(ours), view(theirs)
                if not repeats.silent:
                    repeats.add(to_numpy(ours), to_numpy(theirs))
                if not dependence.silent:
                    seen = to_numpy(x)
                    columns.append(np.column_stack([seen[:, : len(ranked)], (seen**2).sum(axis=1)]))
                tally.add(np.stack([_cells(x, edges), _cells(y, edges)]), int(x.shape[0]))
                means.add(x - y)
                squares.add(x[:, i] * x[:, j] - y[:, i] * y[:, j])
                # Cosines and sines are computed in single precision: f(x) - f(y) stays antisymmetric, and the null distribution
                # needs no more. The angles are computed in double first, so that they do not depend on the size of a batch.
                xp, frequency = namespace(x), like(all_waves, x)
                a, b = (xp.astype(v @ frequency, xp.float32) for v in (x, y))
                cosines, sines = xp.cos(a) - xp.cos(b), xp.sin(a) - xp.sin(b)
                for f, field in enumerate(fields.values()):
                    here = slice(f * self.frequencies, (f + 1) * self.frequencies)
                    field.add(xp.concat([cosines[:, here], sines[:, here]], axis=1))
            if columns:
                dependence.add(np.concatenate(columns), noise)

        summaries: dict[str, Summary] = {"means": means, "second moments": squares}
        summaries |= {f"characteristic function, bandwidth {factor:g} x median": field for factor, field in fields.items()}
        return Evidence(Origin(self, law, generator), {**summaries, "projections": tally, **dependence.summaries()}, update)


@dataclass(frozen=True)
class PermutationTwoSample(Battery):
    """Compares draws with exact ones by the maximum mean discrepancy and the energy distance, with permutation p-values.

    The tests are exact at every n, and judge a bounded reservoir of the draws. Their smallest p-value is 1/(permutations + 1), so
    they cannot refute at a small alpha, and the battery is not among the standard ones. Applies to every law that can draw.
    Sources: Gretton et al., A kernel two-sample test, 2012; Szekely and Rizzo, Testing for equal distributions in high dimension,
    2004; for the p-value: Phipson and Smyth, Permutation p-values should never be zero, 2010.

    Args:
        most: the largest number of pairs of draws that are kept.
        permutations: the number of random relabellings.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
    >>> evidence = batteries.PermutationTwoSample(most=100).start(law, np.random.default_rng(0))
    >>> evidence.update(law.sample(500, seed=1) + 1.0)
    >>> [(result.where, result.n, result.p_value) for result in evidence.results()]
    [('Gaussian kernels', 100, 0.001), ('energy distance', 100, 0.001)]
    """

    most: int = 256
    permutations: int = 999
    name: ClassVar[str] = "two-sample by permutation"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Drawable)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        view = _View(law.output_law, generator)
        kept = Permuted(self.most, self.permutations, view.median, int(generator.integers(1 << 31)))

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            # The choice of the pairs that are kept does not depend on their values.
            keys = noise.random(int(draws.shape[0]))
            for ours, theirs in side_by_side(view.law, draws, noise):
                here, keys = keys[: len(ours)], keys[len(ours) :]
                kept.add(here, to_numpy(view(ours)), to_numpy(view(theirs)))

        return Evidence(Origin(self, law, generator), {f"at most {self.most} pairs": kept}, update)


class _View:
    """A function that scales flat draws (n, D) by a pilot sample and projects them on at most _MOST_DIMENSIONS directions."""

    def __init__(self, law: Law | None, generator: np.random.Generator) -> None:
        assert law is not None
        self.law = law
        pilot, again = (
            to_numpy(double(exact_draws(law, _PILOT, int(generator.integers(1 << 31))))).reshape(_PILOT, -1) for _ in range(2)
        )
        if np.array_equal(pilot, again) and np.ptp(pilot) > 0.0:
            raise BadInput("the trusted sampler gives the same draws for different seeds: derive all its randomness from the seed")
        self._centre = np.median(pilot, axis=0)
        with np.errstate(over="ignore"):
            spread = pilot.std(axis=0)
        if not np.all(np.isfinite(spread)):
            raise BadInput(
                "the trusted sampler's draws are too large to be squared: divide the output of both samplers by the same number"
            )
        # A constant coordinate is not scaled, so that a difference there is seen as it is.
        self._spread = np.where(spread > 1e-12 * (1.0 + np.abs(self._centre)), spread, 1.0)
        size = pilot.shape[1]
        self.label = "coordinate" if size <= _MOST_DIMENSIONS else "direction"
        axes = np.eye(size) if size <= _MOST_DIMENSIONS else frame(_MOST_DIMENSIONS, size, generator)
        self._frame, self.dim = axes / self._spread[:, None], axes.shape[1]
        self.pilot = (pilot - self._centre) @ self._frame
        half = _PILOT // 2
        distances = np.linalg.norm(self.pilot[:half] - self.pilot[half:], axis=1)
        self.median = float(np.median(distances)) or 1.0

    def __call__(self, flat: Array) -> Array:
        return (flat - like(self._centre, flat)) @ like(self._frame, flat)


def _cells(x: Array, edges: np.ndarray) -> np.ndarray:
    """Counts of x (n, columns) in the cells between the edges (cells - 1, columns): one row per column, (columns, cells)."""
    xp, count = namespace(x), len(edges) + 1
    columns, lines = xp.unstack(x, axis=1), like(np.ascontiguousarray(edges.T), x)
    cells = xp.stack([xp.searchsorted(lines[c], columns[c] + 0.0) for c in range(edges.shape[1])])
    return histogram((cells + 0.5) / count, count)
