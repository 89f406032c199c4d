"""A trained network for the 8x8 digits, its distilled copy, and a small network that predicts ahead.

With y = x / signal and s = noise / signal, a state is y = x_0 + s xi for every schedule. A network gets log s instead of the step,
so one set of weights serves all schedules. It is preconditioned as in Karras et al. 2022, "Elucidating the Design Space of
Diffusion-Based Generative Models", section 5, but axis by axis. Along a principal axis of the pictures, on which they have
variance v,

    D = mean + skip (y - mean) + out F(in (y - mean), log s),
    skip = v / (v + s^2),   out = s sqrt(v / (v + s^2)),   in = 1 / sqrt(v + s^2),

so F = 0 is the best linear denoiser at every noise level. F is a residual perceptron without statistics over the batch, so the
prediction for a row is a function of that row, up to the rounding of a matrix product.

Everything is a pure function of a dictionary of parameters; the classes keep such a dictionary for each dtype, and are
called inside or outside of ``jit``. The weights are those of `samplers/exactness_digits`.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import weights
from ..schedules import Schedule

Parameters = dict[str, Array]

# F gets log s through bumps between these levels; beyond them it gets the nearest level. skip, out and in have no such limit.
LEVELS, BUMPS = (-5.5, 6.5), 16
DIM = 64


def bumps(level: Array) -> Array:
    """Smooth features of log s, (m,) -> (m, BUMPS): Gaussian bumps whose width equals their distance."""
    centres = jnp.linspace(*LEVELS, BUMPS, dtype=level.dtype)
    width = (LEVELS[1] - LEVELS[0]) / (BUMPS - 1)
    return jnp.exp(-0.5 * ((jnp.clip(level, *LEVELS)[:, None] - centres) / width) ** 2)


def trunk(p: Parameters, modulation: Array, z: Array) -> Array:
    """The residual perceptron: modulation (m, 2 * blocks * width), z (m, inputs) -> (m, outputs)."""

    def block(h: Array, at: tuple[Array, ...]) -> tuple[Array, None]:
        up, up_bias, down, down_bias, scale, shift = at
        unit = h * jax.lax.rsqrt(jnp.mean(h * h, axis=1, keepdims=True) + 1e-6)
        inner = jax.nn.silu((unit @ up + up_bias) * (1.0 + scale) + shift)
        return h + inner @ down + down_bias, None

    scale, shift = jnp.moveaxis(modulation.reshape(len(z), 2, *p["up_bias"].shape), 0, 2)
    blocks = (p["up"], p["up_bias"], p["down"], p["down_bias"], scale, shift)
    h, _ = jax.lax.scan(block, z @ p["enter"] + p["enter_bias"], blocks)
    return jax.nn.silu(h) @ p["leave"] + p["leave_bias"]


def denoise(p: Parameters, modulation: Array, level: Array, y: Array) -> Array:
    """E[x_0 | y] for y = x_0 + s xi and level = log s: (m,), (m, 64) -> (m, 64). :func:`trunk` explains ``modulation``."""
    noise, deviation = jnp.exp(level)[:, None], jnp.sqrt(p["variances"])
    total = jnp.sqrt(p["variances"] + noise**2)
    z = ((y - p["mean"]) @ p["basis"]) / total
    f = trunk(p, modulation, z)
    return p["mean"] + (deviation / total * (deviation * z + noise * f)) @ p["basis"].T


def foresee(
    p: Parameters, modulation: Array, level: Array, y: Array, base_level: Array, base_y: Array, base_sample: Array
) -> Array:
    """Predict D_k(y_k) from D_j(y_j), ``base_sample``, which was made at a noisier state: levels (m,), states (m, 64) -> (m, 64).

    Bayes' rule for x_0 ~ N(D_j, V) uses the surprise y_k - E[y_k | y_j, x_0 = D_j]. Here V = v s_j^2/(v + s_j^2), axis by axis,
    only sets the units: the network says which multiple of the surprise to add, and what else. Its last layer starts at zero,
    which is plain reuse. At lag 0 the answer is D_j, whatever the network says.
    """
    unseen = -jnp.expm1(2.0 * (level - base_level))[:, None]
    noise2, base_noise2 = jnp.exp(2.0 * level)[:, None], jnp.exp(2.0 * base_level)[:, None]
    doubt = p["variances"] * base_noise2 / (p["variances"] + base_noise2)
    spread = jnp.sqrt(unseen * doubt + noise2)
    # At lag 0 the surprise is zero or a rounding error, and 0/0 must be avoided.
    root = jnp.sqrt(jnp.maximum(unseen, 1e-9))
    surprise = ((y - (1.0 - unseen) * base_y - unseen * base_sample) @ p["basis"]) / (root * spread)
    now = ((y - p["mean"]) @ p["basis"]) / jnp.sqrt(p["variances"] + noise2)
    then = ((base_sample - p["mean"]) @ p["basis"]) / jnp.sqrt(p["variances"])
    shift, gain = jnp.split(trunk(p, modulation, jnp.concatenate([surprise, now, then], 1)), 2, axis=1)
    return base_sample + (doubt * jnp.sqrt(unseen) / spread * (shift + gain * surprise)) @ p["basis"].T


class _Placed:
    """The parameters and the tables of a schedule, with one copy per dtype. Entry k - 1 belongs to step k."""

    def __init__(self, schedule: Schedule, arrays: dict[str, np.ndarray], needed: tuple[str, ...], inputs: int) -> None:
        if schedule.signal[-1] == 0.0:
            raise ValueError(
                f"x_K of {schedule.name} is pure noise: the network sees states divided by their signal, which is 0 there; let the "
                "schedule begin a little later"
            )
        absent = [name for name in needed if name not in arrays]
        if absent:
            raise ValueError(f"these are not the weights of this network: {', '.join(absent)} not among their arrays")
        if len(arrays["enter"]) != inputs:
            raise ValueError(
                f"these are not the weights of this network: enter has {len(arrays['enter'])} rows in its shape, not {inputs}"
            )
        self._arrays = {name: arrays[name] for name in needed}
        self._signal, self._level = schedule.signal[1:], np.log(schedule.noise[1:] / schedule.signal[1:])
        self._copies: dict[np.dtype, Parameters] = {}

    def __getstate__(self) -> dict[str, object]:
        # The copies are kept for speed, and can be made again.
        return {**vars(self), "_copies": {}}

    def beside(self, x: Array) -> Parameters:
        if x.dtype not in self._copies:
            # The first call may be inside a trace. The copies must be arrays, not tracers of that trace.
            with jax.ensure_compile_time_eval():
                p = {name: jnp.asarray(a, dtype=x.dtype) for name, a in self._arrays.items()}
                p["signal"], p["level"] = jnp.asarray(self._signal, dtype=x.dtype), jnp.asarray(self._level, dtype=x.dtype)
                # The modulations depend on the step alone, so a table of them makes the conditioning free.
                for name in [name for name in self._arrays if name.startswith("modulate")]:
                    p[name] = bumps(p["level"]) @ p[name]
            self._copies[x.dtype] = p
        return self._copies[x.dtype]


_TRUNK = ("mean", "basis", "variances", "enter", "enter_bias", "up", "up_bias", "down", "down_bias", "leave", "leave_bias")


class DigitsNetwork:
    """A denoiser of the digits, called as ``predict(steps, x, condition)``, of kind ``sample``.

    steps (m,) lie in 1..K, and x has shape (m, 64), like the result.
    """

    def __init__(self, schedule: Schedule, arrays: dict[str, np.ndarray]) -> None:
        self._at = _Placed(schedule, arrays, (*_TRUNK, "modulate"), inputs=DIM)

    def __call__(self, steps: Array, x: Array, condition: Array | None = None) -> Array:
        p, row = self._at.beside(x), steps - 1
        return denoise(p, p["modulate"][row], p["level"][row], x / p["signal"][row][:, None])


class DigitsAhead:
    """A network called as ``ahead(steps, x, base_steps, base_x, base_sample)``: it predicts the clean sample at x from base_x.

    steps and base_steps (m,) lie in 1..K, with steps <= base_steps. The other arguments and the result have shape (m, 64).
    """

    def __init__(self, schedule: Schedule, arrays: dict[str, np.ndarray]) -> None:
        self._at = _Placed(schedule, arrays, (*_TRUNK, "modulate", "modulate_base"), inputs=3 * DIM)

    def __call__(self, steps: Array, x: Array, base_steps: Array, base_x: Array, base_sample: Array) -> Array:
        p, row, base = self._at.beside(x), steps - 1, base_steps - 1
        modulation = p["modulate"][row] + p["modulate_base"][base]
        y, base_y = x / p["signal"][row][:, None], base_x / p["signal"][base][:, None]
        return foresee(p, modulation, p["level"][row], y, p["level"][base], base_y, base_sample)


def digits_network(schedule: Schedule, file: Path | None = None) -> DigitsNetwork:
    """The target network, with 265,600 trained parameters. ``file`` replaces the weights that come with the package."""
    return DigitsNetwork(schedule, weights.load(file or weights.path(weights.DIGITS)).arrays)


def digits_distilled(schedule: Schedule, file: Path | None = None) -> DigitsNetwork:
    """A network of a tenth of the target's size, trained to predict what the target predicts."""
    return DigitsNetwork(schedule, weights.load(file or weights.path(weights.DIGITS_DISTILLED)).arrays)


def digits_ahead(schedule: Schedule, file: Path | None = None) -> DigitsAhead:
    """A network that carries the target's prediction at one state to later states."""
    return DigitsAhead(schedule, weights.load(file or weights.path(weights.DIGITS_AHEAD)).arrays)
