"""A numpyro model read by its handlers: its sites, draws from it, and its log-densities, row by row."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws.moves import named
from .libraries import needs


@dataclass(frozen=True)
class Site:
    """A sample site: what it holds for one simulation, and whether its support depends on other sites."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    discrete: bool
    moving_support: bool
    why_not: str = ""
    """Why exact draws of this site are not draws of its density, or nothing."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def coordinates(self) -> list[str]:
        """The names of its numbers: ``tau``, or ``theta[0]``, ``theta[1]``, ..."""
        if not self.shape:
            return [self.name]
        return [f"{self.name}[{','.join(map(str, index))}]" for index in np.ndindex(*self.shape)]


class InBatches:
    """A function of one row, ``function(key, *row)``, made a function of many rows that are computed together.

    Each row gets a key of its own. Rows are trees of arrays (n, ...). JAX compiles anew for each number of rows, so they come in
    batches of one size, and the last batch is filled up.
    """

    def __init__(self, function: Callable[..., Any], size: int = 256) -> None:
        self._function, self._size = function, size
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, seed: int, n: int, *rows: Any) -> Any:
        import jax

        if self._compiled is None:
            self._compiled = jax.jit(self._batch)
        found = []
        for start in range(0, n, self._size):
            at = np.arange(start, start + self._size) % n
            batch = jax.tree.map(lambda part, at=at: np.asarray(part)[at], rows)
            found.append(self._compiled(np.uint32(seed), np.uint32(start), *batch))
        return jax.tree.map(lambda *parts: np.concatenate([np.asarray(part) for part in parts])[:n], *found)

    def _batch(self, seed: Any, start: Any, *rows: Any) -> Any:
        import jax

        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), start), self._size)
        return jax.vmap(self._function)(keys, *rows)


class Program:
    """A numpyro model with its arguments. Parameters are the latent sites in the order of the model, one row per simulation.

    ``observed`` maps the sites that hold data to the arguments through which the model gets them, or to None if it has none.
    Raises ``BadInput`` if the model cannot be run.
    """

    def __init__(self, model: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], observed: Any = ()) -> None:
        with needs("numpyro"):
            import numpyro.handlers
        if not callable(model):
            raise BadInput(f"a model must be a function with numpyro.sample statements; got {type(model).__name__}")
        self.model, self.args, self.kwargs, self._handlers = model, tuple(args), dict(kwargs), numpyro.handlers
        self.name = named(getattr(model, "func", model))
        self.observed = self._arguments(observed)
        sites = self._sites()
        unknown = [name for name in self.observed if name not in sites]
        if unknown:
            raise BadInput(f"the model {self.name} has no site {unknown[0]!r}: observed= must name some of {_listed(sites)}")
        self.data = [sites[name] for name in self.observed]
        self.latents = [site for name, site in sites.items() if name not in self.observed and site.why_not != _OBSERVED]
        self.others = [site for name, site in sites.items() if name not in self.observed and site.why_not == _OBSERVED]
        self._cuts = np.cumsum([site.size for site in self.latents])[:-1]
        self._draws = InBatches(self._draw)
        self._simulate = InBatches(self._draw_data)
        self._densities = InBatches(self._log_densities)

    @property
    def coordinates(self) -> list[str]:
        return [name for site in self.latents for name in site.coordinates]

    def simulated_exactly(self) -> None:
        """Raises ``BadInput`` unless parameters and data that the model draws have the density that it claims."""
        if self.others:
            name = self.others[0].name
            raise BadInput(
                f"the site {name!r} of {self.name} is observed, and its data must be simulated too: add it to observed=. A "
                "numpyro.factor has no distribution, so data cannot be simulated from it: write it as a numpyro.sample with obs="
            )
        if given := [site.name for site in self.data if site.why_not == _OBSERVED]:
            raise BadInput(
                f"the site {given[0]!r} of {self.name} is given data already, and data must be simulated: leave its argument out, "
                "or give None, so that obs= is None there"
            )
        for site in [*self.latents, *self.data]:
            if site.why_not:
                raise BadInput(f"the site {site.name!r} of {self.name} {site.why_not}")
        if not self.latents:
            raise BadInput(f"all sites of {self.name} hold data ({_listed(self.observed)}): leave out of observed= what is unknown")

    def draws(self, n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Parameters (n, p) and their data, from one run of the model each."""
        with self._explained():
            theta, data = self._draws(seed, n)
        return np.asarray(theta, dtype=np.float64), dict(data)

    def prior(self, n: int, seed: int) -> np.ndarray:
        """Parameters (n, p)."""
        return self.draws(n, seed)[0]

    def simulate(self, theta: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Data of each row of parameters (n, p)."""
        with self._explained():
            return dict(self._simulate(seed, len(theta), theta)) if self.data else {}

    def log_densities(self, theta: np.ndarray, data: Mapping[str, np.ndarray]) -> np.ndarray:
        """The log joint density and the log-likelihood of each row, (n, 2)."""
        with self._explained():
            return np.asarray(self._densities(0, len(theta), theta, dict(data)), dtype=np.float64)

    def values(self, theta: Any) -> dict[str, Any]:
        """The sites of one row of parameters (p,), in JAX."""
        import jax.numpy as jnp

        parts = jnp.split(jnp.asarray(theta), self._cuts)
        return {site.name: part.reshape(site.shape).astype(site.dtype) for site, part in zip(self.latents, parts, strict=True)}

    def flat(self, values: Mapping[str, Any]) -> Any:
        """One row of parameters (p,), from its sites."""
        import jax.numpy as jnp

        return jnp.concatenate([jnp.asarray(values[site.name], dtype=float).reshape(-1) for site in self.latents])

    def given(self, model: Callable[..., Any], data: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The model that is given data, and its keyword arguments. Data go through arguments of the model where it has some."""
        through = {argument: data[name] for name, argument in self.observed.items() if argument is not None}
        fixed = {name: data[name] for name, argument in self.observed.items() if argument is None}
        return self._handlers.condition(model, data=fixed) if fixed else model, {**self.kwargs, **through}

    def traced(self, model: Callable[..., Any], key: Any, kwargs: Mapping[str, Any], **at: Any) -> dict[str, Any]:
        """The sample sites of one run of a model, ``at`` values as ``numpyro.handlers.substitute`` takes them."""
        seeded = self._handlers.seed(model, key)
        trace = self._handlers.trace(self._handlers.substitute(seeded, **at)).get_trace(*self.args, **kwargs)
        return {name: site for name, site in trace.items() if site["type"] == "sample"}

    def _draw(self, key: Any) -> tuple[Any, dict[str, Any]]:
        values = {name: site["value"] for name, site in self._run(key, {}).items()}
        return self.flat(values), {site.name: values[site.name] for site in self.data}

    def _draw_data(self, key: Any, theta: Any) -> dict[str, Any]:
        sites = self._run(key, self.values(theta))
        return {site.name: sites[site.name]["value"] for site in self.data}

    def _log_densities(self, key: Any, theta: Any, data: Mapping[str, Any]) -> Any:
        import jax.numpy as jnp

        values = self.values(theta) | {site.name: data[site.name].astype(site.dtype) for site in self.data}
        logs = {
            name: jnp.sum(site["fn"].log_prob(site["value"])) for name, site in self._run(key, values).items() if name in values
        }
        return jnp.stack([sum(logs.values()), sum([logs[name] for name in self.observed], start=jnp.zeros(()))])

    def _run(self, key: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """The sites of a run without data, which have these values, or are drawn."""
        return self.traced(self._handlers.uncondition(self.model), key, self.kwargs, data=dict(values))

    def _arguments(self, observed: Any) -> dict[str, str | None]:
        """The argument of the model that has the name of each observed site, if there is one that was not given yet."""
        if isinstance(observed, Mapping):
            return {str(name): None if argument is None else str(argument) for name, argument in observed.items()}
        try:
            free = inspect.signature(self.model).bind_partial(*self.args).arguments
            names = [name for name in inspect.signature(self.model).parameters if name not in free]
        except (TypeError, ValueError):
            names = []
        return {name: name if name in names else None for name in observed}

    def _sites(self) -> dict[str, Site]:
        import jax
        from numpyro.infer.initialization import init_to_sample

        found: dict[str, Site] = {}

        def run(key: Any) -> None:
            # This also gives values to sites that cannot be drawn, so that a message can name them.
            sites = self.traced(self.model, key, self.kwargs, substitute_fn=init_to_sample)
            found.update({name: _site(name, site) for name, site in sites.items()})

        with self._explained():
            # Only shapes are worked out, and nothing is compiled.
            jax.eval_shape(run, jax.random.key(0))
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import jax

        try:
            yield
        except (jax.errors.ConcretizationTypeError, jax.errors.NonConcreteBooleanIndexError) as error:
            raise BadInput(
                f"the model {self.name} makes decisions or shapes from values that it draws, and many simulations cannot be run "
                "together then: give every site a fixed shape, and use jax.numpy.where or numpyro's control flow in place of if: "
                f"{str(error).splitlines()[0]}"
            ) from error
        except BadInput:
            raise
        except Exception as error:  # This is the user's own model, so the message says whose it is.
            raise BadInput(
                f"the model {self.name} raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}; its "
                "arguments follow it in the call, without those that take data"
            ) from error


_OBSERVED = "is observed"


def _site(name: str, site: Mapping[str, Any]) -> Site:
    import jax.numpy as jnp

    value, fn = jnp.asarray(site["value"]), site["fn"]
    support = getattr(fn, "support", None)
    return Site(
        name, tuple(value.shape), value.dtype, bool(getattr(support, "is_discrete", False)), _depends(support), _why_not(site)
    )


def _depends(support: Any) -> bool:
    """Whether the bounds of a support may have been computed from other sites."""
    bounds = [getattr(support, name, 0) for name in ("lower_bound", "upper_bound")]
    inner = getattr(support, "base_constraint", None)
    return any(not isinstance(bound, (int, float)) for bound in bounds) or (inner is not None and _depends(inner))


def _why_not(site: Mapping[str, Any]) -> str:
    import numpyro.distributions as dist

    fn = site["fn"]
    if site["is_observed"]:
        return _OBSERVED
    while isinstance(fn, (dist.ExpandedDistribution, dist.Independent)):
        fn = fn.base_dist
    if isinstance(fn, dist.ImproperUniform):
        return "has an improper prior, which cannot be drawn from: give it a proper one for the test, however wide"
    if isinstance(fn, dist.MaskedDistribution):
        return "is masked, so that its draws do not follow its density: leave out masked entries, and the mask"
    if site["scale"] is not None and not np.all(np.asarray(site["scale"]) == 1):
        return (
            "is scaled, by numpyro.handlers.scale or a subsampled plate, so that its draws do not follow its density: use all data"
        )
    if site["infer"].get("enumerate") == "parallel":
        return "is summed out (enumerate), so no kernel returns it: leave out the mark, and use DiscreteHMCGibbs or MixedHMC"
    return ""


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "no sites at all"
