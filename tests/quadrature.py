"""The law of one speculative window by quadrature: no sampling, so that an error of 1e-6 is seen.

Target steps are N(0, 1) and draft steps N(delta_i, 1) on a line, coordinate s_i = delta_i + z_i, for a window y_1..y_L. Given the
drafts, S_i = P(tau >= i | y_1..y_i) follows backwards from the thresholds, since tau >= i if u_i passes or tau >= i + 1:

    S_L = h_L,  S_i = h_i + (1 - h_i) E_q[S_{i+1} | y_1..y_i],

and P(tau = i, y_{i+1} | y_1..y_i) = h_i (1 - S_{i+1}) q(y_{i+1}). Stopping at the first failure has S_{i+1} = S_i h_{i+1}
instead. Of the paths that have kept i drafts, the next emitted state has density

    q S_{i+1} + (S_i - E_q S_{i+1}) residual,      which must be S_i p.                                           (*)

**Distance.** ``defects[i]`` is half the integral of the absolute difference of the two sides of (*), over y_1..y_i too. By the
chain rule the joint law of the emitted path is at most ``sum(defects)`` in total variation from the target's, and, because
dropping coordinates cannot increase it, at least ``defects[i] - sum(defects[:i])`` for every i.

**Cells.** A residual drawn by a quantile function is known through P(s <= Q(u)) = u, so below the residual's edge (*) is compared
on the cells between the points Q(u_j), or the images of points under the deterministic map, and above it on panels. This is total
variation on that finite set of events, hence a lower bound of the full one: the strongest statement a float can make, since any
law on floats is at distance 1 from a continuous one. The largest error of F(Q(u)), which bounds Kolmogorov's distance, is
tested on a dense grid elsewhere.

**Accuracy.** The code under test gives S, h and Q. What it should have given for S_{i+1}, min(1, P_i r) in a block and
S_i min(1, r) token by token, integrates over panels in closed form; Gauss-Legendre nodes see only the difference, so their own
error is a fraction of what they measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from tests.backends import Backend

Array = np.ndarray
Thresholds = Callable[[Backend, Array, Array], tuple[Array, Array]]


def log_ratios(b: Backend, deltas: Array, z: Array) -> Array:
    return b.call("couplings", "log_ratio", np.broadcast_to(deltas, z.shape), z)


def token_thresholds(b: Backend, ratios: Array, deltas: Array) -> tuple[Array, Array]:
    """Weights 1, and the probability that `token_wise` compares its uniform with."""
    return np.zeros((len(ratios), ratios.shape[1] + 1), b.dtype), np.exp(np.minimum(ratios, 0.0))


def block_thresholds(b: Backend, ratios: Array, deltas: Array) -> tuple[Array, Array]:
    """As `block` composes them."""
    weights = b.call("verification", "block_weights", ratios)
    return weights, thresholds_of(b, weights, deltas[1:])


def thresholds_of(b: Backend, weights: Array, next_deltas: Array) -> Array:
    masses = np.zeros_like(weights[:, 1:])
    inner = weights[:, 1:-1]
    if inner.size:
        masses[:, :-1] = b.call("couplings", "residual_mass", inner, np.broadcast_to(next_deltas, inner.shape))
    return b.call("verification", "block_thresholds", weights, masses, np.full(len(weights), weights.shape[1] - 1))


@dataclass(frozen=True)
class Scheme:
    """A way to verify and to replace. A wrong one differs in one field."""

    thresholds: Thresholds = block_thresholds
    along: str = "independent"
    first_failure: bool = False
    ratios: Callable[[Backend, Array, Array], Array] = log_ratios
    weighted: bool = True
    from_target: bool = False


@dataclass(frozen=True)
class _Step:
    """Panels of one step, for each of m prefixes: ``bounds`` (m, B + 1), and what is needed to sum over them."""

    bounds: Array
    cells: Array
    boundaries: Array
    rejected_cells: Array
    weights: Array
    edge: Array
    truth: Array
    true_log_weight: Array


def defects(b: Backend, scheme: Scheme, deltas: list[float], cells: int = 8, nodes: int = 4) -> list[float]:
    """The distances of (*) for steps 1..L. ``deltas`` must be positive; ``cells`` of the residual's range."""
    shifts = b.rounded(np.array(deltas))
    z, probability, steps, probabilities = np.zeros((1, 0)), np.ones(1), [], []
    for delta in shifts:
        probabilities.append(probability)
        step, drawn = _step(b, scheme, shifts[: z.shape[1]], z, delta, cells, nodes)
        steps.append(step)
        z = np.concatenate([np.repeat(z, drawn.shape[1], axis=0), drawn.reshape(-1, 1)], axis=1)
        probability = (probability[:, None] * step.weights).reshape(-1)
    shape = [step.weights.shape[1] for step in steps]
    _, thresholds = scheme.thresholds(b, scheme.ratios(b, shifts, z), shifts)
    h = [np.ones(1)] + [np.clip(_prefix(thresholds[:, i].astype(float), shape, i + 1), 0.0, 1.0) for i in range(len(deltas))]
    truth = _true_survivals(scheme, shifts, z)
    kept = _survivals(scheme, h, [_prefix(truth[:, i], shape, i) for i in range(len(shape) + 1)], steps, shifts)
    out = []
    for i, (step, delta) in enumerate(zip(steps, shifts, strict=True)):
        stay = _stay(scheme, step, delta, kept[i + 1], _prefix(truth[:, i + 1], shape, i + 1))
        out.append(_defect(scheme, step, delta, stay, kept[i], h[i], probabilities[i]))
    return out


