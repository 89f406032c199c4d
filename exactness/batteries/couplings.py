"""Tests of both ends of a coupling, with and without rejection. At every n and in every dimension they are exact or conservative.

Tests of the target's end alone cannot see a draft of another law. Tests along the difference of the means alone cannot see an
orthogonal part that was redrawn where it must be kept, or kept where it must be redrawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, dot, like, namespace, ndtr, normal_scores
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import RankedDependence
from ..evidence.summaries import Points, Products, Repeats, Shares, Summary, Tally, Vectors
from ..laws.base import Law, frame
from ..laws.couplings import GaussianCoupling

# Up to this many dimensions, every pair of coordinates is tested. Beyond, pairs of as many random orthogonal directions are.
_MOST_COORDINATES = 64
_ALONG, _ACROSS = "along the means' difference", "orthogonal"


@dataclass(frozen=True)
class Couplings(Battery):
    """Tests of a coupling: its margins, the share of accepted drafts, both ends given rejection, and how these two ends depend.

    Applies to :class:`exactness.GaussianCoupling`. Given rejection, the coordinates of the draft and of the target along the
    difference of the means are turned into normals by their own distribution functions, so that each end is N(0, I) again. The
    sampler decides how many draws are rejected. A p-value holds given that number. A bound counts all draws, including those in
    which such a row has no value, so these rows have no bounds.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.GaussianCoupling([1.0, 0.0], [0.0, 0.0], sigma=1.0)
    >>> def never_rejects(n, seed):
    ...     draft = np.random.default_rng(seed).standard_normal((n, 2))
    ...     return np.stack([draft, draft], axis=1)
    >>> ex.certify(never_rejects, law, batteries=[batteries.Couplings()]).verdict.value
    'refuted'
    """

    name: ClassVar[str] = "couplings"

    def applies(self, law: Law) -> bool:
        return isinstance(law, GaussianCoupling)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, GaussianCoupling)
        ends, dim = ("target", "draft"), law.dim
        rows = [_ALONG, _ACROSS] if dim > 1 else [_ALONG]
        thin = _thinner(dim, generator)
        margins = {"draft": _Margin(rows, dim, thin)}
        # Below weight 1, the target's end is Gaussian orthogonally to the difference of the means, but not along it.
        if law.weight == 1.0:
            margins["target"] = _Margin(rows, dim, thin)
        elif dim > 1:
            margins["target"] = _Margin(rows[1:], dim - 1, _thinner(dim - 1, generator))
        share = Shares(["X = Y"], [law.acceptance])
        # The rows come from the same draws, but they have no bounds: see the class.
        rejected = Tally([f"{end}, {row}" for end in ends for row in rows], "normal", relation="disjoint")
        summaries: dict[str, Summary] = {"accepted drafts": share, "given rejection": rejected}
        for end, margin in margins.items():
            summaries |= {f"{end}, {name}": summary for name, summary in margin.summaries.items()}
        together, points = Vectors(2 * min(dim, _MOST_COORDINATES)), Points()
        apart = [Vectors(min(dim, _MOST_COORDINATES)) for _ in ends]
        products = Products([_ALONG, "sizes along", _ACROSS])
        if law.kind == "gamma":
            summaries |= {"vectors of both given rejection": together, "products given rejection": products}
        else:
            summaries |= {f"vectors of the {end} given rejection": v for end, v in zip(ends, apart, strict=True)}
        if law.kind == "reflection":
            summaries["reflection"] = points
        # The draft of a draw is continuous. The target may equal it.
        names, repeats = [f"{what} of the {end}" for end in ends for what in (_ALONG, "length")], Repeats(range(dim, 2 * dim))
        dependence = RankedDependence(names, repeats)
        summaries |= dependence.summaries()

        def update(sample: Array, noise: np.random.Generator) -> None:
            x, y = law.noise(sample)
            if not repeats.silent:
                repeats.add(sample)
            if not dependence.silent:
                dependence.add(namespace(x).stack([x[:, 0], dot(x, x), y[:, 0], dot(y, y)], axis=1), noise)
            margins["draft"].add(y)
            if "target" in margins:
                margins["target"].add(x if law.weight == 1.0 else x[:, 1:])
            accepted = law.accepted(sample)
            xp, n = namespace(x), int(x.shape[0])
            share.add(np.array([int(xp.count_nonzero(accepted))]), n)
            x, y = x[~accepted], y[~accepted]
            if not int(x.shape[0]):
                return
            if law.kind == "reflection":
                points.add(law.mismatch(x, y), sample.dtype)
            x, y = law.noise_given_rejection(x, y)
            for i, z in enumerate((x, y)):
                rejected.add(i * len(rows), z[:, 0])
                if dim > 1:
                    rejected.add(i * len(rows) + 1, z[:, 1:])
            if law.kind == "gamma":
                together.add(xp.concat([thin(x), thin(y)], axis=1))
                for row, (left, right) in enumerate(((x[:, 0], y[:, 0]), (_size(x[:, 0]), _size(y[:, 0])), (x[:, 1:], y[:, 1:]))):
                    products.add(row, left, right)
            else:
                for vectors, z in zip(apart, (x, y), strict=True):
                    vectors.add(thin(z))

        return Evidence(Origin(self, law, generator), summaries, update)


class _Margin:
    """The summaries of one end over all draws: vectors of ``dim`` entries, N(0, I) under the law, in rows of coordinates."""

    def __init__(self, rows: list[str], dim: int, thin: Callable[[Array], Array]) -> None:
        self._thin = thin
        self._coordinates = Tally(rows, "normal", relation="independent")
        self._norm = Tally(["all"], "chi2", freedom=dim, relation="independent")
        self._vectors = Vectors(min(dim, _MOST_COORDINATES))
        self.summaries: dict[str, Summary] = {
            "coordinates": self._coordinates, "squared norm": self._norm, "vectors": self._vectors
        }  # fmt: skip

    def add(self, z: Array) -> None:
        """Add vectors of shape (n, dim)."""
        if len(self._coordinates.rows) == 1:
            self._coordinates.add(0, z)
        else:
            self._coordinates.add(0, z[:, 0])
            self._coordinates.add(1, z[:, 1:])
        self._norm.add(0, namespace(z).sum(z * z, axis=1))
        self._vectors.add(self._thin(z))


def _thinner(dim: int, generator: np.random.Generator) -> Callable[[Array], Array]:
    """A function that projects (n, dim) on at most ``_MOST_COORDINATES`` orthonormal directions."""
    if dim <= _MOST_COORDINATES:
        return lambda z: z
    axes = frame(_MOST_COORDINATES, dim, generator)
    return lambda z: z @ like(axes, z)


def _size(z: Array) -> Array:
    """|z| of a standard normal z, turned into a standard normal: uncorrelated normals may still depend on each other in size."""
    return normal_scores(2.0 * ndtr(namespace(z).abs(z)) - 1.0)
