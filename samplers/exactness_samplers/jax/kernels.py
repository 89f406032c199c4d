"""Markov kernels as functions of a seed: a loop draws the noise of each step and hands it to a pure function.

A step takes states (n, d), whose rows are independent chains, and the noise of one step, and returns a :class:`Move`. The pure
steps are in :mod:`.markov`, :mod:`.gibbs`, :mod:`.slices`, :mod:`.tempering` and :mod:`.ensembles`. The loop is compiled once per
kernel and shape, so make a kernel once and call it often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .noise import _uniform


class Noise(NamedTuple):
    """The noise of one step: ``normals`` (n, k) are standard, ``uniforms`` (n, c) lie in (0, 1). Every number is used once."""

    normals: jax.Array
    uniforms: jax.Array


class Move(NamedTuple):
    """What one step did: the new ``state`` (n, d), whether the proposal was ``accepted`` (n,), and the ``proposal`` (n, d).

    Kernels without an acceptance, such as Gibbs, accept always.
    """

    state: jax.Array
    accepted: jax.Array
    proposal: jax.Array


Size = Callable[[int], tuple[int, int]]
"""How many normals and uniforms one step reads per chain, as a function of the dimension of the state."""


def always(state: jax.Array) -> Move:
    """The move of a kernel that has no acceptance."""
    return Move(state, jnp.ones(len(state), bool), state)


def draw_noise(key: jax.Array, n: int, size: tuple[int, int], dtype: Any) -> Noise:
    """The noise of one step of ``n`` chains. Uniforms have the widest dtype that is enabled, and are never 0 or 1.

    >>> noise = draw_noise(jax.random.key(0), 3, (2, 1), jnp.float32)
    >>> noise.normals.shape, noise.uniforms.shape
    ((3, 2), (3, 1))
    """
    one, two = jax.random.split(key)
    return Noise(jax.random.normal(one, (n, size[0]), dtype), _uniform(two, (n, size[1])))


@dataclass(frozen=True)
class Kernel:
    """A Markov kernel: ``kernel(x, seed)`` takes states (n, d) and returns the states (n, d) after ``steps`` steps.

    Attributes:
        step: the pure function of states and noise, ``(x, noise) -> Move``.
        size: how much noise it reads.
        steps: how many steps one call makes.

    Example:
        >>> from exactness_samplers.jax import markov
        >>> walk = markov.random_walk_kernel(lambda x: -0.5 * jnp.square(x).sum(-1), 0.5)
        >>> walk(jnp.zeros((4, 2)), seed=0).shape
        (4, 2)
    """

    step: Callable[[jax.Array, Noise], Move]
    size: Size
    steps: int = 1

    def __call__(self, x: jax.Array, seed: int) -> jax.Array:
        return _run(self._state, self.size, self.steps, _states(x), None, _key(seed))[0]

    def trace(self, x: jax.Array, seed: int) -> Move:
        """What happened in each step: the fields of :class:`Move` with a first axis of length ``steps``."""
        return _run(self._move, self.size, self.steps, _states(x), None, _key(seed))[1]

    def _state(self, x: jax.Array, given: None, noise: Noise) -> tuple[jax.Array, None]:
        return self.step(x, noise).state, None

    def _move(self, x: jax.Array, given: None, noise: Noise) -> tuple[jax.Array, Move]:
        move = self.step(x, noise)
        return move.state, move


@dataclass(frozen=True)
class JointKernel:
    """A kernel for a posterior: ``kernel(theta, data, seed)`` moves parameters (n, p), each row given its own row of data (n, m).

    Attributes:
        step: the pure function ``(theta, data, noise) -> Move``.
        size, steps: as for :class:`Kernel`.
    """

    step: Callable[[jax.Array, jax.Array, Noise], Move]
    size: Size
    steps: int = 1

    def __call__(self, theta: jax.Array, data: jax.Array, seed: int) -> jax.Array:
        return _run(self._state, self.size, self.steps, _states(theta), jnp.asarray(data), _key(seed))[0]

    def _state(self, theta: jax.Array, data: jax.Array, noise: Noise) -> tuple[jax.Array, None]:
        return self.step(theta, data, noise).state, None


@dataclass(frozen=True)
class Pair:
    """A coupling of a kernel with itself, ``pair(x, y, seed) -> (x', y')``: each moves by the kernel, and equal rows stay equal.

    Attributes:
        step: the pure function ``(x, y, noise) -> (x', y')``.
        size, steps: as for :class:`Kernel`.
    """

    step: Callable[[jax.Array, jax.Array, Noise], tuple[jax.Array, jax.Array]]
    size: Size
    steps: int = 1

    def __call__(self, x: jax.Array, y: jax.Array, seed: int) -> tuple[jax.Array, jax.Array]:
        return _run(self._both, self.size, self.steps, (_states(x), _states(y)), None, _key(seed))[0]

    def _both(self, states: tuple[jax.Array, jax.Array], given: None, noise: Noise) -> tuple[tuple[jax.Array, jax.Array], None]:
        return self.step(*states, noise), None


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(step: Callable[..., Any], size: Size, steps: int, states: Any, given: Any, key: jax.Array) -> Any:
    """Scan ``step(states, given, noise) -> (states, what to keep)``."""
    first = jax.tree.leaves(states)[0]

    def one(states: Any, key: jax.Array) -> Any:
        return step(states, given, draw_noise(key, len(first), size(first.shape[1]), first.dtype))

    return lax.scan(one, states, jax.random.split(key, steps))


def _states(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"a kernel moves states of shape (n, d), one chain per row, not {x.shape}")
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _key(seed: int) -> jax.Array:
    return jax.random.key(int(seed), impl="threefry2x32")
