"""Laws and samplers of numpyro distributions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..laws import Law
from .discrete import whole_numbers
from .distributions import law_of
from .libraries import Library, needs

if TYPE_CHECKING:
    from jax import Array

# The sampler draws this many, or 4, 16, ... times as many, and returns the first n.
_FEWEST = 1024


def from_numpyro(distribution: Any) -> Law:
    """Make the law of a numpyro distribution, from anything but its draws.

    Normals and their mixtures become a :class:`exactness.GaussianMixture`. Other distributions are known by the
    distribution function of their counterpart in scipy, by a standard construction of their family (Dirichlet, Wishart, ...),
    through the inverse of a transformation, or by integrating ``log_prob`` (on the line). All is computed in double precision.

    Args:
        distribution: a distribution with any event shape and batch shape (). ``.to_event(1)`` turns a batch into coordinates.

    Raises:
        BadInput: if it is not a distribution, is a batch of several, or if nothing but its draws is known.

    >>> import numpyro.distributions as dist
    >>> from_numpyro(dist.Gumbel(0.0, 2.0)).describe()["kind"]  # certify(sample_numpyro(...), law) judges draws against it
    'UnivariateLaw'
    """
    with needs("numpyro"):
        import jax
        import jax.numpy as jnp
        import numpyro.distributions as library

    def array(t: np.ndarray) -> Array:
        return jnp.asarray(t)

    if isinstance(distribution, type) and issubclass(distribution, library.Distribution):
        raise BadInput(f"give a distribution, not its class: {distribution.__name__}(...)")
    if callable(distribution) and not isinstance(distribution, library.Distribution):
        raise BadInput(
            f"{getattr(distribution, '__name__', 'this')} is a function, not a distribution. If it is a model, "
            "exactness.adapters.from_numpyro_model(model, ..., observed='y') makes the joint law of its parameters and data, which "
            "judges NUTS and other kernels. If it makes a distribution, call it first"
        )

    def precise() -> AbstractContextManager[Any]:
        return enable_x64(True)

    try:
        enable_x64: Any = jax.enable_x64
    except AttributeError:  # before JAX 0.8
        from jax import experimental

        enable_x64 = experimental.enable_x64  # type: ignore[attr-defined]

    return law_of(distribution, Library(library, array, precise, jax.jit, ".to_event(1)", ("from_numpyro", "sample_numpyro")))


def sample_numpyro(distribution: Any) -> Callable[[int, int], Array]:
    """Make a sampler ``sample(n, seed)`` -> (n, d) of a numpyro distribution, with ``jax.random.key(seed)``.

    Booleans become integers.

    >>> import numpyro.distributions as dist
    >>> sample_numpyro(dist.Normal(0.0, 1.0))(3, seed=0).shape
    (3, 1)
    """

    def sample(n: int, seed: int) -> Array:
        import jax

        # JAX compiles anew for each number of draws, so there are only a few numbers.
        size = _FEWEST
        while size < n:
            size *= 4
        return whole_numbers(distribution.sample(jax.random.key(seed), (size,)).reshape(size, -1)[:n])

    return sample
