"""Upper bounds on the power of any test against the faults that are beyond reach (Neyman and Pearson 1933).

The bounds follow from the data processing inequality for the decision of the test: a test of level alpha and power beta on n draws
has kl(beta, alpha) <= n KL(wrong, right), where kl is the divergence of two coins. So a small divergence means little power, for
every test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..laws.base import Innovating, Law
from ..plan import Plan

if TYPE_CHECKING:
    from exactness_samplers.faults import AnyFault


@dataclass(frozen=True)
class Limit:
    """An upper bound on the ``power`` of any test of the plan's alpha on all draws of the plan, and ``why`` it holds."""

    power: float
    why: str


def of(fault: AnyFault, plan: Plan, law: Law) -> Limit:
    """The limit for a fault that is beyond reach. Raises ``KeyError`` if no bound is known."""
    assert isinstance(law, Innovating)
    return {
        "last-step-a-little-wider": _wider_last_step,
        "accept-in-bfloat16": _bfloat16,
        "uniforms-that-can-be-one": _infinite,
    }[fault.name](plan, law)


def most_power(nats: float, alpha: float) -> float:
    """The largest power of a test of level ``alpha``, if the two laws of all data diverge by this many nats.

    >>> most_power(0.0, 1e-6), most_power(1.0, 1e-6) < 0.2
    (1e-06, True)
    """
    from scipy.optimize import brentq

    def divergence(beta: float) -> float:
        return beta * math.log(beta / alpha) + (1.0 - beta) * (math.log1p(-beta) - math.log1p(-alpha)) - nats

    least, almost = alpha * (1.0 + 1e-9), 1.0 - 1e-12
    if divergence(least) >= 0:
        return alpha
    return almost if divergence(almost) <= 0 else float(brentq(divergence, least, almost))


def _wider_last_step(plan: Plan, law: Innovating) -> Limit:
    """n d squared normals that are 1% too large. Their sum is the likelihood ratio, so its chi-square test is the best of all."""
    from scipy import stats

    freedom = plan.max_paths * law.dim
    power = float(stats.chi2.sf(stats.chi2.isf(plan.alpha, freedom) / 1.01, freedom))
    return Limit(power, f"the likelihood-ratio test itself, on {freedom:,} squared normals, has power {power:.2f}")


def _bfloat16(plan: Plan, law: Innovating) -> Limit:
    """A rounded acceptance changes the density of the emitted coordinate. Its divergence is integrated; a path has K of them.

    The drafts are one standard deviation off (`exactness_samplers.faults.unspoiled.poor`), so delta = 1 at every step.
    """
    nats = plan.max_paths * law.steps * rounded_divergence(1.0)
    power = most_power(nats, plan.alpha)
    return Limit(power, f"all draws together hold {nats:.2g} nats of evidence, and any test of that has power {power:.2g} at most")


def rounded_divergence(delta: float) -> float:
    """KL(emitted, target), in nats, of one step whose ratio is rounded to bfloat16.

    It is integrated by the midpoint rule, on a grid that is much finer than the cells of the rounding. The emitted density is
    q a' + (1 - integral q a') residual, where a' is the rounded probability of acceptance.
    """
    edges = np.linspace(-9.0, 9.0 + delta, 2_000_001)
    s, width = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    p, q = (np.exp(-0.5 * (s - m) ** 2) / math.sqrt(2.0 * math.pi) for m in (0.0, delta))
    ratio = np.minimum(1.0, np.exp(0.5 * delta**2 - delta * s))
    residual = np.maximum(p - q, 0.0)
    residual /= residual.sum() * width
    rounded = _to_bfloat16(ratio)
    emitted = q * rounded + (1.0 - (q * rounded).sum() * width) * residual
    excess = (emitted - p) / p
    return float((p * ((1.0 + excess) * np.log1p(excess) - excess)).sum() * width)


def _to_bfloat16(x: np.ndarray) -> np.ndarray:
    """x, rounded to the nearest number with eight significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256.0) / 256.0, exponent)


def _infinite(plan: Plan, law: Innovating) -> Limit:
    """At most K d normals per path are drawn afresh, and each is infinite with probability 2^-25.

    A run without an infinite number is right. So the total variation is the probability that there is any.
    """
    expected = plan.max_paths * law.steps * law.dim * 2.0**-25
    power = 1.0 - math.exp(-expected) + plan.alpha
    return Limit(power, f"at most {100 * power:.0f}% of runs of this length hold an infinite number, and the others are right")
