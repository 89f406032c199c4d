"""Strategies for what a verified step is made of: displacements, weights, uniforms, windows, pairs of token laws, seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

# What a weight may shrink to: far beyond what a sample shows.
_LEAST_LOG_WEIGHT = math.log(1e-30)


def seeds() -> st.SearchStrategy[int]:
    """What numpy, torch and JAX all take: 0 <= seed < 2^31."""
    return st.integers(0, (1 << 31) - 1)


class Triple(NamedTuple):
    """Of one verified step: log w <= 0, delta >= 0 in units of sigma, 0 <= u < 1."""

    log_weight: float
    delta: float
    u: float

    @property
    def weight(self) -> float:
        return math.exp(self.log_weight)


def log_weights() -> st.SearchStrategy[float]:
    """Logarithms of w in [1e-30, 1], with both ends and their neighbourhoods."""
    return st.just(0.0) | st.just(_LEAST_LOG_WEIGHT) | st.floats(-1e-3, 0.0) | st.floats(_LEAST_LOG_WEIGHT, -1e-12)


def deltas(most: float = 50.0) -> st.SearchStrategy[float]:
    """Displacements in [0, most], with both ends and the neighbourhood of 0."""
    return st.just(0.0) | st.just(most) | st.floats(0.0, 1e-2) | st.floats(0.0, most)


def uniforms() -> st.SearchStrategy[float]:
    """[0, 1), with 0 and the largest doubles and singles below 1."""
    return st.just(0.0) | st.just(1.0 - 2.0**-24) | st.just(1.0 - 2.0**-53) | st.floats(0.0, 1.0, exclude_max=True)


def triples(most: float = 50.0) -> st.SearchStrategy[Triple]:
    """(log w, delta, u) over w in [1e-30, 1], delta in [0, most], u in [0, 1), their ends included."""
    return st.builds(Triple, log_weights(), deltas(most), uniforms())


class Window(NamedTuple):
    """Of L drafted steps, shape (L,) each: displacements, the drafts' noise along them, the verifier's uniforms."""

    deltas: np.ndarray
    noise: np.ndarray
    uniforms: np.ndarray


@st.composite
def windows(draw: st.DrawFn, length: int | st.SearchStrategy[int] | None = None, most: float = 50.0) -> Window:
    """Windows of drafts, of any displacement up to ``most``. ``length``: a number, or a strategy; 1..8 if left out."""
    size = length if isinstance(length, int) else draw(st.integers(1, 8) if length is None else length)
    columns = (deltas(most), st.floats(-40.0, 40.0), uniforms())
    return Window(*(np.array(draw(st.lists(one, min_size=size, max_size=size))) for one in columns))


class TokenPair(NamedTuple):
    """Probabilities of the next token under target and draft, shape (V,) each, in double precision."""

    target: np.ndarray
    draft: np.ndarray


@st.composite
def token_pairs(draw: st.DrawFn, vocabulary: int | st.SearchStrategy[int] | None = None) -> TokenPair:
    """Two distributions over one vocabulary, with zeros, ties, atoms, equal ones and disjoint ones; each sums to 1 within 1e-15 V.

    ``vocabulary``: a number, or a strategy of numbers; 1..8 if left out.
    """
    size = vocabulary if isinstance(vocabulary, int) else draw(st.integers(1, 8) if vocabulary is None else vocabulary)
    # Few different counts make ties; a large one makes an atom, and next to it probabilities that nearly vanish.
    counts = st.lists(st.sampled_from([1, 0, 2, 3, 10**9]), min_size=size, max_size=size).filter(any)
    target, draft = (np.array(draw(counts), dtype=float) for _ in range(2))
    if draw(st.booleans()):
        draft = target[::-1]
    return TokenPair(target / target.sum(), draft / draft.sum())
