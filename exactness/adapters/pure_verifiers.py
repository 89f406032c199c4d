"""How a pure verifier of tokens is called: with arrays of its library, and with its results checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..arrays import is_array, to_numpy
from ..errors import BadInput, InvalidSample
from .libraries import needs

Arrays = Literal["numpy", "torch", "jax"]
Precision = Literal["float64", "float32", "float16", "bfloat16"]
Verify = Callable[..., Any]
"""``verify(target_probs, draft_probs, drafts, lengths, noise)`` -> (accepted, token); trees take ``parents`` as well."""

BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
"""Uniforms of this precision are multiples of 2^-bits, as torch draws them. This is what *one ulp* of a coin means here."""

# About this many probabilities are given to a verifier at a time.
_NUMBERS = 1 << 22


@dataclass
class PureVerifier:
    """A verifier that takes and returns arrays of numpy.

    Attributes:
        verify: the user's function.
        arrays, dtype, noise_dtype: which arrays it takes, and the precision of its probabilities and of its noise.
        parents: the parents of the nodes of a tree, or None for a chain.
        calls: how often it was called.
    """

    verify: Verify
    arrays: Arrays = "numpy"
    dtype: Precision = "float64"
    noise_dtype: Precision = "float64"
    parents: tuple[int, ...] | None = None
    calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not callable(self.verify):
            raise BadInput(
                "verify must be a function (target_probs, draft_probs, drafts, lengths, noise) -> accepted, token; got "
                f"{type(self.verify).__name__}"
            )
        if self.arrays not in ("numpy", "torch", "jax"):
            raise BadInput(f"arrays must be numpy, torch or jax, not {self.arrays!r}")
        for name, value in (("dtype", self.dtype), ("noise_dtype", self.noise_dtype)):
            if value not in BITS:
                raise BadInput(f"{name} must be one of {', '.join(BITS)}, not {value!r}")
            if self.arrays == "numpy" and value == "bfloat16":
                raise BadInput(f"{name}: numpy has no bfloat16; use arrays='torch' or arrays='jax'")
            if self.arrays == "jax" and value == "float64" and not _wide_jax():
                raise BadInput(
                    f"{name}: JAX computes in single precision here; use dtype='float32', noise_dtype='float32', or call "
                    "jax.config.update('jax_enable_x64', True) first"
                )

    @property
    def bits(self) -> int:
        """Coins are multiples of 2^-bits."""
        return BITS[self.noise_dtype]

    def uniforms(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Uniforms in [0, 1) of the noise's precision, in double precision."""
        return np.ldexp(generator.integers(0, 1 << self.bits, size=shape).astype(np.float64), -self.bits)

    def rounded(self, probs: np.ndarray) -> np.ndarray:
        """Probabilities as the verifier is given them, in double precision."""
        found = self._float(probs, self.dtype)
        if self.arrays == "torch":
            found = found.double()  # numpy knows no bfloat16.
        return np.asarray(to_numpy(found), dtype=np.float64)

    def __call__(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, lengths: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Target (n, N + 1, V), draft (n, N, V), drafts (n, N), lengths (n,) and noise (n, ...) -> accepted (n,) and token (n,).

        Raises ``InvalidSample`` if the results are not of this form, or name no draft or no token. Raises what ``verify`` raises.
        """
        n, places, vocabulary = target.shape
        most = max(1, _NUMBERS // (places * vocabulary))
        parts = [self._call(*(x[i : i + most] for x in (target, draft, drafts, lengths, noise))) for i in range(0, n, most)]
        accepted, token = (np.concatenate(part) for part in zip(*parts, strict=True))
        wrong = (accepted < 0) | (accepted > lengths)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InvalidSample(
                f"verify accepted {accepted[row]} drafts of the {lengths[row]} that row {row} has: return the number of kept drafts"
            )
        wrong = (token < 0) | (token >= vocabulary)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InvalidSample(f"verify emitted the token {token[row]} in row {row}, which is not one of the {vocabulary}")
        return accepted, token

    def _call(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, lengths: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        n = len(drafts)
        if self.arrays == "jax":
            # JAX compiles for every number of rows anew, so there are few: powers of two.
            rows = np.minimum(np.arange(1 << max(4, (n - 1).bit_length())), n - 1)
            target, draft, drafts, lengths, noise = (values[rows] for values in (target, draft, drafts, lengths, noise))
        probs = (self._float(values, self.dtype) for values in (target, draft))
        whole = (self._array(np.array(values, dtype=np.int64)) for values in (drafts, lengths))
        more = {} if self.parents is None else {"parents": self.parents}
        found = self.verify(*probs, *whole, self._float(noise, self.noise_dtype), **more)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            many = f" of {len(found)}" if isinstance(found, (tuple, list)) else ""
            raise InvalidSample(f"verify must return two arrays, accepted and token; it returned {type(found).__name__}{many}")
        return self._result("accepted", found[0], len(drafts))[:n], self._result("token", found[1], len(drafts))[:n]

    def _result(self, name: str, values: Any, n: int) -> np.ndarray:
        if not is_array(values) or tuple(values.shape) != (n,):
            got = tuple(values.shape) if is_array(values) else type(values).__name__
            raise InvalidSample(f"verify must return {name} as integers of shape ({n},), one per row; got {got}")
        held = to_numpy(values)
        if held.dtype.kind not in "iu":
            raise InvalidSample(f"verify must return {name} as integers, not {held.dtype}")
        return held.astype(np.int64)

    def _float(self, values: np.ndarray, dtype: str) -> Any:
        if self.arrays == "numpy":
            return np.array(values, dtype=dtype)
        found = self._array(np.array(values, dtype=np.float64 if dtype == "float64" else np.float32))
        if self.arrays == "torch":
            import torch

            return found.to(getattr(torch, dtype))
        return found.astype(dtype)

    def _array(self, values: np.ndarray) -> Any:
        if self.arrays == "torch":
            with needs("torch"):
                import torch

            return torch.as_tensor(values)
        if self.arrays == "jax":
            with needs("jax"):
                import jax.numpy as jnp

            return jnp.asarray(values)
        return values


def laws_of(probs: Any, rows: int, name: str) -> np.ndarray:
    """Next-token laws (rows, V) in double precision, from (rows, V), or (V,) for the same law everywhere. Raises ``BadInput``."""
    try:
        found = np.asarray(to_numpy(probs) if is_array(probs) else probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} must be probabilities of shape (V,) or ({rows}, V): {error}") from None
    if found.ndim == 1:
        found = np.broadcast_to(found, (rows, len(found)))
    if found.ndim != 2 or found.shape[0] != rows or found.shape[1] < 2:
        raise BadInput(f"{name} must be probabilities of shape (V,) or ({rows}, V), with V at least 2; got {found.shape}")
    check_probs(found, name)
    return found


def check_probs(found: np.ndarray, name: str) -> None:
    """Raise ``BadInput`` unless the rows are probabilities that sum to 1 up to rounding."""
    if not np.isfinite(found).all():
        raise BadInput(f"{name} must hold probabilities, but holds NaN or infinity")
    if (found < 0).any() or not np.allclose(found.sum(axis=-1), 1.0, rtol=0.0, atol=1e-3):
        worst = float(np.abs(found.sum(axis=-1) - 1.0).max(initial=0.0))
        raise BadInput(
            f"{name} must hold probabilities that sum to 1 in each row (they miss it by up to {worst:.2g}); give probabilities, "
            "not logits"
        )


def _wide_jax() -> bool:
    with needs("jax"):
        import jax

    return bool(jax.config.read("jax_enable_x64"))
