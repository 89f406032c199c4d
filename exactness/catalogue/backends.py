"""The two libraries of the catalogue's samplers, torch and JAX, with everything that differs between them.

Both backends define the same names in the same modules. So a law is described once, in numpy, and built from either backend.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal

import numpy as np

from ..errors import BadInput

BackendName = Literal["torch", "jax"]
BACKENDS: tuple[BackendName, ...] = ("torch", "jax")
Keyed = Callable[[Any], Any]
Runs = Iterator[tuple[Any, int]]


class Backend(ABC):
    """A library of samplers. ``part(module)`` is the module ``exactness_samplers.<name>.<module>``.

    The constructor imports the library, and raises ``ModuleNotFoundError`` if it is missing.
    """

    name: BackendName

    def __init__(self) -> None:
        importlib.import_module(self.name)

    def part(self, module: str) -> Any:
        return importlib.import_module(f"exactness_samplers.{self.name}.{module}")

    @abstractmethod
    def check(self, device: str, dtype: str | None) -> None:
        """Raise ``BadInput`` if samplers cannot run on this device or in this dtype."""

    @abstractmethod
    def dtype(self, asked: str | None, usual: str) -> str:
        """The dtype of the states: the one that was asked for, or else the law's usual one, if the library has it."""

    @abstractmethod
    def beside(self, values: np.ndarray, x: Any) -> Any:
        """Constants as an array with the dtype and device of x."""

    @abstractmethod
    def at_step(self, predict: Callable[..., Any]) -> Callable[[int, Any], Any]:
        """A sampler's prediction in the form that a law needs: ``predict(k, x)``, with the same step for all rows."""

    @abstractmethod
    def sampler(
        self, runner: Any, device: str, dtype: str, keep_paths: bool, labels: Callable[[int, int], np.ndarray] | None
    ) -> Callable[[int, int], tuple[Any, dict[str, float]]]:
        """A function ``sample(n, seed)`` that also returns costs."""

    @abstractmethod
    def constant(self, values: np.ndarray, device: str, dtype: str) -> Any:
        """Constants as an array of the library."""

    @abstractmethod
    def for_judge(self, values: np.ndarray, device: str, dtype: str) -> Any:
        """Constants for the judge, in arrays of a kind for which nothing is compiled."""

    @abstractmethod
    def token_runs(self, runner: Any, n: int, seed: int, device: str, most: int, keyed: Keyed | None = None) -> Runs:
        """Runs of a sampler of tokens, of at most this many rows at a time, each with the number of rows that count.

        ``keyed`` makes the noise of a run out of noise that is a function of the round and the row.
        """


class Torch(Backend):
    name = "torch"

    def check(self, device: str, dtype: str | None) -> None:
        import torch

        try:
            torch.empty(1, device=torch.device(device))
        except (RuntimeError, AssertionError):
            raise BadInput(f"device {device} was asked for, but torch sees no such device here; try cpu") from None

    def dtype(self, asked: str | None, usual: str) -> str:
        return asked or usual

    def beside(self, values: np.ndarray, x: Any) -> Any:
        import torch

        return torch.as_tensor(values, dtype=x.dtype, device=x.device)

    def at_step(self, predict: Callable[..., Any]) -> Callable[[int, Any], Any]:
        return lambda k, x: predict(x.new_full((len(x),), k).long(), x, None)

    def sampler(
        self, runner: Any, device: str, dtype: str, keep_paths: bool, labels: Callable[[int, int], np.ndarray] | None
    ) -> Callable[[int, int], tuple[Any, dict[str, float]]]:
        import torch

        def sample(n: int, seed: int) -> tuple[Any, dict[str, float]]:
            generator = torch.Generator(device=device).manual_seed(seed)
            condition = None if labels is None else torch.as_tensor(labels(n, seed), device=device)
            run = runner.run(n, generator, condition=condition, dtype=getattr(torch, dtype), keep_paths=keep_paths)
            return run.paths, run.trace.totals()

        return sample

    def constant(self, values: np.ndarray, device: str, dtype: str) -> Any:
        import torch

        return torch.as_tensor(values, dtype=getattr(torch, dtype), device=device)

    def for_judge(self, values: np.ndarray, device: str, dtype: str) -> Any:
        return self.constant(values, device, dtype)

    def token_runs(self, runner: Any, n: int, seed: int, device: str, most: int, keyed: Keyed | None = None) -> Runs:
        import torch

        sampling = self.part("token_sampling")
        generator = torch.Generator(device).manual_seed(seed)
        for begin in range(0, n, most):
            rows = min(most, n - begin)
            noise = sampling.GeneratorNoise(generator)
            if keyed is not None:
                # A round for each position that a round may look at.
                nodes = len(runner.drafter.parents)
                shapes = [(runner.length + nodes, rows, nodes + more) for more in (0, 1)]
                every = (torch.rand(shape, generator=generator, dtype=torch.float64, device=device) for shape in shapes)
                noise = keyed(sampling.InjectedNoise(*every))
            yield runner.run(rows, noise, device), rows


