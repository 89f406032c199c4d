"""Distributions of numpyro, as laws and as samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..laws import Law
from .libraries import needs
from .normals import law_of

if TYPE_CHECKING:
    from jax import Array

# Beyond, single precision is infinite.
_LARGEST = float(np.finfo(np.float32).max)


def from_numpyro(distribution: Any) -> Law:
    """The law of a numpyro distribution: mixtures of normals, else its cdf (one dimension), else its own draws, trusted.

    Args:
        distribution: of any event shape and of batch shape (); ``.to_event(1)`` makes coordinates of a batch.

    Raises:
        BadInput: if it is no distribution, or a batch of several.

    >>> import exactness as ex, numpyro.distributions as dist
    >>> gumbel = dist.Gumbel(0.0, 2.0)
    >>> ex.certify(sample_numpyro(gumbel), from_numpyro(gumbel), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    with needs("numpyro"):
        import jax.numpy as jnp
        import numpyro.distributions as library

    def array(t: np.ndarray) -> Array:
        return jnp.asarray(np.clip(t, -_LARGEST, _LARGEST))

    return law_of(distribution, library, array, sample_numpyro(distribution), ".to_event(1)")


def sample_numpyro(distribution: Any) -> Callable[[int, int], Array]:
    """``sample(n, seed)`` -> (n, d) of a numpyro distribution, from ``jax.random.key(seed)``; discrete draws become floats."""

    def sample(n: int, seed: int) -> Array:
        import jax
        import jax.numpy as jnp

        draws = distribution.sample(jax.random.key(seed), (n,)).reshape(n, -1)
        return draws if jnp.issubdtype(draws.dtype, jnp.floating) else draws.astype(float)

    return sample
