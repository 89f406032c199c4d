"""A numpyro model as a potential: speculative Langevin dynamics on anybody's posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .langevin import Potential


def numpyro_potential(
    model: Callable[..., Any], *arguments: Any, key: jax.Array, **keywords: Any
) -> tuple[Potential, jax.Array, Callable[[jax.Array], Any]]:
    """The potential of a numpyro model over its unconstrained latent variables, as one vector a state.

    Args:
        model: with the ``arguments`` and ``keywords`` that it is called with, data included.
        key: a typed key, for the point at which the model is initialised.

    Returns:
        (potential, centre, constrain): U (m, d) -> (m,); the initial point (d,); and what turns one state (d,) into the model's
        own variables, by name.

    Raises:
        ModuleNotFoundError: numpyro is not installed.
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
