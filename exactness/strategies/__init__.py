"""Hypothesis strategies for everything that is judged here, and certificates inside ``@given`` (:class:`Family`).

This package needs ``pip install 'exactness[strategies]'``. Each strategy shrinks to the simplest object of its kind: one standard
normal, equal weights, two steps, means at the origin, w = 1, delta = 0.

>>> from hypothesis import find
>>> find(mixtures(), lambda mixture: True).describe()["components"]
1
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("exactness.strategies needs Hypothesis: pip install 'exactness[strategies]'") from error

from .family import Family
from .kernels import KernelOf, ModelOf, kernels, models
from .laws import chain_of, chains, covariances, dims, discrete_laws, mixtures, schedules, weights
from .steps import TokenPair, Triple, Window, deltas, log_weights, seeds, token_pairs, triples, uniforms, windows

__all__ = [
    "mixtures",
    "discrete_laws",
    "weights",
    "covariances",
    "dims",
    "schedules",
    "chains",
    "chain_of",
    "windows",
    "Window",
    "kernels",
    "KernelOf",
    "models",
    "ModelOf",
    "triples",
    "Triple",
    "deltas",
    "log_weights",
    "uniforms",
    "token_pairs",
    "TokenPair",
    "seeds",
    "Family",
]