def at_most(parts: list[float]) -> float:
    return sum(parts)


def at_least(parts: list[float]) -> float:
    return max(part - sum(parts[:i]) for i, part in enumerate(parts))


def _true_log_weights(deltas: Array, z: Array) -> Array:
    out = [np.zeros(len(z))]
    for i in range(z.shape[1]):
        out.append(np.minimum(out[-1] - deltas[i] * (0.5 * deltas[i] + z[:, i]), 0.0))
    return np.stack(out, axis=1)


def _true_survivals(scheme: Scheme, deltas: Array, z: Array) -> Array:
    """S_0..S_L as they should be."""
    if not scheme.first_failure:
        return np.exp(_true_log_weights(deltas, z))
    accepted = np.exp(np.minimum(-deltas[: z.shape[1]] * (0.5 * deltas[: z.shape[1]] + z), 0.0))
    return np.cumprod(np.concatenate([np.ones((len(z), 1)), accepted], axis=1), axis=1)


def _prefix(leaves: Array, shape: list[int], depth: int) -> Array:
    """A function of the first ``depth`` steps, from its values at all leaves."""
    return leaves.reshape([*shape[:depth], -1])[..., 0].reshape(-1)


def _step(b: Backend, scheme: Scheme, past: Array, z: Array, delta: float, cells: int, nodes: int) -> tuple[_Step, Array]:
    m = len(z)
    true_log_weight = np.zeros(m) if scheme.first_failure else _true_log_weights(past, z)[:, -1]
    log_weight = np.zeros(m, b.dtype)
    if z.shape[1] and scheme.weighted:
        log_weight = scheme.thresholds(b, scheme.ratios(b, past, z), past)[0][:, -1]
    edge = np.maximum(delta / 2 + true_log_weight / delta, -1e6)
    # Points of the rejected draft, as its noise can hold them.
    offsets = np.array([-np.inf, -3.0, -1.5, -0.5, 0.5, 1.5, 3.0])
    rejected = delta + b.rounded(np.maximum(offsets, np.maximum(edge - delta, -9.0)[:, None]))
    if scheme.along == "independent":
        u = np.append(np.arange(1, cells) / cells, 1.0 - b.eps / 2)
        boundaries = _emit(b, np.repeat(log_weight, cells), delta, np.tile(u, m), np.zeros(m * cells), "independent")
    else:
        noise = (rejected - delta).reshape(-1)
        repeated = np.repeat(log_weight, rejected.shape[1])
        boundaries = _emit(b, repeated, delta, np.zeros_like(noise), noise, "quantile")
    boundaries = np.sort(boundaries.reshape(m, -1), axis=1)
    low = np.minimum(boundaries[:, :1] - 1.0, -12.0)
    high = np.full((m, 1), max(delta, 0.0) + 12.0)
    bounds = np.sort(np.concatenate([low, boundaries, np.clip(edge[:, None], low, high), rejected, high], axis=1), axis=1)
    middle = (bounds[:, 1:] + bounds[:, :-1]) / 2
    at, weight = np.polynomial.legendre.leggauss(nodes)
    width = np.diff(bounds, axis=1)[..., None]
    s = bounds[:, :-1, None] + width * (at + 1) / 2
    weights = width * weight / 2 * np.exp(-0.5 * (s - delta) ** 2) / np.sqrt(2 * np.pi)
    step = _Step(
        bounds=bounds,
        cells=(boundaries[:, None, :] < middle[..., None]).sum(-1),
        boundaries=boundaries,
        rejected_cells=(rejected[:, None, :] < middle[..., None]).sum(-1),
        weights=weights.reshape(m, -1),
        edge=edge,
        truth=_true_survivals(scheme, past, z)[:, -1],
        true_log_weight=true_log_weight,
    )
    return step, b.rounded((s - delta).reshape(m, -1))


