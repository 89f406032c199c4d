"""Maximal couplings of N(m_p, sigma^2 I) (target) and N(m_q, sigma^2 I) (draft), as pure functions of their noise.

Everything that speculation decides lies on one line. Let e be the unit vector from the target's mean to the draft's mean,
delta = |m_q - m_p| / sigma, and s the coordinate of a point along e, in units of sigma and counted from m_p. Then

    target: s ~ N(0, 1)      draft: s ~ N(delta, 1)      log p/q = delta^2/2 - delta s.

A draft that fails at weight w (w = 1 token by token, w = P_tau inside a block) is replaced by a draw from the residual. Its
density is proportional to (w phi(s) - phi(s - delta))_+ and vanishes above ``edge = delta/2 + log(w)/delta``. Measured downwards
from the edge, with r = edge - s, the density is

    f(r) = phi(r + beta) expm1(delta r),   r > 0,   beta = delta - edge = delta/2 - log(w)/delta,

which is log-concave and subtracts no two large numbers. Every formula below is written in (r, beta, delta).

There is one such scalar per chain and step, so they are computed in double precision whatever the dtype of the states, and
returned in their original dtype. The weight always enters as its logarithm, because products of many ratios underflow.

Sources of the two classical branches: De Bortoli, Galashov, Gretton, Doucet, "Accelerated Diffusion Models via
Speculative Sampling", 2025 (reflection); Soen, Husain, De Bortoli, Doucet, 2026, arXiv 2606.13426 (independent residual).
:func:`emit_rejected` shows that the two parts of the draft may be kept or redrawn independently of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Along = Literal["independent", "quantile"]
Across = Literal["fresh", "kept"]

# Two normals this many sigmas apart share nothing: exp(-_APART^2 / 8) is far below the smallest double.
_APART = 1e3
# Beyond this, beta means "no mass left": phi(beta) is zero, and the states are finite in single precision too.
_FAR = 1e30
# Given the edge, the residual's shape no longer changes below this displacement.
_SAME_SHAPE = 1e-50
# Below this displacement the residual's mass is a difference of nearly equal numbers, and is integrated instead.
_CLOSE = 0.25
# A log of the tail below r that is less than the first number is lost in 1 minus the tail; below the second, it is invisible.
_LOG_NEXT_TO_ONE, _LOG_LOST = -5.0, -30.0
_STEPS = 4
_POLISHING_STEPS = 4


def acceptance(delta: Tensor) -> Tensor:
    """P(X = Y) of a maximal coupling: 1 - TV = 2 Phi(-delta/2). ``delta`` is >= 0, in units of sigma, and has any shape.

    >>> round(float(acceptance(torch.tensor(1.0))), 4)
    0.6171
    """
    return torch.special.erfc(delta.double() / math.sqrt(8.0)).to(delta.dtype)


def log_ratio(delta: Tensor, along: Tensor) -> Tensor:
    """log p(Y)/q(Y) of a draft Y = m_q + sigma z, where ``along`` = <e, z>. Shapes broadcast.

    The formula uses z, not s = delta + <e, z>: the sampler drew z, and nothing cancels.

    >>> float(log_ratio(torch.tensor(1.0), torch.tensor(0.5)))
    -1.0
    """
    return -delta * (0.5 * delta + along)


def residual_mass(log_weight: Tensor, delta: Tensor) -> Tensor:
    """Z(w, delta), the integral of (w phi(s) - phi(s - delta))_+, a number in [0, w]. ``log_weight`` <= 0, ``delta`` >= 0.

    >>> round(float(residual_mass(torch.tensor(0.0), torch.tensor(1.0))), 4)
    0.3829
    """
    dtype, (log_weight, delta) = delta.dtype, _double(log_weight, delta)
    beta = _beta(log_weight, delta)

    def near() -> Tensor:
        return _phi(beta) * _mills_drop(beta - delta, torch.clamp(delta, max=_CLOSE))

    def far() -> Tensor:
        log_p = log_weight + torch.special.log_ndtr(delta - beta)
        return torch.exp(log_p) * -torch.expm1(torch.clamp(torch.special.log_ndtr(-beta) - log_p, max=0.0))

    return _where(delta < _CLOSE, near, far).to(dtype)


@dataclass(frozen=True)
class GaussianMasses:
    """What block verification asks of a window of Gaussian steps: Z_i = Z(P_i, delta_{i+1}), see :mod:`.verification`.

    ``deltas``, shape (m, L), are the displacements of the drafted steps in units of sigma, as :func:`displacement` returns them.

    Example:
        >>> masses = GaussianMasses(torch.tensor([[0.3, 1.0, 2.0]]))
        >>> masses(torch.log(torch.tensor([[1.0, 1.0, 0.5, 0.4]]))).shape
        torch.Size([1, 3])
    """

    deltas: Tensor

    def __call__(self, log_weights: Tensor) -> Tensor:
        """log P_0..log P_L (m, L + 1) -> Z_1..Z_{L-1} and a column of zeros (m, L)."""
        masses = torch.zeros_like(log_weights[:, 1:])
        masses[:, :-1] = residual_mass(log_weights[:, 1:-1], self.deltas[:, 1:])
        return masses


def residual_quantile(u: Tensor, log_weight: Tensor, delta: Tensor, *, upper: bool = False) -> Tensor:
    """The quantile of the residual: the s below which it has probability ``u`` (with ``upper``, above which).

    It is monotone in ``u`` and never above the edge. It takes a fixed number of Halley steps inside a bracket, so no loop depends
    on the data. ``upper=True`` serves probabilities so close to one that only their complement is known accurately.

    >>> round(float(residual_quantile(torch.tensor(0.5), torch.tensor(0.0), torch.tensor(1.0))), 3)
    -0.727
    """
    dtype, (u, log_weight, delta) = delta.dtype, _double(u, log_weight, delta)
    u = torch.clamp(u, 1e-300, 1.0 - 2.0**-53)
    log_u, log_rest = torch.log(u), torch.log1p(-u)
    # r = edge - s: what lies above r lies below s.
    log_above, log_below = (log_rest, log_u) if upper else (log_u, log_rest)
    beta = _beta(log_weight, delta)
    return (delta - beta - _solve(log_above, log_below, log_weight, beta, torch.clamp(delta, min=_SAME_SHAPE))).to(dtype)


def rejected_survival(s: Tensor, log_weight: Tensor, delta: Tensor) -> Tensor:
    """P(a rejected draft lies above ``s``). Its density is proportional to (phi(s - delta) - w phi(s))_+."""
    dtype, (s, log_weight, delta) = delta.dtype, _double(s, log_weight, delta)
    beta = _beta(log_weight, delta)
    # Clamped at the edge in s - delta, not in s - edge, because a far edge would swallow the digits of s.
    x = torch.maximum(s - delta, -beta)

    def near() -> Tensor:
        nodes, weights = _legendre(8, x)
        return delta * (weights * _phi(x[..., None] + torch.clamp(delta, max=_CLOSE)[..., None] * nodes)).sum(-1)

    # Phi(-x) - w Phi(-x - delta), as two positive parts.
    between = _where(delta < _CLOSE, near, lambda: _between(x, x + delta))
    failing = -torch.expm1(log_weight)
    share = (failing * _ndtr(-x) + torch.exp(log_weight) * between) / (failing + residual_mass(log_weight, delta))
    # If the mass is 0, the draft cannot be rejected, and any probability is a valid answer.
    return torch.clamp(torch.nan_to_num(share, nan=0.5), 0.0, 1.0).to(dtype)


def emit_rejected(
    mean: Tensor,
    sigma: Tensor,
    axis: Tensor,
    delta: Tensor,
    log_weight: Tensor,
    draft_noise: Tensor,
    fresh_noise: Tensor,
    u: Tensor,
    along: Along = "independent",
    across: Across = "fresh",
) -> Tensor:
    """The state that replaces a rejected draft. It is distributed exactly as the residual at its weight.

    Given the past and the rejection, the part of the draft orthogonal to ``axis`` is still standard normal, and the coordinate
    along ``axis`` has the density of :func:`rejected_survival`. This leaves two choices, and all combinations are exact:

    * ``along``: ``independent`` draws s afresh from ``u``; ``quantile`` maps the rejected coordinate monotonically (decreasing)
      onto the residual. At w = 1 this map is the reflection s -> delta - s.
    * ``across``: ``fresh`` takes the orthogonal part of ``fresh_noise``; ``kept`` keeps that of the draft.

    ``independent`` with ``fresh`` is the Gamma-maximal coupling, and ``quantile`` with ``kept`` is the (weighted) reflection.

    Args:
        mean: the means m_p of the target, shape (n, d).
        sigma: the standard deviation of the step, shape (n,).
        axis: the unit vectors e, shape (n, d).
        delta, log_weight, u: shape (n,); ``u`` is uniform on [0, 1).
        draft_noise: the noise z of the rejected draft m_q + sigma z, shape (n, d).
        fresh_noise: standard normals that are not used elsewhere, shape (n, d).
        along, across: the two choices above.

    Returns:
        The states, shape (n, d).

    >>> one, zero, e = torch.ones(1), torch.zeros(1), torch.tensor([[1.0, 0.0]])
    >>> z = torch.tensor([[-0.25, 0.75]])  # the draft N((1, 0), I) was drawn at (0.75, 0.75) and rejected
    >>> emit_rejected(torch.zeros(1, 2), one, e, one, zero, z, z, one, "quantile", "kept")  # reflected
    tensor([[0.2500, 0.7500]])
    """
    if along == "independent":
        s = residual_quantile(u, log_weight, delta)
    else:
        drafted = delta + _dot(axis, draft_noise)
        s = _where(
            log_weight == 0.0,
            lambda: delta - drafted,
            lambda: residual_quantile(rejected_survival(drafted, log_weight, delta), log_weight, delta),
        )
    noise = fresh_noise if across == "fresh" else draft_noise
    orthogonal = noise - _dot(axis, noise)[:, None] * axis
    return mean + sigma[:, None] * (s.to(mean.dtype)[:, None] * axis + orthogonal)


def displacement(mean_p: Tensor, mean_q: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """``(delta, e)`` of two means (..., d) and sigma (...): delta = |m_q - m_p|/sigma and the unit vector e.

    A delta beyond ``_APART`` is returned as ``_APART``: nothing overlaps there in any precision, and s keeps its digits. Where
    the means agree, e is the axis of the first coordinate. Any unit vector would serve there, because nothing is rejected.

    >>> delta, e = displacement(torch.zeros(2), torch.tensor([3.0, 4.0]), torch.tensor(2.0))
    >>> float(delta), e
    (2.5, tensor([0.6000, 0.8000]))
    """
    difference = mean_q - mean_p
    length = torch.linalg.vector_norm(difference, dim=-1)
    axis = difference / torch.clamp(length, min=_tiny(length))[..., None]
    if not (_free_to_ask(length) and bool((length > 0).all())):
        first = torch.zeros_like(difference)
        first[..., 0] = 1.0
        axis = torch.where((length > 0)[..., None], axis, first)
    return torch.clamp((length / sigma).double(), max=_APART), axis


def _beta(log_weight: Tensor, delta: Tensor) -> Tensor:
    safe = torch.clamp(delta, min=1e-150)
    # If delta = 0 and w = 1, the edge is arbitrary. beta = 0 keeps every formula finite, and the mass is 0 in any case.
    ratio = torch.where(log_weight < 0.0, -log_weight / safe, torch.zeros_like(safe))
    return torch.clamp(0.5 * delta + ratio, max=_FAR)


def _solve(log_above: Tensor, log_below: Tensor, log_weight: Tensor, beta: Tensor, delta: Tensor) -> Tensor:
    """The r for which these are the logs of the probabilities above and below it."""
    log_mass = _log_mass(log_weight, beta, delta)
    r, high = _start(log_above, log_below, log_mass, log_weight, beta, delta)
    lower = torch.zeros_like(r)
    # Where the tail above is 1 up to rounding, further steps would only add noise.
    settled = log_below < _LOG_LOST
    # Halley's method works on the log of the tail above r, which is concave. The bracket guards against rounding.
    for _ in range(_STEPS):
        log_tail = _log_above(r, log_weight, beta, delta)
        gap = log_tail - log_mass - log_above
        high, lower = torch.where(gap < 0.0, r, high), torch.where(gap < 0.0, lower, r)
        hazard = torch.exp(torch.clamp(_log_density(r, beta, delta) - log_tail, min=-600.0))
        newton = gap / hazard
        # This is the slope of the log density. Its correction never reverses Newton's step.
        steepness = delta / torch.clamp(-torch.expm1(-delta * r), min=1e-300) - (r + beta)
        halley = r + newton / torch.clamp(1.0 + 0.5 * newton * (hazard + steepness), min=0.5)
        halley = torch.where((halley >= lower) & (halley <= high), halley, 0.5 * (lower + high))
        r = torch.where(settled, r, halley)

    def polished() -> Tensor:
        # Close to the edge the tail above is 1 up to rounding, and only the tail below determines r.
        x = r
        for _ in range(_POLISHING_STEPS):
            log_tail = _log_below(x, log_weight, beta, delta)
            slope = torch.clamp(log_tail - _log_density(x, beta, delta), max=600.0)
            in_log_x = (log_below - log_tail + log_mass) * torch.exp(slope) / torch.clamp(x, min=1e-300)
            better = x * torch.exp(torch.clamp(in_log_x, -2.0, 2.0))
            x = torch.where((log_below < _LOG_NEXT_TO_ONE) & torch.isfinite(better), better, x)
        return x

    return _where(log_below < _LOG_NEXT_TO_ONE, polished, lambda: r)


def _start(
    log_above: Tensor, log_below: Tensor, log_mass: Tensor, log_weight: Tensor, beta: Tensor, delta: Tensor
) -> tuple[Tensor, Tensor]:
    """A first guess of r, and an upper bound of the root."""
    edge, kappa = delta - beta, beta - 0.5 * delta
    reach = -log_above
    # r is stochastically below both a Gamma(2, -edge) and a shifted Rayleigh variable.
    high = torch.clamp(edge, min=0.0) + torch.sqrt(2.0 * reach) + 4.0
    high = torch.where(edge < 0.0, torch.minimum(high, (2.0 * reach + 4.0) / torch.clamp(-edge, min=1e-300)), high)
    # For small delta, f is close to r exp(-r^2/2 - kappa r); for large delta, to a cut normal; at the edge, to a straight line.
    gaussian = 2.0 * reach / (kappa + torch.sqrt(kappa * kappa + 2.0 * reach))
    share = torch.exp(log_above + log_mass + _log_phi(beta) - log_weight)
    cut = edge - torch.special.ndtri(torch.clamp(share, 1e-300, 1.0 - 1e-16))
    line = torch.exp(0.5 * (math.log(2.0) + log_below + log_mass - torch.log(torch.clamp(delta, min=1e-150))))
    r = torch.where(delta < 2.0, gaussian, cut)
    r = torch.where((log_below <= log_above) & (line * torch.clamp(delta, min=1.0) < 0.5), line, r)
    return torch.where((r > 0.0) & (r < high), r, 0.5 * high), high


# The four logarithms below are relative to phi(beta). Where the mass underflows, its shape is still known.


def _log_density(r: Tensor, beta: Tensor, delta: Tensor) -> Tensor:
    return _decay(r, beta) + delta * r + _log1m(-delta * r)


def _log_mass(log_weight: Tensor, beta: Tensor, delta: Tensor) -> Tensor:
    return _log_above(torch.zeros_like(beta), log_weight, beta, delta)


def _log_above(r: Tensor, log_weight: Tensor, beta: Tensor, delta: Tensor) -> Tensor:
    x = r + beta - delta

    def near() -> Tensor:
        width = torch.clamp(delta, max=_CLOSE)
        return _decay(r, beta) + _log(torch.expm1(width * torch.clamp(r, max=100.0)) * _mills(x) + _mills_drop(x, width))

    def far() -> Tensor:
        log_p = log_weight + torch.special.log_ndtr(-x)
        return log_p + _log1m(torch.special.log_ndtr(-x - delta) - log_p) - _log_phi(beta)

    return _where(delta < _CLOSE, near, far)


def _log_below(r: Tensor, log_weight: Tensor, beta: Tensor, delta: Tensor) -> Tensor:

    def near() -> Tensor:
        nodes, weights = _legendre(12, r)
        x = r[..., None] * nodes
        terms = torch.exp(_decay(x, beta[..., None])) * torch.expm1(torch.clamp(delta[..., None] * x, max=100.0))
        return _log(r * (weights * terms).sum(-1))

    def far() -> Tensor:
        edge = delta - beta
        return _log(torch.exp(log_weight) * _between(edge - r, edge) - _between(-beta - r, -beta)) - _log_phi(beta)

    return _where(delta * r < 2.0, near, far)


def _free_to_ask(values: Tensor) -> bool:
    """Whether values may decide what is computed. On a GPU the host would have to wait for them."""
    return values.device.type == "cpu"


def _where(condition: Tensor, near: Callable[[], Tensor], far: Callable[[], Tensor]) -> Tensor:
    """``torch.where``, but where asking is free, a side that no row needs is not computed."""
    if _free_to_ask(condition):
        if not condition.any():
            return far()
        if condition.all():
            return near()
    return torch.where(condition, near(), far())


def _decay(r: Tensor, beta: Tensor) -> Tensor:
    """log phi(r + beta)/phi(beta)."""
    return -0.5 * r * (r + 2.0 * beta)


def _log(x: Tensor) -> Tensor:
    return torch.log(torch.clamp(x, min=1e-300))


def _ndtr(x: Tensor) -> Tensor:
    """Phi(x). Not ``torch.special.ndtr``, which forms 1 + erf: at x = -8 torch 2.13 is off by 2%."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2.0))


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Phi(b) - Phi(a) for a <= b, computed in the tail where it is small."""
    flip = a + b > 0.0
    low, high = torch.where(flip, -b, a), torch.where(flip, -a, b)
    return _ndtr(high) - _ndtr(low)


def _log1m(log_x: Tensor) -> Tensor:
    """log(1 - exp(log_x)), clamped at the smallest double."""
    return _log(-torch.expm1(torch.clamp(log_x, max=0.0)))


def _mills(x: Tensor) -> Tensor:
    """Mills' ratio Phi(-x)/phi(x)."""
    return math.sqrt(math.pi / 2.0) * torch.special.erfcx(torch.clamp(x, min=-36.0) / math.sqrt(2.0))


