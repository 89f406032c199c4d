"""Functions for arrays of numpy, torch and JAX that the array API standard lacks. They compute on the device of the arrays."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import array_api_compat as compat
import numpy as np
from scipy import special

Array = Any
"""A numpy array, torch tensor or JAX array."""


def is_array(x: object) -> bool:
    """Whether x is an array of numpy, torch, JAX or another library of the array API standard."""
    return compat.is_array_api_obj(x)


# A certificate asks for this a thousand times, and only the type decides.
_NAMESPACES: dict[type, Any] = {}


def namespace(x: Array) -> Any:
    """The array namespace of x, with the names of the array API standard.

    >>> namespace(np.zeros(3)).concat([np.zeros(1), np.ones(1)])
    array([0., 1.])
    """
    found = _NAMESPACES.get(type(x))
    if found is None:
        found = _NAMESPACES[type(x)] = compat.array_namespace(x)
    return found


def without_gradients() -> AbstractContextManager[None]:
    """A context in which torch records no graph. A network is evaluated once per step, and its graph would outgrow memory."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()


def device(x: Array) -> Any:
    """The device of x, as its namespace takes it."""
    return compat.device(x)


def kind_of(x: Array) -> str:
    """The name of the library of x: ``numpy``, ``torch`` or ``jax``."""
    return "jax" if compat.is_jax_array(x) else type(x).__module__.split(".")[0]


def device_of(x: Array) -> str:
    """The device of x as text, such as ``cpu`` or ``cuda:0``, with the same names for every kind of array."""
    if compat.is_jax_array(x):
        (place, *_) = x.devices()
        kind = {"gpu": "cuda"}.get(place.platform, place.platform)
        return kind if kind == "cpu" else f"{kind}:{place.id}"
    return str(compat.device(x))


def to_numpy(x: Array) -> np.ndarray:
    """x as a numpy array, on the host and without gradients."""
    if compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    return np.asarray(x)


def at_hand(x: Array) -> Array:
    """A JAX array in the host's memory as a numpy array that shares it; any other array as it is.

    The judge computes operation by operation, and JAX compiles each operation anew for every shape. That takes seconds for every
    new number of draws, and numpy takes none. On an accelerator the array stays where it is, and so does one of bfloat16, which
    numpy does not know.

    >>> at_hand(np.ones(2))
    array([1., 1.])
    """
    if not compat.is_jax_array(x) or any(place.platform != "cpu" for place in x.devices()):
        return x
    return np.asarray(x) if np.dtype(x.dtype).kind in "biufc" else x


def in_numpy(x: Array) -> Array:
    """A torch or JAX array in the host's memory as a numpy array that shares it; any other array as it is.

    numpy is faster than either at what the judge does with one row of 100,000 numbers at a time.

    >>> in_numpy(np.ones(2))
    array([1., 1.])
    """
    return to_numpy(x) if compat.is_torch_array(x) and x.device.type == "cpu" else at_hand(x)


def copied(x: Array) -> Array:
    """A copy of an array that may be written to. JAX arrays cannot be, and stay as they are."""
    return x if compat.is_jax_array(x) else namespace(x).asarray(x, copy=True)


def joined(parts: Sequence[Array]) -> Array:
    """Arrays of the same kind (n_i, ...), one after the other. JAX compiles nothing (see :func:`at_hand`)."""
    if len(parts) == 1:
        return parts[0]
    hosted = [at_hand(part) for part in parts]
    whole = namespace(hosted[0]).concat(hosted, axis=0)
    return whole if hosted[0] is parts[0] else like(whole, parts[0])


KINDS = ("numpy", "torch", "jax")


def as_kind(x: Array, kind: str) -> Array:
    """x as an array of this kind. It is converted on the host, unless it already is of this kind."""
    if kind_of(x) == kind:
        return x
    host = to_numpy(x)
    if kind == "torch":
        import torch

        return torch.as_tensor(np.array(host))
    if kind == "jax":
        import jax.numpy as jnp

        return jnp.asarray(host)
    return host


def double(x: Array) -> Array:
    """x in double precision. JAX without x64 keeps single precision."""
    xp = namespace(x)
    if compat.is_jax_array(x):
        import jax

        return x.astype(jax.dtypes.canonicalize_dtype(np.float64))
    return xp.astype(x, xp.float64, copy=False)


def like(values: np.ndarray, x: Array) -> Array:
    """A numpy array converted to the kind, the dtype and the device of x."""
    xp = namespace(x)
    return xp.asarray(values, dtype=x.dtype, device=compat.device(x))


def integers_like(values: np.ndarray, x: Array) -> Array:
    """Integers as an array of the kind and on the device of x, to index it with."""
    xp = namespace(x)
    return xp.asarray(np.ascontiguousarray(values, dtype=np.int32 if kind_of(x) == "jax" else np.int64), device=device(x))


def rows_where(x: Array, mask: Array) -> Array:
    """x[mask]. JAX arrays go to the host, because JAX would compile every later function again for each number of rows."""
    if compat.is_jax_array(x):
        return np.asarray(x)[np.asarray(mask)]
    return x[mask]


def row_sums(x: Array) -> Array:
    """The sums along the last axis: (..., d) -> (...)."""
    width = int(x.shape[-1])
    if isinstance(x, np.ndarray):
        # numpy reduces a short last axis element by element; einsum does not.
        return np.einsum("...i->...", x)
    if compat.is_torch_array(x) and x.device.type == "cpu" and 1 < width <= _SHORT:
        # torch has the same problem; adding column by column takes a tenth of the time.
        return functools.reduce(operator.add, (x[..., i] for i in range(width)))
    return namespace(x).sum(x, axis=-1)


