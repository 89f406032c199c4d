"""Laws and samplers of numpyro distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..laws import Law
from .discrete import whole_numbers
from .libraries import needs
from .normals import law_of

if TYPE_CHECKING:
    from jax import Array

# Larger numbers are infinite in single precision.
_LARGEST = float(np.finfo(np.float32).max)


def from_numpyro(distribution: Any) -> Law:
    """Make the law of a numpyro distribution.

    Normals and their mixtures become a :class:`exactness.GaussianMixture`. Other one-dimensional distributions are known by their
    cdf. For all others, numpyro's own draws are trusted.

    Args:
        distribution: a distribution with any event shape and batch shape (). ``.to_event(1)`` turns a batch into coordinates.

    Raises:
        BadInput: if it is not a distribution, or is a batch of several.

    >>> import numpyro.distributions as dist
    >>> from_numpyro(dist.Gumbel(0.0, 2.0)).describe()["kind"]  # certify(sample_numpyro(...), law) judges draws against it
    'UnivariateLaw'
    """
    with needs("numpyro"):
        import jax.numpy as jnp
        import numpyro.distributions as library

    def array(t: np.ndarray) -> Array:
        return jnp.asarray(np.clip(t, -_LARGEST, _LARGEST))

    return law_of(distribution, library, array, sample_numpyro(distribution), ".to_event(1)")


def sample_numpyro(distribution: Any) -> Callable[[int, int], Array]:
    """Make a sampler ``sample(n, seed)`` -> (n, d) of a numpyro distribution, with ``jax.random.key(seed)``.

    Booleans become integers.

    >>> import numpyro.distributions as dist
    >>> sample_numpyro(dist.Normal(0.0, 1.0))(3, seed=0).shape
    (3, 1)
    """

    def sample(n: int, seed: int) -> Array:
        import jax

        draws = distribution.sample(jax.random.key(seed), (n,)).reshape(n, -1)
        return whole_numbers(draws)

    return sample
