"""The n at which a test reaches a power, read from a curve through its powers at several n."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, ndtri

from ..peers import Refutes
from .search import Draw, Point, rate


@dataclass(frozen=True)
class Fitted:
    """n at the power asked for, with a 95% interval, and the points it was read from."""

    n: float
    low: float
    high: float
    points: list[Point]


def fitted(refutes: Refutes, draw: Draw, alpha: float, repetitions: int, first: int, power: float) -> Fitted:
    """From ``first`` on in steps of a sixth of an octave until the power is reached; n from a probit line in sqrt(n).

    The power of a test of a mean is such a line. The interval is that of 200 sets of counts drawn from it.
    """
    points: list[Point] = []
    while len(points) < 3 or points[-1].refuted < power * repetitions:
        points.append(rate(refutes, draw, alpha, repetitions, math.ceil(first * 2 ** (len(points) / 6))))
    roots = np.sqrt([p.n / first for p in points])
    line = _probit_line(roots, np.array([p.refuted for p in points]), repetitions)
    generator = np.random.default_rng(first)
    again = [_probit_line(roots, generator.binomial(repetitions, ndtr(line[0] + line[1] * roots)), repetitions) for _ in range(200)]
    low, high = np.quantile([_reaches(one, power) for one in again], [0.025, 0.975])
    return Fitted(first * _reaches(line, power), first * float(low), first * float(high), points)


def _probit_line(roots: np.ndarray, refuted: np.ndarray, repetitions: int) -> np.ndarray:
    """Most likely (a, b), power = Phi(a + b sqrt(n))."""

    def loss(line: np.ndarray) -> float:
        z = line[0] + line[1] * roots
        return -float((refuted * log_ndtr(z) + (repetitions - refuted) * log_ndtr(-z)).sum())

    return np.asarray(minimize(loss, [-4.0, 5.0], method="Nelder-Mead").x)


def _reaches(line: np.ndarray, power: float) -> float:
    """n over that of the first point; a line through too few repetitions to have a slope gives up at 16."""
    root = (float(ndtri(power)) - line[0]) / line[1] if line[1] > 0 else 4.0
    return float(np.clip(root, 0.0, 4.0)) ** 2
