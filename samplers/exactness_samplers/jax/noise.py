"""Randomness as data: the noise of a round is drawn from a key or passed in. Sources are pytrees, so they enter compiled code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass


@dataclass(frozen=True)
class RoundNoise:
    """The noise of one round. Every number is used once.

    ``drafts`` (m, L, d) are the standard normals of the drafted steps, ``accept`` (m, L) the uniforms of the verification,
    ``residual`` (m,) the uniforms of the residual's quantile, and ``fresh`` (m, d) the standard normals of the step after the
    accepted ones.
    ``rounds`` and ``chains`` (m,) say to which round and chain they belong; :meth:`Noise.candidates` needs this.
    """

    drafts: jax.Array
    accept: jax.Array
    residual: jax.Array
    fresh: jax.Array
    rounds: jax.Array
    chains: jax.Array


class Noise(ABC):
    """The source of a run's randomness.

    ``rounds`` (m,) is the number of rounds that each chain has done, and ``chains`` (m,) is its index among the n chains. Both are
    traced. ``most_rounds`` is the number of rounds per chain for which there is noise, or None if it is unlimited; it is known
    without tracing.
    """

    most_rounds: int | None = None

    @abstractmethod
    def start(self, n: int, dim: int) -> jax.Array:
        """The standard normals of x_K, (n, d)."""

    @abstractmethod
    def round(self, rounds: jax.Array, chains: jax.Array, window: int, dim: int) -> RoundNoise: ...

    def check(self, n: int, window: int) -> None:  # noqa: B027
        """Raise ``ValueError`` if there is no noise for n chains and windows of this length."""

    @abstractmethod
    def candidates(self, round_: jax.Array, chain: jax.Array, attempt: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Normals and uniforms, each (count,), for draws that are repeated until one is accepted.

        They differ for every round, chain and attempt, which are three scalars.
        """


@partial(register_dataclass, data_fields=["key"], meta_fields=["dtype"])
@dataclass(frozen=True)
class KeyNoise(Noise):
    """Noise from a typed key. ``dtype`` is the dtype of the normals, float32 or float64; None means the widest that is enabled.

    The numbers of a chain are a function of the key, the chain and its round, so the number of chains at a time changes no path.
    Uniforms have the widest dtype that is enabled. They are midpoints of equal cells, so they are never 0 or 1, even in float32.
    """

    key: jax.Array
    dtype: Any = None

    @classmethod
    def of(cls, key: jax.Array | None, dtype: Any = None) -> KeyNoise:
        """Make a source of states of this dtype. Raises ``ValueError`` for a key or dtype that cannot be used."""
        if key is None:
            raise ValueError("pass a key, such as jax.random.key(seed) (or noise=...): samplers hold no randomness of their own")
        typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if not typed or key.shape != () or str(jax.random.key_impl(key)) != "threefry2x32":
            # Other generators draw all rows of a mapped call from one key, which here would be the same key twice.
            raise ValueError("key must be one typed threefry2x32 key, as jax.random.key(seed, impl='threefry2x32') makes it")
        wide = jax.dtypes.canonicalize_dtype(float)
        wanted = wide if dtype is None else jnp.dtype(dtype)
        if wanted not in (jnp.float32, jnp.float64):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        if wanted == jnp.float64 != wide:
            raise ValueError(
                "float64 was asked for, but JAX has it switched off: set JAX_ENABLE_X64=1, or call "
                'jax.config.update("jax_enable_x64", True) before anything else'
            )
        return cls(key, wanted)

    def start(self, n: int, dim: int) -> jax.Array:
        return jax.random.normal(self._stream(0), (n, dim), self._dtype)

    def round(self, rounds: jax.Array, chains: jax.Array, window: int, dim: int) -> RoundNoise:
        # The key of each chain's round is split into one for normals and one for uniforms, whose draws are cut up. Each further
        # generator in the program would cost a good part of a second of compilation.
        fold = jax.vmap(jax.random.fold_in)
        keys = fold(fold(jnp.broadcast_to(self._stream(1), chains.shape), chains), rounds)
        each = jax.vmap(lambda key: jax.random.split(key))(keys)
        normals = jax.vmap(lambda key: jax.random.normal(key, ((window + 1) * dim,), self._dtype))(each[:, 0])
        uniforms = jax.vmap(lambda key: _uniform(key, (window + 1,)))(each[:, 1])
        drafts = normals[:, : window * dim].reshape(-1, window, dim)
        return RoundNoise(drafts, uniforms[:, :window], uniforms[:, window], normals[:, window * dim :], rounds, chains)

    def candidates(self, round_: jax.Array, chain: jax.Array, attempt: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        key = self._stream(2)
        for part in (chain, round_, attempt):
            key = jax.random.fold_in(key, part)
        normals, uniforms = jax.random.split(key)
        return jax.random.normal(normals, (count,), float), _uniform(uniforms, (count,))

    @property
    def _dtype(self) -> Any:
        return jax.dtypes.canonicalize_dtype(self.dtype or float)

    def _stream(self, index: int) -> jax.Array:
        """One of three independent keys."""
        return jax.random.split(self.key, 3)[index]


@partial(register_dataclass, data_fields=["x_start", "drafts", "accept", "residual", "fresh"], meta_fields=[])
@dataclass(frozen=True)
class InjectedNoise(Noise):
    """Noise that is passed in, indexed by the round of the chain and by the chain. The same noise gives the same path everywhere.

    The shapes are ``x_start`` (n, d), ``drafts`` (R, n, L, d), ``accept`` (R, n, L), ``residual`` (R, n) and ``fresh`` (R, n, d).
    """

    x_start: jax.Array
    drafts: jax.Array
    accept: jax.Array
    residual: jax.Array
    fresh: jax.Array

    def check(self, n: int, window: int) -> None:
        if self.drafts.shape[1] != n or self.drafts.shape[2] != window or len(self.x_start) != n:
            raise ValueError(
                f"the injected noise is for {self.drafts.shape[1]} chains and windows of {self.drafts.shape[2]} steps, "
                f"the run has {n} and {window}"
            )

    @property
    def most_rounds(self) -> int:  # type: ignore[override]
        return len(self.drafts)

    def start(self, n: int, dim: int) -> jax.Array:
        return jnp.asarray(self.x_start)

    def round(self, rounds: jax.Array, chains: jax.Array, window: int, dim: int) -> RoundNoise:
        # Past the last round the index is clamped; the run then ends with the error that says so.
        pick = lambda a: jnp.asarray(a)[rounds, chains]  # noqa: E731
        return RoundNoise(pick(self.drafts), pick(self.accept), pick(self.residual), pick(self.fresh), rounds, chains)

    def candidates(self, round_: jax.Array, chain: jax.Array, attempt: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        raise ValueError("draw-until-accepted consumes an unbounded number of draws; it needs a key, not injected noise")


def _uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The midpoints of the cells of JAX's own uniforms, which are multiples of eps in [0, 1). They are exact in their dtype."""
    u = jax.random.uniform(key, shape, float)
    return u + 0.5 * jnp.finfo(u.dtype).eps
