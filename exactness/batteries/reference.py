"""The judge's own draws of a law, beside the draws that are judged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..arrays import Array, digest, double, like, namespace, to_numpy
from ..laws.base import Law
from ..laws.mixtures import GaussianMixture
from ..laws.trusted import TrustedSampler

# Features of so many draws are made at a time.
_PIECE = 1 << 14


def can_draw(law: Law | None) -> bool:
    return isinstance(law, TrustedSampler | GaussianMixture)


def draw(law: Law, n: int, seed: int) -> Array:
    """n exact draws, (n, ...)."""
    assert isinstance(law, TrustedSampler | GaussianMixture)
    return law.draw(n, seed) if isinstance(law, TrustedSampler) else law.sample(n, seed)


def noise_of(draws: Array, key: int) -> np.random.Generator:
    """The judge's noise for a batch of draws: of its key and of all the draws' bits.

    So shards that are judged apart get different noise, in whatever order they are merged, and the same shard gets the same.
    """
    return np.random.default_rng([key, digest(draws)])


def beside(law: Law, draws: Array, key: int) -> Iterator[tuple[Array, Array]]:
    """The draws and as many of the judge's own, both flattened to (m, D), in double where the draws live, piece by piece."""
    seed = int(noise_of(draws, key).integers(1 << 31))
    n, xp = int(draws.shape[0]), namespace(draws)
    other = draw(law, n, seed)
    for i in range(0, n, _PIECE):
        ours, theirs = draws[i : i + _PIECE], other[i : i + _PIECE]
        if namespace(theirs) is not xp or theirs.dtype != ours.dtype:
            # Rounded alike: what is constant must stay equal.
            theirs = like(to_numpy(theirs), ours)
        yield tuple(xp.reshape(double(v), (min(_PIECE, n - i), -1)) for v in (ours, theirs))
