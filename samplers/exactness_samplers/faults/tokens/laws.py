"""Changes of laws that faults make: a temperature, a filter, the likeliest token alone."""

from __future__ import annotations

from ..base import Array, Backend


def tempered(of: Backend, laws: Array, temperature: float) -> Array:
    """Laws (..., V) at a temperature."""
    powers = laws ** (1.0 / temperature)
    return powers / of.xp.sum(powers, axis=-1, keepdims=True)


def nucleus(of: Backend, laws: Array, top_p: float) -> Array:
    """Laws (..., V) cut to the likeliest tokens that together reach ``top_p``, and normalised."""
    xp = of.xp
    order = xp.argsort(-laws, axis=-1, stable=True)
    sorted_laws = xp.take_along_axis(laws, order, axis=-1)
    ahead = xp.cumulative_sum(sorted_laws, axis=-1) - sorted_laws
    place = xp.argsort(order, axis=-1)
    kept = xp.where(xp.take_along_axis(ahead, place, axis=-1) < top_p - 1e-9, laws, xp.zeros_like(laws))
    return kept / xp.sum(kept, axis=-1, keepdims=True)


def likeliest(of: Backend, laws: Array) -> Array:
    """Laws (..., V) that make the likeliest token alone."""
    best = of.xp.argmax(laws, axis=-1)[..., None] == of.arange(laws.shape[-1], laws)
    return of.xp.where(best, of.xp.ones_like(laws), of.xp.zeros_like(laws))
