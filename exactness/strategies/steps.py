"""Strategies for the parts of a verified step: displacements, weights, uniforms, windows, pairs of token laws, seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

# The smallest weight, far below what a sample shows.
_LEAST_LOG_WEIGHT = math.log(1e-30)


def seeds() -> st.SearchStrategy[int]:
    """Seeds that numpy, torch and JAX all accept: 0 <= seed < 2^31."""
    return st.integers(0, (1 << 31) - 1)


class Triple(NamedTuple):
    """The numbers of one verified step: log w <= 0, delta >= 0 in units of sigma, 0 <= u < 1."""

    log_weight: float
    delta: float
    u: float

    @property
    def weight(self) -> float:
        return math.exp(self.log_weight)


def log_weights() -> st.SearchStrategy[float]:
    """Logarithms of weights in [1e-30, 1], including both ends and their neighbourhoods."""
    return st.just(0.0) | st.just(_LEAST_LOG_WEIGHT) | st.floats(-1e-3, 0.0) | st.floats(_LEAST_LOG_WEIGHT, -1e-12)


def deltas(most: float = 50.0) -> st.SearchStrategy[float]:
    """Displacements in [0, most], including both ends and the neighbourhood of 0."""
    return st.just(0.0) | st.just(most) | st.floats(0.0, 1e-2) | st.floats(0.0, most)


def uniforms() -> st.SearchStrategy[float]:
    """Numbers in [0, 1), including 0 and the largest doubles and singles below 1."""
    return st.just(0.0) | st.just(1.0 - 2.0**-24) | st.just(1.0 - 2.0**-53) | st.floats(0.0, 1.0, exclude_max=True)


def triples(most: float = 50.0) -> st.SearchStrategy[Triple]:
    """Triples (log w, delta, u) with w in [1e-30, 1], delta in [0, most] and u in [0, 1), including the ends.

    >>> from hypothesis import find
    >>> find(triples(), lambda step: True)
    Triple(log_weight=0.0, delta=0.0, u=0.0)
    """
    return st.builds(Triple, log_weights(), deltas(most), uniforms())


class Window(NamedTuple):
    """L drafted steps, as vectors (L,): displacements, the noise of the drafts along them, and the uniforms of the verifier."""

    deltas: np.ndarray
    noise: np.ndarray
    uniforms: np.ndarray


@st.composite
def windows(draw: st.DrawFn, length: int | st.SearchStrategy[int] | None = None, most: float = 50.0) -> Window:
    """Windows of drafts with displacements up to ``most``. ``length`` is a number or a strategy; 1 to 8 by default."""
    size = length if isinstance(length, int) else draw(st.integers(1, 8) if length is None else length)
    columns = (deltas(most), st.floats(-40.0, 40.0), uniforms())
    return Window(*(np.array(draw(st.lists(one, min_size=size, max_size=size))) for one in columns))


class TokenPair(NamedTuple):
    """The probabilities of the next token under the target and under the draft, two vectors (V,) in double precision."""

    target: np.ndarray
    draft: np.ndarray


@st.composite
def token_pairs(draw: st.DrawFn, vocabulary: int | st.SearchStrategy[int] | None = None) -> TokenPair:
    """Two distributions over one vocabulary of size V, each with a sum within 1e-15 V of 1.

    They may have zeros, ties and atoms, and may be equal or disjoint. ``vocabulary`` is a number or a strategy of numbers; 1 to 8
    by default.
    """
    size = vocabulary if isinstance(vocabulary, int) else draw(st.integers(1, 8) if vocabulary is None else vocabulary)
    # Few different counts make ties. A large count makes an atom, next to which the other probabilities nearly vanish.
    counts = st.lists(st.sampled_from([1, 0, 2, 3, 10**9]), min_size=size, max_size=size).filter(any)
    target, draft = (np.array(draw(counts), dtype=float) for _ in range(2))
    if draw(st.booleans()):
        draft = target[::-1]
    return TokenPair(target / target.sum(), draft / draft.sum())
