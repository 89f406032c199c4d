"""Slice kernels as pure functions of their noise: one coordinate after the other, and along an ellipse.

Both shrink a bracket until a point of it lies in the slice. Here that takes at most ``tries`` points, so the noise has a fixed
size, and a chain that finds none stays where it is. That is exact: two points find each other through the same shrinking brackets
with the same density, so a success at the k-th try is reversible for every k, and what is missing is put on the diagonal.

Sources: Neal 2003, "Slice sampling" (stepping out with a bound, shrinkage); Murray, Adams & MacKay 2010 (elliptical).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .kernels import Kernel, Move, Noise
from .markov import LogDensity


def coordinate_slice(log_density: LogDensity, x: jax.Array, noise: Noise, width: float, outwards: int = 6, tries: int = 16) -> Move:
    """Update each coordinate in order, with brackets of ``width`` that step out at most ``outwards`` - 1 times.

    Reads 3 + ``tries`` uniforms per coordinate. ``accepted`` says whether every coordinate found a point. Each update is
    reversible, and their composition is not.
    """
    per = 3 + tries

    def update(i: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, found = carry
        uniforms = lax.dynamic_slice_in_dim(noise.uniforms, i * per, per, axis=1)
        x, hit = _update(log_density, x, uniforms, i, width, outwards)
        return x, found & hit

    state, found = lax.fori_loop(0, x.shape[1], update, (x, jnp.ones(len(x), bool)))
    return Move(state, found, state)


def elliptical_slice(
    log_likelihood: LogDensity, x: jax.Array, noise: Noise, mean: float = 0.0, spread: float = 1.0, tries: int = 24
) -> Move:
    """A step for the prior N(mean, spread^2 I) times exp(log_likelihood); it is reversible.

    Reads d normals and 1 + ``tries`` uniforms.
    """
    level = log_likelihood(x) + jnp.log(noise.uniforms[:, 0])
    here, other = x - mean, spread * noise.normals
    first = 2.0 * math.pi * noise.uniforms[:, 1]

    def point(angle: jax.Array) -> jax.Array:
        turned = angle[:, None].astype(x.dtype)
        return mean + jnp.cos(turned) * here + jnp.sin(turned) * other

    # The first angle is the end of its own bracket, so it is tried by itself.
    hit = log_likelihood(point(first)) > level
    begin = (jnp.where(hit, first, 0.0), hit, first - 2.0 * math.pi, first)
    angle, found = _shrink(lambda angle: log_likelihood(point(angle)) > level, begin, jnp.zeros_like(first), noise.uniforms[:, 2:])
    state = jnp.where(found[:, None], point(angle), x)
    return Move(state, found, state)


def coordinate_slice_kernel(log_density: LogDensity, width: float, outwards: int = 6, tries: int = 16, steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`coordinate_slice`."""
    step = lambda x, noise: coordinate_slice(log_density, x, noise, width, outwards, tries)  # noqa: E731
    return Kernel(step, lambda d: (0, d * (3 + tries)), steps)


def elliptical_slice_kernel(
    log_likelihood: LogDensity, mean: float = 0.0, spread: float = 1.0, tries: int = 24, steps: int = 1
) -> Kernel:
    """``kernel(x, seed)`` of :func:`elliptical_slice`."""
    step = lambda x, noise: elliptical_slice(log_likelihood, x, noise, mean, spread, tries)  # noqa: E731
    return Kernel(step, lambda d: (d, 1 + tries), steps)


def _update(
    log_density: LogDensity, x: jax.Array, uniforms: jax.Array, i: int, width: float, outwards: int
) -> tuple[jax.Array, jax.Array]:
    """One coordinate: the states, and whether a point of the slice was found."""
    at = lambda value: x.at[:, i].set(value.astype(x.dtype))  # noqa: E731
    level = log_density(x) + jnp.log(uniforms[:, 0])
    inside = lambda value: log_density(at(value)) > level  # noqa: E731
    centre = x[:, i].astype(uniforms.dtype)
    low = centre - width * uniforms[:, 1]
    # The steps are shared at random between both ends, which keeps the bracket as likely from any of its points.
    left = jnp.floor(outwards * uniforms[:, 2])
    high = _step_out(inside, low + width, width, outwards - 1 - left, outwards)
    low = _step_out(inside, low, -width, left, outwards)
    value, found = _shrink(inside, (centre, jnp.zeros(len(x), bool), low, high), centre, uniforms[:, 3:])
    return at(value), found


def _step_out(inside: Callable[[jax.Array], jax.Array], end: jax.Array, stride: float, allowed: jax.Array, most: int) -> jax.Array:
    """Move one end outwards by ``stride`` while it lies inside the slice, at most ``allowed`` (n,) times."""

    def out(k: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        end, going = carry
        going = going & (k < allowed) & inside(end)
        return jnp.where(going, end + stride, end), going

    return lax.fori_loop(0, most - 1, out, (end, jnp.ones(len(end), bool)))[0]


def _shrink(inside: Callable[[jax.Array], jax.Array], begin: Any, centre: jax.Array, uniforms: jax.Array) -> Any:
    """Draw points of the bracket, which shrinks towards ``centre``, until one lies inside: the point, and whether one did.

    ``begin`` holds a value, whether it was already found, and both ends of the bracket.
    """

    def draw(carry: Any, u: jax.Array) -> tuple[Any, None]:
        value, found, low, high = carry
        point = low + (high - low) * u
        hit = ~found & inside(point)
        below = point < centre
        return (jnp.where(hit, point, value), found | hit, jnp.where(below, point, low), jnp.where(below, high, point)), None

    (value, found, _, _), _ = lax.scan(draw, begin, uniforms.T)
    return value, found
