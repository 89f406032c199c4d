"""Products of one-dimensional laws, possibly rotated.

The coordinates are independent under the target, but the acceptance decisions of speculative sampling couple them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ..arrays import Array, double, to_numpy
from ..errors import BadInput
from .base import Law, Projections, Supported, unit_directions
from .grids import GridLaw
from .rosenblatt import joint_uniforms
from .univariate import UnivariateLaw


class ProductLaw(Law):
    """The law of X = rotation @ Y, where the Y_i are independent and follow the ``factors``.

    Args:
        factors: d one-dimensional laws.
        rotation: an orthogonal matrix (d, d) whose columns are the axes. The default is the identity.

    The joint law is tested, not only its margins. Under the law, Phi^{-1}(F_i(Y_i)) are independent standard normals, so their
    sum along any direction is normal too. It is not normal if the coordinates depend on each other.

    Raises:
        BadInput: if there are no factors, or the rotation is not orthogonal.

    >>> from exactness.laws import UnivariateLaw
    >>> exponential = UnivariateLaw(lambda t: 1.0 - np.exp(-t), support=(0.0, np.inf), name="exponential")
    >>> law = ProductLaw([exponential, exponential])
    >>> law.transform(np.log([[2.0, 4.0]]))
    array([[0.5 , 0.75]])
    """

    atomless = True
    portable = True

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

    @property
    def limited(self) -> bool:
        return any(isinstance(f, Supported) and f.limited for f in self.factors)

    def inside(self, x: Array) -> np.ndarray:
        """Which draws lie in the support, (n, d) -> (n,); see :class:`.base.Supported`."""
        y = to_numpy(double(x)) @ self.rotation
        checks = [f.inside(y[:, i : i + 1]) for i, f in enumerate(self.factors) if isinstance(f, Supported) and f.limited]
        return np.logical_and.reduce([np.ones(len(y), dtype=bool), *checks])

    def transform(self, x: Array) -> np.ndarray:
        """The probability integral transforms along the axes, (n, d) -> (n, d), computed on the host."""
        y = to_numpy(double(x)) @ self.rotation
        return np.stack([f.cdf(y[:, i]) for i, f in enumerate(self.factors)], axis=1)

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The axes, and ``random`` directions in the joint normal scores; see :class:`.base.Projected`."""
        directions = unit_directions(random if self.dim > 1 else 0, self.dim, generator)
        names = [f"axis {i}" for i in range(self.dim)] + [f"joint direction {i}" for i in range(len(directions))]

        def transform(x: Array) -> list[Array]:
            u = self.transform(x)
            return [*u.T, *joint_uniforms(u, directions).T]

        return Projections(names, transform)
