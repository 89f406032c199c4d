"""The pure functions of each backend in each precision, behind numpy: what the deterministic tests are crossed with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.conftest import module_or_skip


@dataclass(frozen=True)
class Backend:
    """``call("couplings", "residual_mass", w, delta)``: numpy in, numpy out, rows first, floats in this backend's dtype."""

    name: str
    dtype: type[np.floating]

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    @property
    def single(self) -> bool:
        return self.dtype is np.float32

    def __str__(self) -> str:
        return f"{self.name}-{np.dtype(self.dtype).name}"

    def call(self, module: str, function: str, *arrays: Any, **options: Any) -> Any:
        return self.apply(getattr(self.module(module), function), *arrays, **options)

    def verify(self, verifier: str, ratios: Any, deltas: Any, uniforms: Any, lengths: Any) -> Any:
        """``block`` or ``token_wise`` of a window of Gaussian steps with the displacements ``deltas``."""
        verify, masses = getattr(self.module("verification"), verifier), self.module("couplings").GaussianMasses
        return self.apply(lambda r, d, u, n: verify(r, masses(d), u, n), ratios, deltas, uniforms, lengths)

    def module(self, name: str) -> Any:
        module_or_skip(self.name)
        return importlib.import_module(f"exactness_samplers.{self.name}.{name}")

    def apply(self, apply: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
        """A function of this library's arrays, as ``call`` calls it."""
        cast = [a.astype(self.dtype) if a.dtype.kind == "f" else a for a in map(np.asarray, arrays)]
        library = module_or_skip(self.name)
        if self.name == "torch":
            return _each(apply(*(library.as_tensor(a) for a in cast), **options), lambda t: t.numpy())
        rows = len(cast[0])
        with double_precision(not self.single):
            return _each(apply(*(library.numpy.asarray(_padded(a)) for a in cast), **options), lambda a: np.asarray(a)[:rows])

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """What this precision can hold of them, as float64."""
        return np.asarray(values).astype(self.dtype).astype(np.float64)


BACKENDS = [Backend(name, dtype) for name in ("torch", "jax") for dtype in (np.float64, np.float32)]


def _padded(values: np.ndarray) -> np.ndarray:
    """Its rows, the last repeated up to a power of 8: compiled once per size, so let there be few sizes."""
    rows = len(values)
    size = 512
    while size < rows:
        size *= 8
    return np.concatenate([values, np.repeat(values[-1:], size - rows, axis=0)])


def double_precision(enabled: bool) -> Any:
    """JAX with or without x64, in this block only. The context manager's home depends on JAX's version."""
    jax = module_or_skip("jax")
    home = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    return home.enable_x64(enabled)


def _each(result: Any, convert: Callable[[Any], np.ndarray]) -> Any:
    return tuple(convert(r) for r in result) if isinstance(result, tuple) else convert(result)
