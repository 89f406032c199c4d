"""Products of one-dimensional laws, also rotated: independent under the target, coupled by a speculation's acceptance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from ..arrays import Array, double, to_numpy
from ..errors import BadInput
from .base import Law, Projections, unit_directions
from .grids import GridLaw
from .univariate import UnivariateLaw


class ProductLaw(Law):
    """X = rotation @ Y with independent Y_i of laws ``factors``.

    Args:
        factors: d one-dimensional laws.
        rotation: (d, d) orthogonal, columns the axes; the identity if left out.

    The joint law is tested, not only its margins: Phi^{-1}(F_i(Y_i)) are independent standard normals, so their sum along any
    direction is normal too, and fails to be where coordinates depend on each other.
    """

    atomless = True

    def __init__(self, factors: Sequence[GridLaw | UnivariateLaw], rotation: object | None = None) -> None:
        self.factors = tuple(factors)
        self.dim = len(self.factors)
        if self.dim == 0:
            raise BadInput("a product needs at least one factor")
        self.rotation = np.eye(self.dim) if rotation is None else np.asarray(rotation, dtype=np.float64)
        if self.rotation.shape != (self.dim, self.dim):
            raise BadInput(f"rotation must have shape {(self.dim, self.dim)}; got {self.rotation.shape}")
        if not np.allclose(self.rotation.T @ self.rotation, np.eye(self.dim), atol=1e-10):
            raise BadInput("rotation must be orthogonal: its columns are the axes along which the factors live")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    def describe(self) -> dict[str, object]:
        rotation = hashlib.sha256(np.round(self.rotation, 12).tobytes()).hexdigest()
        return {"kind": "ProductLaw", "dim": self.dim, "factors": [f.describe() for f in self.factors], "rotation_sha256": rotation}

    def transform(self, x: Array) -> np.ndarray:
        """Probability integral transforms along the axes, (n, d) -> (n, d), on the host."""
        y = to_numpy(double(x)) @ self.rotation
        return np.stack([f.cdf(y[:, i]) for i, f in enumerate(self.factors)], axis=1)

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        directions = unit_directions(random if self.dim > 1 else 0, self.dim, generator)
        names = [f"axis {i}" for i in range(self.dim)] + [f"joint direction {i}" for i in range(len(directions))]

        def transform(x: Array) -> list[Array]:
            u = self.transform(x)
            # The ends are cut where the grids are: 1e-12 of mass, far below anything a histogram's cells see.
            joint = ndtr(ndtri(np.clip(u, 1e-12, 1.0 - 1e-12)) @ directions.T)
            return [*u.T, *joint.T]

        return Projections(names, transform)
