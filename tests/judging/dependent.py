"""Samplers whose draws have the right law one by one and depend on each other, and exact samplers that look as if they did.

Both make noise, independent N(0, 1) if nothing is wrong, and a family turns noise into draws of its law. A new sampler is tested by
being listed here, and crossed with a family in ``DEPENDENT`` or ``ODD``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.fft import dct
from scipy.special import ndtr, ndtri

import exactness as ex
from exactness.adapters.scipy_distributions import from_scipy

Noise = Callable[[int, int, int], np.ndarray]
"""``noise(n, seed, width)`` -> (n, width)."""


@dataclass(frozen=True)
class Family:
    """A law, and how to draw from it with ``width`` normals for each draw: (n, width) -> (n, ...)."""

    law: ex.Law
    width: int
    draws: Callable[[np.ndarray], np.ndarray]


MIXTURE = ex.GaussianMixture([0.5, 0.3, 0.2], [[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], [0.1, 0.2, 0.15])
CHAIN = ex.GaussianChain.from_mean(lambda k, x: 0.7 * x + 0.2 * np.sin(k * x), sigma=[0.5, 0.6, 0.7, 0.8], dim=1)


def of_mixture(z: np.ndarray) -> np.ndarray:
    label = np.searchsorted(np.cumsum(MIXTURE.weights)[:-1], ndtr(z[:, 0]))
    return np.array([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]])[label] + np.sqrt([0.1, 0.2, 0.15])[label, None] * z[:, 1:]


def of_chain(z: np.ndarray) -> np.ndarray:
    path = [z[:, :1]]
    for i, k in enumerate(range(4, 0, -1), start=1):
        path.append(0.7 * path[-1] + 0.2 * np.sin(k * path[-1]) + [0.5, 0.6, 0.7, 0.8][k - 1] * z[:, i : i + 1])
    return np.stack(path, axis=1)


def twisted(z: np.ndarray) -> np.ndarray:
    return np.stack([z[:, 0], z[:, 0] ** 2 + z[:, 1], np.exp(z[:, 2])], axis=1)


class Own(ex.Law):
    """A law of a user, of which nothing is known but exact draws."""

    event_shape = (2,)

    def describe(self) -> dict[str, object]:
        return {"kind": "Own"}

    def sample(self, n: int, seed: int) -> np.ndarray:
        return twisted(noise(n, seed, 3))[:, 1:]


def noise(n: int, seed: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width))


TARGET, DRAFT = np.array([0.4, -1.1]), np.array([0.9, -0.6])


def coupled(z: np.ndarray) -> np.ndarray:
    """The reflection coupling at sigma = 1, with one more normal for its coin."""
    delta = float(np.linalg.norm(DRAFT - TARGET))
    axis, y = (DRAFT - TARGET) / delta, DRAFT + z[:, :2]
    accepted = np.log(ndtr(z[:, 2])) < 0.5 * delta**2 - delta * ((y - TARGET) @ axis)
    reflected = TARGET + z[:, :2] - 2.0 * (z[:, :2] @ axis)[:, None] * axis
    return np.stack([np.where(accepted[:, None], y, reflected), y], axis=1)


def verified(z: np.ndarray) -> np.ndarray:
    """Two log-ratios, and how many drafts are kept token by token."""
    ratios = 0.5 * z[:, :2] - 0.1
    return np.column_stack([ratios, np.cumprod(np.log(ndtr(z[:, 2:])) < ratios, axis=1).sum(axis=1)])


FAMILIES = {
    "coupling": Family(ex.GaussianCoupling(TARGET, DRAFT, 1.0, "reflection"), 3, coupled),
    "window": Family(ex.VerifiedWindow(2, "token"), 4, verified),
    "normal": Family(ex.GaussianMixture([1.0], [[0.0]], [1.0]), 1, lambda z: z),
    "mixture": Family(MIXTURE, 3, of_mixture),
    "gamma": Family(from_scipy(stats.gamma(2.0)), 1, lambda z: stats.gamma(2.0).ppf(ndtr(z))),
    "trusted": Family(ex.TrustedSampler(lambda n, seed: twisted(noise(n, seed, 3))), 3, twisted),
    "own law": Family(Own(), 3, lambda z: twisted(z)[:, 1:]),
    "chain": Family(CHAIN, 5, of_chain),
    "dice": Family(ex.DiscreteLaw([1 / 6] * 6), 1, lambda z: np.minimum(5, (6 * ndtr(z[:, 0])).astype(np.int64))),
}


# What depends on what. Each draw by itself is right.


def autoregression(rho: float, lag: int = 1) -> Noise:
    def make(n: int, seed: int, width: int) -> np.ndarray:
        z = noise(n, seed, width)
        for i in range(lag, n):
            z[i] = rho * z[i - lag] + np.sqrt(1 - rho**2) * z[i]
        return z

    return make


def copies(count: int, arranged: str, sign: float = 1.0) -> Noise:
    """Every draw ``count`` times: next to each other, one set after the other, or one set after the other in reversed order."""

    def make(n: int, seed: int, width: int) -> np.ndarray:
        one = noise(-(-n // count), seed, width)
        if arranged == "adjacent":
            signs = np.resize([1.0, sign], count)
            return (one[:, None] * signs[:, None]).reshape(-1, width)[:n]
        other = sign * (one[::-1] if arranged == "reversed" else one)
        return np.concatenate([one, *[other] * (count - 1)])[:n]

    return make


def frozen(n: int, seed: int, width: int) -> np.ndarray:
    """Rows after the 64th never change, whatever the seed."""
    fixed = noise(n, 0, width)
    fixed[:64] = noise(min(64, n), seed, width)[: len(fixed[:64])]
    return fixed


def jittered(n: int, seed: int, width: int) -> np.ndarray:
    """Half of the draws are copies of others, a little moved, at random places."""
    z, g = noise(n, seed, width), np.random.default_rng([seed, 1])
    place = g.permutation(n)
    half = n // 2
    z[place[half : 2 * half]] = np.sqrt(1 - 1e-6) * z[place[:half]] + 1e-3 * g.standard_normal((half, width))
    return z


def clustered(n: int, seed: int, width: int) -> np.ndarray:
    """The sizes of draws are an autoregression, and their signs are independent."""
    sizes, g = autoregression(0.6)(n, seed, width), np.random.default_rng([seed, 1])
    return g.choice([-1.0, 1.0], size=(n, width)) * -ndtri(0.5 * ndtr(-sizes))


def flipped(n: int, seed: int, width: int) -> np.ndarray:
    """The second half of a batch is the first, with other signs."""
    z, half = noise(n, seed, width), n // 2
    z[half : 2 * half] = z[:half] * np.random.default_rng([seed, 1]).choice([-1.0, 1.0], size=(half, width))
    return z


def in_order(n: int, seed: int, width: int) -> np.ndarray:
    z = noise(n, seed, width)
    return z[np.argsort(z[:, 0])]


def stratified(n: int, seed: int, width: int) -> np.ndarray:
    """A Latin hypercube, in random order."""
    return ndtri(np.clip(stats.qmc.LatinHypercube(width, rng=np.random.default_rng(seed)).random(n), 1e-12, 1 - 1e-12))


def sobol(n: int, seed: int, width: int) -> np.ndarray:
    return ndtri(np.clip(stats.qmc.Sobol(width, rng=np.random.default_rng(seed)).random(n), 1e-12, 1 - 1e-12))


def few_seeds(different: int) -> Noise:
    return lambda n, seed, width: noise(n, seed % different, width)


def wider_for_some_seeds(share: float) -> Noise:
    def make(n: int, seed: int, width: int) -> np.ndarray:
        return noise(n, seed, width) * (2.0 if np.random.default_rng([seed, 7]).random() < share else 1.0)

    return make


def shared_within_a_call(rho: float) -> Noise:
    def make(n: int, seed: int, width: int) -> np.ndarray:
        return np.sqrt(rho) * noise(1, seed + 1, width) + np.sqrt(1 - rho) * noise(n, seed, width)

    return make


class Remembering:
    """Each call goes on where the last one ended: an autoregression over all calls."""

    def __init__(self) -> None:
        self.last: np.ndarray | None = None

    def __call__(self, n: int, seed: int, width: int) -> np.ndarray:
        z = noise(n, seed, width)
        for i in range(n):
            if self.last is not None:
                z[i] = 0.8 * self.last + 0.6 * z[i]
            self.last = z[i]
        return z


class LeaningSums(Remembering):
    """The sum of a call leans on that of the last call. Within calls, nothing is wrong."""

    def __call__(self, n: int, seed: int, width: int) -> np.ndarray:
        z = noise(n, seed, width)
        total = z.sum(axis=0) / np.sqrt(n)
        new = total if self.last is None else 0.8 * self.last + 0.6 * total
        self.last = new
        return z + (new - total) / np.sqrt(n)


def with_replacement(n: int, seed: int, width: int) -> np.ndarray:
    """From a pool of as many draws."""
    return noise(n, seed, width)[np.random.default_rng([seed, 1]).integers(0, n, size=n)]


DEPENDENT: dict[str, tuple[Noise, str]] = {
    "AR .3": (autoregression(0.3), "normal"),
    "AR .3, mixture": (autoregression(0.3), "mixture"),
    "AR .5, trusted": (autoregression(0.5), "trusted"),
    "AR .7, own law": (autoregression(0.7), "own law"),
    "AR .9": (autoregression(0.9), "normal"),
    "AR .9, gamma": (autoregression(0.9), "gamma"),
    "AR -.5, dice": (autoregression(-0.5), "dice"),
    "AR .3, chain": (autoregression(0.3), "chain"),
    "AR .6, coupling": (autoregression(0.6), "coupling"),
    "AR .9, window": (autoregression(0.9), "window"),
    "twice, coupling": (copies(2, "adjacent"), "coupling"),
    "twice": (copies(2, "adjacent"), "normal"),
    "twice, mixture": (copies(2, "adjacent"), "mixture"),
    "twice, trusted": (copies(2, "adjacent"), "trusted"),
    "twice, dice": (copies(2, "adjacent"), "dice"),
    "two outputs": (few_seeds(2), "normal"),
    "two outputs, trusted": (few_seeds(2), "trusted"),
    "64 outputs, chain": (few_seeds(64), "chain"),
    "frozen": (frozen, "normal"),
    "frozen, mixture": (frozen, "mixture"),
    "frozen, own law": (frozen, "own law"),
    "antithetic, adjacent": (copies(2, "adjacent", -1.0), "normal"),
    "antithetic, half on": (copies(2, "halves", -1.0), "mixture"),
    "antithetic, reversed": (copies(2, "reversed", -1.0), "gamma"),
    "antithetic, reversed, trusted": (copies(2, "reversed", -1.0), "trusted"),
    "four copies of a chain": (copies(4, "sets"), "chain"),
    "jittered copies, chain": (jittered, "chain"),
    "jittered copies": (jittered, "normal"),
    "jittered copies, mixture": (jittered, "mixture"),
    "leaning on i - 7": (autoregression(0.3, 7), "normal"),
    "leaning on i - 7, chain": (autoregression(0.2, 7), "chain"),
    "leaning on i - 100, own law": (autoregression(0.4, 100), "own law"),
    "clustered": (clustered, "normal"),
    "clustered, trusted": (clustered, "trusted"),
    "recycled with other signs": (flipped, "normal"),
    "recycled with other signs, chain": (flipped, "chain"),
    "in order": (in_order, "gamma"),
    "in order of component": (in_order, "mixture"),
    "in order, dice": (in_order, "dice"),
    "stratified": (stratified, "normal"),
    "Sobol, mixture": (sobol, "mixture"),
    "wider for a quarter of the seeds": (wider_for_some_seeds(0.25), "normal"),
    "wider for a tenth of the seeds, mixture": (wider_for_some_seeds(0.1), "mixture"),
    "shared within a call": (shared_within_a_call(0.2), "trusted"),
    "remembering": (Remembering(), "normal"),
    "remembering, own law": (Remembering(), "own law"),
    "sums lean on the last call": (LeaningSums(), "normal"),
    "with replacement": (with_replacement, "normal"),
    "with replacement, mixture": (with_replacement, "mixture"),
}


# Exact, however odd.


def rotated_by_the_past(n: int, seed: int, width: int) -> np.ndarray:
    z = noise(n, seed, width)
    for i in range(1, n):
        if width > 1:
            angle = float(z[i - 1].sum())
            a, b = z[i, 0], z[i, 1]
            z[i, 0], z[i, 1] = np.cos(angle) * a - np.sin(angle) * b, np.sin(angle) * a + np.cos(angle) * b
        else:
            z[i] *= 1.0 if z[i - 1, 0] > 0.3 else -1.0
    return z


def reflected_about_the_past(n: int, seed: int, width: int) -> np.ndarray:
    z = noise(n, seed, width)
    for i in range(1, n):
        v = z[i - 1] / np.linalg.norm(z[i - 1])
        z[i] -= 2.0 * (z[i] @ v) * v
    return z


def signs_of_the_past(n: int, seed: int, width: int) -> np.ndarray:
    z = noise(n, seed, width)
    z[1:] *= np.cumprod(np.sign(z[:-1, :1]), axis=0)
    return z


def permuted(n: int, seed: int, width: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).permutation(noise(n, seed, width))


def backwards(n: int, seed: int, width: int) -> np.ndarray:
    return noise(n, seed, width)[::-1]


def by_many_generators(n: int, seed: int, width: int) -> np.ndarray:
    kinds = [np.random.PCG64, np.random.Philox, np.random.SFC64, np.random.MT19937]
    parts = [np.random.Generator(kind([seed, i])).standard_normal((n, width)) for i, kind in enumerate(kinds)]
    return np.stack(parts)[np.arange(n) % 4, np.arange(n)]


def box_muller(n: int, seed: int, width: int) -> np.ndarray:
    """Neighbours have one radius, and are independent nevertheless."""
    g = np.random.default_rng(seed)
    r, angle = np.sqrt(-2.0 * np.log1p(-g.random((n, width)))), 2.0 * np.pi * g.random((n, width))
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).reshape(-1, width)[:n]


def cosine_transformed(n: int, seed: int, width: int) -> np.ndarray:
    """Every draw is a sum over all numbers of the batch."""
    return dct(noise(n, seed, width), axis=0, norm="ortho")


def single_precision(n: int, seed: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width), dtype=np.float32)


def of_rejection(n: int, seed: int, width: int) -> np.ndarray:
    g, kept = np.random.default_rng(seed), np.zeros((0, width))
    while len(kept) < n:
        x = g.laplace(size=(4 * n + 10, width))
        kept = np.concatenate([kept, x[g.random(len(x)) < np.exp((-0.5 * (np.abs(x) - 1.0) ** 2).sum(axis=1))]])
    return kept[:n]


def from_a_shuffled_buffer(n: int, seed: int, width: int) -> np.ndarray:
    """What leaves a buffer at random was put in long before, but leaves once."""
    z, g = list(noise(n + 32, seed, width)), np.random.default_rng([seed, 1])
    buffer, found = z[:32], []
    for x in z[32:]:
        place = int(g.integers(32))
        found.append(buffer[place])
        buffer[place] = x
    return np.array(found).reshape(n, width)


def sums_and_differences(n: int, seed: int, width: int) -> np.ndarray:
    z = noise(2 * (-(-n // 2)), seed, width)
    return np.stack([z[::2] + z[1::2], z[::2] - z[1::2]], axis=1).reshape(-1, width)[:n] / np.sqrt(2.0)


ODD_NOISE: dict[str, tuple[Noise, tuple[str, ...]]] = {
    "rotated by the past": (rotated_by_the_past, ("normal", "mixture", "chain", "trusted")),
    "reflected about the past": (reflected_about_the_past, ("mixture", "chain", "own law")),
    "signs of the past": (signs_of_the_past, ("normal", "mixture", "chain", "gamma")),
    "permuted": (permuted, ("normal", "trusted", "dice")),
    "backwards": (backwards, ("mixture", "chain")),
    "many generators": (by_many_generators, ("normal", "mixture", "own law", "chain", "window")),
    "Box-Muller": (box_muller, ("normal", "gamma", "mixture", "trusted", "coupling")),
    "cosine transform": (cosine_transformed, ("normal", "mixture", "chain", "trusted")),
    "single precision": (single_precision, ("normal", "gamma", "mixture", "dice")),
    "rejection": (of_rejection, ("normal", "chain")),
    "shuffled buffer": (from_a_shuffled_buffer, ("normal", "chain", "own law")),
    "sums and differences": (sums_and_differences, ("normal", "mixture", "trusted", "dice")),
}
ODD = {f"{name}, {family}": (make, family) for name, (make, families) in ODD_NOISE.items() for family in families}


def sampler(make: Noise, family: str) -> Callable[[int, int], np.ndarray]:
    of = FAMILIES[family]
    return lambda n, seed: of.draws(make(n, seed, of.width))
