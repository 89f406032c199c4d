"""Right and wrong Markov kernels in numpy. All take states (n, d), whose rows are independent chains, and a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import exactness as ex

Rows = np.ndarray
LogDensity = Callable[[Rows], Rows]

# A straight line with normal noise: y_i ~ N(a + b t_i, SD^2), a and b ~ N(0, 1).
TIMES = np.array([-0.6, -0.2, 0.2, 0.6, 1.0])
DESIGN = np.stack([np.ones_like(TIMES), TIMES])
SD = 0.7
# The one data set of those who test with one.
OBSERVED = np.array([0.3, 0.9, 1.4, 1.5, 2.3])


def prior(n: int, seed: int) -> Rows:
    """(n, 2)"""
    return np.random.default_rng(seed).standard_normal((n, 2))


def simulate(theta: Rows, seed: int) -> Rows:
    """(n, 5)"""
    return theta @ DESIGN + SD * np.random.default_rng(seed).standard_normal((len(theta), len(TIMES)))


def log_likelihood(theta: Rows, data: Rows, sd: float = SD) -> Rows:
    """(n,), up to a constant that depends on neither."""
    found: Rows = -0.5 * (((data - theta @ DESIGN) / sd) ** 2).sum(1)
    return found


def log_prior(theta: Rows) -> Rows:
    found: Rows = -0.5 * (theta**2).sum(1)
    return found


def posterior(data: Rows) -> tuple[Rows, Rows]:
    """The exact means (n, 2) and the covariance (2, 2)."""
    covariance = np.linalg.inv(np.eye(2) + DESIGN @ DESIGN.T / SD**2)
    return data @ DESIGN.T @ covariance / SD**2, covariance


def walk(x: Rows, log_density: LogDensity, scale: float, rng: np.random.Generator) -> Rows:
    """One step of a random walk with Metropolis acceptance."""
    y = x + scale * rng.standard_normal(x.shape)
    return accepted(x, y, log_density(y) - log_density(x), rng)


def accepted(x: Rows, y: Rows, log_ratio: Rows, rng: np.random.Generator) -> Rows:
    with np.errstate(divide="ignore"):
        return np.where((np.log(rng.random(len(x))) < log_ratio)[:, None], y, x)


def elliptical(x: Rows, log_height: Callable[[Rows, Rows], Rows], rng: np.random.Generator) -> Rows:
    """One step of elliptical slice sampling for the prior N(0, I). ``log_height`` takes states and the numbers of their rows.

    Source: Murray, Adams and MacKay 2010, figure 2.
    """
    left = np.arange(len(x))
    other, threshold = rng.standard_normal(x.shape), log_height(x, left) + np.log(rng.random(len(x)))
    angle = 2.0 * np.pi * rng.random(len(x))
    low, high, y = angle - 2.0 * np.pi, angle.copy(), x.copy()
    while len(left):
        t = angle[left]
        turned = x[left] * np.cos(t)[:, None] + other[left] * np.sin(t)[:, None]
        inside = log_height(turned, left) > threshold[left]
        y[left[inside]] = turned[inside]
        left, t = left[~inside], t[~inside]
        low[left], high[left] = np.where(t < 0, t, low[left]), np.where(t < 0, high[left], t)
        angle[left] = low[left] + (high[left] - low[left]) * rng.random(len(left))
    return y


@dataclass(frozen=True)
class Posterior:
    """A kernel for the posterior of the straight line: ``move(theta, data, rng)``."""

    move: Callable[[Rows, Rows, np.random.Generator], Rows]
    right: bool = False

    def __call__(self, theta: Rows, data: Rows, seed: int) -> Rows:
        return self.move(theta, data, np.random.default_rng(seed))


def _walk(likelihood: Callable[[Rows, Rows], Rows]) -> Callable[[Rows, Rows, np.random.Generator], Rows]:
    return lambda theta, data, rng: walk(theta, lambda t: log_prior(t) + likelihood(t, data), 0.3, rng)


def _without_the_first(theta: Rows, data: Rows) -> Rows:
    found: Rows = -0.5 * (((data - theta @ DESIGN)[:, 1:] / SD) ** 2).sum(1)
    return found


POSTERIORS: dict[str, Posterior] = {
    "random walk": Posterior(_walk(log_likelihood), right=True),
    "elliptical slice": Posterior(lambda t, y, rng: elliptical(t, lambda s, i: log_likelihood(s, y[i]), rng), right=True),
    "ignores the data": Posterior(_walk(lambda t, y: np.zeros(len(t)))),
    "slice with the joint for the conditional": Posterior(
        lambda t, y, rng: elliptical(t, lambda s, i: log_likelihood(s, y[i]) + log_prior(s), rng)
    ),
    "an observation left out": Posterior(_walk(_without_the_first)),
    "standard deviation .75 for .7": Posterior(_walk(lambda t, y: log_likelihood(t, y, 0.75))),
    "observations reversed": Posterior(_walk(lambda t, y: log_likelihood(t, y[:, ::-1]))),
    "likelihood twice": Posterior(_walk(lambda t, y: 2.0 * log_likelihood(t, y))),
}


class Gamma(ex.laws.UnivariateLaw):
    """Gamma with shape 3 and scale 1, (n, 1), which can be drawn."""

    def __init__(self) -> None:
        super().__init__(stats.gamma(3.0).cdf, support=(0.0, np.inf), name="gamma of shape 3")

    def sample(self, n: int, seed: int) -> Rows:
        """(n, 1)"""
        return np.random.default_rng(seed).gamma(3.0, size=(n, 1))

    def log_density(self, x: Rows) -> Rows:
        """(n, 1) -> (n,), up to a constant."""
        found: Rows = 2.0 * np.log(x[:, 0]) - x[:, 0]
        return found


MIXTURE = ex.GaussianMixture([0.6, 0.4], [[2.0, 1.0], [0.5, 2.0]], [0.3, 0.2])
GAMMA = Gamma()


@dataclass(frozen=True)
class Invariant:
    """A kernel that must keep a law: ``move(x, rng)``. ``moments`` are the exact means and standard deviations."""

    target: Any
    moments: tuple[Any, Any]
    move: Callable[[Rows, np.random.Generator], Rows]
    right: bool = False

    def __call__(self, x: Rows, seed: int) -> Rows:
        return self.move(x, np.random.default_rng(seed))


def _langevin(h: float, corrected: bool) -> Callable[[Rows, np.random.Generator], Rows]:
    def drift(x: Rows) -> Rows:
        found: Rows = x + 0.5 * h * MIXTURE.score(x)
        return found

    def move(x: Rows, rng: np.random.Generator) -> Rows:
        y = drift(x) + h**0.5 * rng.standard_normal(x.shape)
        log_ratio = MIXTURE.log_density(y) - MIXTURE.log_density(x)
        if corrected:
            log_ratio += (((y - drift(x)) ** 2).sum(1) - ((x - drift(y)) ** 2).sum(1)) / (2.0 * h)
        return accepted(x, y, log_ratio, rng)

    return move


def _shrinking(corrected: bool) -> Callable[[Rows, np.random.Generator], Rows]:
    """The proposal is drawn to the mean, so the way back has another density."""
    mean, keep, spread = 1.4, 0.8, 0.5

    def move(x: Rows, rng: np.random.Generator) -> Rows:
        y = mean + keep * (x - mean) + spread * rng.standard_normal(x.shape)
        log_ratio = MIXTURE.log_density(y) - MIXTURE.log_density(x)
        if corrected:
            back, there = x - mean - keep * (y - mean), y - mean - keep * (x - mean)
            log_ratio += ((there**2).sum(1) - (back**2).sum(1)) / (2.0 * spread**2)
        return accepted(x, y, log_ratio, rng)

    return move


def _logarithm(jacobian: bool) -> Callable[[Rows, np.random.Generator], Rows]:
    def log_density(z: Rows) -> Rows:
        found: Rows = GAMMA.log_density(np.exp(z)) + jacobian * z[:, 0]
        return found

    return lambda x, rng: np.exp(walk(np.log(x), log_density, 0.7, rng))


def _moments() -> tuple[Rows, Rows]:
    w, means = MIXTURE.weights, MIXTURE.means
    mean = w @ means
    variance = w @ (means**2 + np.array([[0.3], [0.2]])) - mean**2
    return mean, variance**0.5


_OF_MIXTURE = (MIXTURE, _moments())
_OF_GAMMA = (GAMMA, (np.array([3.0]), np.array([3.0**0.5])))

INVARIANTS: dict[str, Invariant] = {
    "random walk on a mixture": Invariant(*_OF_MIXTURE, lambda x, rng: walk(x, MIXTURE.log_density, 0.5, rng), right=True),
    "Langevin with its ratio": Invariant(*_OF_MIXTURE, _langevin(0.3, True), right=True),
    "walk of the logarithm": Invariant(*_OF_GAMMA, _logarithm(True), right=True),
    "Hastings ratio missing": Invariant(*_OF_MIXTURE, _shrinking(False)),
    "Langevin with a symmetric ratio": Invariant(*_OF_MIXTURE, _langevin(0.3, False)),
    "Jacobian forgotten": Invariant(*_OF_GAMMA, _logarithm(False)),
}