def _mills_drop(x: Tensor, delta: Tensor) -> Tensor:
    """Mills(x) - Mills(x + delta) for 0 <= delta <= 1/4, as the integral of 1 - y Mills(y) > 0, in which nothing cancels."""
    nodes, weights = _legendre(6, x)
    y = x[..., None] + delta[..., None] * nodes
    far = torch.clamp(y, min=60.0) ** -2
    series = far * (1.0 - far * (3.0 - far * (15.0 - far * (105.0 - far * 945.0))))
    slope = torch.where(y < 60.0, 1.0 - torch.clamp(y, max=60.0) * _mills(torch.clamp(y, max=60.0)), series)
    return delta * (weights * slope).sum(-1)


def _log_phi(x: Tensor) -> Tensor:
    return -0.5 * x * x - 0.5 * math.log(2.0 * math.pi)


def _phi(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _double(*tensors: Tensor) -> list[Tensor]:
    return list(torch.broadcast_tensors(*(t.double() for t in tensors)))


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny


@lru_cache(maxsize=8)
def _legendre_on(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    put = lambda a: torch.as_tensor(a, dtype=torch.float64, device=device)  # noqa: E731
    return put((nodes + 1.0) / 2.0), put(weights / 2.0)


def _legendre(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    return _legendre_on(count, like.device)
