"""The tests in use today, in one place; the studies `field` and `power` run them on the same draws as ours.

Two-sample tests take a :class:`Pair`. A function that returns a p-value with a phrase says in the phrase what it saw.
hyppo, pqm and goodpoints are optional (`pip install "exactness[peers]"`); :attr:`Row.installed` says whether they are there.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from exactness.arrays import Array, to_numpy
from exactness.errors import InvalidSample
from exactness.laws import GaussianChain

TOLERANCE = 1e-2
"""How far apart two means or two variances may be in :func:`within_tolerance`, as unit tests are often written."""
SUBSAMPLE = 2_000
"""Draws per side for :func:`energy`: its matrix of distances has twice this number of rows and of columns."""
PERMUTATIONS = 1_999
"""1/(permutations + 1) must lie well below alpha = 1e-3; otherwise power is lost to chance."""
FREQUENCIES = 128
ENOUGH = 10
"""Relabelled statistics that reach the observed one, after which p is far above alpha and counting may stop."""
# The compression level of Compress Then Test: its cost grows as 4 to this power.
_COMPRESSION = 3


@dataclass(frozen=True)
class Pair:
    """Two samples: ``x`` (n, d) is judged, ``y`` (n, d) are draws of the law; ``more(n, seed)`` gives other draws of the law."""

    x: Any
    y: Any
    more: Callable[[int, int], Any]


Refutes = Callable[[Pair, float, int], float]
"""``refutes(pair, alpha, seed)`` is 1 or 0, or the probability with which a randomised test refutes."""


@dataclass(frozen=True)
class Row:
    """One test of a comparison: what it compares the draws with (``against``), the optional package that it needs (``package``),
    and the smallest n at which it is tried (``smallest``).
    """

    name: str
    against: str
    refutes: Refutes
    package: str | None = None
    smallest: int = 16

    @property
    def installed(self) -> bool:
        return self.package is None or importlib.util.find_spec(self.package) is not None


def two_sample() -> list[Row]:
    """The two-sample tests in use today, in the order of their publication."""
    return [
        Row("Kolmogorov-Smirnov per coordinate, Bonferroni (scipy)", "n draws", _by(lambda pair, seed: coordinate_ks(pair))),
        Row("energy distance, chi-square approximation (hyppo)", "n draws", _by(_hyppo("Energy")), "hyppo"),
        Row("MMD, chi-square approximation (hyppo)", "n draws", _by(_hyppo("MMD")), "hyppo"),
        Row(f"MMD, {FREQUENCIES} random frequencies, {PERMUTATIONS:,} permutations (numpy)", "n draws", _by(random_features)),
        Row("Compress Then Test (goodpoints)", "n draws", _compressed, "goodpoints", 64),
        Row("aggregated Compress Then Test (goodpoints)", "n draws", _aggregated, "goodpoints", 64),
        Row("PQMass, 100 regions (pqm)", "n draws", _by(_pqmass), "pqm", 64),
    ]


def _by(p_value_of: Callable[[Pair, int], float]) -> Refutes:
    return lambda pair, alpha, seed: float(p_value_of(pair, seed) <= alpha)


def coordinate_ks(pair: Pair) -> float:
    """The p-value of Kolmogorov-Smirnov tests of all coordinates, Bonferroni-adjusted."""
    from scipy.stats import ks_2samp

    d = pair.x.shape[1]
    return float(min(1.0, min(ks_2samp(pair.x[:, i], pair.y[:, i]).pvalue for i in range(d)) * d))


def within_tolerance(pair: Pair) -> tuple[float, str]:
    """As unit tests do: 1 if no mean and no variance is further than 1e-2 from the other sample's, else 0. It has no error rate."""
    largest = float(np.abs(_moments(pair.x)[0] - _moments(pair.y)[0]).max())
    return float(largest <= TOLERANCE), f"largest difference {largest:.4f}"


