"""Maximal couplings of two Gaussians that differ in their means: one verified step of speculation, judged with its draft.

Everything happens on one line. Let e be the unit vector from the target's mean to the draft's mean, delta the distance of the
means, and s the coordinate of a point along e, counted from the target's mean. Both are in units of sigma. Then
log p/q = delta^2/2 - delta s. Along e, a rejected draft has a density proportional to (phi(s - delta) - w phi(s))_+, and its
replacement has one proportional to (w phi(s) - phi(s - delta))_+. The two lie on either side of edge = delta/2 + log(w)/delta.
Orthogonally to e, both are standard normal.
Sources: Thorisson, Coupling, Stationarity, and Regeneration, 2000 (gamma coupling); Bou-Rabee, Eberle, Zimmer, Coupling and
convergence for Hamiltonian Monte Carlo, 2020 (reflection); the weighted residual is that of block verification, Sun et al. 2024.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Literal, get_args

import numpy as np

from ..arrays import Array, double, like, log_ndtr, namespace, normal_scores
from ..errors import BadInput
from .base import Law

Kind = Literal["maximal", "gamma", "reflection"]

# Below this distance, the drop of log Phi is integrated. As a difference it would cancel.
_CLOSE = 0.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
# A residual that begins further out than this has no mass in double precision.
_FARTHEST = -37.0
# This far below the edge nothing is left of a residual, and squares do not overflow yet.
_REACH = 40.0


class GaussianCoupling(Law):
    """The claim that (X, Y) is a maximal coupling of p = N(target_mean, sigma^2 I) and q = N(draft_mean, sigma^2 I).

    A draw has shape (2, d). It holds X, the emitted point, in ``sample[:, 0]`` and Y, the draft, in ``sample[:, 1]``. The draft
    counts as accepted if all coordinates are equal bit by bit. An accepted draft must therefore be copied, not computed again.

    Args:
        target_mean, draft_mean: vectors (d,), different from each other.
        sigma: the standard deviation of both, > 0.
        kind: the claim beyond both margins and P(X = Y). ``"maximal"`` claims nothing more, and the distributions of X and Y
            given rejection are still known, since all maximal couplings share them. ``"gamma"`` claims that X is independent of Y
            given rejection. ``"reflection"`` claims that X is then Y, reflected about the hyperplane between the means.
        weight: w in (0, 1]. A weight below 1 describes the rejection inside a block: the draft is kept with probability
            min(1, w p/q) and is otherwise replaced by a draw from the residual (w p - q)_+. X alone then does not follow p, so it
            is judged only orthogonally to the difference of the means. The claims about Y, about P(X = Y) and about X and Y
            given rejection stay. The weighted reflection keeps the orthogonal part of Y and maps the coordinate decreasingly,
            F_res(s(X)) = 1 - F_rej(s(Y)).

    Raises:
        BadInput: if the means agree (nothing is rejected then), or if the residual's mass at this weight is too small for doubles.

    >>> law = GaussianCoupling([0.0, 0.0], [0.6, 0.8], 1.0, kind="gamma")
    >>> law.delta, round(law.acceptance, 6)
    (1.0, 0.617075)
    """

    portable = True

    def __init__(self, target_mean: object, draft_mean: object, sigma: float, kind: Kind = "maximal", weight: float = 1.0) -> None:
        self.target_mean, self.draft_mean = _vector(target_mean, "target_mean"), _vector(draft_mean, "draft_mean")
        if self.target_mean.shape != self.draft_mean.shape:
            raise BadInput(f"the means must have the same length; got {len(self.target_mean)} and {len(self.draft_mean)}")
        if not _is_number(sigma) or not 0.0 < sigma < math.inf:
            raise BadInput(f"sigma must be a positive number, not {sigma!r}; without noise there is nothing to couple")
        if kind not in get_args(Kind):
            raise BadInput(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
        if not _is_number(weight) or not 0.0 < weight <= 1.0:
            raise BadInput(
                f"weight must lie in (0, 1], not {weight!r}; it is 1 in token-wise verification, and P_tau inside a block"
            )
        self.sigma, self.kind, self.weight = float(sigma), kind, float(weight)
        difference = self.draft_mean - self.target_mean
        length = float(np.linalg.norm(difference))
        self.delta, self.dim = length / self.sigma, len(difference)
        if not 0.0 < self.delta < math.inf:
            raise BadInput(
                f"the means are {length:g} apart, {self.delta:g} in units of sigma, and must differ by a finite distance: "
                "if they agree, every draft is accepted and there is nothing to couple"
            )
        self.axis = difference / length
        self._log_weight = math.log(self.weight)
        self.edge = 0.5 * self.delta + self._log_weight / self.delta
        if self.edge < _FARTHEST:
            raise BadInput(
                f"at weight {self.weight:g} and distance {self.delta:g} the residual has no mass in double precision and is never "
                "drawn: raise the weight or move the means apart"
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (2, self.dim)

    @property
    def output_law(self) -> Law | None:
        return None

    @property
    def acceptance(self) -> float:
        """P(X = Y), which is the integral of min(w p, q). At weight 1 it is 2 Phi(-delta/2)."""
        low, high = np.exp(log_ndtr(np.array([self.edge - self.delta, -self.edge])))
        return float(low + self.weight * high)

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256(self.target_mean.tobytes() + self.draft_mean.tobytes())
        return {
            "kind": "GaussianCoupling",
            "coupling": self.kind,
            "dim": self.dim,
            "sigma": self.sigma,
            "delta": self.delta,
            "weight": self.weight,
            "means_sha256": digest.hexdigest(),
        }

    def place(self, index: tuple[int, ...]) -> str:
        return f"draw {index[0]}, {'target X' if index[1] == 0 else 'draft Y'}, coordinate {index[2]}"

    def accepted(self, sample: Array) -> Array:
        """Whether each draft was kept, judged bit by bit: (n, 2, d) -> (n,) booleans."""
        return namespace(sample).all(sample[:, 0] == sample[:, 1], axis=1)

    def noise(self, sample: Array) -> tuple[Array, Array]:
        """(X - m_p)/sigma and (Y - m_q)/sigma in a frame whose first axis is e: (n, 2, d) -> two arrays (n, d).

        They are N(0, I) if X ~ p and Y ~ q. A Householder reflection supplies the other axes, in O(n d).
        """
        return self._framed(sample[:, 0], self.target_mean), self._framed(sample[:, 1], self.draft_mean)

    def magnitudes(self, sample: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
        """See :class:`.base.Scaled`."""
        return np.square((sample if sizes is None else sizes) / self.sigma).sum(axis=(1, 2))

    def residual_cdf(self, s: Array) -> Array:
        """F_res(s) = [w Phi(s) - Phi(s - delta)]/Z, the distribution function of the replacement: (n,) -> (n,).

        It is accurate in the lower tail.
        """
        return self._below(s, self._log_weight, 0.0)

    def rejected_cdf(self, s: Array) -> Array:
        """F_rej(s) = 1 - [Phi(delta - s) - w Phi(-s)]/(1 - w + Z), the distribution function of a rejected draft: (n,) -> (n,)."""
        return 1.0 - self.rejected_survival(s)

    def rejected_survival(self, s: Array) -> Array:
        """1 - F_rej(s), accurate where F_rej is close to 1: (n,) -> (n,)."""
        # Seen from the draft's mean, this is a residual too: of the draft against w times the target.
        return self._below(self.delta - s, 0.0, self._log_weight)

    def noise_given_rejection(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Turn the ``noise`` of rejected draws into noise that is N(0, I) again: two arrays (m, d) -> two arrays (m, d).

        Phi^{-1}(F_res) or Phi^{-1}(F_rej) replaces the first coordinate, and the orthogonal part stays.
        """
        xp = namespace(x)
        target = normal_scores(self.residual_cdf(x[:, 0]))
        draft = -normal_scores(self.rejected_survival(y[:, 0] + self.delta))
        return tuple(xp.concat([a[:, None], b[:, 1:]], axis=1) for a, b in ((target, x), (draft, y)))

    def mismatch(self, x: Array, y: Array) -> Array:
        """The distance of rejected ``noise`` from the reflection, relative to the numbers it was computed from: (m, d) -> (m,)."""
        xp = namespace(x)
        norm = lambda z: xp.sqrt(xp.sum(z * z, axis=1))  # noqa: E731
        # The axis is a difference of means. The rounding of their entries, divided by their distance, turns it.
        means = float(np.linalg.norm(self.target_mean) + np.linalg.norm(self.draft_mean)) / self.sigma
        size = norm(x) + norm(y) + means * (1.0 + norm(y) / self.delta)
        across = xp.sum((x[:, 1:] - y[:, 1:]) ** 2, axis=1)
        if self.weight == 1.0:
            along = x[:, 0] + y[:, 0]
        else:
            along = self.residual_cdf(x[:, 0]) - self.rejected_survival(y[:, 0] + self.delta)
            # A residual that begins far out has a scale of 1/|edge|, so its distribution function is that much steeper.
            along = along / max(1.0, -self.edge)
        return xp.sqrt(along * along + across) / size

    def _framed(self, points: Array, mean: np.ndarray) -> Array:
        z = (double(points) - like(mean, double(points))) / self.sigma
        sign = math.copysign(1.0, self.axis[0])
        # Of two possible mirrors, this one takes e to -sign times the first axis, and nothing cancels in it.
        normal = self.axis.copy()
        normal[0] += sign
        v = like(normal / np.linalg.norm(normal), z)
        return -sign * (z - 2.0 * namespace(z).sum(z * v, axis=1)[:, None] * v)

    def _below(self, t: Array, a: float, b: float) -> Array:
        """The distribution function of the density proportional to (e^a phi(t) - e^b phi(t - delta))_+."""
        return excess_cdf(t, a, b, self.delta)