# The numbers of chains for which JAX compiles a program: for the short calls of a certificate, and for the long ones.
_SIZES = (64, 250, 1_000)


class Jax(Backend):
    name = "jax"

    def check(self, device: str, dtype: str | None) -> None:
        self._device(device)
        if dtype == "float64" and not self._double():
            raise BadInput("float64 was asked for, but JAX has it disabled: set JAX_ENABLE_X64=1")

    def dtype(self, asked: str | None, usual: str) -> str:
        return asked or (usual if self._double() else "float32")

    def beside(self, values: np.ndarray, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(values, x.dtype)

    def at_step(self, predict: Callable[..., Any]) -> Callable[[int, Any], Any]:
        import jax
        import jax.numpy as jnp

        compiled = jax.jit(lambda k, x: predict(jnp.broadcast_to(k, (len(x),)), x, None))
        return lambda k, x: compiled(np.int32(k), x)

    def sampler(
        self, runner: Any, device: str, dtype: str, keep_paths: bool, labels: Callable[[int, int], np.ndarray] | None
    ) -> Callable[[int, int], tuple[Any, dict[str, float]]]:
        import jax
        import jax.numpy as jnp

        speculative = isinstance(runner, self.part("speculative").Speculative)

        def sample(n: int, seed: int) -> tuple[Any, dict[str, float]]:
            # It runs one of few numbers of chains at a time, because JAX compiles a program for each number. The surplus is cut
            # off.
            chains = next((size for size in _SIZES if size >= n), _SIZES[-1])
            # A compiled batch also computes its idle slots. So it is kept full: it has a quarter of the chains, and finished chains
            # are replaced.
            options = {"batch": chains // 4} if speculative else {}
            count = max(1, -(-n // chains))
            there = self._device(device)
            keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), count)
            given = None if labels is None else labels(count * chains, seed).reshape(count, chains)
            paths, totals = [], dict[str, float]()
            for i in range(count):
                key = jax.device_put(keys[i], there)
                condition = None if given is None else jax.device_put(given[i].astype(np.int32), there)
                run = runner.run(chains, key, condition=condition, dtype=dtype, keep_paths=keep_paths, **options)
                left = min(chains, n - i * chains)
                paths.append(run.paths[:left])
                for name, value in run.trace.first(left).totals().items():
                    totals[name] = totals.get(name, 0.0) + value
            return jnp.concatenate(paths), totals

        return sample

    def constant(self, values: np.ndarray, device: str, dtype: str) -> Any:
        import jax

        return jax.device_put(np.asarray(values, dtype), self._device(device))

    def for_judge(self, values: np.ndarray, device: str, dtype: str) -> Any:
        return np.asarray(values, dtype=dtype)

    def token_runs(self, runner: Any, n: int, seed: int, device: str, most: int, keyed: Keyed | None = None) -> Runs:
        import jax

        sizes = [size for size in _SIZES if size < most] + [most]
        rows = next((size for size in sizes if size >= n), most)
        count = -(-n // rows)
        keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), count)
        for i in range(count):
            noise = self.part("token_sampling").KeyNoise(jax.device_put(keys[i], self._device(device)))
            yield runner.run(rows, noise if keyed is None else keyed(noise)), min(rows, n - i * rows)

    def _device(self, device: str) -> Any:
        import jax

        kind, _, index = device.partition(":")
        if not kind:
            raise BadInput("--device must name a device, such as cpu, cuda or cuda:1")
        try:
            return jax.devices(kind)[int(index or 0)]
        except (RuntimeError, IndexError, ValueError):
            raise BadInput(f"device {device} was asked for, but JAX sees no such device here; try cpu") from None

    def _double(self) -> bool:
        import jax

        return bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64)


@cache
def backend(name: str) -> Backend:
    """The backend of this name. Raises ``BadInput`` if there is no such backend, or if its library is not installed."""
    known: dict[str, type[Backend]] = {"torch": Torch, "jax": Jax}
    if name not in known:
        raise BadInput(f"backend must be {' or '.join(BACKENDS)}, not {name!r}")
    try:
        return known[name]()
    except ModuleNotFoundError:
        extra = "catalogue" if name == "torch" else "catalogue,jax"
        raise BadInput(f"the catalogue needs {name}: pip install 'exactness[{extra}]'") from None
