"""Maximal couplings of N(m_p, sigma^2 I) (target) and N(m_q, sigma^2 I) (draft), as pure functions of their noise.

Everything that speculation decides lies on one line. Let e be the unit vector from the target's mean to the draft's mean,
delta = |m_q - m_p| / sigma, and s the coordinate of a point along e, in units of sigma and counted from m_p. Then

    target: s ~ N(0, 1)      draft: s ~ N(delta, 1)      log p/q = delta^2/2 - delta s.

A draft that fails at weight w is replaced by a draw from the residual. Its density is proportional to
(w phi(s) - phi(s - delta))_+ and vanishes above ``edge = delta/2 + log(w)/delta``.

JAX has double precision only where x64 is enabled, so every formula must hold in single precision. The formulas are written in
x = -s and r = x - x0 > 0 with x0 = -edge, where nothing cancels and nothing overflows:

    w phi(s) - phi(s - delta) = w phi(x) (1 - exp(-delta r)),

    integral over what lies beyond x = w phi(x) [(1 - exp(-delta r)) M(x) + exp(-delta r) (M(x) - M(x + delta))],

where M is Mills' ratio. The weight w is a factor of everything, so a quantile does not need it once x0 is known. Scalars are
computed in float64 where it is enabled and otherwise in float32, and returned in their original dtype. All functions are pure,
work elementwise over broadcast shapes, have a fixed cost, and may be compiled, mapped and sharded.

Sources: De Bortoli, Galashov, Gretton, Doucet, "Accelerated Diffusion Models via Speculative Sampling", 2025 (reflection);
Soen, Husain, De Bortoli, Doucet, 2026, arXiv 2606.13426 (independent residual).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import erfc, ndtri
from jax.tree_util import register_dataclass

from .mills import mills, mills_slope

Along = Literal["independent", "quantile"]
Across = Literal["fresh", "kept"]

_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
# Two normals this many sigmas apart share nothing: exp(-APART^2 / 8) is far below the smallest double.
_APART = 1e3
# Below this displacement, M(x) - M(x + delta) is integrated. It is also integrated where x is this many times delta.
_CLOSE = 0.5
_REMOTE = 4.0
_NEWTON_STEPS = 6
_POLISHING_STEPS = 3


def acceptance(delta: jax.Array) -> jax.Array:
    """P(X = Y) of a maximal coupling: 1 - TV = 2 Phi(-delta/2). ``delta`` is >= 0, in units of sigma, and has any shape.

    >>> round(float(acceptance(jnp.array(1.0))), 4)
    0.6171
    """
    half = 0.5 * _wide(delta)[0]
    # erfc alone is not enough: in single precision its tail is wrong in the fourth digit.
    tail = jnp.exp(-0.5 * half * half) * mills(half) * (2.0 / _ROOT_TWO_PI)
    return jnp.where(half < 0.5, erfc(half / math.sqrt(2.0)), tail).astype(delta.dtype)


def log_ratio(delta: jax.Array, along: jax.Array) -> jax.Array:
    """log p(Y)/q(Y) of a draft Y = m_q + sigma z, where ``along`` = <e, z>. Shapes broadcast.

    The formula uses z, not s = delta + <e, z>: the sampler drew z, and nothing cancels.
    """
    return -delta * (0.5 * delta + along)


@jax.jit
def residual_mass(log_weight: jax.Array, delta: jax.Array) -> jax.Array:
    """Z(w, delta), the integral of (w phi(s) - phi(s - delta))_+, a number in [0, w]. ``log_weight`` <= 0, ``delta`` >= 0.

    >>> round(float(residual_mass(jnp.array(0.0), jnp.array(1.0))), 4)
    0.3829
    """
    dtype, (log_weight, delta) = delta.dtype, _wide(log_weight, delta)
    x0 = _origin(log_weight, delta)
    # One exponential for all: the weight and the density at the edge may each underflow where their quotients do not.
    decay = log_weight - 0.5 * jnp.square(jnp.maximum(x0, 0.0))
    mass = jnp.exp(decay) * delta * _drop(x0, _shape(delta)) / _ROOT_TWO_PI
    return jnp.minimum(mass, jnp.exp(log_weight)).astype(dtype)


@partial(register_dataclass, data_fields=["deltas"], meta_fields=[])
@dataclass(frozen=True)
class GaussianMasses:
    """What block verification asks of a window of Gaussian steps: Z_i = Z(P_i, delta_{i+1}), see :mod:`.verification`.

    ``deltas``, shape (m, L), are the displacements of the drafted steps in units of sigma, as :func:`displacement` returns them.

    Example:
        >>> masses = GaussianMasses(jnp.array([[0.3, 1.0, 2.0]]))
        >>> masses(jnp.log(jnp.array([[1.0, 1.0, 0.5, 0.4]]))).shape
        (1, 3)
    """

    deltas: jax.Array

    def __call__(self, log_weights: jax.Array) -> jax.Array:
        """log P_0..log P_L (m, L + 1) -> Z_1..Z_{L-1} and a column of zeros (m, L)."""
        masses = residual_mass(log_weights[:, 1:-1], self.deltas[:, 1:]).astype(log_weights.dtype)
        return jnp.concatenate([masses, jnp.zeros_like(log_weights[:, :1])], axis=1)


@partial(jax.jit, static_argnames="upper")
def residual_quantile(u: jax.Array, log_weight: jax.Array, delta: jax.Array, *, upper: bool = False) -> jax.Array:
    """The quantile of the residual: the s below which it has probability ``u`` (with ``upper``, above which).

    It is monotone in ``u`` and never above the edge. It takes a fixed number of Newton steps inside a bracket, so no loop depends
    on the data. ``upper=True`` serves probabilities so close to one that only their complement is known accurately.
    """
    dtype, (u, log_weight, delta) = delta.dtype, _wide(u, log_weight, delta)
    limits = jnp.finfo(u.dtype)
    u = jnp.clip(u, limits.tiny, 1.0 - limits.epsneg)
    log_u, log_rest = jnp.log(u), jnp.log1p(-u)
    # What lies above x = -s lies below s.
    log_above, log_below = (log_rest, log_u) if upper else (log_u, log_rest)
    x0 = _origin(log_weight, delta)
    return (-_solve(log_above, log_below, x0, _shape(delta))).astype(dtype)


@jax.jit
def rejected_survival(s: jax.Array, log_weight: jax.Array, delta: jax.Array) -> jax.Array:
    """P(a rejected draft lies above ``s``). Its density is proportional to (phi(s - delta) - w phi(s))_+."""
    dtype, (s, log_weight, delta) = delta.dtype, _wide(s, log_weight, delta)
    return _survival(s - delta, log_weight, delta).astype(dtype)


def emit_rejected(
    mean: jax.Array,
    sigma: jax.Array,
    axis: jax.Array,
    delta: jax.Array,
    log_weight: jax.Array,
    draft_noise: jax.Array,
    fresh_noise: jax.Array,
    u: jax.Array,
    along: Along = "independent",
    across: Across = "fresh",
) -> jax.Array:
    """The state that replaces a rejected draft. It is distributed exactly as the residual at its weight.

    Given the past and the rejection, the part of the draft orthogonal to ``axis`` is still standard normal, and the coordinate
    along ``axis`` has the density of :func:`rejected_survival`. This leaves two choices, and all combinations are exact:

    * ``along``: ``independent`` draws s afresh from ``u``; ``quantile`` maps the rejected coordinate monotonically (decreasing)
      onto the residual. At w = 1 this map is the reflection s -> delta - s.
    * ``across``: ``fresh`` takes the orthogonal part of ``fresh_noise``; ``kept`` keeps that of the draft.

    ``independent`` with ``fresh`` is the Gamma-maximal coupling, and ``quantile`` with ``kept`` is the (weighted) reflection.
    ``along`` and ``across`` are static: each choice is compiled separately.

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
    """
    if along == "independent":
        s = residual_quantile(u, log_weight, delta)
    else:
        # Written in z, not in s = delta + z, which has fewer digits in single precision: delta - s is -z.
        z = _dot(axis, draft_noise)
        mapped = residual_quantile(_survival(*_wide(z, log_weight, delta)), log_weight, delta)
        s = jnp.where(log_weight == 0.0, -z, mapped)
    noise = fresh_noise if across == "fresh" else draft_noise
    orthogonal = noise - _dot(axis, noise)[:, None] * axis
    return mean + sigma[:, None] * (s.astype(mean.dtype)[:, None] * axis + orthogonal)


def displacement(mean_p: jax.Array, mean_q: jax.Array, sigma: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``(delta, e)`` of two means (..., d) and sigma (...): delta = |m_q - m_p|/sigma and the unit vector e.

    A delta beyond ``_APART`` is returned as ``_APART``: nothing overlaps there in any precision, and s keeps its digits. Where
    the means agree, e is the axis of the first coordinate. Any unit vector would serve there, because nothing is rejected.
    """
    difference = mean_q - mean_p
    length = jnp.linalg.norm(difference, axis=-1)
    first = jnp.zeros_like(difference).at[..., 0].set(1.0)
    safe = jnp.maximum(length, jnp.finfo(length.dtype).tiny)
    axis = jnp.where((length > 0)[..., None], difference / safe[..., None], first)
    return jnp.minimum(_wide(length / sigma)[0], _APART), axis


