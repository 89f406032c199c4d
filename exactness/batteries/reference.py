"""The judge's own draws of a law, beside the draws that are judged."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from ..arrays import Array, double, like, namespace, to_numpy
from ..laws.base import Law
from ..laws.mixture import GaussianMixture
from ..laws.trusted import TrustedSampler

# Features of so many draws are made at a time.
_PIECE = 1 << 14
_HEAD = 64


def can_draw(law: Law | None) -> bool:
    return isinstance(law, TrustedSampler | GaussianMixture)


def draw(law: Law, n: int, seed: int) -> Array:
    """n exact draws, (n, ...)."""
    assert isinstance(law, TrustedSampler | GaussianMixture)
    return law.draw(n, seed) if isinstance(law, TrustedSampler) else law.sample(n, seed)


def beside(law: Law, draws: Array, key: int) -> Iterator[tuple[Array, Array]]:
    """The draws and as many of the judge's own, both flattened to (m, D), in double where the draws live, piece by piece.

    The judge's seed is made of its key and of the first draws' bits: shards that are judged apart get different references,
    and the same shard gets the same one.
    """
    seed = zlib.crc32(np.ascontiguousarray(to_numpy(draws[:_HEAD])).tobytes(), key & 0xFFFFFFFF) & 0x7FFFFFFF
    n, xp = int(draws.shape[0]), namespace(draws)
    other = draw(law, n, seed)
    for i in range(0, n, _PIECE):
        ours = xp.reshape(double(draws[i : i + _PIECE]), (min(_PIECE, n - i), -1))
        theirs = other[i : i + _PIECE]
        if namespace(theirs) is not xp or theirs.dtype != ours.dtype:
            theirs = like(to_numpy(theirs), ours)
        yield ours, xp.reshape(theirs, ours.shape)
