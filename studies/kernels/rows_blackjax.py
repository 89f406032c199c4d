"""Kernels of blackjax on a mixture in the plane, one step each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import exactness as ex
from exactness.adapters import blackjax_kernel

from .measure import Case

# Calls of 1,000 moves, because JAX compiles the kernels for 1,024 rows at least.
PLAN = ex.Plan(tolerance=0.1, max_paths=10_000)
MIXTURE = ex.GaussianMixture([0.6, 0.4], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2])

Make = Callable[[], Any]


def _log_density(x: Any) -> Any:
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    weights, means, variances = jnp.array([0.6, 0.4]), jnp.array([[1.0, 0.0], [-1.0, 0.5]]), jnp.array([0.3, 0.2])
    return logsumexp(jnp.log(weights / variances) - 0.5 * ((x - means) ** 2).sum(1) / variances)


def _log_likelihood(x: Any) -> Any:
    """What is left of the log-density for kernels that know a prior N(0, I)."""
    return _log_density(x) + 0.5 * x @ x


def kernels() -> dict[str, tuple[Make, str]]:
    """The kernels by name, and what is wrong with those that are not exact."""
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.mcmc import integrators
    from blackjax.mcmc.random_walk import normal

    one, log_density = jnp.ones(2), _log_density

    def displaced(key: Any, x: Any) -> Any:
        return x + 0.8 * jax.random.normal(key, x.shape)

    def shrunk(key: Any, x: Any) -> Any:
        return 0.7 * x + 0.6 * jax.random.normal(key, x.shape)

    def of_shrunk(start: Any, end: Any) -> Any:
        return -0.5 * jnp.sum(((end.position - 0.7 * start.position) / 0.6) ** 2)

    def anywhere(key: Any) -> Any:
        return 1.5 * jax.random.normal(key, (2,))

    def of_anywhere(start: Any, end: Any) -> Any:
        return -0.5 * jnp.sum((end.position / 1.5) ** 2)

    def by_weight(state: Any, key: Any) -> Any:
        return state.positions[jax.random.choice(key, len(state.weights), p=state.weights)]

    def any_of_them(state: Any, key: Any) -> Any:
        return state.positions[jax.random.randint(key, (), 0, len(state.weights))]

    def made(algorithm: Callable[[], Any], wrong: str = "", **options: Any) -> tuple[Make, str]:
        return (lambda: blackjax_kernel(algorithm(), **options)), wrong

    orbital = lambda: blackjax.orbital_hmc(log_density, 0.6, one, 5)  # noqa: E731
    ghmc = lambda: blackjax.ghmc(log_density, 0.3, one, 0.5, 0.7)  # noqa: E731
    return {
        "additive_step_random_walk": made(lambda: blackjax.additive_step_random_walk(log_density, normal(0.8 * one))),
        "rmh": made(lambda: blackjax.rmh(log_density, displaced)),
        "rmh, asymmetric proposal with its density": made(lambda: blackjax.rmh(log_density, shrunk, of_shrunk)),
        "irmh, with the density of its proposal": made(lambda: blackjax.irmh(log_density, anywhere, of_anywhere)),
        "mala": made(lambda: blackjax.mala(log_density, 0.2)),
        "barker": made(lambda: blackjax.barker(log_density, 0.6)),
        "hmc": made(lambda: blackjax.hmc(log_density, 0.3, one, 5)),
        "hmc, McLachlan's integrator": made(lambda: blackjax.hmc(log_density, 0.5, one, 3, integrator=integrators.mclachlan)),
        "mhmc": made(lambda: blackjax.mhmc(log_density, 0.3, one, 5)),
        "dhmc": made(lambda: blackjax.dhmc(log_density, 0.3, one)),
        "dmhmc": made(lambda: blackjax.dmhmc(log_density, 0.3, one)),
        "nuts": made(lambda: blackjax.nuts(log_density, 0.3, one)),
        "rmhmc": made(lambda: blackjax.rmhmc(log_density, 0.3, one, 3)),
        "ghmc": made(ghmc),
        "ghmc, five steps with one momentum": made(ghmc, steps=5),
        "adjusted_mclmc": made(lambda: blackjax.adjusted_mclmc(log_density, 0.5, num_integration_steps=4)),
        "adjusted_mclmc_dynamic": made(lambda: blackjax.adjusted_mclmc_dynamic(log_density, 0.5)),
        "slice_sampling": made(lambda: blackjax.slice_sampling(log_density)),
        "coordinate_slice": made(lambda: blackjax.coordinate_slice(log_density)),
        "elliptical_slice": made(lambda: blackjax.elliptical_slice(_log_likelihood, mean=jnp.zeros(2), cov=jnp.eye(2))),
        "mgrad_gaussian": made(lambda: blackjax.mgrad_gaussian(_log_likelihood, jnp.eye(2), step_size=0.5)),
        "gist_step_size": made(lambda: blackjax.gist_step_size(log_density, one, 0.3, 4)),
        "gist_trajectory_length": made(lambda: blackjax.gist_trajectory_length(log_density, one, 0.3)),
        "orbital_hmc, drawn by its weights": made(orbital, read=by_weight),
        "orbital_hmc, its weights ignored": made(orbital, "points of an orbit have weights", read=any_of_them),
        "mclmc, twenty steps": made(lambda: blackjax.mclmc(log_density, 2.0, 2.0), "no Metropolis step", steps=20),
        "rmh, given a displacement": made(lambda: blackjax.rmh(log_density, normal(0.8 * one)), "it needs the new position"),
        "irmh, without the density of its proposal": made(lambda: blackjax.irmh(log_density, anywhere), "the ratio needs it"),
    }


def cases() -> Iterator[Case]:
    """All cases. Kernels that are known to be wrong come last."""
    law = ex.KernelInvariance(MIXTURE)
    for name, (make, wrong) in kernels().items():
        yield Case("blackjax", "mixture", name, partial(_both, law, make), f"wrong: {wrong}" if wrong else "right", PLAN)


def _both(law: ex.KernelInvariance, make: Make) -> tuple[ex.Law, Any]:
    return law, law.moved_by(make())