def excess_cdf(t: Array, a: Any, b: Any, delta: Any) -> Array:
    """The distribution function of the density proportional to (e^a phi(t) - e^b phi(t - delta))_+, accurate in the lower tail.

    ``a``, ``b`` and ``delta`` are numbers, or numpy arrays with an entry for each of the points t (n,).
    """
    xp = namespace(t)
    edge = 0.5 * delta + (a - b) / delta
    log_mass: Any = _log_excess(np.atleast_1d(edge), a, b, delta)
    log_mass = log_mass if isinstance(edge, np.ndarray) else float(log_mass[0])
    t = xp.clip(t, np.minimum(edge, 0.0) - _REACH, edge)
    return xp.exp(xp.clip(_log_excess(t, a, b, delta) - log_mass, None, 0.0))


def _log_excess(t: Array, a: Any, b: Any, delta: Any) -> Array:
    """log[e^a Phi(t) - e^b Phi(t - delta)], up to the point where the two densities cross."""
    xp = namespace(t)
    if isinstance(delta, np.ndarray):
        drop = np.empty_like(t)
        for chosen, rule in ((delta > _CLOSE, _far_drop), (delta <= _CLOSE, _near_drop)):
            drop[chosen] = rule(t[chosen], delta[chosen])
    else:
        drop = (_far_drop if delta > _CLOSE else _near_drop)(t, delta)
    # Rounding next to the crossing of nearly equal densities must not lead to the logarithm of 0.
    share = xp.clip(-xp.expm1(b - a + drop), float(xp.finfo(t.dtype).smallest_normal), None)
    return a + log_ndtr(t) + xp.log(share)


def _far_drop(t: Array, delta: Any) -> Array:
    """log Phi(t - delta) - log Phi(t), where the two are far apart."""
    return log_ndtr(t - delta) - log_ndtr(t)


def _near_drop(t: Array, delta: Any) -> Array:
    """The same as the integral of minus phi/Phi, the slope of log Phi."""
    xp = namespace(t)
    shift = np.asarray(0.5 * delta)[..., None] * (_NODES + 1.0)
    x = t[:, None] - like(shift, t)
    slope = xp.exp(-0.5 * x * x - 0.5 * math.log(2.0 * math.pi) - log_ndtr(x))
    return -like(np.asarray(0.5 * delta), t) * xp.sum(slope * like(_WEIGHTS, t), axis=1)


def _vector(values: object, label: str) -> np.ndarray:
    v = np.array(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0 or not np.all(np.isfinite(v)):
        raise BadInput(f"{label} must be a vector of finite numbers, one per dimension; got shape {v.shape}")
    return v


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
