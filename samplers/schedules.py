"""Schedules: the numbers of a reverse process x_{k-1} | x_k ~ N(a_k x + b_k D_k(x), sigma_k^2 I), k = K..1.

A schedule is a handful of numpy vectors, the same for every backend; entry k - 1 belongs to step k, except ``signal`` and
``noise``, which have an entry for every k = 0..K: x_k is signal_k times a clean sample plus noise_k times standard normals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["noise", "sample", "velocity"]
KINDS: tuple[Kind, ...] = ("noise", "sample", "velocity")


@dataclass(frozen=True)
class Schedule:
    """``a``, ``b``, ``sigma``: shape (K,), for predictions of kind ``kind``; ``signal``, ``noise``: shape (K + 1,).

    The velocity is ``velocity_noise`` times the noise minus ``velocity_sample`` times the clean sample, shapes (K + 1,).
    """

    name: str
    kind: Kind
    a: np.ndarray
    b: np.ndarray
    sigma: np.ndarray
    signal: np.ndarray
    noise: np.ndarray
    velocity_noise: np.ndarray
    velocity_sample: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.sigma)

    def conversion(self, source: Kind, target: Kind) -> tuple[np.ndarray, np.ndarray]:
        """``(P, Q)``, shapes (K,): at step k, a prediction D of kind ``source`` at x is P x + Q D of kind ``target``."""
        signal, noise = self.signal[1:], self.noise[1:]
        vn, vs = self.velocity_noise[1:], self.velocity_sample[1:]
        one, zero = np.ones_like(signal), np.zeros_like(signal)
        det = vn * signal + vs * noise
        to_sample = {"sample": (zero, one), "noise": (1 / signal, -noise / signal), "velocity": (vn / det, -noise / det)}
        from_sample = {"sample": (zero, one), "noise": (1 / noise, -signal / noise), "velocity": (vn / noise, -det / noise)}
        if source not in to_sample or target not in from_sample:
            raise ValueError(f"unknown kind of prediction in {source!r} -> {target!r}; choose among {', '.join(KINDS)}")
        if source == target:
            return zero, one
        (p0, q0), (p1, q1) = to_sample[source], from_sample[target]
        return p1 + q1 * p0, q1 * q0

    def coefficients(self, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
        """``(a, b)`` for a network that predicts ``kind``: the same chain, written for another output."""
        p, q = self.conversion(kind, self.kind)
        return self.a + self.b * p, self.b * q


def ddpm(betas: np.ndarray, variance: Literal["large", "small"] = "large") -> Schedule:
    """Ancestral sampling of Ho, Jain, Abbeel 2020, "Denoising Diffusion Probabilistic Models", Algorithm 2.

    ``betas``: shape (K,), beta_1..beta_K in (0, 1). ``large``: sigma_k^2 = beta_k; ``small``: the posterior variance
    beta_k (1 - abar_{k-1}) / (1 - abar_k), which is 0 at k = 1: that step is deterministic.
    """
    betas = np.asarray(betas, dtype=np.float64)
    if betas.ndim != 1 or len(betas) == 0 or not np.all((betas > 0) & (betas < 1)):
        raise ValueError("betas must be a vector of numbers strictly between 0 and 1, beta_1 first")
    if variance not in ("large", "small"):
        raise ValueError(f"variance must be 'large' or 'small', not {variance!r}")
    abar = np.concatenate([[1.0], np.cumprod(1.0 - betas)])
    signal, noise = np.sqrt(abar), np.sqrt(1.0 - abar)
    a = 1.0 / np.sqrt(1.0 - betas)
    factor = np.ones_like(betas) if variance == "large" else (1.0 - abar[:-1]) / (1.0 - abar[1:])
    return Schedule(f"ddpm-{variance}", "noise", a, -betas * a / noise[1:], np.sqrt(betas * factor), signal, noise, signal, noise)


def gaussian_reverse(betas: np.ndarray, variance: float) -> Schedule:
    """The exact reverse kernel of the DDPM forward chain when x_0 ~ N(mu, variance I), whatever mu is (Bayes).

    Its mean is that of :func:`ddpm` at the posterior mean of x_0; its variance adds what x_0's own uncertainty contributes.
    A chain of it, started from the marginal of x_K, returns N(mu, variance I) with no discretisation error, for every K.
    """
    if not (variance > 0 and np.isfinite(variance)):
        raise ValueError(f"variance must be positive, not {variance}")
    small = ddpm(betas, "small")
    abar_now, abar_next = small.signal[1:] ** 2, small.signal[:-1] ** 2
    weight = np.sqrt(abar_next) * np.asarray(betas) / (1.0 - abar_now)
    posterior = variance * (1.0 - abar_now) / (abar_now * variance + 1.0 - abar_now)
    return replace(small, name="gaussian-reverse", sigma=np.sqrt(small.sigma**2 + weight**2 * posterior))


def rectified_flow(steps: int, churn: float) -> Schedule:
    """Churned rectified flow: x_t = (1 - t) x_0 + t xi, velocity E[xi - x_0 | x_t], times t_k = k / (K + 1).

    ``churn`` > 0 is the temperature of the noise that is added and, in law, compensated by the drift.
    The last time stays below 1, where the compensating drift is infinite.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if not (churn > 0 and np.isfinite(churn)):
        raise ValueError(
            f"churn must be positive, not {churn}: without churn the flow is an ODE, its transitions are points, and there "
            "is nothing to accept or reject. Take churn > 0 (1.0 is usual), or sample the ODE without speculation."
        )
    t = np.arange(steps + 1) / (steps + 1)
    h, end = 1.0 / (steps + 1), t[1:]
    a = 1.0 - h * churn**2 / (1.0 - end)
    b = np.full(steps, -h * (1.0 + churn**2))
    sigma = churn * np.sqrt(h) * np.sqrt(2.0 * end / (1.0 - end))
    one = np.ones(steps + 1)
    return Schedule("rectified-flow", "velocity", a, b, sigma, 1.0 - t, t, one, one)


def cosine_betas(steps: int, largest: float = 0.999) -> np.ndarray:
    """beta_1..beta_K of Nichol and Dhariwal 2021, "Improved DDPM", equation 17, s = 0.008."""
    f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1.0 - f[1:] / f[:-1], largest)


def linear_betas(steps: int, smallest: float = 1e-4, largest: float = 0.02) -> np.ndarray:
    """beta_1..beta_K of Ho, Jain, Abbeel 2020, section 4, stretched from their 1,000 steps to ``steps``."""
    return np.linspace(smallest * 1000 / steps, min(largest * 1000 / steps, 0.999), steps)
