"""Maximal couplings of two Gaussians that differ in their means: one verified step of speculation, judged with its draft.

Everything happens on one line. With e the unit vector from the target's mean to the draft's, delta their distance and s a
point's coordinate along e, both in units of sigma and s counted from the target's mean, log p/q = delta^2/2 - delta s. A
rejected draft has density proportional to (phi(s - delta) - w phi(s))_+ along e, what replaces it (w phi(s) - phi(s - delta))_+,
one on either side of edge = delta/2 + log(w)/delta; orthogonally to e both are standard normal.
Sources: Thorisson, Coupling, Stationarity, and Regeneration, 2000 (gamma coupling); Bou-Rabee, Eberle, Zimmer, Coupling and
convergence for Hamiltonian Monte Carlo, 2020 (reflection); the weighted residual is that of block verification, Sun et al. 2024.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal, get_args

import numpy as np

from ..arrays import Array, double, like, log_ndtr, namespace, normal_scores
from ..errors import BadInput
from .base import Law

Kind = Literal["maximal", "gamma", "reflection"]

# Below this distance the drop of log Phi over it is integrated: as a difference it would cancel.
_CLOSE = 0.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
# A residual that begins further out than this has no mass in double precision.
_FARTHEST = -37.0
# So far below the edge nothing is left of a residual, and squares do not overflow yet.
_REACH = 40.0


class GaussianCoupling(Law):
    """The claim that (X, Y) is a maximal coupling of p = N(target_mean, sigma^2 I) and q = N(draft_mean, sigma^2 I).

    A draw is two points, ``sample[:, 0]`` = X (what is emitted) and ``sample[:, 1]`` = Y (the draft). Bitwise equality of all
    their coordinates means that the draft was accepted, so an accepted draft must be copied, not computed again.

    Args:
        target_mean, draft_mean: (d,), different from each other.
        sigma: > 0, of both.
        kind: what is claimed beyond both margins and P(X = Y). ``"maximal"``: nothing, and still both ends given rejection are
            known, since they are those of every maximal coupling; ``"gamma"``: given rejection X is independent of Y;
            ``"reflection"``: given rejection X is Y reflected about the hyperplane between the means.
        weight: w in (0, 1]. Below 1 it is the rejection inside a block: the draft is kept with probability min(1, w p/q) and
            otherwise replaced by a draw of the residual (w p - q)_+. X alone is then not p, and is judged orthogonally to the
            means' difference only; Y, the share of X = Y and both ends given rejection are claimed as ever. The weighted
            reflection keeps Y's orthogonal part and maps its coordinate decreasingly, F_res(s(X)) = 1 - F_rej(s(Y)).

    Raises:
        BadInput: if the means agree (nothing is rejected), or the residual's mass at this weight is too small for doubles.

    >>> law = GaussianCoupling([0.0, 0.0], [0.6, 0.8], 1.0, kind="gamma")
    >>> law.delta, round(law.acceptance, 6)
    (1.0, 0.617075)
    """

    def __init__(self, target_mean: object, draft_mean: object, sigma: float, kind: Kind = "maximal", weight: float = 1.0) -> None:
        self.target_mean, self.draft_mean = _vector(target_mean, "target_mean"), _vector(draft_mean, "draft_mean")
        if self.target_mean.shape != self.draft_mean.shape:
            raise BadInput(f"the means must be of one length; got {len(self.target_mean)} and {len(self.draft_mean)}")
        if not _is_number(sigma) or not 0.0 < sigma < math.inf:
            raise BadInput(f"sigma must be a positive number, not {sigma!r}; without noise there is nothing to couple")
        if kind not in get_args(Kind):
            raise BadInput(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
        if not _is_number(weight) or not 0.0 < weight <= 1.0:
            raise BadInput(f"weight must lie in (0, 1], not {weight!r}; it is 1 token by token, and P_tau inside a block")
        self.sigma, self.kind, self.weight = float(sigma), kind, float(weight)
        difference = self.draft_mean - self.target_mean
        length = float(np.linalg.norm(difference))
        self.delta, self.dim = length / self.sigma, len(difference)
        if not 0.0 < self.delta < math.inf:
            raise BadInput(
                f"the means are {length:g} apart, {self.delta:g} in units of sigma, and must differ by a finite distance: "
                "where they agree every draft is accepted, and there is nothing to couple"
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
        """P(X = Y), the integral of min(w p, q); at weight 1 it is 2 Phi(-delta/2)."""
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
        """Where the draft was kept, bit by bit: (n, 2, d) -> (n,) booleans."""
        return namespace(sample).all(sample[:, 0] == sample[:, 1], axis=1)

    def noise(self, sample: Array) -> tuple[Array, Array]:
        """(X - m_p)/sigma and (Y - m_q)/sigma in a frame whose first axis is e: (n, 2, d) -> two (n, d), N(0, I) if X ~ p, Y ~ q.

        The other axes are any that complete it: a Householder reflection, O(n d).
        """
        return self._framed(sample[:, 0], self.target_mean), self._framed(sample[:, 1], self.draft_mean)

    def residual_cdf(self, s: Array) -> Array:
        """F_res, of what replaces a rejected draft: [w Phi(s) - Phi(s - delta)]/Z, accurate in the lower tail; (n,) -> (n,)."""
        return self._below(s, self._log_weight, 0.0)

    def rejected_cdf(self, s: Array) -> Array:
        """F_rej, of the rejected draft itself: 1 - [Phi(delta - s) - w Phi(-s)]/(1 - w + Z), (n,) -> (n,)."""
        return 1.0 - self.rejected_survival(s)

    def rejected_survival(self, s: Array) -> Array:
        """1 - F_rej, accurate where F_rej is close to 1: (n,) -> (n,)."""
        # Seen from the draft's mean, it is a residual too, of the draft against w times the target.
        return self._below(self.delta - s, 0.0, self._log_weight)

    def noise_given_rejection(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The ``noise`` of rejected draws as noise again: each N(0, I), (m, d) -> (m, d).

        Phi^{-1}(F_res) or Phi^{-1}(F_rej) takes the first coordinate's place, the orthogonal part stays.
        """
        xp = namespace(x)
        target = normal_scores(self.residual_cdf(x[:, 0]))
        draft = -normal_scores(self.rejected_survival(y[:, 0] + self.delta))
        return tuple(xp.concat([a[:, None], b[:, 1:]], axis=1) for a, b in ((target, x), (draft, y)))

    def mismatch(self, x: Array, y: Array) -> Array:
        """How far rejected ``noise`` is from the reflection, relative to the numbers it was computed from: (m, d) -> (m,)."""
        xp = namespace(x)
        norm = lambda z: xp.sqrt(xp.sum(z * z, axis=1))  # noqa: E731
        # The axis is a difference of means: the rounding of their entries, over their distance, turns it.
        means = float(np.linalg.norm(self.target_mean) + np.linalg.norm(self.draft_mean)) / self.sigma
        size = norm(x) + norm(y) + means * (1.0 + norm(y) / self.delta)
        across = xp.sum((x[:, 1:] - y[:, 1:]) ** 2, axis=1)
        if self.weight == 1.0:
            along = x[:, 0] + y[:, 0]
        else:
            along = self.residual_cdf(x[:, 0]) - self.rejected_survival(y[:, 0] + self.delta)
            # A residual that begins far out has a scale of 1/|edge|: so much steeper is its distribution function.
            along = along / max(1.0, -self.edge)
        return xp.sqrt(along * along + across) / size

    def _framed(self, points: Array, mean: np.ndarray) -> Array:
        z = (double(points) - like(mean, double(points))) / self.sigma
        sign = math.copysign(1.0, self.axis[0])
        # The mirror that takes e to -sign times the first axis: of the two, the one in which nothing cancels.
        normal = self.axis.copy()
        normal[0] += sign
        v = like(normal / np.linalg.norm(normal), z)
        return -sign * (z - 2.0 * namespace(z).sum(z * v, axis=1)[:, None] * v)

    def _below(self, t: Array, a: float, b: float) -> Array:
        """Distribution function of density proportional to (e^a phi(t) - e^b phi(t - delta))_+."""
        xp = namespace(t)
        edge = 0.5 * self.delta + (a - b) / self.delta
        log_mass = float(_log_excess(np.array([edge]), a, b, self.delta)[0])
        t = xp.clip(t, min(edge, 0.0) - _REACH, edge)
        return xp.exp(xp.clip(_log_excess(t, a, b, self.delta) - log_mass, None, 0.0))


def _log_excess(t: Array, a: float, b: float, delta: float) -> Array:
    """log[e^a Phi(t) - e^b Phi(t - delta)], up to the point where the two densities cross."""
    xp = namespace(t)
    if delta > _CLOSE:
        drop = log_ndtr(t - delta) - log_ndtr(t)
    else:
        # The integral of minus phi/Phi, the slope of log Phi.
        x = t[:, None] - like(0.5 * delta * (_NODES + 1.0), t)
        slope = xp.exp(-0.5 * x * x - 0.5 * math.log(2.0 * math.pi) - log_ndtr(x))
        drop = -0.5 * delta * xp.sum(slope * like(_WEIGHTS, t), axis=1)
    # Rounding next to the crossing of nearly equal densities must not make a logarithm of nothing.
    share = xp.clip(-xp.expm1(b - a + drop), float(xp.finfo(t.dtype).smallest_normal), None)
    return a + log_ndtr(t) + xp.log(share)


def _vector(values: object, label: str) -> np.ndarray:
    v = np.array(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0 or not np.all(np.isfinite(v)):
        raise BadInput(f"{label} must be a vector of finite numbers, one a dimension; got shape {v.shape}")
    return v


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
