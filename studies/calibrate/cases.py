"""The laws, an exact sampler of each, and the batteries that judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import exactness as ex
from exactness.batteries import MeanEmbedding, PermutationTwoSample, standard
from exactness.evidence.base import Battery
from exactness.laws.base import Law

from . import tokens
from .kernels import kernels

EXTRA = (MeanEmbedding(most=300), PermutationTwoSample(most=100, permutations=1999))


@dataclass(frozen=True)
class Case:
    """A law, an exact sampler of it, and the number of draws in a certificate.

    ``others`` are further cases with the same tests: certificate i is that of case i modulo their number. ``alphas`` are the levels
    at which refuted certificates are counted, and ``per_call`` is how many draws one call of the sampler makes in them.
    """

    law: Law
    sample: Callable[[int, int], Any]
    draws: int
    others: tuple[Case, ...] = ()
    alphas: tuple[float, ...] = (0.05, 0.01)
    per_call: int | None = None

    def of(self, i: int) -> Case:
        """The case of certificate i."""
        return (self, *self.others)[i % (1 + len(self.others))]


def _mean(k: int, x: np.ndarray) -> np.ndarray:
    return 0.7 * x + 0.2 * np.sin(k * x)


_SIGMA = 0.3 + 0.1 * np.arange(1, 7)


def _paths(n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    path = [generator.standard_normal((n, 2))]
    for k in range(len(_SIGMA), 0, -1):
        path.append(_mean(k, path[-1]) + _SIGMA[k - 1] * generator.standard_normal((n, 2)))
    return np.stack(path, axis=1)


def _zipf(count: int) -> ex.DiscreteLaw:
    p = 1.0 / np.arange(1, count + 1)
    return ex.DiscreteLaw(p / p.sum())


def _labels(n: int, seed: int) -> np.ndarray:
    """Zipf's labels, by numpy's own method for a list of probabilities."""
    return np.random.default_rng(seed).choice(1_000, size=(n, 1), p=_zipf(1_000).probabilities)


def _spread(k: int, x: np.ndarray) -> np.ndarray:
    return 0.6 + 0.3 * np.tanh(k * x[:, ::-1])


def _paths_by_state(n: int, seed: int) -> np.ndarray:
    """The chain whose variances depend on the state: each number's on the other number."""
    generator = np.random.default_rng(seed)
    path = [generator.standard_normal((n, 2))]
    for k in range(4, 0, -1):
        path.append(_mean(k, path[-1]) + _spread(k, path[-1]) * generator.standard_normal((n, 2)))
    return np.stack(path, axis=1)


@cache
def cases() -> dict[str, Case]:
    turn = np.array([[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]])
    mixture = ex.GaussianMixture(
        [0.5, 0.3, 0.2], [[1.5, 0.0, 0.0], [-1.0, 1.0, 0.5], [0.0, -1.5, 1.0]], [turn, 0.5 * turn, 0.3 * np.eye(3)]
    )
    return {
        "chain": Case(ex.GaussianChain.from_mean(_mean, sigma=_SIGMA, dim=2), _paths, 300),
        "chain with variances by state": Case(
            ex.GaussianChain.from_mean(_mean, sigma=np.ones(4), spread=_spread, dim=2), _paths_by_state, 300
        ),
        "mixture": Case(mixture, mixture.sample, 1_000),
        "trusted sampler": Case(ex.TrustedSampler(lambda n, s: mixture.sample(n, s)), mixture.sample, 500),
        **_more(),
        "die": Case(ex.DiscreteLaw(np.full(6, 1 / 6)), lambda n, seed: np.random.default_rng(seed).integers(0, 6, n)[:, None], 500),
        "labels": Case(_zipf(1_000), _labels, 1_000),
        # Sequences of 4 tokens are few enough to be counted, those of 50 are not.
        **{f"tokens, {size} of them": _tokens(size) for size in (4, 50)},
        **{name: Case(*parts) for name, parts in kernels().items()},
    }


def _more() -> dict[str, Case]:
    """The laws of couplings and of verified windows."""
    target, draft = np.array([0.4, -1.1]), np.array([0.9, -0.6])
    length = 4

    def coupled(n: int, seed: int) -> np.ndarray:
        """The reflection coupling at sigma = 1."""
        generator = np.random.default_rng(seed)
        z = generator.standard_normal((n, 2))
        axis = (draft - target) / np.linalg.norm(draft - target)
        y, s = draft + z, (draft + z - target) @ axis
        delta = float(np.linalg.norm(draft - target))
        accepted = np.log(generator.random(n)) < 0.5 * delta**2 - delta * s
        reflected = target + z - 2.0 * (z @ axis)[:, None] * axis
        return np.stack([np.where(accepted[:, None], y, reflected), y], axis=1)

    def window(n: int, seed: int) -> np.ndarray:
        """Verification token by token, over any log-ratios."""
        generator = np.random.default_rng(seed)
        log_ratio = generator.normal(-0.1, 0.5, size=(n, length))
        kept = np.cumprod(np.log(generator.random((n, length))) < log_ratio, axis=1).sum(1)
        return np.concatenate([log_ratio, kept[:, None]], axis=1)

    def emitted(n: int, seed: int) -> np.ndarray:
        """The same, with what is emitted after the kept drafts: uniform, and not judged after a full window."""
        draws = window(n, seed)
        u = np.random.default_rng([seed, 1]).random(n)
        return np.concatenate([draws, np.where(draws[:, -1] == length, -1.0, u)[:, None]], axis=1)

    return {
        "coupling": Case(ex.GaussianCoupling(target, draft, 1.0, "reflection"), coupled, 500),
        "verified window": Case(ex.VerifiedWindow(length, "token"), window, 500),
        "verified window with its emission": Case(ex.VerifiedWindow(length, "token", emits=True), emitted, 500),
    }


def _tokens(size: int) -> Case:
    """Speculative decoding by each exact rule in turn. The laws with an odd number have an end token."""
    found = []
    for i, rule in enumerate(tokens.KEEP):
        generator = np.random.default_rng([size, i])
        p = generator.dirichlet(np.full(size, 0.6), size=size)
        q = 0.6 * p + 0.4 * generator.dirichlet(np.full(size, 0.6), size=size)
        law, sample = tokens.claim(rule, p, q, length=6 if size == 4 else 10, end=0 if i % 2 else None)
        found.append(Case(law, sample, 200))
    return replace(found[0], others=tuple(found[1:]), alphas=(0.001,), per_call=50)


def batteries(law: Law) -> list[Battery]:
    return [b for b in (*standard(), *EXTRA) if b.applies(law)]
