"""The tests in use today, and ours, each as one function of the same paths; what a test says of them is an :class:`Outcome`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exactness.arrays import Array, to_numpy
from exactness.batteries import standard
from exactness.errors import InvalidSample
from exactness.evidence.base import Evidence
from exactness.judging.judgement import findings_of
from exactness.laws import GaussianChain
from exactness.plan import Plan

from .permutations import p_value
from .power_rows import PERMUTATIONS, coordinate_ks, random_features
from .power_search import Pair

ALPHA, OURS = 1e-3, 1e-6
"""Of each test in use today, and of ours."""
TOLERANCE = 1e-2
SUBSAMPLE = 2_000
"""Draws of either side that the energy distance is computed of: its matrix of distances has this number, doubled and squared."""
BINS = 1_000
"""Of either sample, which the kernel's test relabels as wholes."""
# Relabelled statistics that reach the observed one, after which p-values are far above alpha and counting stops.
_ENOUGH = 10

TESTS = {
    "ks": "KS of final samples, per coordinate",
    "moments": "moments of final samples, tolerance 1e-2 (no error rate)",
    "moments z": "the same moments, as z-tests",
    "step": "KS along the mean difference, one step",
    "first step": "KS along the mean difference, first step",
    "energy": "energy distance of final samples",
    "mmd": "MMD of final samples",
    "ours": "exactness: innovations of paths",
}


@dataclass(frozen=True)
class Outcome:
    """``p_value``: None where what the test looks at holds NaN, on which any assertion fails; for the moments, which have none,
    1 if all are within the tolerance and 0 if not. ``says``: the statistic, or what was seen. ``seconds``: of processor time.
    """

    p_value: float | None
    says: str
    seconds: float


def refutes(p_value: float | None, alpha: float) -> bool:
    """As ``assert p > alpha`` fails."""
    return p_value is None or p_value <= alpha


def alpha_of(test: str) -> float:
    return OURS if test == "ours" else ALPHA


def classical(law: GaussianChain, paths: Array, trusted: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Every test in use today of paths (n, K + 1, d); ``trusted`` (n, d): final states of the plain sampler, which are right."""
    pair = Pair(to_numpy(paths[:, -1]), trusted, lambda n, s: trusted[:0])
    middle = (law.steps + 1) // 2
    run: dict[str, Callable[[], tuple[float, str]]] = {
        "ks": lambda: (coordinate_ks(pair), "largest over the coordinates, Bonferroni"),
        "moments": lambda: within_tolerance(pair),
        "moments z": lambda: moments_z(pair),
        "step": lambda: along_one_step(law, paths, middle),
        "first step": lambda: along_one_step(law, paths, law.steps),
        "energy": lambda: energy(pair, seed),
        "mmd": lambda: (random_features(pair, seed, _ENOUGH, BINS), f"{len(pair.x):,} draws a side"),
    }
    return {name: asdict(_timed(name, test, pair)) for name, test in run.items()}


def within_tolerance(pair: Pair) -> tuple[float, str]:
    """As unit tests do: no mean and no variance further than 1e-2 from the trusted sample's."""
    largest = float(np.abs(_moments(pair.x)[0] - _moments(pair.y)[0]).max())
    return float(largest <= TOLERANCE), f"largest difference {largest:.4f}"


def moments_z(pair: Pair) -> tuple[float, str]:
    """The same differences over their standard errors: normal limit, two-sided, Bonferroni over means and variances."""
    from scipy.special import ndtr

    (a, u), (b, v) = _moments(pair.x), _moments(pair.y)
    z = np.abs(a - b) / np.sqrt(u + v)
    return float(min(1.0, 2.0 * len(z) * ndtr(-z.max()))), f"largest |z| {z.max():.2f}"


def along_one_step(law: GaussianChain, paths: Array, step: int) -> tuple[float, str]:
    """The innovation of one step along a mean difference that is known before the step is made, against N(0, 1).

    Two candidates, at twice the price: the state, along which our poor drafts are off, and the change of drift since the step
    before, along which a reused prediction is off. At the first step there is nothing to reuse, and the state stands alone.
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
    """2 E|x - y| - E|x - x'| - E|y - y'| of a random subsample, among its values for random relabellings: exact.

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
    return p_value(float(observed), relabelled, PERMUTATIONS, 100, _ENOUGH), f"{m:,} draws a side, distance {observed:.5f}"


class Ours:
    """The standard batteries of a chain's paths, fed part by part and asked at each size as a certificate of one stage."""

    def __init__(self, law: GaussianChain, seed: int) -> None:
        self.evidence: list[Evidence] = [b.start(law, np.random.default_rng(seed)) for b in standard() if b.applies(law)]
        self.law, self.unusable, self.seconds = law, "", 0.0

    def judge(self, part: Array) -> dict[str, Any]:
        """With so many more paths."""
        started = time.process_time()
        try:
            self.law.accept(part, len(part))
            for one in self.evidence:
                one.update(part)
        except InvalidSample as error:
            self.unusable = str(error)
        p, says = (None, self.unusable) if self.unusable else self._findings()
        self.seconds += time.process_time() - started
        return asdict(Outcome(p, says, round(self.seconds, 3)))

    def _findings(self) -> tuple[float, str]:
        n = self.evidence[0].paths
        leading = findings_of(self.evidence, Plan(alpha=OURS, first_paths=n, max_paths=n))[0]
        return leading.adjusted_p, f"{leading.name} ({leading.where})"


_OF_PATHS = ("step", "first step")


def _timed(name: str, test: Callable[[], tuple[float, str]], pair: Pair) -> Outcome:
    started = time.process_time()
    try:
        # A subsample may miss the NaN of a few paths, one step comes before those of later ones; a whole sample holds them.
        if name not in (*_OF_PATHS, "energy") and not np.isfinite(pair.x).all():
            raise InvalidSample("NaN in the sample")
        p, says = test()
    except InvalidSample as error:
        return Outcome(None, str(error), round(time.process_time() - started, 3))
    return Outcome(p, says, round(time.process_time() - started, 3))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances of the coordinates, (2 d,), and the squares of their standard errors."""
    centred = x - x.mean(axis=0)
    square = np.square(centred)
    variance = square.mean(axis=0)
    return np.concatenate([x.mean(axis=0), variance]), np.concatenate([variance, square.var(axis=0)]) / len(x)
