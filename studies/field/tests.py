"""The tests that this study compares, each applied to the same paths; every outcome is an :class:`Outcome`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exactness.arrays import Array, to_numpy
from exactness.errors import InvalidSample
from exactness.laws import GaussianChain

from .. import peers
from ..ours import OneStage, applying
from ..peers import Pair

ALPHA, OURS = 1e-3, 1e-6
"""The levels of each test in use today, and of ours."""
BINS = 1_000
"""Bins per sample, which the kernel test relabels as wholes."""

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
    """The outcome of one test on one sample.

    ``p_value`` is None where the test's data hold NaN, on which any assertion fails. The moments have no p-value: theirs is 1 if
    all are within the tolerance, else 0. ``says`` is the statistic in words, ``seconds`` is processor time.
    """

    p_value: float | None
    says: str
    seconds: float


def refutes(p_value: float | None, alpha: float) -> bool:
    """True where ``assert p > alpha`` would fail."""
    return p_value is None or p_value <= alpha


def alpha_of(test: str) -> float:
    return OURS if test == "ours" else ALPHA


def classical(law: GaussianChain, paths: Array, trusted: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Every test in use today on paths (n, K + 1, d); ``trusted`` (n, d) are final states of the plain sampler, which are right."""
    pair = Pair(to_numpy(paths[:, -1]), trusted, lambda n, s: trusted[:0])
    middle = (law.steps + 1) // 2
    run: dict[str, Callable[[], tuple[float, str]]] = {
        "ks": lambda: (peers.coordinate_ks(pair), "largest over the coordinates, Bonferroni"),
        "moments": lambda: peers.within_tolerance(pair),
        "moments z": lambda: peers.moments_z(pair),
        "step": lambda: peers.along_one_step(law, paths, middle),
        "first step": lambda: peers.along_one_step(law, paths, law.steps),
        "energy": lambda: peers.energy(pair, seed),
        "mmd": lambda: (peers.random_features(pair, seed, peers.ENOUGH, BINS), f"{len(pair.x):,} draws a side"),
    }
    return {name: asdict(_timed(name, test, pair)) for name, test in run.items()}


class Ours:
    """The standard batteries on a chain's paths, which come part by part. Each size is judged as a certificate of one stage."""

    def __init__(self, law: GaussianChain, seed: int) -> None:
        self.certificate = OneStage(law, applying(law), seed)
        self.law, self.unusable, self.seconds = law, "", 0.0

    def judge(self, part: Array) -> dict[str, Any]:
        """The outcome after these further paths."""
        started = time.process_time()
        try:
            self.law.accept(part, len(part))
            self.certificate.update(part)
        except InvalidSample as error:
            self.unusable = str(error)
        p, says = (None, self.unusable) if self.unusable else self._findings()
        self.seconds += time.process_time() - started
        return asdict(Outcome(p, says, round(self.seconds, 3)))

    def _findings(self) -> tuple[float, str]:
        leading = self.certificate.leading()
        return leading.adjusted_p, f"{leading.name} ({leading.where})"


_OF_PATHS = ("step", "first step")


def _timed(name: str, test: Callable[[], tuple[float, str]], pair: Pair) -> Outcome:
    started = time.process_time()
    try:
        # A subsample may miss the few paths with NaN, and one step may come before it; tests of whole samples are refused here.
        if name not in (*_OF_PATHS, "energy") and not np.isfinite(pair.x).all():
            raise InvalidSample("NaN in the sample")
        p, says = test()
    except InvalidSample as error:
        return Outcome(None, str(error), round(time.process_time() - started, 3))
    return Outcome(p, says, round(time.process_time() - started, 3))
