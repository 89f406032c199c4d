"""Integrates a density on the line by adaptive Gauss-Legendre quadrature, and keeps its distribution function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.polynomial import legendre

from ..errors import BadInput

# Nodes per panel. A density that is smooth over a panel whose ends have the ratio 2 is integrated to all digits.
_NODES = 16
_AIM = 1e-10
_ROUNDS = 64
_MOST_PANELS = 20_000
# The panels around a mode start at this share of its width.
_FINEST = 2.0**-6
_FARTHEST = 1e300
_ZOOMS = 60
# The highest peaks are looked at, and kept unless their log-density is so much lower that they have next to no mass.
_MOST_PEAKS = 8
_LOWER = 50.0
# A peak rises by more than rounding does.
_RISE = 1e-12
# If halving a panel twice does not make the error smaller, what remains is rounding.
_STUCK = 2
_EPSILON = float(np.finfo(float).eps)
# A log-density may be NaN where less than this share of the mass lies: functions of scipy underflow far out.
_NOTHING = 1e-12

_X, _W = legendre.leggauss(_NODES)
# From the values at the nodes to the coefficients of their Legendre series, exactly.
_TO_SERIES = legendre.legvander(_X, _NODES - 1).T * _W * (np.arange(_NODES) + 0.5)[:, None]
# From the values at the nodes of a panel to those of its series at the nodes of its two halves.
_TO_HALVES = (legendre.legvander(np.concatenate([(_X - 1.0) / 2.0, (_X + 1.0) / 2.0]), _NODES - 1) @ _TO_SERIES).T

LogDensity = Callable[[np.ndarray], object]


class Quadrature:
    """The distribution function that belongs to a log-density.

    The line is cut into panels, at distances from each mode and from the ends of the support that grow by factors of two, so that
    algebraic tails, and poles at the ends, are smooth in each panel. A panel holds the polynomial through its Gauss-Legendre nodes.
    It is halved until this polynomial agrees with the density at the nodes of its halves. The mean distance there, summed over the
    panels, estimates the error of the coarser of the two readings in total variation, and the finer one is kept. Between the last
    panel and the end of the support the density is continued as a power of the distance, and the error says how well this fits.

    Attributes:
        error: the estimated error of the distribution function.
        log_total: the logarithm of the integral of exp(log_density).

    Source: Davis and Rabinowitz, Methods of Numerical Integration, 1984, chapter 6, for adaptive quadrature.
    """

    def __init__(self, log_density: LogDensity, support: tuple[float, float], points: Sequence[float], name: str) -> None:
        self._log_density, self._support, self._name = log_density, support, name
        self._undefined: list[np.ndarray] = []
        modes = self._modes(points)
        edges = self._edges(modes)
        left, right, values, error = self._refined(edges)
        masses = values @ _W / 2.0
        total = float(masses.sum())
        if not (math.isfinite(total) and total > 0.0):
            raise BadInput(f"the density of {name} cannot be integrated: it may be infinite or zero almost everywhere")
        first, first_error = self._rest(left[0], support[0])
        last, last_error = self._rest(right[-1], support[1])
        whole = total + first + last
        if not math.isfinite(whole):
            end = support[0 if math.isinf(first) else 1]
            raise BadInput(f"the density of {name} cannot be integrated: its mass next to {end:g} is infinite")
        self.error = (error + first_error + last_error) / whole
        self.log_total = self._shift + math.log(whole)
        self._cuts = np.append(left, right[-1])
        self._below = (first + np.concatenate([[0.0], np.cumsum(masses)])) / whole
        # The antiderivative of each panel, zero at its left end.
        self._series = np.ascontiguousarray(legendre.legint(values @ _TO_SERIES.T, axis=1, lbnd=-1.0).T / (2.0 * whole))
        self._refuse_undefined(modes[0][0])

    def cdf(self, t: np.ndarray) -> np.ndarray:
        """P(X <= t), (n,) -> (n,)."""
        cuts = self._cuts
        inside = np.clip(t, cuts[0], cuts[-1])
        panel = np.clip(np.searchsorted(cuts, inside, side="right") - 1, 0, len(cuts) - 2)
        left, right = cuts[panel], cuts[panel + 1]
        place = np.clip(2.0 * ((inside - left) / (right - left)) - 1.0, -1.0, 1.0)
        return np.clip(self._below[panel] + legendre.legval(place, self._series[:, panel], tensor=False), 0.0, 1.0)

    def _refined(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Panels (left, right, density x length at the nodes), and the sum of their errors; all are multiples of exp(shift)."""
        left, right = edges[:-1], edges[1:]
        level = self._levels(left, right)
        self._shift = float(level.max())
        values = np.exp(level - self._shift)
        gap, stuck = np.full(len(left), np.inf), np.zeros(len(left), dtype=int)
        for _ in range(_ROUNDS):
            middle = 0.5 * (left + right)
            coarse = gap > _AIM * float((values @ _W).sum()) / 2.0 / len(left)
            chosen = coarse & (stuck < _STUCK) & (right - left > 64.0 * _EPSILON * np.maximum(np.abs(left), np.abs(right)))
            if not chosen.any() or len(left) + int(chosen.sum()) > _MOST_PANELS:
                break
            half_left = np.stack([left[chosen], middle[chosen]], axis=1).reshape(-1)
            half_right = np.stack([middle[chosen], right[chosen]], axis=1).reshape(-1)
            finer = np.exp(self._levels(half_left, half_right) - self._shift)
            # The finer values are densities times half the length.
            gaps = np.abs(2.0 * finer.reshape(-1, 2, _NODES) - (values[chosen] @ _TO_HALVES).reshape(-1, 2, _NODES)) @ _W / 4.0
            worse = gaps.sum(1) > 0.7 * 2.0 * gap[chosen]
            still = np.repeat(np.where(worse, stuck[chosen] + 1, 0), 2)
            kept = ~chosen
            left, right = np.concatenate([left[kept], half_left]), np.concatenate([right[kept], half_right])
            values = np.concatenate([values[kept], finer])
            gap, stuck = np.concatenate([gap[kept], gaps.reshape(-1)]), np.concatenate([stuck[kept], still])
        # A panel that was too narrow to be halved may be wrong by all of its mass.
        gap = np.where(np.isinf(gap), values @ _W / 2.0, gap)
        order = np.argsort(left, kind="stable")
        return left[order], right[order], values[order], float(gap.sum())

    def _levels(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The logarithms of density x length at the nodes of panels, (panels, _NODES)."""
        nodes = left[:, None] + (right - left)[:, None] * ((_X + 1.0) / 2.0)
        return self._logs(nodes.reshape(-1)).reshape(nodes.shape) + np.log(right - left)[:, None]

    def _logs(self, t: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(self._log_density(t), dtype=np.float64)
        except BadInput:
            raise
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the log-density of {self._name} raised {type(error).__name__}: {error}") from error
        if found.shape != t.shape:
            raise BadInput(
                f"the log-density of {self._name} must turn (n,) numbers into (n,); it turned {t.shape} into {found.shape}"
            )
        undefined = np.isnan(found) | (found == np.inf)
        if undefined.any():
            self._undefined.append(t[undefined])
        return np.where(undefined, -np.inf, found)

    def _refuse_undefined(self, mode: float) -> None:
        """Refuse a log-density that is no number where there is mass, next to where it is one."""
        if not self._undefined:
            return
        points = np.concatenate(self._undefined)
        for side in (points[points >= mode], points[points < mode]):
            if not len(side):
                continue
            bad, good = float(side[np.argmin(np.abs(side - mode))]), mode
            for _ in range(200):
                middle = 0.5 * (bad + good)
                if middle in (bad, good):
                    break
                value = np.asarray(self._log_density(np.array([middle])), dtype=np.float64)[0]
                bad, good = (middle, good) if np.isnan(value) or value == np.inf else (bad, middle)
            share = self._logs(np.array([good]))[0] + math.log(max(abs(bad - mode), 1e-300)) - self.log_total
            if share > math.log(_NOTHING):
                raise BadInput(
                    f"the log-density of {self._name} is not a number at {bad:.6g}, inside its support {self._support}: it must be "
                    "a logarithm, or minus infinity where the density is zero"
                )

    def _modes(self, points: Sequence[float]) -> list[tuple[float, float]]:
        """Places where the density is high, each with its width: a start for the panels."""
        low, high = self._support
        named = [float(p) for p in points]
        if not all(low <= p <= high for p in named):
            raise BadInput(f"the points {named} must lie in the support {self._support}")
        grid = np.unique(np.concatenate([every_size(low, high), [p for p in named if low < p < high]]))
        logs = self._logs(grid)
        if not np.isfinite(logs).any():
            raise BadInput(
                f"the density of {self._name} is zero wherever it was looked at: name a point where it is not, points=[...]"
            )
        modes: list[tuple[float, float]] = []
        for mode in [*self._peaks(grid, logs), *(p for p in named if low < p < high)]:
            if mode in named or all(abs(mode - other) > width for other, width in modes):
                modes.append((mode, self._width(mode)))
        return modes

    def _peaks(self, grid: np.ndarray, logs: np.ndarray) -> list[float]:
        """The places of the highest peaks, the highest one first. A log-density rises even towards a narrow peak."""
        beside, rise = np.concatenate([[-np.inf], logs, [-np.inf]]), _RISE * np.abs(logs)
        with np.errstate(invalid="ignore"):
            tops = np.flatnonzero(np.isfinite(logs) & (logs > beside[:-2] + rise) & (logs >= beside[2:] - rise))
        tops = np.union1d(tops, np.argmax(logs))
        found = []
        for top in tops[np.argsort(-logs[tops], kind="stable")][:_MOST_PEAKS]:
            left, right, place = grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)], grid[top]
            level = logs[top]
            for _ in range(_ZOOMS):
                near = np.unique(np.linspace(left, right, 33))
                if len(near) < 4:
                    break
                levels = self._logs(near)
                peak = int(np.argmax(levels))
                left, right, place = near[max(peak - 1, 0)], near[min(peak + 1, len(near) - 1)], near[peak]
                level = levels[peak]
            found.append((float(level), float(place)))
        found.sort(key=lambda peak: -peak[0])
        return [place for level, place in found if level >= found[0][0] - _LOWER]

    def _width(self, mode: float) -> float:
        """The distance from a mode at which the density has fallen by e, on the nearer side."""
        low, high = self._support
        distances = 2.0 ** np.arange(-1060.0, 1000.0)
        top, nearest = self._logs(np.array([mode]))[0], math.inf
        for sign in (-1.0, 1.0):
            place = mode + sign * distances
            here = (place > low) & (place < high) & (place != mode)
            if here.any():
                fallen = self._logs(place[here]) < top - 1.0
                if fallen.any():
                    nearest = min(nearest, float(distances[here][np.argmax(fallen)]))
        if math.isfinite(nearest):
            return nearest
        return high - low if math.isfinite(high - low) else max(1.0, abs(mode))

    def _edges(self, modes: list[tuple[float, float]]) -> np.ndarray:
        low, high = self._support
        scales = 2.0 ** np.arange(math.log2(_FINEST), 900.0)
        edges: list[np.ndarray] = []
        for mode, width in modes:
            reach = min(width, 1e20) * scales
            edges += [mode - reach, np.array([mode]), mode + reach]
        # Towards an end, as far as there are numbers.
        edges += [end + sign * 2.0 ** np.arange(-1022.0, 1000.0) for end, sign in ((low, 1.0), (high, -1.0)) if math.isfinite(end)]
        found = np.unique(np.concatenate(edges))
        found = found[(found > low) & (found < high) & (np.abs(found) < _FARTHEST)]
        # Numbers next to each other have no room for nodes.
        kept = np.concatenate([[True], np.diff(found) > 64.0 * _EPSILON * np.abs(found[1:])])
        return found[kept]

    def _rest(self, edge: float, end: float) -> tuple[float, float]:
        """The mass between the last panel and an end of the support, and how far two readings of it disagree.

        If density(r) x r is proportional to r^a for the distance r (or to r^-a, towards infinity), the mass is density(r) x r / a.
        """
        closing = math.isfinite(end)
        distance = abs(edge - end) if closing else abs(edge)
        distances = distance * (2.0 if closing else 0.5) ** np.arange(4.0)
        places = edge + math.copysign(1.0, edge - end) * (distances - distance) if closing else math.copysign(1.0, end) * distances
        with np.errstate(all="ignore"):
            heights = np.exp(self._logs(places) + np.log(distances) - self._shift)
            if not heights[:2].any():
                return 0.0, 0.0
            powers = np.log2(heights[1:] / heights[:-1])
        if not (np.isfinite(powers).all() and np.all(powers > 0.0)):
            return math.inf, math.inf
        near, far = heights[0] / powers[0], heights[2] / powers[2]
        # The second reading is of a distance that is four times as far from the end; the power says how much mass is between.
        return float(near), float(abs(near - far / 2.0 ** (powers[0] + powers[1])))


def every_size(low: float, high: float) -> np.ndarray:
    """Numbers of every size inside the support, and of every distance from its ends."""
    sizes = 2.0 ** np.arange(-60.0, 200.0, 0.25)
    parts = [np.zeros(1), sizes, -sizes]
    parts += [end + sign * sizes for end, sign in ((low, 1.0), (high, -1.0)) if math.isfinite(end)]
    if math.isfinite(high - low):
        parts.append(np.linspace(low, high, 1001))
    grid = np.unique(np.concatenate(parts))
    return grid[(grid > low) & (grid < high)]
