"""The exact law of a one-dimensional chain, by propagating its density on a grid.

The integrand is analytic and vanishes at both ends, so the trapezoid rule converges faster than any power of the spacing. The
grid is doubled until two successive grids agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from ..arrays import Array, is_array, like, to_numpy
from ..errors import BadInput
from .base import Law, Projections

# The propagation converges spectrally, and the cubic interpolant with the fourth power of the spacing. When two grids agree to
# this accuracy, the error of the finer one is about a sixteenth of it.
_AGREEMENT = 1e-9
_MOST_POINTS = 16_384
_ROWS = 64
_REACH = 9.0


class GridLaw(Law):
    """A distribution on the line, given by its distribution function and its density on a fine grid.

    Args:
        points: the grid (G,), rising.
        cdf, density: the values (G,) at these points.

    The method ``cdf`` is the cubic Hermite interpolant of both. On the grids of :func:`chain_marginals` its error is about 1e-10.

    >>> from scipy import stats
    >>> points = np.linspace(-8.0, 8.0, 1001)
    >>> law = GridLaw(points, stats.norm.cdf(points), stats.norm.pdf(points))
    >>> round(float(law.cdf(np.array(1.96))), 6)
    0.975002
    """

    atomless = True
    portable = True

    def __init__(self, points: np.ndarray, cdf: np.ndarray, density: np.ndarray) -> None:
        self.points, self._values, self._density = points, cdf, density
        from scipy.interpolate import CubicHermiteSpline  # slow to import, and only grids need it

        self._spline = CubicHermiteSpline(points, cdf, density)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (1,)

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256(np.round(self._values, 9).tobytes()).hexdigest()
        return {"kind": "GridLaw", "dim": 1, "points": len(self.points), "sha256": digest}

    def cdf(self, t: Array) -> Array:
        """P(X <= t), with the shape and the kind of array of t. The interpolation runs on the host."""
        host = to_numpy(t) if is_array(t) else np.asarray(t)
        inside = np.clip(host, self.points[0], self.points[-1])
        values = np.clip(self._spline(inside), 0.0, 1.0)
        return like(values, t) if is_array(t) else values

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The only coordinate; see :class:`.base.Projected`."""
        return Projections(["coordinate 0"], lambda x: [self.cdf(x[:, 0])], whole=True)


def chain_marginals(
    mean: Callable[[int, np.ndarray], np.ndarray], sigma: object, start: tuple[float, float] = (0.0, 1.0)
) -> list[GridLaw]:
    """Compute the laws of x_K, ..., x_0 of a one-dimensional chain, in this order.

    Args:
        mean: ``mean(k, x)`` -> m_k(x), for k in K..1 and x (n,), in double precision.
        sigma: vector (K,), all positive, because a deterministic step has no density to propagate.
        start: the mean and the standard deviation of x_K.

    The cost is O(K G^2) for G grid points. The grid is doubled until the distribution functions agree to 1e-9; the error of the
    finer grid is then about 1e-10.

    Raises:
        BadInput: if sigma is not positive, or if 16,384 points are not enough (a chain of very small steps).

    >>> laws = chain_marginals(lambda k, x: 0.8 * x, sigma=[0.6, 0.6])  # the steps keep N(0, 1)
    >>> len(laws), round(float(laws[-1].cdf(np.array(1.96))), 6)
    (3, 0.975002)
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    if sigma.ndim != 1 or not np.all(sigma > 0):
        raise BadInput("grid propagation needs sigma > 0 at every step; deterministic steps are judged by the innovations alone")
    low, high = _support(mean, sigma, start)
    # A kernel of width sigma is resolved to double precision by 1.2 points per sigma; begin near that.
    count = 1 << int(np.clip(np.ceil(np.log2(2.0 * (high - low) / sigma.min())), 8, 13))
    previous = _propagate(mean, sigma, start, low, high, count)
    while count < _MOST_POINTS:
        count *= 2
        laws = _propagate(mean, sigma, start, low, high, count)
        if max(np.abs(new.cdf(old.points) - old._values).max() for new, old in zip(laws, previous, strict=True)) < _AGREEMENT:
            return laws
        previous = laws
    raise BadInput(f"a grid of {_MOST_POINTS} points does not resolve this chain: its smallest sigma is {sigma.min():.3g}")


def _support(mean: Callable, sigma: np.ndarray, start: tuple[float, float]) -> tuple[float, float]:
    """An interval outside which every marginal has a mass below about 1e-15."""
    low, high = start[0] - 9.0 * start[1], start[0] + 9.0 * start[1]
    widest = [low, high]
    for k in range(len(sigma), 0, -1):
        image = np.asarray(mean(k, np.linspace(low, high, 2001)))
        # Adding 9 sigma at each step would give an interval that is far too wide, because the noise of many steps adds in squares.
        low, high = float(image.min()) - 5.0 * sigma[k - 1], float(image.max()) + 5.0 * sigma[k - 1]
        widest = [min(widest[0], low), max(widest[1], high)]
    return widest[0] - 4.0 * sigma.max(), widest[1] + 4.0 * sigma.max()


def _propagate(mean: Callable, sigma: np.ndarray, start: tuple[float, float], low: float, high: float, count: int) -> list[GridLaw]:
    x = np.linspace(low, high, count)
    h = x[1] - x[0]
    z = (x - start[0]) / start[1]
    density = np.exp(-0.5 * z * z) / (start[1] * np.sqrt(2 * np.pi))
    laws = [GridLaw(x, ndtr(z), density)]
    for k in range(len(sigma), 0, -1):
        centre, s = np.asarray(mean(k, x), dtype=np.float64), sigma[k - 1]
        live = density > 1e-25
        order = np.argsort(centre[live], kind="stable")
        centre, mass = centre[live][order], density[live][order] * h
        below = np.concatenate([[0.0], np.cumsum(mass)])
        new, cdf = np.empty(count), np.empty(count)
        for i in range(0, count, _ROWS):
            y = x[i : i + _ROWS]
            # Beyond the kernel's reach, a point contributes nothing to the density, and all or nothing to the cdf.
            first, last = np.searchsorted(centre, [y[0] - _REACH * s, y[-1] + _REACH * s])
            step = (y[:, None] - centre[first:last]) / s
            new[i : i + _ROWS] = np.exp(-0.5 * step * step) @ mass[first:last] / (s * np.sqrt(2 * np.pi))
            cdf[i : i + _ROWS] = below[first] + ndtr(step) @ mass[first:last]
        density = new
        laws.append(GridLaw(x, cdf, density))
    return laws