def moments_z(pair: Pair) -> tuple[float, str]:
    """The same differences over their standard errors: normal limit, two-sided, Bonferroni over means and variances."""
    from scipy.special import ndtr

    (a, u), (b, v) = _moments(pair.x), _moments(pair.y)
    z = np.abs(a - b) / np.sqrt(u + v)
    return float(min(1.0, 2.0 * len(z) * ndtr(-z.max()))), f"largest |z| {z.max():.2f}"


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances of the coordinates, (2 d,), and the squares of their standard errors."""
    centred = x - x.mean(axis=0)
    square = np.square(centred)
    variance = square.mean(axis=0)
    return np.concatenate([x.mean(axis=0), variance]), np.concatenate([variance, square.var(axis=0)]) / len(x)


def along_one_step(law: GaussianChain, paths: Array, step: int) -> tuple[float, str]:
    """Tests the innovation of one step against N(0, 1), along a mean difference that is known before the step is made.

    There are two candidates, and Bonferroni doubles p for them: the state, along which our poor drafts are off, and the change of
    the drift since the step before, along which a reused prediction is off. The first step has no earlier one and uses the state.
    """
    from scipy.stats import kstest

    before: Array | None = None
    for innovation in law.innovations(paths):
        if innovation.step == step:
            break
        before = innovation.drift
    directions = [innovation.state] + ([] if before is None else [innovation.drift - before])
    noise = to_numpy(innovation.noise)
    lines = [(noise * (v := to_numpy(d))).sum(1) / np.linalg.norm(v, axis=1) for d in directions]
    p = min(float(kstest(line, "norm").pvalue) for line in lines)
    return min(1.0, p * len(lines)), f"step {step} of {law.steps}"


def energy(pair: Pair, seed: int) -> tuple[float, str]:
    """2 E|x - y| - E|x - x'| - E|y - y'| of a random subsample, compared with its values for random relabellings: exact.

    Source: Szekely and Rizzo 2004, "Testing for equal distributions in high dimension".
    """
    from scipy.spatial.distance import cdist

    generator = np.random.default_rng(seed)
    m = min(SUBSAMPLE, len(pair.x))
    both = np.concatenate([of[generator.choice(len(of), m, replace=False)] for of in (pair.x, pair.y)])
    if not np.isfinite(both).all():
        raise InvalidSample("NaN in the subsample")
    distances = cdist(both, both).astype(np.float32)
    signs = np.repeat(np.array([1.0, -1.0], dtype=np.float32), m)

    def statistics(rows: np.ndarray) -> np.ndarray:
        return -((rows @ distances) * rows).sum(axis=1) / m**2

    def relabelled(count: int) -> np.ndarray:
        return statistics(generator.permuted(np.tile(signs, (count, 1)), axis=1))

    (observed,) = statistics(signs[None])
    return p_value(float(observed), relabelled, PERMUTATIONS, 100, ENOUGH), f"{m:,} draws a side, distance {observed:.5f}"


def random_features(pair: Pair, seed: int, enough: int | None = None, bins: int | None = None) -> float:
    """The p-value of MMD with random Fourier features: |mean feature difference|^2 among its values for relabellings: exact.

    Args:
        pair: two samples of n draws each.
        seed: of the frequencies and the relabellings.
        enough: as in :func:`p_value`.
        bins: relabel whole bins of draws, this many of either sample, instead of single draws. This is as exact, and cheap for
            large samples (Domingo-Enrich, Dwivedi and Mackey 2023, "Compress Then Test"); they are cut to a multiple of ``bins``.
    """
    generator = np.random.default_rng(seed)
    both = np.concatenate([pair.x, pair.y]).astype(np.float32)
    # Frequencies of the kernel exp(-|x - y|^2/width^2), which goodpoints uses.
    waves = generator.standard_normal((both.shape[1], FREQUENCIES)) * (2.0**0.5 / _typical_distance(pair))
    angle = both @ waves.astype(np.float32)
    features = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    features -= features.mean(axis=0)
    n = len(pair.x)
    if bins is not None and n > bins:
        halves, n, rows = (features[:n], features[n:]), bins, n // bins
        features = np.concatenate([half[: bins * rows].reshape(bins, rows, -1).sum(1) for half in halves])

    def relabelled(m: int) -> np.ndarray:
        labels = np.zeros((m, len(features)), dtype=np.float32)
        labels[:, :n] = 1.0
        labels = generator.permuted(labels, axis=1, out=labels)
        return np.square(labels @ features).sum(axis=1)

    observed = np.square(features[:n].sum(axis=0)).sum()
    return p_value(observed, relabelled, PERMUTATIONS, max(1, (1 << 23) // len(features)), enough)


def p_value(
    observed: float, relabelled: Callable[[int], np.ndarray], permutations: int, piece: int, enough: int | None = None
) -> float:
    """The exact p-value of a permutation test: (1 + the relabelled statistics that reach the observed one) / (1 + permutations).

    Args:
        observed: the statistic of the data as they are.
        relabelled: ``relabelled(m)`` gives the statistics of m fresh random relabellings, (m,).
        permutations: the number of relabellings.
        piece: the largest m that is asked for at once.
        enough: stop as soon as this many statistics have reached the observed one; p is then this number over the relabellings
            made until then, which is exact as well (Besag and Clifford 1991, "Sequential Monte Carlo p-values") and spares most
            of the work where p is large.
    """
    exceeding, made = 0, 0
    while made < permutations:
        reached = np.flatnonzero(relabelled(min(piece, permutations - made)) >= observed)
        if enough is not None and exceeding + len(reached) >= enough:
            return enough / (made + int(reached[enough - exceeding - 1]) + 1)
        exceeding += len(reached)
        made += min(piece, permutations - made)
    return (1 + exceeding) / (1 + permutations)


def _hyppo(name: str) -> Callable[[Pair, int], float]:
    return lambda pair, seed: getattr(importlib.import_module("hyppo.ksample"), name)().test(pair.x, pair.y, auto=True).pvalue


def _compressed(pair: Pair, alpha: float, seed: int) -> float:
    ctt = importlib.import_module("goodpoints.ctt")
    width = _typical_distance(pair)
    result = ctt.ctt(pair.x, pair.y, _COMPRESSION, B=PERMUTATIONS, lam=width, alpha=alpha, null_seed=seed, statistic_seed=seed + 1)
    return float(result.rejects)


def _aggregated(pair: Pair, alpha: float, seed: int) -> float:
    """Five bandwidths; thresholds from 9,999 permutations and their level from 3,999 more, which is enough for alpha = 1e-3."""
    ctt = importlib.import_module("goodpoints.ctt")
    widths = _typical_distance(pair) * 2.0 ** np.array([-2.0, -1.0, 1.0, 2.0, 0.0])
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every step of its search
        result = ctt.actt(
            pair.x, pair.y, _COMPRESSION, B=9_999, B_2=3_999, lam=widths, weights=np.full(5, 0.2), alpha=alpha,
            null_seed=seed, statistic_seed=seed + 1,
        )  # fmt: skip
    return float(result.rejects)


def _pqmass(pair: Pair, seed: int) -> float:
    """With its defaults: one tessellation, chi-square."""
    pqm = importlib.import_module("pqm")
    np.random.seed(seed)  # it knows no other generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "few samples", at the small n where a search begins
        return float(pqm.pqm_pvalue(pair.x, pair.y))


def _typical_distance(pair: Pair) -> float:
    """Root mean square distance of two pooled draws. Labels do not enter, so permutations stay exact."""
    both = np.concatenate([pair.x, pair.y])
    return float(np.sqrt(2.0 * both.var(axis=0).sum()))
