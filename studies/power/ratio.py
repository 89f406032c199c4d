"""Part D: the likelihood-ratio test, which no test beats, compared with the battery that a whole certificate runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, ndtri

from exactness import GaussianChain
from exactness.batteries import Innovations

from ..peers import Pair
from .fit import fitted
from .rows import judged
from .running import POWER, Run, normal_limit, progress
from .search import Draw

_STEPS, _DIM = 40, 2
_PER_PATH = (_STEPS + 1) * _DIM


@dataclass(frozen=True)
class Noise:
    """Innovations that depart: ``make(generator, n)`` gives (n, steps + 1, dim). The ratio test needs ``limit(alpha)`` of them."""

    name: str
    about: str
    make: Callable[[np.random.Generator, int], np.ndarray]
    limit: Callable[[float], float]


def noises(shift: float, scale: float, lag: float) -> list[Noise]:
    shape = (_STEPS + 1, _DIM)
    return [
        Noise(
            "mean shift", f"every innovation N({shift:g}, 1)",
            lambda g, n: shift + g.standard_normal((n, *shape)), lambda a: ((ndtri(POWER) - ndtri(a)) / shift) ** 2,
        ),
        Noise(
            "scale", f"every innovation N(0, {scale:g}^2)",
            lambda g, n: scale * g.standard_normal((n, *shape)), lambda a: _scale_limit(scale, a),
        ),
        Noise(
            "lag-one correlation", f"of {lag:g}, of each coordinate along the path",
            lambda g, n: _autoregressive(g.standard_normal((n, *shape)), lag), lambda a: _lag_limit(lag, a),
        ),
    ]  # fmt: skip


def part_d(run: Run) -> dict[str, Any]:
    """Quick runs look for departures that are so large that few paths suffice."""
    chain = GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.full(_STEPS, 0.5), dim=_DIM)
    found = []
    for noise in noises(0.2, 1.2, 0.2) if run.quick else noises(0.02, 1.02, 0.02):
        for alpha in (1e-3, 1e-6):
            progress(f"D {noise.name} at {alpha:g}")
            limit = noise.limit(alpha)
            first = max(2, math.ceil(limit / _PER_PATH))
            fit = fitted(judged(chain, [Innovations()]), _chain_draw(noise, run.seed), alpha, run.effort.limit, first, POWER)
            line = {"name": noise.name, "about": noise.about, "alpha": alpha, "limit": limit, "fit": asdict(fit)}
            found.append(line | {"ratios": [n * _PER_PATH / limit for n in (fit.n, fit.low, fit.high)]})
    return {"steps": _STEPS, "dim": _DIM, "tests": _tests_of(chain), "repetitions": run.effort.limit, "rows": found}


def _chain_draw(noise: Noise, seed: int) -> Draw:
    def draw(n: int, repetition: int) -> Pair:
        paths = noise.make(np.random.default_rng([seed, 3, n, repetition]), n)
        for i in range(_STEPS):
            paths[:, i + 1] = 0.9 * paths[:, i] + 0.5 * paths[:, i + 1]
        return Pair(paths, paths, lambda m, s: paths[:m])

    return draw


def _tests_of(chain: GaussianChain) -> int:
    evidence = Innovations().start(chain, np.random.default_rng(0))
    evidence.update(np.random.default_rng(0).standard_normal((4, _STEPS + 1, _DIM)))
    return len(evidence.results())


def _autoregressive(white: np.ndarray, lag: float) -> np.ndarray:
    """Turns white noise into an autoregression of unit variance, in place."""
    for i in range(1, white.shape[1]):
        white[:, i] = lag * white[:, i - 1] + math.sqrt(1.0 - lag * lag) * white[:, i]
    return white


def _scale_limit(scale: float, alpha: float) -> float:
    """The mean square is a sufficient statistic, and chi-square under either law."""
    gap = lambda n: chdtrc(n, chdtri(n, alpha) / scale**2) - POWER  # noqa: E731
    return float(brentq(gap, 2.0, 1e9))


def _lag_limit(lag: float, alpha: float) -> float:
    """With S the correlation matrix of a run, the log ratio is a quadratic form of known moments; many runs make it normal."""
    steps = np.arange(_STEPS + 1)
    s = lag ** np.abs(steps[:, None] - steps)
    a = np.eye(len(s)) - np.linalg.inv(s)
    means = 0.5 * np.trace(a), 0.5 * np.trace(a @ s)
    variances = 0.5 * np.trace(a @ a), 0.5 * np.trace(a @ s @ a @ s)
    return len(s) * normal_limit((means[0], variances[0]), (means[1], variances[1]), alpha)
