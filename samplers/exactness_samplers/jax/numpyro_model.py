"""A numpyro model as a potential, for speculative Langevin dynamics on its posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .langevin import Potential


def numpyro_potential(
    model: Callable[..., Any], *arguments: Any, key: jax.Array, **keywords: Any
) -> tuple[Potential, jax.Array, Callable[[jax.Array], Any]]:
    """Make the potential of a numpyro model over its unconstrained latent variables. A state is one vector of all of them.

    Args:
        model: the model. It is called with ``arguments`` and ``keywords``, which include the data.
        key: a typed key, for the point at which the model is initialised.

    Returns:
        (potential, centre, constrain): the potential U, (m, d) -> (m,); the initial point (d,); and a function that turns one state
        (d,) into the variables of the model, by name.

    Raises:
        ModuleNotFoundError: if numpyro is not installed.
    """
    from jax.flatten_util import ravel_pytree

    try:
        from numpyro.infer.util import initialize_model
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is needed for a numpyro model: pip install 'exactness[numpyro]'") from None
    found = initialize_model(key, model, model_args=arguments, model_kwargs=keywords)
    centre, unravel = ravel_pytree(found.param_info.z)

    def potential(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda one: found.potential_fn(unravel(one)))(x)

    return potential, centre, lambda state: found.postprocess_fn(unravel(state))
