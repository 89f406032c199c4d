"""Laws and samplers of numpyro distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..laws import Law
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

    if isinstance(distribution, type) and issubclass(distribution, library.Distribution):
        raise BadInput(f"give a distribution, not its class: {distribution.__name__}(...)")
    if callable(distribution) and not isinstance(distribution, library.Distribution):
        raise BadInput(
            f"{getattr(distribution, '__name__', 'this')} is a function, not a distribution. The posterior of a model (a "
            "probabilistic program) has no law here yet; that comes in a later version. What works today: where the posterior is "
            "known, give that distribution; exactness.compare judges two samplers of the posterior against each other; a Langevin "
            "chain on the model's potential is an exactness.GaussianChain, judged step by step"
        )
    return law_of(distribution, library, array, sample_numpyro(distribution), ".to_event(1)")


def sample_numpyro(distribution: Any) -> Callable[[int, int], Array]:
    """Make a sampler ``sample(n, seed)`` -> (n, d) of a numpyro distribution, with ``jax.random.key(seed)``.

    Discrete draws become floats.

    >>> import numpyro.distributions as dist
    >>> sample_numpyro(dist.Normal(0.0, 1.0))(3, seed=0).shape
    (3, 1)
    """

    def sample(n: int, seed: int) -> Array:
        import jax
        import jax.numpy as jnp

        draws = distribution.sample(jax.random.key(seed), (n,)).reshape(n, -1)
        return draws if jnp.issubdtype(draws.dtype, jnp.floating) else draws.astype(float)

    return sample
