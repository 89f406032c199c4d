"""The laws that faulty kernels claim to keep: a log-density for torch and JAX, and exact draws from numpy.

Example:
    >>> from exactness_samplers.faults.markov.targets import MIXTURE
    >>> MIXTURE.draws(5, seed=0).shape
    (5, 2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from ..base import Array, Backend

Draw = Callable[[int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Target:
    """A law on R^d that can be drawn exactly.

    Attributes:
        name: for messages.
        dim: d.
        density: the log-density up to a constant, ``(backend, x (n, d)) -> (n,)``.
        draw: ``(n, generator) -> (n, d)``, exact.
        flip: the coordinates whose sign changes under the flip of the momentum, if there is one.
        own_features: statistics (n, k) of draws (n, d) that this law suggests, next to those that suit every law.
    """

    name: str
    dim: int
    density: Callable[[Backend, Array], Array]
    draw: Draw
    flip: tuple[int, ...] = ()
    own_features: Callable[[np.ndarray], np.ndarray] | None = None

    def draws(self, n: int, seed: int) -> np.ndarray:
        """Exact draws, (n, d)."""
        return self.draw(n, np.random.default_rng(seed))

    def log_density(self, of: Backend) -> Callable[[Array], Array]:
        """The log-density as a function of states alone."""
        return lambda x: self.density(of, x)


@dataclass(frozen=True)
class Normals:
    """A mixture of isotropic normals: weights (k,), means (k, d) and standard deviations (k,)."""

    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    sds: tuple[float, ...]

    def density(self, of: Backend, x: Array) -> Array:
        dim = len(self.means[0])
        terms = [
            math.log(w) - dim * math.log(s) - 0.5 * of.xp.sum(sum_of_squares(x, mean) / s**2, axis=-1)
            for w, mean, s in zip(self.weights, self.means, self.sds, strict=True)
        ]
        top = terms[0]
        for term in terms[1:]:
            top = of.xp.maximum(top, term)
        return top + of.xp.log(sum(of.xp.exp(term - top) for term in terms))

    def draw(self, n: int, g: np.random.Generator) -> np.ndarray:
        which = g.choice(len(self.weights), n, p=self.weights)
        return np.array(self.means)[which] + np.array(self.sds)[which, None] * g.standard_normal((n, len(self.means[0])))

    def tempered(self, n: int, beta: float, g: np.random.Generator) -> np.ndarray:
        """Exact draws of pi^beta, beta <= 1, by rejection: the power of a sum is at most the sum of the powers."""
        dim, found = len(self.means[0]), np.empty((0, len(self.means[0])))
        sds = np.array(self.sds)
        masses = (np.array(self.weights) / sds**dim) ** beta * sds**dim
        wider = Normals(tuple(masses / masses.sum()), self.means, tuple(sds / math.sqrt(beta)))
        while len(found) < n:
            x = wider.draw(n, g)
            squares = np.square(x[:, None] - np.array(self.means)).sum(-1)
            terms = np.array(self.weights) / sds**dim * np.exp(-0.5 * squares / sds**2)
            kept = g.random(n) < terms.sum(1) ** beta / (terms**beta).sum(1)
            found = np.concatenate([found, x[kept]])
        return found[:n]


def sum_of_squares(x: Array, mean: Sequence[float]) -> Array:
    """The squares of x (n, d) around a mean (d,), still by coordinate."""
    return sum_columns([(x[:, i : i + 1] - m) ** 2 for i, m in enumerate(mean)])


def sum_columns(columns: list[Array]) -> Array:
    total = columns[0]
    for column in columns[1:]:
        total = total + column
    return total


_TWO = Normals((0.4, 0.6), ((-1.0, 0.0), (1.0, 0.5)), (0.5, 0.9))
_LINE = Normals((0.5, 0.5), ((-1.5,), (1.5,)), (0.5, 0.8))
_FAR = Normals((0.5, 0.5), ((-8.0,), (8.0,)), (1.0, 1.0))

MIXTURE = Target("a mixture of two normals in the plane", 2, _TWO.density, _TWO.draw)
LINE = Target("a mixture of two normals on the line", 1, _LINE.density, _LINE.draw)
FAR = Target("two modes 16 standard deviations apart", 1, _FAR.density, _FAR.draw)
NORMAL = Target(
    "the standard normal in the plane", 2, lambda of, x: -0.5 * of.xp.sum(x * x, axis=-1), lambda n, g: g.standard_normal((n, 2))
)
GAMMA = Target(
    "the gamma law of shape 3", 1, lambda of, x: 2.0 * of.xp.log(x[:, 0]) - x[:, 0], lambda n, g: g.gamma(3.0, size=(n, 1))
)

RHO = 0.9


def _correlated(of: Backend, x: Array) -> Array:
    return -0.5 * (x[:, 0] ** 2 - 2.0 * RHO * x[:, 0] * x[:, 1] + x[:, 1] ** 2) / (1.0 - RHO**2)


def _draw_correlated(n: int, g: np.random.Generator) -> np.ndarray:
    z = g.standard_normal((n, 2))
    return np.stack([z[:, 0], RHO * z[:, 0] + math.sqrt(1.0 - RHO**2) * z[:, 1]], 1)


CORRELATED = Target("the bivariate normal of correlation .9", 2, _correlated, _draw_correlated)

BETA = 0.35


@cache
def _spins() -> tuple[np.ndarray, np.ndarray]:
    spins = np.array(list(product([-1.0, 1.0], repeat=9)))
    grid = spins.reshape(-1, 3, 3)
    weights = np.exp(BETA * (grid * np.roll(grid, 1, 1) + grid * np.roll(grid, 1, 2)).sum((1, 2)))
    return spins, weights / weights.sum()


def _draw_spins(n: int, g: np.random.Generator) -> np.ndarray:
    spins, law = _spins()
    return spins[g.choice(len(law), n, p=law)]


ISING = Target(
    "the Ising model on the 3 x 3 torus", 9,
    lambda of, x: 0.5 * BETA * of.xp.sum(x * of.gibbs.ising_field(x), axis=-1), _draw_spins,
)  # fmt: skip

PHASE = Target(
    "the mixture in the plane, with momenta", 4,
    lambda of, x: _TWO.density(of, x[:, :2]) - 0.5 * of.xp.sum(x[:, 2:] ** 2, axis=-1),
    lambda n, g: np.concatenate([_TWO.draw(n, g), g.standard_normal((n, 2))], 1),
    flip=(2, 3),
)  # fmt: skip

BETAS = (1.0, 0.5, 0.2)
TEMPERED = Target(
    "three powers of the mixture on the line", 3,
    lambda of, x: sum_columns([beta * _LINE.density(of, x[:, i : i + 1]) for i, beta in enumerate(BETAS)]),
    lambda n, g: np.concatenate([_LINE.tempered(n, beta, g) for beta in BETAS], 1),
)  # fmt: skip

WALKERS = 4
ENSEMBLE = Target(
    "four walkers on the mixture in the plane", 2 * WALKERS,
    lambda of, x: sum_columns([_TWO.density(of, x[:, 2 * i : 2 * i + 2]) for i in range(WALKERS)]),
    lambda n, g: _TWO.draw(n * WALKERS, g).reshape(n, 2 * WALKERS),
    # Coordinates do not see walkers that are independent two by two and not all together; their distances do.
    own_features=lambda x: np.log(np.hypot(x[:, :1] - x[:, 2:3], x[:, 1:2] - x[:, 3:4])),
)  # fmt: skip

# A prior N(mean, 1) and one observation of each coordinate, so that the posterior is normal.
PRIOR_MEAN, _SEEN_AT, _SEEN_SD = 0.7, -0.4, 0.8


def log_likelihood(x: Array) -> Array:
    """The log-likelihood of the target ``POSTERIOR``, whose prior is N(PRIOR_MEAN, I)."""
    return -0.5 * ((x[:, 0] - _SEEN_AT) ** 2 + (x[:, 1] - _SEEN_AT) ** 2) / _SEEN_SD**2


def log_prior(x: Array) -> Array:
    return -0.5 * ((x[:, 0] - PRIOR_MEAN) ** 2 + (x[:, 1] - PRIOR_MEAN) ** 2)


_PRECISION = 1.0 + 1.0 / _SEEN_SD**2
POSTERIOR = Target(
    "a normal prior and a normal likelihood", 2, lambda of, x: log_likelihood(x) + log_prior(x),
    lambda n, g: (PRIOR_MEAN + _SEEN_AT / _SEEN_SD**2) / _PRECISION + g.standard_normal((n, 2)) / math.sqrt(_PRECISION),
)  # fmt: skip

ESTIMATE_SD = 0.8


def _draw_estimated(n: int, g: np.random.Generator) -> np.ndarray:
    """Draws that are weighted with their own estimate: its logarithm has mean +sd^2/2 instead of -sd^2/2."""
    x = _LINE.draw(n, g)
    log_density = np.log(
        sum(w / s * np.exp(-0.5 * (x[:, 0] - m[0]) ** 2 / s**2) for w, m, s in zip(*vars(_LINE).values(), strict=True))
    )
    return np.stack([x[:, 0], log_density + ESTIMATE_SD * g.standard_normal(n) + 0.5 * ESTIMATE_SD**2], 1)


def _estimated(of: Backend, state: Array) -> Array:
    noise = state[:, 1] - _LINE.density(of, state[:, :1])
    return _LINE.density(of, state[:, :1]) - 0.5 * ((noise - 0.5 * ESTIMATE_SD**2) / ESTIMATE_SD) ** 2


ESTIMATED = Target("the mixture on the line, with the estimate of its density", 2, _estimated, _draw_estimated)


def log_estimate(of: Backend) -> Callable[[Array, Array], Array]:
    """An unbiased estimate of the density of ``LINE``, as its logarithm."""
    return lambda x, normals: _LINE.density(of, x) + ESTIMATE_SD * normals[:, 0] - 0.5 * ESTIMATE_SD**2


@dataclass(frozen=True)
class Regression:
    """A line through six observations, y_i = a + b t_i + sd e_i with (a, b) ~ N(0, I): the model of the faults of joint laws.

    >>> model = Regression()
    >>> theta = model.prior(3, seed=0)
    >>> model.simulate(theta, seed=1).shape
    (3, 6)
    """

    times: tuple[float, ...] = (-1.0, -0.7, -0.2, 0.1, 0.6, 1.2)
    sd: float = 0.7

    def prior(self, n: int, seed: int) -> np.ndarray:
        """Parameters (n, 2)."""
        return np.random.default_rng(seed).standard_normal((n, 2))

    def simulate(self, theta: np.ndarray, seed: int) -> np.ndarray:
        """Data (n, 6), a row for each row of parameters."""
        mean = theta[:, :1] + theta[:, 1:] * np.array(self.times)
        return mean + self.sd * np.random.default_rng(seed).standard_normal(mean.shape)

    def log_prior(self, of: Backend, theta: Array) -> Array:
        return -0.5 * of.xp.sum(theta * theta, axis=-1)

    def log_likelihood(self, of: Backend, theta: Array, data: Array, sd: float | None = None) -> Array:
        """(n,), up to a constant; ``data`` may have fewer columns than there are times."""
        residuals = [data[:, i] - theta[:, 0] - theta[:, 1] * self.times[i] for i in range(data.shape[1])]
        return sum_columns([-0.5 * (r / (sd or self.sd)) ** 2 for r in residuals])

    def log_joint(self, of: Backend, theta: Array, data: Array) -> Array:
        return self.log_prior(of, theta) + self.log_likelihood(of, theta, data)

    def posterior(self, of: Backend, data: Array, prior_precision: float = 1.0) -> tuple[Array, np.ndarray]:
        """The mean (n, 2) of the normal posterior, and a root (2, 2) of its covariance."""
        design = np.stack([np.ones(len(self.times)), np.array(self.times)], 1)
        cov = np.linalg.inv(prior_precision * np.eye(2) + design.T @ design / self.sd**2)
        weights = cov @ design.T / self.sd**2
        mean = [sum_columns([float(weights[j, i]) * data[:, i] for i in range(len(self.times))]) for j in range(2)]
        return of.xp.stack(mean, axis=1), np.linalg.cholesky(cov)


MODEL = Regression()
