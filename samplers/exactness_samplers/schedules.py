"""Schedules: the coefficients of a reverse process x_{k-1} | x_k ~ N(a_k x + b_k D_k(x), sigma_k^2 I), k = K..1.

A schedule consists of a few numpy vectors, the same for every backend. Entry k - 1 belongs to step k. Only ``signal`` and ``noise``
have an entry for every k = 0..K: x_k is signal_k times a clean sample plus noise_k times standard normals. A potential has no clean
sample behind it. Its prediction is a ``gradient``, which cannot be converted to another kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["noise", "sample", "velocity", "gradient"]
KINDS: tuple[Kind, ...] = ("noise", "sample", "velocity")


@dataclass(frozen=True)
class Schedule:
    """The coefficients of a reverse process.

    ``a``, ``b`` and ``sigma`` have shape (K,) and serve predictions of kind ``kind``. ``signal`` and ``noise`` have shape (K + 1,).
    The velocity is ``velocity_noise`` times the noise minus ``velocity_sample`` times the clean sample, both of shape (K + 1,).
    ``spread`` is the standard deviation of x_K.
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
    spread: float = 1.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of prediction that this schedule can be written for."""
        return ("gradient",) if self.kind == "gradient" else KINDS

    @property
    def steps(self) -> int:
        """The number of steps K."""
        return len(self.sigma)

    def same(self, other: Schedule) -> bool:
        """Whether both schedules describe the same chain, whatever their names."""
        parts = ("a", "b", "sigma", "signal", "noise")
        return self.kind == other.kind and all(
            np.array_equal(getattr(self, part), getattr(other, part), equal_nan=True) for part in parts
        )

    def conversion(self, source: Kind, target: Kind) -> tuple[np.ndarray, np.ndarray]:
        """The vectors ``(P, Q)``, (K,): at step k, a prediction D of kind ``source`` at x becomes P x + Q D of kind ``target``.

        Entries are 0 where a kind carries no information (the noise, at a state that is pure noise). Such a step is never drafted.
        """
        for kind in (source, target):
            if kind not in self.kinds:
                raise ValueError(f"unknown kind of prediction in {source!r} -> {target!r}; choose among {', '.join(self.kinds)}")
        one, zero = np.ones(self.steps), np.zeros(self.steps)
        if source == target:
            return zero, one
        signal, noise = self.signal[1:], self.noise[1:]
        vn, vs = self.velocity_noise[1:], self.velocity_sample[1:]
        det = vn * signal + vs * noise
        with np.errstate(divide="ignore", invalid="ignore"):
            to_sample = {"sample": (zero, one), "noise": (1 / signal, -noise / signal), "velocity": (vn / det, -noise / det)}
            from_sample = {"sample": (zero, one), "noise": (1 / noise, -signal / noise), "velocity": (vn / noise, -det / noise)}
            (p0, q0), (p1, q1) = to_sample[source], from_sample[target]
            p, q = p1 + q1 * p0, q1 * q0
        known = np.isfinite(p) & np.isfinite(q)
        return np.where(known, p, 0.0), np.where(known, q, 0.0)

    def coefficients(self, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
        """The vectors ``(a, b)`` of the same chain for a network that predicts ``kind``.

        >>> a, b = ddpm(cosine_betas(4)).coefficients("sample")
        >>> a.shape, b.shape
        ((4,), (4,))
        """
        p, q = self.conversion(kind, self.kind)
        if np.any(q == 0.0):
            step = int(np.flatnonzero(q == 0.0)[-1]) + 1
            raise ValueError(f"at step {step} of {self.name} a prediction of kind {kind!r} says nothing about the {self.kind}")
        return self.a + self.b * p, self.b * q

    def ahead(self, lags: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The tables ``(A, B, S)``, each (K + 1, lags + 1), with entries [j, l].

        Given x_j, x_{j-l} is N(A x_j + B c, S I) if every prediction in between is the clean sample c. Lags beyond x_0 repeat the
        last possible one. For DDPM with the small variance this is the forward process, conditioned on both ends (Bayes).
        """
        a, b = self.coefficients("sample")
        found = np.zeros((3, self.steps + 1, lags + 1))
        found[0, :, 0] = 1.0
        for j in range(1, self.steps + 1):
            for lag in range(1, lags + 1):
                before = found[:, j, lag - 1]
                if lag > j:
                    found[:, j, lag] = before
                    continue
                k = j - lag  # The step from x_{k+1} to x_k has entry k.
                found[:, j, lag] = a[k] * before[0], a[k] * before[1] + b[k], a[k] ** 2 * before[2] + self.sigma[k] ** 2
        return found[0], found[1], found[2]


