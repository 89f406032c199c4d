"""Gaussian mixtures in any dimension, with density, score, exact draws, projections and characteristic function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from ..arrays import Array, device, double, like, namespace, ndtr
from ..errors import BadInput
from .base import Law, Projections, checked_weights, unit_directions

# Arrays of (draws, components, dimensions) are made in pieces of about this many numbers.
_PIECE = 1 << 21
# Nobody reads more numbers than this.
_LEGIBLE = 1_000


class GaussianMixture(Law):
    """The mixture sum_c weights_c N(means_c, covariances_c).

    Args:
        weights: (C,), not negative, with sum 1.
        means: (C, d).
        covariances: (C,) isotropic variances, (C, d) diagonals, or (C, d, d) matrices; positive definite.

    Methods take numpy arrays (n, d). They cost O(n C d), or O(n C d^2) with full covariances.

    Raises:
        BadInput: if the shapes do not fit together, the weights are not probabilities, or a covariance is not positive definite.

    >>> mixture = GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
    >>> mixture.sample(3, seed=0).shape
    (3, 1)
    >>> mixture.responsibilities(np.array([[2.0], [-1.0]])).round(3)
    array([[1., 0.],
           [0., 1.]])
    """

    atomless = True
    portable = True

    def __init__(self, weights: object, means: object, covariances: object) -> None:
        self.weights = checked_weights(weights)
        # Kept as they were given, because dividing by their sum once more might change the last digit.
        self._given = np.array(weights, dtype=np.float64)
        self.means = np.asarray(means, dtype=np.float64)
        self.covariances = np.asarray(covariances, dtype=np.float64)
        count = len(self.weights)
        if self.means.ndim != 2 or len(self.means) != count or self.means.shape[1] == 0:
            raise BadInput(f"means must have shape (C, d) with C = {count} like the weights; got {self.means.shape}")
        self.dim = self.means.shape[1]
        allowed = [(count,), (count, self.dim), (count, self.dim, self.dim)]
        if self.covariances.shape not in allowed:
            raise BadInput(f"covariances must have one of the shapes {allowed}; got {self.covariances.shape}")
        if not (np.all(np.isfinite(self.means)) and np.all(np.isfinite(self.covariances))):
            raise BadInput("means and covariances must be finite")
        if self.covariances.ndim < 3:
            if np.any(self.covariances <= 0):
                raise BadInput("variances must be positive; a component without spread has no density")
            self._root = np.sqrt(self.covariances)
        else:
            if not np.allclose(self.covariances, np.swapaxes(self.covariances, 1, 2), rtol=1e-10, atol=1e-12):
                raise BadInput("covariance matrices must be symmetric")
            try:
                self._root = np.linalg.cholesky(self.covariances)
            except np.linalg.LinAlgError:
                raise BadInput("covariance matrices must be positive definite") from None

    def __repr__(self) -> str:
        """Text that makes an equal mixture again, to the last digit. Beyond 1,000 numbers it is a summary."""
        if self.weights.size + self.means.size + self.covariances.size > _LEGIBLE:
            facts = self.describe()
            return "<GaussianMixture: {components} component(s) in {dim} dimensions, {covariances} covariances>".format(**facts)
        parts = (self._given.tolist(), self.means.tolist(), self.covariances.tolist())
        return "GaussianMixture(weights={}, means={}, covariances={})".format(*parts)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256()
        for part in (self.weights, self.means, self.covariances):
            digest.update(np.ascontiguousarray(part).tobytes())
        return {
            "kind": "GaussianMixture",
            "dim": self.dim,
            "components": len(self.weights),
            "covariances": ["isotropic", "diagonal", "full"][self.covariances.ndim - 1],
            "sha256": digest.hexdigest(),
        }

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """The logarithm of the density: (n, d) -> (n,)."""
        return logsumexp(self._log_joint(np.asarray(x, dtype=np.float64)), axis=1) - 0.5 * self.dim * np.log(2 * np.pi)

    def density(self, x: np.ndarray) -> np.ndarray:
        """The density: (n, d) -> (n,)."""
        return np.exp(self.log_density(x))

    def responsibilities(self, x: np.ndarray) -> np.ndarray:
        """P(component | x): (n, d) -> (n, C)."""
        return _softmax(self._log_joint(np.asarray(x, dtype=np.float64)))

    def score(self, x: Array) -> Array:
        """The gradient of the log-density, in the kind of array of x: (n, d) -> (n, d)."""
        x = double(x)
        white = self._white(x)
        if self.covariances.ndim == 3:
            inverse = like(np.linalg.inv(self._root), x)
            pull = namespace(x).stack([white[:, c] @ inverse[c] for c in range(len(self.weights))], axis=1)
        else:
            pull = white / like(self._spread(), x)
        return -(_softmax(self._log_joint(x, white))[..., None] * pull).sum(1)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Draw n exact draws, (n, d)."""
        generator = np.random.default_rng(seed)
        label = generator.choice(len(self.weights), size=n, p=self.weights)
        z = generator.standard_normal((n, self.dim))
        if self.covariances.ndim == 3:
            return self.means[label] + np.einsum("nij,nj->ni", self._root[label], z)
        return self.means[label] + self._spread()[0, label] * z

    def full_covariances(self) -> np.ndarray:
        """The covariances as matrices, (C, d, d)."""
        if self.covariances.ndim == 3:
            return self.covariances
        return self._spread()[0][..., None] ** 2 * np.eye(self.dim) + np.zeros((len(self.weights), 1, 1))

    def typical_distance(self) -> float:
        """The root mean square distance between two independent draws."""
        mean = self.weights @ self.means
        within = self.weights @ np.trace(self.full_covariances(), axis1=1, axis2=2)
        return float(np.sqrt(2.0 * (within + self.weights @ ((self.means - mean) ** 2).sum(1))))

    def projected_cdf(self, direction: object, t: Array) -> Array:
        """P(<direction, X> <= t) for a vector (d,) and points t (n,), in the kind of array of t. The cost is O(n C)."""
        v = np.asarray(direction, dtype=np.float64)
        if v.shape != (self.dim,) or not np.any(v) or not np.all(np.isfinite(v)):
            raise BadInput(f"direction must be a vector of {self.dim} finite numbers, not all zero; got shape {v.shape}")
        spread = np.sqrt(self._variance_along(v))
        z = (t[:, None] - like(self.means @ v, t)) / like(spread, t)
        return namespace(t).sum(ndtr(z) * like(self.weights, t), axis=1)

    def characteristic_function(self, frequencies: np.ndarray) -> np.ndarray:
        """E exp(i <omega, X>) at each row: (m, d) -> (m,) complex."""
        omega = np.asarray(frequencies, dtype=np.float64)
        return (self.weights * np.exp(1j * omega @ self.means.T - 0.5 * self._variance_along(omega))).sum(1)

    def magnitudes(self, sample: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
        """See :class:`.base.Scaled`. The noise of a draw is that of its most probable component."""
        label = self._log_joint(sample).argmax(axis=1) if len(self.weights) > 1 else np.zeros(len(sample), dtype=int)
        return (np.square(sample if sizes is None else sizes) * self._precisions[label]).sum(axis=1)

    @cached_property
    def _precisions(self) -> np.ndarray:
        """The diagonals of the inverse covariances, (C, d)."""
        if self.covariances.ndim == 3:
            return np.square(np.linalg.inv(self._root)).sum(axis=1)
        return 1.0 / self._spread()[0] ** 2 + np.zeros((1, self.dim))

    def kernel_at(self, x: np.ndarray, bandwidth: float) -> np.ndarray:
        """E k(x, X) for the Gaussian kernel k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)): (n, d) -> (n,).

        k(x, .) is (2 pi h^2)^(d/2) times the density of N(x, h^2 I), and Gaussians convolve.
        """
        smooth = self._widened(bandwidth**2 * np.eye(self.dim))
        return np.exp(smooth.log_density(x) + 0.5 * self.dim * np.log(2.0 * np.pi * bandwidth**2))

    def kernel_between(self, bandwidth: float) -> float:
        """E k(X, X') of two independent draws, for the same kernel."""
        total = 0.0
        for weight, mean, covariance in zip(self.weights, self.means, self.full_covariances(), strict=True):
            smooth = self._widened(covariance + bandwidth**2 * np.eye(self.dim))
            total += weight * np.exp(smooth.log_density(mean[None])[0] + 0.5 * self.dim * np.log(2.0 * np.pi * bandwidth**2))
        return float(total)

    def decompose(self, x: Array, uniforms: np.ndarray) -> tuple[Array, Array]:
        """Draw the component of each draw from its responsibilities and whiten its offset: labels (n,) and z (n, d).

        X follows the mixture if and only if the labels follow the weights and z ~ N(0, I) independently of them, because x is a
        function of the two. ``uniforms`` (n,) is the judge's noise. The cost is O(n C d), in pieces of constant memory.
        """
        return self._in_pieces(self._decompose, x, like(np.asarray(uniforms), double(x)))

    def rosenblatt(self, x: Array) -> Array:
        """The transform u_i = P(X_i <= x_i | X_1..X_{i-1} = x_1..x_{i-1}) of Rosenblatt 1952: (n, d) -> (n, d).

        Under the mixture the u_i are independent and uniform. Given a component, the whitened coordinate i depends on x_1..x_i
        only and is a conditional one. The conditional distribution functions of the mixture are therefore averages of Phi(z_ci)
        with the weights given the past.
        """
        return self._in_pieces(self._rosenblatt, x)[0]

    def _decompose(self, x: Array, uniforms: Array) -> tuple[Array, Array]:
        xp = namespace(x)
        white = self._white(x)
        share = _softmax(self._log_joint(x, white))
        below = xp.cumulative_sum(share, axis=1)
        # By rounding, the last sum may be below one; the label stays in range.
        label = xp.sum(xp.astype(below[:, :-1] < uniforms[:, None], xp.int32), axis=1)
        return label, white[xp.arange(label.shape[0], device=device(x)), label]

    def _rosenblatt(self, x: Array) -> tuple[Array]:
        xp = namespace(x)
        white = self._white(x)
        columns, log_weight = [], self._log_weights(x) + 0.0 * white[:, :, 0]
        spread = self._log_spread(x)
        for i in range(self.dim):
            columns.append(xp.sum(_softmax(log_weight) * ndtr(white[:, :, i]), axis=1))
            log_weight = log_weight - 0.5 * white[:, :, i] ** 2 - spread[:, i]
        return (xp.stack(columns, axis=1),)

    def _in_pieces(self, function: Callable[..., tuple[Array, ...]], x: Array, *others: Array) -> tuple[Array, ...]:
        x, xp = double(x), namespace(x)
        rows = max(1, _PIECE // (len(self.weights) * self.dim))
        if x.shape[0] <= rows:
            return function(x, *others)
        parts = [function(x[i : i + rows], *(o[i : i + rows] for o in others)) for i in range(0, x.shape[0], rows)]
        return tuple(xp.concat(list(column)) for column in zip(*parts, strict=True))

    def _white(self, x: Array) -> Array:
        """Offsets from each component's mean, whitened by its Cholesky factor: (n, d) -> (n, C, d)."""
        xp = namespace(x)
        offset = x[:, None, :] - like(self.means, x)
        if self.covariances.ndim < 3:
            return offset / like(self._spread(), x)
        inverse = like(np.linalg.inv(self._root), x)
        return xp.stack([offset[:, c] @ inverse[c].T for c in range(len(self.weights))], axis=1)

    def _log_joint(self, x: Array, white: Array | None = None) -> Array:
        """log w_c N(x; component c), without the factor (2 pi)^(-d/2): (n, d) -> (n, C)."""
        white = self._white(x) if white is None else white
        return self._log_weights(x) - 0.5 * (white * white).sum(-1) - self._log_spread(x).sum(-1)

    def _log_weights(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return like(np.maximum(np.log(self.weights), -1e300 if x.dtype == namespace(x).float64 else -1e30), x)

    def _log_spread(self, x: Array) -> Array:
        """The logarithms of the diagonals of the Cholesky factors, (C, d)."""
        if self.covariances.ndim == 3:
            return like(np.log(np.diagonal(self._root, axis1=1, axis2=2)), x)
        return like(np.log(np.broadcast_to(self._spread()[0], self.means.shape)), x)

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The coordinates and ``random`` directions drawn from ``generator``; see :class:`.base.Projected`."""
        directions = {f"coordinate {i}": v for i, v in enumerate(np.eye(self.dim))}
        if self.dim > 1:
            directions |= {f"direction {i}": v for i, v in enumerate(unit_directions(random, self.dim, generator))}

        def transform(x: Array) -> list[Array]:
            x = double(x)
            along = (x[:, i] if i < self.dim else x @ like(v, x) for i, v in enumerate(directions.values()))
            return [self.projected_cdf(v, t) for v, t in zip(directions.values(), along, strict=True)]

        return Projections(list(directions), transform, whole=self.dim == 1)

    def _widened(self, more: np.ndarray) -> GaussianMixture:
        return GaussianMixture(self.weights, self.means, self.full_covariances() + more)

    def _spread(self) -> np.ndarray:
        """Standard deviations, broadcastable to (n, C, d)."""
        return self._root[None, :, None] if self.covariances.ndim == 1 else self._root[None]

    def _variance_along(self, v: np.ndarray) -> np.ndarray:
        """The variance of <v, X> within each component: (..., d) -> (..., C)."""
        if self.covariances.ndim == 3:
            return np.einsum("...i,cij,...j->...c", v, self.covariances, v, optimize=True)
        return (v * v).sum(-1, keepdims=True) * self.covariances if self.covariances.ndim == 1 else v**2 @ self.covariances.T


def _softmax(log_weight: Array) -> Array:
    """Turn rows of log-weights (n, C) into probabilities."""
    xp = namespace(log_weight)
    weight = xp.exp(log_weight - xp.max(log_weight, axis=1, keepdims=True))
    return weight / xp.sum(weight, axis=1, keepdims=True)