@jax.jit
def _survival(z: jax.Array, log_weight: jax.Array, delta: jax.Array) -> jax.Array:
    """:func:`rejected_survival` of s = delta + z."""
    z = jnp.maximum(z, -_origin(log_weight, delta) - delta)
    # Phi(-z) - w Phi(-z - delta), as two positive parts.
    failing = -jnp.expm1(log_weight)
    above = failing * _ndtr(-z) + jnp.exp(log_weight) * _between(z, delta)
    mass = failing + residual_mass(log_weight, delta)
    # If the mass is 0, the draft cannot be rejected, and any probability is a valid answer.
    return jnp.where(mass > 0.0, jnp.clip(above / jnp.where(mass > 0.0, mass, 1.0), 0.0, 1.0), 0.5)


def _origin(log_weight: jax.Array, delta: jax.Array) -> jax.Array:
    """x0 = -edge. At its upper limit no mass is left, but its square is finite."""
    ratio = jnp.where(log_weight < 0.0, -log_weight / jnp.maximum(delta, jnp.finfo(delta.dtype).tiny), 0.0)
    return jnp.minimum(ratio - 0.5 * delta, _by_dtype(delta, 1e30, 1e15))


def _shape(delta: jax.Array) -> jax.Array:
    """Given x0, the shape of the residual no longer changes below this displacement. Products with it must not underflow."""
    return jnp.maximum(delta, _by_dtype(delta, 1e-50, 1e-12))