def ddpm(betas: np.ndarray, variance: Literal["large", "small"] = "large") -> Schedule:
    """Ancestral sampling of Ho, Jain, Abbeel 2020, "Denoising Diffusion Probabilistic Models", Algorithm 2.

    ``betas`` (K,) holds beta_1..beta_K in (0, 1). With ``large``, sigma_k^2 = beta_k. With ``small``, it is the posterior variance
    beta_k (1 - abar_{k-1}) / (1 - abar_k). This is 0 at k = 1, so that step is deterministic.

    >>> ddpm(linear_betas(20)).steps
    20
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
    """The exact reverse kernel of the DDPM forward chain when x_0 ~ N(mu, variance I), for every mu (Bayes).

    Its mean is that of :func:`ddpm` at the posterior mean of x_0. Its variance adds the contribution of the uncertainty of x_0. A
    chain with this kernel, started from the marginal of x_K, returns N(mu, variance I) without discretisation error, for every K.

    >>> bool(gaussian_reverse(cosine_betas(20), variance=0.5).sigma.min() > 0.0)  # no step is deterministic
    True
    """
    if not (variance > 0 and np.isfinite(variance)):
        raise ValueError(f"variance must be positive, not {variance}")
    small = ddpm(betas, "small")
    abar_now, abar_next = small.signal[1:] ** 2, small.signal[:-1] ** 2
    weight = np.sqrt(abar_next) * np.asarray(betas) / (1.0 - abar_now)
    posterior = variance * (1.0 - abar_now) / (abar_now * variance + 1.0 - abar_now)
    return replace(small, name="gaussian-reverse", sigma=np.sqrt(small.sigma**2 + weight**2 * posterior))


def rectified_flow(steps: int, churn: float, *, times: np.ndarray | None = None, deterministic: tuple[int, ...] = ()) -> Schedule:
    """Churned rectified flow: x_t = (1 - t) x_0 + t xi, velocity E[xi - x_0 | x_t].

    Args:
        steps: the number of steps K.
        churn: > 0, the temperature of the added noise, whose effect on the law the drift compensates.
        times: t_0 = 0 < t_1 < ... < t_K, shape (K + 1,). The default is k / (K + 1).
        deterministic: the steps that follow the flow itself, without noise. A step from t = 1 must be one of them, because the
            compensating drift is infinite there.

    >>> rectified_flow(10, churn=1.0).steps
    10
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if not (churn > 0 and np.isfinite(churn)):
        raise ValueError(
            f"churn must be positive, not {churn}: without churn the flow is an ODE, its transitions are points, and there "
            "is nothing to accept or reject. Use churn > 0 (1.0 is usual), or sample the ODE without speculation."
        )
    t = np.arange(steps + 1) / (steps + 1) if times is None else np.asarray(times, dtype=np.float64)
    if t.shape != (steps + 1,) or t[0] != 0.0 or not np.all(np.diff(t) > 0.0) or t[-1] > 1.0:
        raise ValueError(f"times must rise from 0 to at most 1 and have steps + 1 = {steps + 1} entries")
    if unknown := [k for k in deterministic if not 1 <= k <= steps]:
        raise ValueError(f"deterministic steps must lie in 1..{steps}, not {unknown}")
    churned = ~np.isin(np.arange(1, steps + 1), deterministic)
    if t[-1] == 1.0 and churned[-1]:
        raise ValueError(f"at t = 1 the drift that compensates churn is infinite: name step {steps} in deterministic=")
    h, end = np.diff(t), t[1:]
    left = np.where(churned, 1.0 - end, 1.0)
    heat = churn**2 * churned
    a, b = 1.0 - h * heat / left, -h * (1.0 + heat)
    one = np.ones(steps + 1)
    return Schedule("rectified-flow", "velocity", a, b, np.sqrt(2.0 * h * heat * end / left), 1.0 - t, t, one, one)


