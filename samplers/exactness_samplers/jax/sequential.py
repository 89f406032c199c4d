"""Plain sequential sampling: K rounds with one evaluation of the target each. Every other sampler must have the same law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import jax
import jax.numpy as jnp
from jax import lax

from .noise import KeyNoise
from .processes import Process
from .trace import Run, Trace


@dataclass(frozen=True)
class Sequential:
    """The plain sampler of ``process``, one step after the other.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> process = Process(ddpm(cosine_betas(6)), lambda steps, x, condition: 0.5 * x, "sample", dim=2)
    >>> Sequential(process).process.kind  # .run(5, jax.random.key(0)) draws five paths
    'sample'
    """

    process: Process

    def run(
        self,
        n: int,
        key: jax.Array,
        *,
        condition: jax.Array | None = None,
        dtype: object = None,
        keep_paths: bool = True,
    ) -> Run:
        """Run n chains. The arguments are those of :meth:`exactness_samplers.jax.speculative.Speculative.run`."""
        paths = self._compiled(n, KeyNoise.of(key, dtype), condition, keep_paths=keep_paths)
        total = self.process.steps
        every = jnp.full(n, total, jnp.int32)
        return Run(paths, replace(Trace.empty(n, 0), rounds=every, evaluations=every, calls=total, computed=n * total))

    @cached_property
    def _compiled(self) -> Callable[..., jax.Array]:
        return jax.jit(partial(_run, self.process), static_argnums=0, static_argnames="keep_paths")


def _run(process: Process, n: int, source: KeyNoise, condition: jax.Array | None, *, keep_paths: bool) -> jax.Array:
    first_key, steps_key = jax.random.split(source.key)
    start = process.first(replace(source, key=first_key).start(n, process.dim), condition)
    tables = process.tables(start)

    def step(x: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array | None]:
        k, key = now
        steps = jnp.broadcast_to(k, (n,))
        mean = tables.mean(steps, x, process.evaluate(steps, x, condition))
        x = mean + tables.at("sigma", steps)[:, None] * replace(source, key=key).start(n, process.dim)
        return x, x if keep_paths else None

    turns = jnp.arange(process.steps, 0, -1, dtype=jnp.int32), jax.random.split(steps_key, process.steps)
    end, states = lax.scan(step, start, turns)
    return end if states is None else jnp.concatenate([start[:, None], jnp.moveaxis(states, 0, 1)], axis=1)
