"""A distribution on the line of which only the distribution function is known."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array, is_array, like, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Law, Projections

_LEVELS = np.arange(1, 10) / 10
# The square of this is still a number in single precision.
_REACH = 1e17
_HALVINGS = 64
# If a distribution function rises by more than this between neighbouring numbers, there is an atom between them.
_ATOM = 1e-3
# A distribution function in single precision may be wrong by this much at 0 and 1.
_ROUNDING = 1e-5
# Rounding in single precision may carry a draw beyond an end of the support by this share of the end.
_EDGE = 1e-6
# Single precision is too coarse for a law that puts more mass than this between neighbouring numbers.
_COARSE = 1e-3


class UnivariateLaw(Law):
    """The law of a continuous random number X. A sample has shape (n, 1), and F(X) is uniform.

    Args:
        cdf: ``cdf(t)`` -> P(X <= t), a function of numpy arrays, (n,) -> (n,). It is called with points inside the support only.
        support: the ends of the support. Outside, the probability is 0 or 1.
        name: the name of the law in certificates.

    Raises:
        BadInput: if ``cdf`` raises, does not return probabilities, does not rise from 0 to 1, or jumps. A jump is an atom, whose
            draws coincide, and F(X) is not uniform then.

    >>> law = UnivariateLaw(lambda t: 1.0 - np.exp(-t), support=(0.0, np.inf), name="exponential")
    >>> law.cdf(np.array([-1.0, np.log(2.0)]))
    array([0. , 0.5])
    """

    atomless = True
    portable = True

    def __init__(
        self, cdf: Callable[[np.ndarray], object], *, support: tuple[float, float] = (-math.inf, math.inf), name: str = "univariate"
    ) -> None:
        if not callable(cdf):
            raise BadInput(f"cdf must be a function, (n,) -> (n,); got {type(cdf).__name__}")
        low, high = (float(end) for end in support)
        if not low < high:
            raise BadInput(f"support must be two ends, the lower one first; got {support}")
        self._cdf, self.support, self.name = cdf, (low, high), name
        self.deciles = self._inverted(_LEVELS)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (1,)

    def describe(self) -> dict[str, object]:
        deciles = [float(f"{q:.6g}") for q in self.deciles]
        return {"kind": "UnivariateLaw", "dim": 1, "name": self.name, "deciles": deciles}

    def cdf(self, t: Array) -> Array:
        """P(X <= t), with the shape and the kind of array of t, computed on the host."""
        host = np.asarray(to_numpy(t) if is_array(t) else t, dtype=np.float64)
        values = self._values(host.reshape(-1)).reshape(host.shape)
        return like(values, t) if is_array(t) else values

    @property
    def limited(self) -> bool:
        return bool(np.isfinite(self.support).any())

    def inside(self, x: Array) -> np.ndarray:
        """Which draws (n, 1) lie in the support, (n,), up to rounding of its ends in single precision."""
        slack = [_EDGE * abs(end) if math.isfinite(end) else 0.0 for end in self.support]
        t = np.asarray(to_numpy(x), dtype=np.float64)[:, 0]
        return (t >= self.support[0] - slack[0]) & (t <= self.support[1] + slack[1])

    def accept(self, sample: object, n: int) -> Array:
        """See :meth:`Law.accept`. Single precision is refused if it puts too much of the mass on a single number."""
        array: Array = super().accept(sample, n)
        if str(array.dtype).removeprefix("torch.") == "float32" and self.coarseness > _COARSE:
            raise InvalidSample(
                f"too few digits to judge {self.name}: the law puts {self.coarseness:.2g} of its mass between neighbouring numbers "
                "of float32; return float64"
            )
        return array

    @functools.cached_property
    def coarseness(self) -> float:
        """The largest mass between neighbouring numbers of single precision, at the deciles, the ends of the support, and zero."""
        places = np.array([*self.deciles, *(end for end in self.support if math.isfinite(end)), 0.0])
        with np.errstate(over="ignore"):
            near = places[np.abs(places) < np.finfo(np.float32).max].astype(np.float32)
        cell = np.maximum(np.spacing(np.abs(near)), np.finfo(np.float32).tiny).astype(np.float64)
        return float(np.max(self._values(near + cell) - self._values(near - cell)))

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The only coordinate; see :class:`.base.Projected`."""
        # The values stay on the host, where they are computed: JAX would compile their histogram for every size of a batch.
        return Projections(["coordinate 0"], lambda x: [self.cdf(to_numpy(x)[:, 0])], whole=True)

    def _values(self, t: np.ndarray) -> np.ndarray:
        low, high = self.support
        values, inside = np.where(t >= high, 1.0, 0.0), (t > low) & (t < high)
        if not inside.any():
            return values
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(self._cdf(t[inside]), dtype=np.float64)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the cdf of {self.name} raised {type(error).__name__}: {error}") from error
        if found.shape != (int(inside.sum()),) or not np.all((found >= -_ROUNDING) & (found <= 1.0 + _ROUNDING)):
            raise BadInput(f"the cdf of {self.name} must turn (n,) numbers into (n,) probabilities in [0, 1]")
        values[inside] = np.clip(found, 0.0, 1.0)
        return values

    def _inverted(self, levels: np.ndarray) -> np.ndarray:
        """Find quantiles by bisection, down to neighbouring numbers. This also shows whether the cdf is continuous."""
        below, above = (np.full(len(levels), _rank(np.clip(end, -_REACH, _REACH))) for end in self.support)
        for _ in range(_HALVINGS):
            middle = (below & above) + ((below ^ above) >> 1)
            short = self._values(_number(middle)) < levels
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        low, high = _number(below), _number(above)
        if not np.all((self._values(low) <= levels) & (self._values(high) >= levels)):
            raise BadInput(f"the cdf of {self.name} does not rise from 0 to 1 over its support {self.support}")
        if np.any(self._values(high) - self._values(low) > _ATOM):
            place = float(high[np.argmax(self._values(high) - self._values(low))])
            raise BadInput(
                f"the cdf of {self.name} jumps at {place:.6g}: the law is discrete there, or on a scale that doubles do not "
                "resolve; only continuous laws turn into uniforms. Compare samplers instead: exactness.compare"
            )
        return high


def _rank(x: np.ndarray | float) -> np.ndarray:
    """The place of each double among all doubles. Neighbouring numbers have neighbouring places."""
    bits = np.asarray(x, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, -(bits & _MAGNITUDE), bits)


def _number(rank: np.ndarray) -> np.ndarray:
    """The double at a place: the inverse of ``_rank``."""
    return np.where(rank < 0, -np.abs(rank).view(np.float64), np.abs(rank).view(np.float64))


_MAGNITUDE = np.int64((1 << 63) - 1)