_SHORT = 4


def dot(x: Array, y: Array) -> Array:
    """The inner products along the last axis: (..., d) and (..., d) -> (...)."""
    return np.einsum("...i,...i->...", x, y) if isinstance(x, np.ndarray) else row_sums(x * y)


def clip(x: Array, low: float, high: float) -> Array:
    """Clip x to [low, high]. For a small numpy batch this is faster than the namespace's function."""
    return np.clip(x, low, high) if isinstance(x, np.ndarray) else namespace(x).clip(x, low, high)


def ndtr(x: Array) -> Array:
    """The standard normal distribution function. torch's has few digits in the lower tail; use ``log_ndtr`` there."""
    return _special(x).ndtr(x)


def log_ndtr(x: Array) -> Array:
    """The logarithm of the standard normal distribution function, accurate in both tails."""
    return _special(x).log_ndtr(x)


def normal_scores(u: Array) -> Array:
    """Phi^{-1}(u), always finite: values that are 0 or 1 up to rounding are moved inside."""
    info = namespace(u).finfo(u.dtype)
    return _special(u).ndtri(clip(u, float(info.smallest_normal), 1.0 - 0.5 * float(info.eps)))


def _special(x: Array) -> Any:
    """The module of special functions for the kind of array of x."""
    if compat.is_torch_array(x):
        import torch

        return torch.special
    if compat.is_jax_array(x):
        import jax.scipy.special

        return jax.scipy.special
    return special


def chi2_cdf(x: Array, freedom: int) -> Array:
    """The distribution function of chi-square with ``freedom`` degrees of freedom."""
    half = like(np.full(1, 0.5 * freedom), x)
    if compat.is_torch_array(x):
        import torch

        return torch.special.gammainc(half.expand(x.shape), 0.5 * x)
    if compat.is_jax_array(x):
        # On the host, in double precision: in single precision JAX is wrong by up to 0.02 in thousands of dimensions.
        return like(special.gammainc(0.5 * freedom, 0.5 * np.asarray(x, dtype=np.float64)), x)
    return special.gammainc(half, 0.5 * x)


def digest(x: Array) -> int:
    """64 bits that depend on every bit of x (n, ...) and on the order of its rows. They are the same for every kind of array.

    Each 32-bit word is mixed with a key of its column, by the finalizer of Appleby's MurmurHash3. The sum of each row is mixed with
    a key of the row, and all rows are summed. This is done twice, with different keys.
    """
    x = at_hand(x)
    count = int(x.shape[0])
    xp = namespace(x)
    if x.dtype.itemsize < 4:
        # Narrow numbers are widened, so that they fill words.
        x = xp.astype(x, xp.float32 if xp.isdtype(x.dtype, "real floating") else xp.int32)
    words: Array
    if compat.is_torch_array(x):
        import torch

        words = x.contiguous().reshape(count, -1).view(torch.int32).to(torch.int64) & _WORD
    elif compat.is_jax_array(x):
        import jax

        words = jax.lax.bitcast_convert_type(x.reshape(count, -1), np.uint32).reshape(count, -1)
    else:
        words = np.ascontiguousarray(x).reshape(count, -1).view(np.uint32)
    xp, tensor = namespace(words), compat.is_torch_array(x)
    whole = 0
    for half in range(2):
        columns, rows = (
            np.random.default_rng([half, which]).integers(0, 1 << 32, size=size, dtype=np.uint64)
            for which, size in enumerate((words.shape[1], count))
        )
        keys = [xp.asarray(k.astype(np.int64 if tensor else np.uint32), device=compat.device(x)) for k in (columns, rows)]
        each = _low(xp.sum(_mixed(words ^ keys[0]), axis=1, dtype=words.dtype))
        whole = whole << 32 | int(_low(xp.sum(_mixed(each ^ keys[1]), dtype=words.dtype))) & _WORD
    return whole


_WORD = 0xFFFFFFFF


def _low(h: Array) -> Array:
    """The low 32 bits, where integers are wider. (torch has no arithmetic of unsigned integers.)"""
    return h & _WORD if compat.is_torch_array(h) else h


def _mixed(h: Array) -> Array:
    """Mix words of 32 bits: every bit then depends on all bits, and different words stay different."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = _low((h ^ (h >> shift)) * (factor if compat.is_torch_array(h) else np.uint32(factor)))
    return h ^ (h >> 16)


def histogram(u: Array, bins: int) -> np.ndarray:
    """Count the values in [0, 1] over ``bins`` equal cells: (rows, ...) -> (rows, bins), on the host.

    >>> histogram(np.array([[0.1, 0.2, 0.9]]), 4)
    array([[2, 0, 0, 1]])
    """
    xp, rows = namespace(u), int(u.shape[0])
    cell = clip(xp.astype(xp.reshape(u, (rows, -1)) * bins, xp.int32), 0, bins - 1)
    if rows > 1:
        cell = cell + bins * xp.arange(rows, dtype=xp.int32, device=compat.device(u))[:, None]
    cell = xp.reshape(cell, (-1,))
    if compat.is_torch_array(cell):
        counts = to_numpy(cell.bincount(minlength=rows * bins))
    elif compat.is_jax_array(cell):
        import jax.numpy as jnp

        counts = np.asarray(jnp.bincount(cell, length=rows * bins))
    else:
        counts = np.bincount(cell, minlength=rows * bins)
    return counts.reshape(rows, bins)