def edm(sigmas: np.ndarray, eta: float = 1.0) -> Schedule:
    """Ancestral steps between noise levels, x_k = x_0 + sigma_k xi. A step goes down to ``sigma_down`` and adds noise ``sigma_up``.

    With ``eta`` = 1 a step is the exact posterior of x_{k-1} given x_k and the predicted x_0. Sources: Karras, Aittala, Aila, Laine
    2022, "Elucidating the Design Space of Diffusion-Based Generative Models", for the noise levels; Crowson's k-diffusion,
    ``get_ancestral_step``, for the split into ``sigma_up`` and ``sigma_down``.

    Args:
        sigmas: sigma_0 = 0 < sigma_1 < ... < sigma_K, shape (K + 1,). The step to sigma_0 = 0 is deterministic.
        eta: in (0, 1], the share of the posterior's standard deviation that is fresh noise.

    >>> float(edm(karras_sigmas(10)).spread)
    80.0
    """
    levels = np.asarray(sigmas, dtype=np.float64)
    if levels.ndim != 1 or len(levels) < 3 or levels[0] != 0.0 or not np.all(np.diff(levels) > 0.0) or not np.isfinite(levels[-1]):
        raise ValueError("sigmas must be a vector that rises from sigma_0 = 0, with at least three entries")
    if not 0.0 < eta <= 1.0:
        raise ValueError(
            f"eta must lie in (0, 1], not {eta}: at 0 every step is deterministic, and there is nothing to speculate on"
        )
    now, following = levels[1:], levels[:-1]
    up = eta * following * np.sqrt(now**2 - following**2) / now
    down = np.sqrt(following**2 - up**2)
    one, zero = np.ones_like(levels), np.zeros_like(levels)
    return Schedule("edm-ancestral", "sample", down / now, 1.0 - down / now, up, one, levels, one, zero, spread=float(levels[-1]))


def karras_sigmas(steps: int, smallest: float = 0.002, largest: float = 80.0, rho: float = 7.0) -> np.ndarray:
    """The noise levels sigma_0 = 0 and sigma_1..sigma_K of Karras et al. 2022, equation 5: shape (K + 1,), rising.

    >>> karras_sigmas(3).round(3)
    array([0.000e+00, 2.000e-03, 2.515e+00, 8.000e+01])
    """
    ramp = np.linspace(0.0, 1.0, steps)
    return np.concatenate([[0.0], (smallest ** (1 / rho) + ramp * (largest ** (1 / rho) - smallest ** (1 / rho))) ** rho])


def langevin(steps: int, step_size: float, spread: float = 1.0) -> Schedule:
    """Unadjusted Langevin dynamics x - gamma grad U(x) + sqrt(2 gamma) z from x_K ~ N(0, spread^2 I). The prediction is grad U.

    Source: De Bortoli et al. 2025, "Accelerated Diffusion Models via Speculative Sampling", on Langevin dynamics.

    >>> langevin(3, step_size=0.02).sigma.round(3)
    array([0.2, 0.2, 0.2])
    """
    if not (step_size > 0 and np.isfinite(step_size)):
        raise ValueError(f"step_size must be positive, not {step_size}")
    if steps < 1 or not (spread > 0 and np.isfinite(spread)):
        raise ValueError(f"steps must be at least 1 and spread positive, not {steps} and {spread}")
    one, nothing = np.ones(steps), np.full(steps + 1, np.nan)
    sigma = np.full(steps, np.sqrt(2.0 * step_size))
    return Schedule("langevin", "gradient", one, -step_size * one, sigma, nothing, nothing, nothing, nothing, spread)


def cosine_betas(steps: int, largest: float = 0.999) -> np.ndarray:
    """The betas beta_1..beta_K of Nichol and Dhariwal 2021, "Improved DDPM", equation 17, with s = 0.008: shape (K,).

    >>> cosine_betas(3).round(3)
    array([0.257, 0.668, 0.999])
    """
    f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1.0 - f[1:] / f[:-1], largest)


def linear_betas(steps: int, smallest: float = 1e-4, largest: float = 0.02) -> np.ndarray:
    """The betas beta_1..beta_K of Ho, Jain, Abbeel 2020, section 4, stretched from 1,000 steps to ``steps``: shape (K,).

    >>> linear_betas(1000)[[0, -1]]
    array([0.0001, 0.02  ])
    """
    return np.linspace(smallest * 1000 / steps, min(largest * 1000 / steps, 0.999), steps)


def sigmoid_betas(steps: int, smallest: float = 1e-4, largest: float = 0.02) -> np.ndarray:
    """Betas that rise as a sigmoid over [-6, 6] (Xu et al. 2022, GeoDiff), stretched from 1,000 steps to ``steps``: shape (K,).

    >>> sigmoid_betas(1000).round(4)[[0, 500, -1]]
    array([0.0001, 0.0101, 0.02  ])
    """
    ramp = 1.0 / (1.0 + np.exp(-np.linspace(-6.0, 6.0, steps)))
    return np.minimum((smallest + ramp * (largest - smallest)) * 1000 / steps, 0.999)
