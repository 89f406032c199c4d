"""A law that is known by its conditional distribution functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from ..arrays import Array, double, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Law, OnSurface, Projected, Projections, Supported, Transformed, unit_directions

# As many draws show whether single precision holds the noise.
_SOME = 64
# If rounding moves the uniforms by more than this on average, a right sampler may be refuted.
_COARSE = 1e-3
_ROUNDING = 1e-6


class RosenblattLaw(Law):
    """The law of a random array X that its conditional distribution functions turn into independent uniforms.

    Args:
        rosenblatt: the transformation (n, *shape) -> (n, m) of numpy arrays in double precision. Under the law, the m columns
            are independent and uniform on [0, 1]. Column i usually is P(X_i <= x_i | X_1..X_{i-1}).
        shape: the shape of one draw, or its length d.
        dim: m, the number of uniforms. The default is the number of entries of a draw; it is smaller if draws lie on a surface.
        inside: ``inside(x)`` -> (n,) booleans, which draws lie in the support. The transformation sees only these; a draw outside
            counts as zeros.
        varying: the entries of a flattened draw that are continuous under the law, among which repeated draws are looked for. The
            default is all of them, or none if ``dim`` is smaller than their number.
        name: the name of the law in certificates.
        facts: what else identifies the law, such as parameters (JSON types).

    Source: M. Rosenblatt, Remarks on a multivariate transformation, 1952.

    Raises:
        BadInput: if an argument cannot be used; and while draws are judged, if ``rosenblatt`` raises or does not return
            probabilities of this shape.

    >>> import numpy as np
    >>> import exactness as ex
    >>> def transform(x):  # X_1 is exponential, and X_2 is exponential with mean X_1
    ...     return -np.expm1(-np.stack([x[:, 0], x[:, 1] / x[:, 0]], axis=1))
    >>> law = ex.RosenblattLaw(transform, shape=2, inside=lambda x: (x > 0).all(axis=1), name="exponential of exponential")
    >>> def sample(n, seed):
    ...     e = np.random.default_rng(seed).exponential(size=(n, 2))
    ...     return np.stack([e[:, 0], e[:, 0] * e[:, 1]], axis=1)
    >>> ex.certify(sample, law, plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """

    atomless = True
    portable = True

    def __init__(
        self,
        rosenblatt: Callable[[np.ndarray], object],
        *,
        shape: int | Sequence[int],
        dim: int | None = None,
        inside: Callable[[np.ndarray], object] | None = None,
        varying: Sequence[int] | np.ndarray | None = None,
        name: str = "conditional distribution functions",
        facts: dict[str, object] | None = None,
    ) -> None:
        if not callable(rosenblatt):
            raise BadInput(f"rosenblatt must be a function, (n, d) -> (n, m) uniforms; got {type(rosenblatt).__name__}")
        self._shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if not self._shape or not all(isinstance(s, (int, np.integer)) and s > 0 for s in self._shape):
            raise BadInput(f"shape must be the length of a draw, or its shape; got {shape!r:.60}")
        self.dim = math.prod(self._shape) if dim is None else int(dim)
        if self.dim < 1:
            raise BadInput(f"dim is the number of uniforms that a draw turns into, at least 1; got {dim}")
        size = math.prod(self._shape)
        self.varying = np.asarray(varying if varying is not None else range(size if self.dim == size else 0), dtype=np.int64)
        self._rosenblatt, self._inside, self.name, self.facts = rosenblatt, inside, name, dict(facts or {})

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self._shape

    def describe(self) -> dict[str, object]:
        facts = {"facts": self.facts} if self.facts else {}
        return {"kind": "RosenblattLaw", "name": self.name, "shape": list(self._shape), "uniforms": self.dim, **facts}

    def accept(self, sample: object, n: int) -> Array:
        """See :meth:`Law.accept`. Draws in single precision are refused if rounding them moves the uniforms by too much."""
        array: Array = super().accept(sample, n)
        if str(array.dtype).removeprefix("torch.") == "float32" and n:
            moved = self._moved_by_rounding(to_numpy(double(array[:_SOME])))
            if moved > _COARSE:
                raise InvalidSample(
                    f"too few digits to judge {self.name}: rounding in float32 moves the probabilities of these draws by "
                    f"{moved:.2g} on average; return float64"
                )
        return array

    @property
    def limited(self) -> bool:
        return self._inside is not None

    def inside(self, x: Array) -> np.ndarray:
        """Which draws lie in the support, (n, *shape) -> (n,)."""
        host = self._host(x)
        if self._inside is None:
            return np.ones(len(host), dtype=bool)
        return np.asarray(self._inside(host), dtype=bool)

    def rosenblatt(self, x: Array) -> np.ndarray:
        """The uniforms of draws, (n, *shape) -> (n, dim), on the host; see :class:`.base.Transformed`."""
        host, here = self._host(x), self.inside(x)
        u = np.zeros((len(host), self.dim))
        if here.any():
            u[here] = self._uniforms(host[here])
        return u

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """Random directions in the joint normal scores, or the only uniform; see :class:`.base.Projected`.

        The uniforms are normal scores after Phi^{-1}. A sum of them along any direction is normal too, unless they depend on
        each other.
        """
        if self.dim == 1:
            return Projections(["coordinate 0"], lambda x: [self.rosenblatt(x)[:, 0]], whole=True)
        directions = unit_directions(random, self.dim, generator)
        return Projections(
            [f"joint direction {i}" for i in range(random)], lambda x: list(joint_uniforms(self.rosenblatt(x), directions).T)
        )

    def _host(self, x: Array) -> np.ndarray:
        host = np.asarray(to_numpy(x), dtype=np.float64)
        return host.reshape(len(host), *self._shape)

    def _uniforms(self, x: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):
                u = np.asarray(self._rosenblatt(x), dtype=np.float64)
        except BadInput:
            raise
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the rosenblatt of {self.name} raised {type(error).__name__}: {error}") from error
        if u.shape != (len(x), self.dim):
            raise BadInput(f"the rosenblatt of {self.name} must turn {x.shape} into {(len(x), self.dim)}; it gave {u.shape}")
        if not np.all((u >= -_ROUNDING) & (u <= 1.0 + _ROUNDING)):
            raise BadInput(f"the rosenblatt of {self.name} must return probabilities in [0, 1]; for some draws it does not")
        return np.clip(u, 0.0, 1.0)

    def _moved_by_rounding(self, x: np.ndarray) -> float:
        """The largest mean movement over the uniforms, if entries move by half a unit in the last place of single precision."""
        x = x[self.inside(x)]
        if not len(x):
            return 0.0
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=x.shape)
        nudged = x + signs * 0.5 * np.spacing(np.abs(x).astype(np.float32)).astype(np.float64)
        both = self.inside(nudged)
        if not both.any():
            return 0.0
        return float(np.abs(self._uniforms(x[both]) - self._uniforms(nudged[both])).mean(axis=0).max())


def joint_uniforms(u: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Uniforms of sums of the normal scores along unit directions: (n, d) and (m, d) -> (n, m).

    The ends are cut at a mass of 1e-12, as those of the grids are. No cell of a histogram sees so small a mass.
    """
    return ndtr(ndtri(np.clip(u, 1e-12, 1.0 - 1e-12)) @ directions.T)


def uniforms_of(law: Law) -> Callable[[np.ndarray], np.ndarray]:
    """The function that turns draws of a law into independent uniforms, (n, *shape) -> (n, m).

    Raises:
        BadInput: if the law knows none.
    """
    if isinstance(law, Transformed):
        return lambda x: np.asarray(to_numpy(law.rosenblatt(x)))
    if isinstance(law, Projected):
        # Without random directions these are the axes of a product, or a single number.
        transform = law.projections(0, np.random.default_rng(0)).transform
        return lambda x: np.stack([to_numpy(u) for u in transform(x)], axis=1)
    raise BadInput(f"{type(law).__name__} knows no conditional distribution functions")


def joined(laws: Sequence[Law], *, name: str) -> RosenblattLaw:
    """The law of independent draws of several laws, flattened and written one after the other.

    >>> from exactness.laws import UnivariateLaw
    >>> law = joined([UnivariateLaw(ndtr), UnivariateLaw(ndtr)], name="two normals")
    >>> law.rosenblatt(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """
    shapes = [law.event_shape for law in laws]
    ends = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    parts = [uniforms_of(law) for law in laws]

    def split(x: np.ndarray) -> list[np.ndarray]:
        return [x[:, a:b].reshape(-1, *s) for a, b, s in zip(ends, ends[1:], shapes, strict=False)]

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        return np.concatenate([part(v) for part, v in zip(parts, split(x), strict=True)], axis=1)

    def inside(x: np.ndarray) -> np.ndarray:
        checks = [law.inside(v) for law, v in zip(laws, split(x), strict=True) if isinstance(law, Supported)]
        return np.logical_and.reduce(checks)

    free = [law.varying if isinstance(law, OnSurface) else np.arange(math.prod(law.event_shape)) for law in laws]
    varying = np.concatenate([end + places for end, places in zip(ends, free, strict=False)])
    dim = sum(law.dim if isinstance(law, Transformed) else math.prod(law.event_shape) for law in laws)
    facts: dict[str, object] = {"factors": [law.describe() for law in laws]}
    limits = inside if any(isinstance(law, Supported) and law.limited for law in laws) else None
    return RosenblattLaw(rosenblatt, shape=int(ends[-1]), dim=dim, inside=limits, varying=varying, name=name, facts=facts)