# Below, the unknown is v: x - x0 if the edge is below the mean, and x if it is above. So s = -x keeps its digits everywhere.
# Integrals are relative to w phi(max(x0, 0)) delta.


def _solve(log_above: jax.Array, log_below: jax.Array, x0: jax.Array, delta: jax.Array) -> jax.Array:
    """The x for which these are the logs of the probabilities above and below it."""
    cut, floor = jnp.maximum(x0, 0.0), jnp.minimum(x0, 0.0)
    total = _drop(x0, delta)
    v, high, settled = _start(log_above, log_below, total, x0, delta)

    # The log of the tail above x is concave, so Newton's method converges from everywhere. The bracket guards against rounding.
    def newton(_: int, carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        v, low, high = carry
        tail = _tail(v, cut, floor, delta)
        gap = _exponent(v, cut) + jnp.log(tail / total) - log_above
        high, low = jnp.where(gap < 0.0, v, high), jnp.where(gap < 0.0, low, v)
        stepped = v + gap * tail / _positive(_height(v, floor, delta))
        stepped = jnp.where((stepped >= low) & (stepped <= high), stepped, 0.5 * (low + high))
        return jnp.where(settled, v, stepped), low, high

    v, _, _ = lax.fori_loop(0, _NEWTON_STEPS, newton, (v, floor, high))

    # Close to the edge the tail above is 1 up to rounding, and only the tail below determines x.
    def polish(_: int, v: jax.Array) -> jax.Array:
        below = _positive(_tail_below(v, cut, floor, total, delta))
        density = jnp.exp(_exponent(v, cut)) * _height(v, floor, delta)
        r = v - floor
        step = jnp.clip((log_below - jnp.log(below / total)) * (below / _positive(r * density)), -2.0, 2.0)
        return jnp.where(log_above < log_below, v, jnp.maximum(v + r * jnp.expm1(step), floor))

    return cut + lax.fori_loop(0, _POLISHING_STEPS, polish, v)


def _start(
    log_above: jax.Array, log_below: jax.Array, total: jax.Array, x0: jax.Array, delta: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A first guess of v, an upper bound of the root, and whether the tail above is too close to 1 to improve the guess."""
    floor, reach = jnp.minimum(x0, 0.0), -log_above
    # r is stochastically below both a Gamma(2, x0) and a shifted Rayleigh variable.
    high = jnp.sqrt(2.0 * reach) + 4.0
    high = jnp.where(x0 > 0.0, jnp.minimum(high, (2.0 * reach + 4.0) / _positive(x0)), high)
    # Edge below the mean or small delta: close to r exp(-r^2/2 - kappa r). Otherwise: a cut normal. At the edge: a straight line.
    kappa = x0 + 0.5 * delta
    gaussian = 2.0 * reach / (kappa + jnp.sqrt(kappa * kappa + 2.0 * reach)) + floor
    half_normal = 2.0 * reach / (x0 + jnp.sqrt(x0 * x0 + 2.0 * reach))
    limits = jnp.finfo(x0.dtype)
    share = total * delta / _ROOT_TWO_PI
    quantile = lambda log_u: ndtri(jnp.clip(jnp.exp(log_u) * share, limits.tiny, 1.0 - limits.epsneg))  # noqa: E731
    # How far from the edge the tail below reaches while the density is a straight line, and at most until it is not.
    line = jnp.exp(0.5 * (math.log(2.0) + log_below)) * jnp.sqrt(total / _positive(_bend(floor)))
    below = jnp.maximum(quantile(log_below), floor + jnp.minimum(line, 4.0 / delta))
    last = log_below < math.log(64.0) + jnp.log(limits.eps)
    cut_normal = jnp.where(last, below, -quantile(log_above))
    v = jnp.where(delta < 2.0, gaussian, jnp.where(x0 < 0.0, cut_normal, half_normal))
    straight = (log_below <= log_above) & (line * jnp.maximum(delta, 1.0) < 0.5)
    v = jnp.where(straight, line + floor, v)
    return jnp.where((v > floor) & (v < high), v, 0.5 * (floor + high)), high, last | (straight & (log_below < -3.0))


def _exponent(v: jax.Array, cut: jax.Array) -> jax.Array:
    """log phi(max(x, 0))/phi(max(x0, 0))."""
    ahead = jnp.maximum(v, 0.0)
    return -0.5 * ahead * (ahead + 2.0 * cut)


def _bend(x: jax.Array) -> jax.Array:
    """phi(min(x, 0))/phi(0)."""
    return jnp.exp(-0.5 * jnp.square(jnp.minimum(x, 0.0)))


def _height(v: jax.Array, floor: jax.Array, delta: jax.Array) -> jax.Array:
    """The density of the residual, without the factor exp(_exponent)."""
    return _bend(v) * _ramp(v - floor, delta)


def _tail(v: jax.Array, cut: jax.Array, floor: jax.Array, delta: jax.Array) -> jax.Array:
    """The integral of the density above x, without the factor exp(_exponent)."""
    r, x = v - floor, cut + v
    return _ramp(r, delta) * _one_sided(x) + jnp.exp(-delta * r) * _drop(x, delta)


def _tail_below(v: jax.Array, cut: jax.Array, floor: jax.Array, total: jax.Array, delta: jax.Array) -> jax.Array:
    """The integral of the density between x0 and x."""
    r = v - floor
    nodes, weights = _legendre(12, v)
    inside = r[..., None] * nodes
    heights = _height(inside + floor[..., None], floor[..., None], delta[..., None])
    near = r * (weights * jnp.exp(_exponent(inside + floor[..., None], cut[..., None])) * heights).sum(-1)
    far = total - jnp.exp(_exponent(v, cut)) * _tail(v, cut, floor, delta)
    # If both ends are above the mean (v = x < 0), upper tails are used, because a far edge would round their difference away.
    bend, first = _bend(v), _bend(floor)
    missing = first * mills(floor + delta) - bend * jnp.exp(-delta * r) * mills(jnp.maximum(v, floor) + delta)
    tails = (bend * mills(jnp.abs(v)) - first * mills(-floor) - missing) / delta
    return jnp.where((delta * r < 2.0) & (r < 3.0), near, jnp.where(v < 0.0, tails, far))


def _ramp(r: jax.Array, delta: jax.Array) -> jax.Array:
    """(1 - exp(-delta r))/delta."""
    return -jnp.expm1(-delta * r) / delta


def _one_sided(x: jax.Array) -> jax.Array:
    """Phi(-x)/phi(max(x, 0)): Mills' ratio where it is bounded."""
    m = mills(jnp.abs(x))
    return jnp.where(x < 0.0, _ROOT_TWO_PI - _bend(x) * m, m)


def _drop(x: jax.Array, delta: jax.Array) -> jax.Array:
    """(M(x) - M(x + delta))/delta phi(min(x, 0))/phi(0) for x >= -delta/2, the change of M. Nothing cancels."""
    close = jnp.maximum(_CLOSE, x / _REMOTE)
    nodes, weights = _legendre(8, x)
    y = jnp.maximum(x, -0.5 * _CLOSE)[..., None] + jnp.minimum(delta, close)[..., None] * nodes
    near = (weights * mills_slope(y)).sum(-1) * _bend(x)
    far = (_one_sided(x) - _bend(x) * mills(x + delta)) / delta
    return jnp.where(delta < close, near, far)


def _ndtr(x: jax.Array) -> jax.Array:
    """Phi(x)."""
    return jnp.exp(-0.5 * jnp.square(jnp.minimum(x, 0.0))) * _one_sided(-x) / _ROOT_TWO_PI


def _between(x: jax.Array, delta: jax.Array) -> jax.Array:
    """Phi(x + delta) - Phi(x). It is an integral if delta is small, and is otherwise computed in the tail where it is small."""
    nodes, weights = _legendre(8, x)
    y = x[..., None] + jnp.minimum(delta, _CLOSE)[..., None] * nodes
    near = delta * (weights * jnp.exp(-0.5 * y * y)).sum(-1) / _ROOT_TWO_PI
    flip = 2.0 * x + delta > 0.0
    low, high = jnp.where(flip, -x - delta, x), jnp.where(flip, -x, x + delta)
    return jnp.where(delta < _CLOSE, near, _ndtr(high) - _ndtr(low))


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return (a * b).sum(-1)


def _wide(*arrays: jax.Array) -> list[jax.Array]:
    """Broadcast arrays in the widest float that is enabled: float64, or float32 without x64."""
    return list(jnp.broadcast_arrays(*(jnp.asarray(a, jnp.result_type(float)) for a in arrays)))


def _positive(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)


def _by_dtype(like: jax.Array, double: float, single: float) -> float:
    return double if like.dtype == jnp.float64 else single


def _legendre(count: int, like: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return jnp.asarray((nodes + 1.0) / 2.0, like.dtype), jnp.asarray(weights / 2.0, like.dtype)
