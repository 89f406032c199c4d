"""Kernels of numpyro as functions of states, data and a seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws.moves import whole
from .libraries import needs
from .numpyro_programs import InBatches, Program, _listed

# Chains that are computed together wait for the one with the longest trajectory, and half of the calls are of a few draws.
_TOGETHER = 16
# What a kernel may adapt while it runs, and the arguments that freeze it.
_ADAPTS = {
    "_adapt_step_size": "adapt_step_size=False, and a step_size of your own",
    "_adapt_mass_matrix": "adapt_mass_matrix=False, and perhaps an inverse_mass_matrix",
    "_find_heuristic_step_size": "find_heuristic_step_size=False",
    "_tune_mu": "tune_mu=False",
}
# What kernels keep from an earlier run, which may have been of another model or inside another compilation.
_KEPT = (
    "_init_fn", "_sample_fn", "_postprocess_fn", "_potential_fn_gen", "_inv_transforms", "_dynamic_support", "_batch_log_density",
)  # fmt: skip


def numpyro_kernel(kernel: Any, *args: Any, ensemble: int | None = None, **kwargs: Any) -> NumpyroKernel:
    """Make a kernel of numpyro a function that moves many independent chains by one step, each from exactly where it stands.

    With a law of :func:`from_numpyro_model`, ``law.moved_by(numpyro_kernel(NUTS(model, ...)))`` moves parameters given data, and
    the law supplies the arguments of the model. With :class:`exactness.KernelInvariance`, the kernel moves states (n, d): those of
    a ``potential_fn`` of arrays (d,), or the latent sites of a model, whose arguments are given here.

    NUTS, HMC, BarkerMH, MixedHMC, DiscreteHMCGibbs, HMCGibbs and Gibbs are kernels of one state. SA, AIES and ESS move an ensemble
    of states together, and what they keep is the law of the whole ensemble: independent draws from the target. So give
    ``ensemble=m`` and judge rows of m states, by ``KernelInvariance(exactness.laws.Copies(target, m), reversible=False)``.

    Args:
        kernel: the kernel, made with its model or its potential, and with everything that adapts turned off.
        args: the arguments of the kernel's model, if no law of a model supplies them.
        ensemble: the number of states that move together, an even number for AIES and ESS.

    Returns:
        ``kernel(theta, data, seed)`` or ``kernel(x, seed)``, which returns the next states. Each row has a random key of its own.

    Raises:
        BadInput: if something adapts, if an ensemble is not said to be one, or if the kernel leaves out latent sites.

    >>> import jax.numpy as jnp
    >>> import exactness as ex
    >>> from numpyro.infer import HMC
    >>> hmc = HMC(potential_fn=lambda x: 0.5 * jnp.sum(x**2), step_size=0.5, num_steps=3, trajectory_length=None,
    ...           adapt_step_size=False, adapt_mass_matrix=False)
    >>> law = ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0]))
    >>> ex.certify(law.moved_by(numpyro_kernel(hmc)), law, plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """
    with needs("numpyro"):
        from numpyro.infer.mcmc import MCMCKernel
    if not isinstance(kernel, MCMCKernel):
        raise BadInput(f"numpyro_kernel needs a kernel of numpyro.infer, such as NUTS(model); got {type(kernel).__name__}")
    if adapting := sorted({remedy for part in _parts(kernel) for flag, remedy in _ADAPTS.items() if getattr(part, flag, False)}):
        raise BadInput(
            f"{_kind(kernel)} adapts while it runs, and a kernel that changes with its history keeps no law: freeze it with "
            + "; ".join(adapting)
        )
    together = _of_ensembles(kernel)
    if together and ensemble is None:
        raise BadInput(
            f"{_kind(kernel)} moves an ensemble of states together, and what it keeps is the law of the whole ensemble. Give "
            "ensemble=m, and judge rows of m states: KernelInvariance(exactness.laws.Copies(target, m), reversible=False)"
        )
    if ensemble is not None and not together:
        raise BadInput(f"{_kind(kernel)} moves one state, so leave out ensemble=")
    return NumpyroKernel(kernel, args, kwargs, None if ensemble is None else whole("ensemble", ensemble))


class NumpyroKernel:
    """A kernel of numpyro as a function of states. :func:`numpyro_kernel` makes it."""

    def __init__(
        self,
        kernel: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        ensemble: int | None = None,
        program: Program | None = None,
    ) -> None:
        self.kernel, self.args, self.kwargs, self.ensemble = kernel, args, dict(kwargs), ensemble
        self.model: Callable[..., Any] | None = getattr(kernel, "model", None)
        self.program = program
        self._move: InBatches | None = None

    @property
    def kind(self) -> str:
        return _kind(self.kernel)

    def on(self, law: Program, reversible: bool) -> NumpyroKernel:
        """This kernel, with arguments and data of a law's model. Raises ``BadInput`` if the kernel does not fit the law."""
        if self.ensemble is not None:
            raise BadInput(
                f"{self.kind} moves an ensemble, which must start at several independent draws of one posterior, and a "
                "joint law has one draw for its data: judge it by exactness.KernelInvariance on a target that can be drawn"
            )
        if self.model is None:
            raise BadInput(
                f"{self.kind} was made with a potential_fn, which knows no data: make it with the model, as in NUTS(model)"
            )
        if reversible and _in_order(self.kernel):
            raise BadInput(
                f"{self.kind} updates some sites before others, and in the other order it is another kernel, so it is not "
                "reversible: say so with from_numpyro_model(..., reversible=False)"
            )
        program = law
        if self.args or self.kwargs or self.model is not law.model:
            args, kwargs = (self.args, self.kwargs) if self.args or self.kwargs else (law.args, law.kwargs)
            program = Program(self.model, args, kwargs, tuple(law.observed))
            if (mine := _shapes(program)) != (claimed := _shapes(law)):
                raise BadInput(f"the kernel's model has latent sites {mine}, and the law's has {claimed}: they must be the same")
        return NumpyroKernel(self.kernel, self.args, self.kwargs, None, program)

    def __call__(self, x: Any, *rest: Any) -> np.ndarray:
        if len(rest) not in (1, 2):
            raise BadInput("a kernel is called as kernel(x, seed) or kernel(theta, data, seed)")
        if len(rest) == 2 and self.program is None:
            raise BadInput("a numpyro kernel knows the data of a law of from_numpyro_model only; for another law, write a function")
        with _refusals(self.kind):
            if self._move is None:
                self._move = self._compiled()
            data = rest[0] if len(rest) == 2 else {}
            return np.asarray(self._move(int(rest[-1]), len(x), np.asarray(x), data))

    def _compiled(self) -> InBatches:
        if self.model is None:
            return InBatches(self._potential_row, _TOGETHER)
        if self.program is None:
            self.program = Program(self.model, self.args, self.kwargs)
        discrete = [site.name for site in self.program.latents if site.discrete]
        if discrete and not _in_order(self.kernel) and not _is_one_of(self.kernel, "DiscreteGibbs"):
            raise BadInput(
                f"{self.kind} sums out discrete sites and does not return them ({_listed(discrete)}): move them too, with "
                "DiscreteHMCGibbs(...) or MixedHMC(...) around it, or leave them out of the model by summing over them there"
            )
        return InBatches(self._ensemble_row if self.ensemble else self._model_row, _TOGETHER)

    def _potential_row(self, key: Any, x: Any, data: Mapping[str, Any]) -> Any:
        if not self.ensemble:
            return _moved(self._fresh(None), key, x, (), {})
        return self._together(self._fresh(None), key, x.reshape(self.ensemble, -1), {}).reshape(-1)

    def _model_row(self, key: Any, x: Any, data: Mapping[str, Any]) -> Any:
        import jax
        import jax.numpy as jnp

        program = self.program
        assert program is not None
        _, kwargs = program.given(program.model, data)
        kernel = self._fresh(data)
        values = program.values(x)
        kernel._init_strategy = _at(values)
        first, second = jax.random.split(key)
        start = self._unconstrained(kernel.model, first, kwargs, values)
        z = _moved(kernel, second, start, program.args, kwargs)
        after = kernel.postprocess_fn(program.args, kwargs)(z)
        if missing := [name for name in values if name not in z or name not in after]:
            raise BadInput(f"{self.kind} does not return the site {missing[0]!r}, which the law's model draws")
        # Where a kernel stays, it returns the value itself and not its rounded image under the transformation and back.
        still = {name: jnp.all(z[name] == start[name]) for name in values}
        everything = jnp.all(jnp.stack(list(still.values())))
        kept = {site.name: everything if site.moving_support else still[site.name] for site in program.latents}
        return program.flat({name: jnp.where(kept[name], values[name], after[name]) for name in values}).astype(x.dtype)

    def _ensemble_row(self, key: Any, x: Any, data: Mapping[str, Any]) -> Any:
        import jax

        program = self.program
        assert program is not None
        assert self.ensemble
        kernel = self._fresh(data)
        values = jax.vmap(program.values)(x.reshape(self.ensemble, -1))
        kernel._init_strategy = _at({name: value[0] for name, value in values.items()})
        first, second = jax.random.split(key)
        start = jax.vmap(lambda row: self._unconstrained(kernel.model, first, program.kwargs, row))(values)
        z = self._together(kernel, second, start, program.kwargs)
        after = jax.vmap(kernel.postprocess_fn(program.args, program.kwargs))(z)
        return jax.vmap(program.flat)(after).reshape(-1).astype(x.dtype)

    def _together(self, kernel: Any, key: Any, start: Any, kwargs: Mapping[str, Any]) -> Any:
        """The states of an ensemble (m, ...) after one step."""
        import jax
        from jax.flatten_util import ravel_pytree

        assert self.ensemble
        args = self.program.args if self.program is not None else ()
        first, second, third = jax.random.split(key, 3)
        if not hasattr(kernel, "_adapt_state_size"):
            keys = jax.random.split(first, self.ensemble)
            return _sampled(kernel, kernel.init(keys, 0, start, args, kwargs), args, kwargs).z
        # SA starts at an ensemble that it draws itself. What it keeps is the law of an ensemble, so it starts at the given one.
        kernel._adapt_state_size = self.ensemble
        one = jax.tree.map(lambda part: part[0], start)
        state = kernel.init(first, 0, one, args, kwargs)
        rows = jax.vmap(lambda part: ravel_pytree(part)[0])(start)
        potential = self.kernel._potential_fn or kernel._potential_fn_gen(*args, **kwargs)
        energies = jax.lax.map(potential, start)
        adapted = state.adapt_state._replace(zs=rows, pes=energies)
        state = state._replace(adapt_state=adapted, z=one, potential_energy=energies[0], rng_key=second)
        back = ravel_pytree(one)[1]
        # It also orders its states by age, which says nothing about the set of them.
        return jax.vmap(back)(jax.random.permutation(third, _sampled(kernel, state, args, kwargs).adapt_state.zs))

    def _fresh(self, data: Mapping[str, Any] | None) -> Any:
        """A copy of the kernel that remembers nothing, on the model given the data."""
        program = self.program

        def wrap(model: Any) -> Any:
            return model if program is None else program.given(model, data or {})[0]

        try:
            kernel = copy.copy(self.kernel) if self.model is None else self.kernel.wrap_model(wrap)
        except (AttributeError, NotImplementedError):
            kernel = copy.copy(self.kernel)
            kernel._model = wrap(self.model)
        for name in _KEPT:
            if name in vars(kernel):
                setattr(kernel, name, None)
        return kernel

    def _unconstrained(self, model: Any, key: Any, kwargs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """The sites as the kernel holds them: unconstrained, except for discrete ones and those of a user's Gibbs update."""
        from numpyro.distributions.transforms import biject_to

        program = self.program
        assert program is not None
        sites, asis = program.traced(model, key, kwargs, data=dict(values)), _as_they_are(self.kernel)
        if hidden := [site.name for site in program.latents if sites[site.name]["is_observed"]]:
            raise BadInput(f"the kernel's model observes {_listed(hidden)}, which the law's model draws")
        if open_ := [site.name for site in program.data if not sites[site.name]["is_observed"]]:
            raise BadInput(f"the kernel's model does not observe {_listed(open_)}, although it is given data: look at its obs=")
        return {
            site.name: values[site.name]
            if site.discrete or site.name in asis
            else biject_to(sites[site.name]["fn"].support).inv(values[site.name])
            for site in program.latents
        }


def _moved(kernel: Any, key: Any, start: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return _sampled(kernel, kernel.init(key, 0, start, args, kwargs), args, kwargs).z


def _sampled(kernel: Any, state: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kernel.sample(state, args, kwargs)


def _at(values: Mapping[str, Any]) -> Any:
    from numpyro.infer import init_to_value

    return init_to_value(values=dict(values))


def _kind(kernel: Any) -> str:
    return type(kernel).__name__


def _parts(kernel: Any) -> Iterator[Any]:
    """The kernel and those that it is made of."""
    yield kernel
    for part in [getattr(kernel, "inner_kernel", None), *getattr(kernel, "_kernels", ())]:
        if part is not None:
            yield from _parts(part)


def _of_ensembles(kernel: Any) -> bool:
    return bool(getattr(kernel, "is_ensemble_kernel", False)) or hasattr(kernel, "_adapt_state_size")


def _is_one_of(kernel: Any, *names: str) -> bool:
    """Whether a kernel is of one of these classes of numpyro.infer. Older versions lack some of them."""
    import numpyro.infer

    return isinstance(kernel, tuple(kind for name in names if isinstance(kind := getattr(numpyro.infer, name, None), type)))


def _in_order(kernel: Any) -> bool:
    """Whether a kernel updates sites in a fixed order: block by block, or continuous ones before discrete ones."""
    return _is_one_of(kernel, "Gibbs", "HMCGibbs", "DiscreteHMCGibbs", "MixedHMC")


def _as_they_are(kernel: Any) -> set[str]:
    """The sites that a user's own Gibbs update moves. They are not transformed."""
    named = {name for part in _parts(kernel) for name in getattr(part, "_gibbs_sites", ())}
    for part, sites in getattr(kernel, "blocks", ()):
        if type(part).__name__ == "CustomGibbs" and not callable(sites):
            named |= set(sites or ())
    return named


def _shapes(program: Program) -> dict[str, tuple[int, ...]]:
    return {site.name: site.shape for site in program.latents}


@contextmanager
def _refusals(kernel: str) -> Iterator[None]:
    """A context in which whatever numpyro refuses becomes ``BadInput``."""
    try:
        yield
    except BadInput:
        raise
    except (AssertionError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(f"numpyro cannot run {kernel} here: {str(error) or type(error).__name__}") from error
