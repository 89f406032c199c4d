"""Denoisers in closed form: E[x_0 | x_k], where x_k = signal_k x_0 + noise_k xi and x_0 comes from a Gaussian mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..schedules import Schedule

# Rows are processed in slices, because the (rows, components) table of many chains would outgrow a cache or the memory.
_SLICE_ENTRIES = {"cpu": 1 << 20}
_SLICE_ELSEWHERE = 1 << 27

# By default, accelerators multiply matrices of float32 with ten bits. A posterior mean needs all bits.
_matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
_einsum = partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def _by_slices(denoise: Callable[[jax.Array, jax.Array], jax.Array], steps: jax.Array, x: jax.Array, entries: int) -> jax.Array:
    """Apply ``denoise`` to slices of the rows. Each row needs a table of ``entries`` numbers."""
    rows = max(1, _SLICE_ENTRIES.get(jax.default_backend(), _SLICE_ELSEWHERE) // entries)
    if len(x) <= rows:
        return denoise(steps, x)
    count = -(-len(x) // rows)
    rows = -(-len(x) // count)
    fill = count * rows - len(x)
    # The rows that fill up the last slice are at step 1, which is as good as any other.
    steps, padded = jnp.pad(steps, (0, fill), constant_values=1), jnp.pad(x, ((0, fill), (0, 0)))
    parts = lax.map(lambda part: denoise(*part), (steps.reshape(count, rows), padded.reshape(count, rows, -1)))
    return parts.reshape(count * rows, -1)[: len(x)]


class MixtureDenoiser:
    """The posterior mean of the clean sample of a mixture: weights (C,), means (C, d), covariances (C,) | (C, d) | (C, d, d).

    It is called as ``predict(steps, x, condition)``, of kind ``sample``. The cost is O(n C d), with full covariances O(n C d^2).

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> denoiser = MixtureDenoiser(ddpm(cosine_betas(6)), weights=[0.5, 0.5], means=[[1.0], [-1.0]], covariances=[0.1, 0.1])
    >>> denoiser.dim  # denoiser(steps, x) predicts the clean samples behind states x of shape (m, 1)
    1
    """

    def __init__(self, schedule: Schedule, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        self._means, covariances = np.asarray(means, dtype=np.float64), np.asarray(covariances, dtype=np.float64)
        self.components, self.dim = self._means.shape
        self.shape = {1: "isotropic", 2: "diagonal", 3: "full"}[covariances.ndim]
        self.shared = self.shape == "isotropic" and bool(np.all(covariances == covariances[0]))
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(weights, dtype=np.float64))
        self._signal, self._noise = schedule.signal, schedule.noise
        if self.shape == "full":
            # In its own axes, each component has a diagonal covariance.
            covariances, self._axes = np.linalg.eigh(covariances)
        self._variances = covariances

    def __call__(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        denoise = {"isotropic": self._isotropic, "diagonal": self._diagonal, "full": self._full}[self.shape]
        return _by_slices(denoise, steps, x, self.components * (1 if self.shape == "isotropic" else self.dim))

    def _at(self, steps: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The signal and noise^2, (m,) each."""
        return jnp.asarray(self._signal, x.dtype)[steps], jnp.asarray(self._noise**2, x.dtype)[steps]

    def _isotropic(self, steps: jax.Array, x: jax.Array) -> jax.Array:
        signal, noise2 = (part[:, None] for part in self._at(steps, x))
        means, log_weights = jnp.asarray(self._means, x.dtype), jnp.asarray(self._log_weights, x.dtype)
        squares = jnp.asarray((self._means**2).sum(1), x.dtype)
        if self.shared:
            # With one variance, |x|^2 is the same in every logit and drops out.
            own = float(self._variances[0])
            variance = signal**2 * own + noise2
            logits = log_weights + (_matmul(x, means.T) - 0.5 * signal * squares) * (signal / variance)
            return (noise2 * _matmul(jax.nn.softmax(logits, axis=1), means) + signal * own * x) / variance
        variances = jnp.asarray(self._variances, x.dtype)
        variance = signal**2 * variances + noise2
        square = (x * x).sum(1, keepdims=True) + signal * (signal * squares - 2.0 * _matmul(x, means.T))
        share = jax.nn.softmax(log_weights - 0.5 * (square / variance + self.dim * jnp.log(variance)), axis=1)
        kept = (share * variances / variance).sum(1, keepdims=True) * signal
        return noise2 * _matmul(share / variance, means) + kept * x

    def _diagonal(self, steps: jax.Array, x: jax.Array) -> jax.Array:
        share, clean = self._each(steps, x, x[:, None, :], self._means)
        return (share[..., None] * clean).sum(1)

    def _full(self, steps: jax.Array, x: jax.Array) -> jax.Array:
        axes = jnp.asarray(self._axes, x.dtype)
        means = np.einsum("cij,ci->cj", self._axes, self._means)
        share, clean = self._each(steps, x, _einsum("ni,cij->ncj", x, axes), means)
        return _einsum("ncj,cij->ni", share[..., None] * clean, axes)

    def _each(self, steps: jax.Array, x: jax.Array, seen: jax.Array, means: np.ndarray) -> tuple[jax.Array, jax.Array]:
        """The responsibilities (m, C) and the posterior mean of each component (m, C, d), in axes with diagonal covariances."""
        signal, noise2 = (part[:, None, None] for part in self._at(steps, x))
        centres, variances = jnp.asarray(means, x.dtype), jnp.asarray(self._variances, x.dtype)
        variance, offset = signal**2 * variances + noise2, seen - signal * centres
        logits = jnp.asarray(self._log_weights, x.dtype) - 0.5 * (offset**2 / variance + jnp.log(variance)).sum(-1)
        return jax.nn.softmax(logits, axis=1), centres + signal * variances / variance * offset


