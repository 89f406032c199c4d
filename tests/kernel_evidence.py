"""How the tests judge a Markov kernel without the product: sums of antisymmetric functions, with exact bounds.

Under each claim, two arguments may be exchanged without a change of law, so every g with g(a, b) = -g(b, a) has a symmetric law. By
Hoeffding's inequality, given the absolute values, P(|sum g| >= t sqrt(sum g^2)) <= 2 exp(-t^2/2) at every n. The p-value of several
functions is the smallest times their number, so each claim is refuted wrongly at the level with at most that probability.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch
from exactness_samplers.faults import Backend
from exactness_samplers.torch import markov

TORCH = Backend("torch")
LEVEL = 1e-6


def p_of(columns: np.ndarray) -> float:
    """The p-value of antisymmetric functions (n, F); columns of zeros say nothing."""
    squares = np.square(columns).sum(0)
    some = squares > 0
    if not some.any():
        return 1.0
    t = np.abs(columns.sum(0)[some]) / np.sqrt(squares[some])
    return min(1.0, 2.0 * columns.shape[1] * math.exp(-0.5 * t.max() ** 2))


def features(target, x: np.ndarray) -> np.ndarray:
    """The log-density, coordinates, squares and products; of many coordinates, sums instead of products. (n, F)."""
    density = target.density(TORCH, torch.as_tensor(x)).numpy()[:, None]
    total = x.sum(1, keepdims=True)
    if x.shape[1] > 4:
        own = [target.own_features(x)] if target.own_features else []
        return np.concatenate([density, x, np.square(x), total, total**2, *own], 1)
    products = [x[:, i] * x[:, j] for i, j in combinations(range(x.shape[1]), 2)]
    return np.concatenate([density, x, np.square(x), *(p[:, None] for p in products)], 1)


def exchanged(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Antisymmetric functions of features (n, F) of two states: differences, and the first few a_i b_j - a_j b_i."""
    few = range(min(a.shape[1], 6))
    crossed = [a[:, i] * b[:, j] - a[:, j] * b[:, i] for i, j in combinations(few, 2)]
    return np.concatenate([b - a, *(c[:, None] for c in crossed)], 1)


def moved(fault, x: np.ndarray, seed: int) -> np.ndarray:
    return fault.kernel("torch")(torch.as_tensor(x), seed).numpy()


def paired(fault, n: int, seed: int) -> float:
    """The states before and after a step may be exchanged if the kernel is reversible, perhaps up to a flip."""
    x = fault.target.draws(n, seed)
    after = moved(fault, x, seed)
    if fault.reversible == "flip":
        x[:, fault.target.flip] *= -1.0
    return p_of(exchanged(features(fault.target, x), features(fault.target, after)))


def partner(fault, n: int, seed: int) -> float:
    """The states after a step, and fresh draws, whatever the kernel."""
    after = moved(fault, fault.target.draws(n, seed), seed)
    return p_of(features(fault.target, after) - features(fault.target, fault.target.draws(n, seed + 500_000)))


def joint(fault, n: int, seed: int) -> float:
    """Parameters before and after, given the data."""
    model = fault.target
    theta = model.prior(n, seed)
    data = model.simulate(theta, seed + 500_000)
    after = fault.kernel("torch")(torch.as_tensor(theta), torch.as_tensor(data), seed).numpy()

    def of(theta: np.ndarray) -> np.ndarray:
        at, given = torch.as_tensor(theta), torch.as_tensor(data)
        both = [model.log_joint(TORCH, at, given).numpy(), model.log_likelihood(TORCH, at, given).numpy()]
        own = [theta[:, 0], theta[:, 1], theta[:, 0] ** 2, theta[:, 1] ** 2, theta[:, 0] * theta[:, 1]]
        slope = data @ np.array(model.times)
        with_data = [theta[:, 0] * data.mean(1), theta[:, 1] * slope, theta[:, 0] * data[:, -1], theta[:, 1] * data[:, -1]]
        return np.stack([*both, *own, *with_data], 1)

    return p_of(of(after) - of(theta))


def margin(fault, n: int, seed: int) -> float:
    """The second chain of a pair and the kernel from the same state, given both starts."""
    x, y = fault.target.draws(n, seed), fault.target.draws(n, seed + 500_000)
    _, after = fault.kernel("torch")(torch.as_tensor(x), torch.as_tensor(y), seed)
    alone = fault.one_chain("torch")(torch.as_tensor(y), seed + 700_000).numpy()
    gap = features(fault.target, after.numpy()) - features(fault.target, alone)
    given = np.concatenate([np.ones((n, 1)), x, y, x - y], 1)
    return p_of((gap[:, :, None] * given[:, None, :]).reshape(n, -1))


def transition(fault, n: int, seed: int, step: float) -> float:
    """Acceptances against the probability of a Langevin step, over the steps of 256 chains; Freedman's inequality."""
    chains, density = min(n, 256), fault.target.log_density(TORCH)
    x = torch.zeros(chains, fault.target.dim, dtype=torch.float64)
    excess, variance = 0.0, 0.0
    for k in range(n // chains):
        move = fault.kernel("torch").step(x, _noise(fault, chains, seed * 10_000 + k))
        there = (move.proposal - markov.drifted(density, x, step)).square().sum(-1)
        back = (x - markov.drifted(density, move.proposal, step)).square().sum(-1)
        a = torch.clamp(torch.exp(density(move.proposal) - density(x) + 0.5 * (there - back) / step), max=1.0)
        excess += float((move.accepted.double() - a).sum())
        variance += float((a * (1.0 - a)).sum())
        x = move.state
    return min(1.0, 2.0 * math.exp(-0.5 * excess**2 / (variance + abs(excess) / 3.0)))


def _noise(fault, n: int, seed: int):
    return TORCH.kernels.draw_noise(torch.Generator().manual_seed(seed), n, fault.size, torch.float64)


def p_value(fault, n: int, seed: int) -> float:
    """What must see this fault, or, of a right kernel, everything that could."""
    from exactness_samplers.faults.markov.metropolis import SMALL

    if fault.kind == "joint":
        return joint(fault, n, seed)
    if fault.kind == "pair":
        return margin(fault, n, seed)
    if fault.seen_by == "transition":
        return transition(fault, n, seed, SMALL)
    if fault.seen_by in ("paired", "partner"):
        return {"paired": paired, "partner": partner}[fault.seen_by](fault, n, seed)
    return min(1.0, 2.0 * min(partner(fault, n, seed), paired(fault, n, seed) if fault.reversible else 1.0))
