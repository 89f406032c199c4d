"""All randomness comes from one recorded root seed, in separate streams for the sampler and for the judge."""

from __future__ import annotations

import zlib

import numpy as np

# Seeds are below 2^31, so that numpy's RandomState, torch and JAX (without x64) all accept them.
_SEEDS = 1 << 31
_STRIDE = 0x9E3779B1 % _SEEDS | 1


def sampler_seed(root: int, name: str, index: int) -> int:
    """The seed of the ``index``-th call of the sampler in the certificate called ``name``.

    Two calls of one certificate never share a seed: the stride is odd, so it visits all 2^31 seeds before it repeats one.

    >>> sampler_seed(0, "mine", 0) != sampler_seed(0, "mine", 1)
    True
    """
    base = int(_stream(root, name, 0).generate_state(1)[0])
    return (base + index * _STRIDE) % _SEEDS


def judge_generator(root: int, name: str) -> np.random.Generator:
    """The judge's own stream, for directions and for everything else that a battery draws."""
    return np.random.default_rng(_stream(root, name, 1))


def block_generator(root: int, name: str, block: int, place: int) -> np.random.Generator:
    """The judge's noise for one block of draws, in the battery at this place of the list."""
    return np.random.default_rng(_stream(root, name, 2, block, place))


def _stream(root: int, name: str, *key: int) -> np.random.SeedSequence:
    # The checksum of the name keeps the claims of one run from sharing draws.
    return np.random.SeedSequence(root, spawn_key=(key[0], zlib.crc32(name.encode()), *key[1:]))