class ProductDenoiser:
    """The denoiser of a product of one-dimensional mixtures along the columns of a rotation. Each coordinate is denoised alone.

    ``weights``, ``means`` and ``variances`` have shape (d, C), one row per coordinate. The columns of ``rotation`` (d, d) are the
    axes.
    """

    def __init__(
        self, schedule: Schedule, weights: np.ndarray, means: np.ndarray, variances: np.ndarray, rotation: np.ndarray
    ) -> None:
        # Tables (K + 1, C, d): logarithms and quotients are computed once per step, not once per chain.
        signal, noise = schedule.signal[:, None, None], schedule.noise[:, None, None]
        variance = signal**2 * variances.T + noise**2
        self._height = np.log(weights).T - 0.5 * np.log(variance)
        self._precision = 0.5 / variance
        self._gain = signal * variances.T / variance
        self._noised = signal * means.T
        self._means, self._rotation = means.T, rotation

    def __call__(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        return _by_slices(self._posterior_mean, steps, x, self._means.size)

    def _posterior_mean(self, steps: jax.Array, x: jax.Array) -> jax.Array:
        at = lambda table: jnp.asarray(table, x.dtype)[steps]  # noqa: E731
        rotation = jnp.asarray(self._rotation, x.dtype)
        offset = _matmul(x, rotation)[:, None, :] - at(self._noised)
        share = jax.nn.softmax(at(self._height) - offset**2 * at(self._precision), axis=1)
        clean = (share * (jnp.asarray(self._means, x.dtype) + at(self._gain) * offset)).sum(1)
        return _matmul(clean, rotation.T)


@dataclass(frozen=True)
class LabelledDenoiser:
    """The posterior mean given the label. The condition (n,) holds component indices of a mixture with one common variance."""

    schedule: Schedule
    means: np.ndarray
    variance: float

    def __call__(self, steps: jax.Array, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        if condition is None:
            raise ValueError("a labelled chain needs its labels: pass condition=labels, shape (n,)")
        signal = jnp.asarray(self.schedule.signal, x.dtype)[steps][:, None]
        noise2 = jnp.asarray(self.schedule.noise**2, x.dtype)[steps][:, None]
        centre = jnp.asarray(self.means, x.dtype)[condition]
        return centre + signal * self.variance / (signal**2 * self.variance + noise2) * (x - signal * centre)