def _emit(b: Backend, log_weight: Array, delta: float, u: Array, noise: Array, along: str) -> Array:
    """`emit_rejected` on a line."""
    n = len(u)
    line, zeros, ones = np.ones((n, 1)), np.zeros((n, 1)), np.ones(n)
    shifts = np.full(n, delta)
    states = b.call(
        "couplings", "emit_rejected", zeros, ones, line, shifts, log_weight, noise[:, None], zeros, u, along=along, across="kept"
    )
    return states[:, 0].astype(float)


def _survivals(scheme: Scheme, h: list[Array], truth: list[Array], steps: list[_Step], deltas: Array) -> list[Array]:
    """S_0..S_L, each over its prefixes."""
    length = len(steps)
    if scheme.first_failure:
        kept = [np.ones(1)]
        for i in range(1, length + 1):
            kept.append(np.repeat(kept[-1], len(h[i]) // len(kept[-1])) * h[i])
        return kept
    later = [h[length]]
    for i in range(length - 1, 0, -1):
        expected = _stay(scheme, steps[i], deltas[i], later[0], truth[i + 1]).sum(1)
        later.insert(0, h[i] + (1 - h[i]) * expected)
    return [np.ones(1), *later]


def _stay(scheme: Scheme, step: _Step, delta: float, kept: Array, truth: Array) -> Array:
    """The integral of q S_{i+1} over each panel, shape (m, B)."""
    below = step.bounds[:, 1:] <= step.edge[:, None]
    # S_i min(1, r) or, where S_i = P_i, min(1, P_i r): the smaller of two densities, which cross at the edge.
    weight = np.exp(step.true_log_weight)[:, None]
    exact = np.where(below, _between(step.bounds, delta), weight * _between(step.bounds, 0.0))
    exact = exact * step.truth[:, None] if scheme.first_failure else exact
    m, panels = below.shape
    return exact + (step.weights * (kept - truth).reshape(m, -1)).reshape(m, panels, -1).sum(-1)


def _between(bounds: Array, mean: float) -> Array:
    """The normal probability of each panel; the outer ones reach to infinity."""
    bounds = bounds - mean
    bounds[:, 0], bounds[:, -1] = -np.inf, np.inf
    low, high = bounds[:, :-1], bounds[:, 1:]
    flip = low + np.where(np.isinf(high), 1.0, high) > 0
    flip &= ~np.isinf(low)
    return np.where(flip, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def _defect(scheme: Scheme, step: _Step, delta: float, stay: Array, alive: Array, h: Array, probability: Array) -> float:
    m, count = len(stay), step.boundaries.shape[1]
    gone = alive - stay.sum(1)
    target = _between(step.bounds, 0.0)
    difference = stay - alive[:, None] * target
    residual, unplaced = np.zeros((m, count)), np.zeros(m)
    if scheme.from_target:
        difference = difference + gone[:, None] * target
    elif scheme.along == "independent":
        residual += gone[:, None] / count
    else:
        drafts = _between(step.bounds, delta)
        rejected = alive[:, None] * drafts - stay if scheme.first_failure else h[:, None] * (drafts - stay)
        # A decreasing map: what lies between the j-th point and the next lands below the j-th image from the top.
        for j in range(1, count + 1):
            residual[:, count - j] = np.where(step.rejected_cells == j, rejected, 0.0).sum(1)
        unplaced = np.abs(np.where(step.rejected_cells == 0, rejected, 0.0).sum(1))
    total = unplaced + np.where(step.cells == count, np.abs(difference), 0.0).sum(1)
    for cell in range(count):
        total = total + np.abs(np.where(step.cells == cell, difference, 0.0).sum(1) + residual[:, cell])
    return float(0.5 * (probability * total).sum())
