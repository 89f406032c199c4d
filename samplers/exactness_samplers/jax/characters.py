"""Two trained models of characters, a target and a small draft, as laws of the next token.

They are Llama models (Touvron et al. 2023, arXiv 2302.13971) with one matrix for reading and writing. A model sees the last 64
characters of a text, so what it says is a function of the text alone, however the text came about. The empty text is read as a
newline.

Everything is a pure function of a dictionary of parameters. Prefixes are filled up to 64 characters, so that one program serves
prefixes of all lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from .. import weights
from ..characters import BASE, EMBEDDING, EPSILON, HEAD, LAST_NORM, WINDOW, Shape

Parameters = dict[str, jax.Array]

# Called from outside with n rows, this many are evaluated at a time, and the last few are filled up, so that few programs are
# compiled.
_ROWS = (1, 16, 128)


def logits(p: Parameters, shape: Shape, tokens: jax.Array) -> jax.Array:
    """The logits of the character after each of the first 1, 2, ..., t: ids (n, t) -> (n, t, V)."""
    n, t = tokens.shape
    mask = jnp.tril(jnp.ones((t, t), bool))
    half = jnp.exp(-jnp.log(BASE) * jnp.arange(HEAD // 2) / (HEAD // 2)) * jnp.arange(t)[:, None]
    # Pairs of numbers are turned by angles that grow with the position: as complex numbers, they are multiplied.
    rotation = jnp.cos(half)[:, None], jnp.sin(half)[:, None]
    h = p[EMBEDDING][tokens]
    for i in range(shape.layers):
        weight = {key.removeprefix(f"model.layers.{i}."): value for key, value in p.items() if f"layers.{i}." in key}
        x = _norm(h, weight["input_layernorm.weight"])
        heads = [jnp.einsum("ntw,ow->nto", x, weight[f"self_attn.{name}_proj.weight"]).reshape(n, t, -1, HEAD) for name in "qkv"]
        q, k = (_rotated(heads[j], rotation) for j in (0, 1))
        scores = jnp.where(mask, jnp.einsum("nshd,nthd->nhst", q, k) / np.sqrt(HEAD), -jnp.inf)
        mixed = jnp.einsum("nhst,nthd->nshd", jax.nn.softmax(scores, axis=-1), heads[2]).reshape(n, t, shape.width)
        h = h + mixed @ weight["self_attn.o_proj.weight"].T
        x = _norm(h, weight["post_attention_layernorm.weight"])
        gated = jax.nn.silu(x @ weight["mlp.gate_proj.weight"].T) * (x @ weight["mlp.up_proj.weight"].T)
        h = h + gated @ weight["mlp.down_proj.weight"].T
    return _norm(h, p[LAST_NORM]) @ p[EMBEDDING].T


def _norm(h: jax.Array, weight: jax.Array) -> jax.Array:
    return weight * h / jnp.sqrt(jnp.mean(h**2, axis=-1, keepdims=True) + EPSILON)


def _rotated(x: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    real, imaginary = jnp.split(x, 2, axis=-1)
    cosine, sine = rotation
    turned = [real * cosine - imaginary * sine, imaginary * cosine + real * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


@partial(jax.jit, static_argnames="shape")
def _after(p: Parameters, shape: Shape, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """The log-probabilities after the first ``lengths`` of the ids (m, W)."""
    m, width = tokens.shape
    at = jnp.maximum(lengths - WINDOW, 0)[:, None] + jnp.arange(min(width, WINDOW))
    held = jnp.take_along_axis(tokens, jnp.minimum(at, width - 1), axis=1)
    # The empty text is a newline, whose id is 0.
    held = jnp.where(at < lengths[:, None], held, 0)
    place = jnp.clip(lengths, 1, WINDOW) - 1
    return jax.nn.log_softmax(logits(p, shape, held)[jnp.arange(m), place], axis=-1)


@partial(jax.jit, static_argnames="shape")
def _every(p: Parameters, shape: Shape, tokens: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(logits(p, shape, tokens), axis=-1)


class Characters:
    """A model of characters. Only its method ``law`` can be traced.

    Attributes:
        parameters: its arrays.
        shape: the number of its layers and their widths.

    Example:
        >>> from exactness_samplers.characters import encode
        >>> model = target()
        >>> int(model(jnp.array([encode("The argum")])).argmax()) == encode("e")[0]
        True
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], dtype: type = jnp.float32) -> None:
        """Raises ``ValueError`` if these are not the arrays of a character model."""
        self.shape = Shape.of(arrays)
        self.parameters = {name: jnp.asarray(value, dtype=dtype) for name, value in arrays.items()}

    def __call__(self, prefixes: jax.Array) -> jax.Array:
        """The log-probabilities of the next character: ids (n, t), t >= 0 -> (n, V)."""
        rows = np.asarray(prefixes)[:, -WINDOW:]
        lengths = np.full(len(rows), rows.shape[1])
        filled = np.pad(rows, ((0, 0), (0, WINDOW - rows.shape[1])))
        return _in_parts(lambda tokens, counts: _after(self.parameters, self.shape, tokens, counts), filled, lengths)

    def score(self, tokens: jax.Array) -> jax.Array:
        """The log-probabilities of the character after each of the first 1, 2, ..., t: ids (n, t) -> (n, t, V), in one pass."""
        rows = np.asarray(tokens)
        whole = _in_parts(lambda part: _every(self.parameters, self.shape, part), rows[:, :WINDOW])
        beyond = [self(jnp.asarray(rows[:, : t + 1]))[:, None] for t in range(WINDOW, rows.shape[1])]
        return jnp.concatenate([whole, *beyond], axis=1)

    def law(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        """The probabilities of the character after the first ``lengths`` (m,) of the ids (m, W): a law for samplers, (m, V)."""
        return jnp.exp(_after(self.parameters, self.shape, tokens, lengths))


def _in_parts(function: Callable[..., jax.Array], *arrays: np.ndarray) -> jax.Array:
    """A function of rows, with few different numbers of rows."""
    count = len(arrays[0])
    size = next((size for size in _ROWS if count <= size), _ROWS[-1])
    whole = [np.concatenate([a, np.zeros((-count % size, *a.shape[1:]), a.dtype)]) for a in arrays]
    parts = [function(*(jnp.asarray(a[i : i + size]) for a in whole)) for i in range(0, max(count, 1), size)]
    return jnp.concatenate(parts)[:count]


def target(file: Path | None = None) -> Characters:
    """The larger model, with two layers of width 96. ``file`` replaces the weights that come with the package."""
    return Characters(weights.load(file or weights.path(weights.CHARACTERS)).arrays)


def draft(file: Path | None = None) -> Characters:
    """The smaller model, with one layer of width 32."""
    return Characters(weights.load(file or weights.path(weights.CHARACTERS_DRAFT)).arrays)
