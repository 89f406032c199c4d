"""The laws of the catalogue, each with the process that samples it and a coarse model of it to draft with.

Everything is closed form: a mixture's denoiser is its posterior mean. The digits are the 1,797 handwritten ones that
scikit-learn ships (E. Alpaydin and C. Kaynak, UCI "Optical Recognition of Handwritten Digits", 1998), taken as the mixture
with one component a picture, whose denoiser is the exact empirical-Bayes denoiser of real data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..laws import GaussianChain, GaussianMixture, GridLaw, Law, ProductLaw, chain_marginals
from ..plan import Plan

if TYPE_CHECKING:
    from samplers.schedules import Schedule
    from samplers.torch.processes import Predict, Process

Labels = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """``law`` of what ``process`` samples; ``coarse`` is a cheaper prediction of the same kind; ``window`` is the usual one.

    ``labels(n, seed)``, if any, gives each chain its condition. ``output_only``: the law speaks of last states, not of
    paths. ``dtype`` is that of the samplers' states.
    """

    name: str
    about: str
    law: Law
    process: Process
    coarse: Predict
    window: int
    plan: Plan
    labels: Labels | None = None
    output_only: bool = False
    dtype: str = "float64"


_BUDGET = Plan(alpha=1e-6, tolerance=0.08, first_paths=1_250, max_paths=10_000)


@cache
def two_modes() -> Problem:
    """Two modes on the line; the law of x_0 is known by grid propagation, so last states are tested too."""
    from samplers.schedules import cosine_betas, ddpm

    schedule = ddpm(cosine_betas(32))
    weights, means, variances = [0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2]
    final = _line_law(schedule, weights, np.ravel(means), variances)
    return _mixture_problem(
        "two-modes", "two modes in one dimension, DDPM, 32 steps", schedule, weights, means, variances, window=5, final=final
    )


@cache
def ring() -> Problem:
    """Eight Gaussians on a circle of radius 2."""
    from samplers.schedules import cosine_betas, ddpm

    angle = np.arange(8) * np.pi / 4
    means = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _mixture_problem(
        "ring", "eight Gaussians on a ring in the plane, DDPM, 40 steps", ddpm(cosine_betas(40)),
        np.full(8, 1 / 8), means, np.full(8, 0.02), window=6, few=2,
    )  # fmt: skip


@cache
def grid() -> Problem:
    """Twenty-five Gaussians on a 5 x 5 grid, of unequal diagonal covariances, by churned rectified flow."""
    from samplers.schedules import rectified_flow

    axis = np.linspace(-2.0, 2.0, 5)
    means = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(25, 2)
    spread = np.stack([np.linspace(0.02, 0.06, 25), np.linspace(0.06, 0.02, 25)], axis=1)
    weights = np.arange(1, 26) / 325.0
    return _mixture_problem(
        "grid", "25 Gaussians on a grid in the plane, churned rectified flow, 40 steps", rectified_flow(40, churn=1.0),
        weights, means, spread, window=6, few=5,
    )  # fmt: skip


@cache
def product() -> Problem:
    """Thirty-two independent one-dimensional mixtures, rotated: the joint law of x_0 is known in d = 32."""
    from samplers.schedules import cosine_betas, ddpm
    from samplers.torch.denoisers import MixtureDenoiser, ProductDenoiser
    from samplers.torch.processes import Process

    dim, kinds = 32, 4
    schedule = ddpm(cosine_betas(40))
    weights = np.array([[0.3, 0.7], [0.5, 0.5], [0.8, 0.2], [0.6, 0.4]])
    means = np.array([[2.0, -1.0], [1.5, -1.5], [-0.5, 2.0], [0.8, -1.2]])
    variances = np.array([[0.1, 0.2], [0.15, 0.15], [0.2, 0.1], [0.3, 0.1]])
    rotation = np.linalg.qr(np.random.default_rng(32).standard_normal((dim, dim)))[0]
    laws = [_line_law(schedule, weights[i], means[i], variances[i]) for i in range(kinds)]
    kind = np.arange(dim) % kinds
    denoiser = ProductDenoiser(schedule, weights[kind], means[kind], variances[kind], rotation)
    centre = rotation @ (weights * means).sum(1)[kind]
    spread = float(((weights * (variances + means**2)).sum(1) - (weights * means).sum(1) ** 2).mean())
    process = Process(schedule, denoiser, "sample", dim)
    final = ProductLaw([laws[k] for k in kind], rotation)
    coarse = MixtureDenoiser(schedule, np.ones(1), centre[None], np.array([spread]))
    about = "rotated product of 32 one-dimensional mixtures, DDPM, 40 steps"
    return Problem("product", about, _chain(process, "product", final), process, coarse, 5, _BUDGET, dtype="float32")


@cache
def digits() -> Problem:
    """One component a picture, standard deviation 0.22 on pixels scaled to [-1, 1]."""
    from sklearn.datasets import load_digits

    from samplers.schedules import cosine_betas, ddpm

    pictures = load_digits().data / 8.0 - 1.0
    count = len(pictures)
    return _mixture_problem(
        "digits", "1,797 handwritten digits in 64 dimensions, DDPM with small variance, 50 steps",
        ddpm(cosine_betas(50), "small"), np.full(count, 1 / count), pictures, np.full(count, 0.05), window=6,
        plan=Plan(alpha=1e-6, tolerance=0.18, first_paths=500, max_paths=2_000), dtype="float32",
    )  # fmt: skip


@cache
def labelled() -> Problem:
    """The ring again, each chain knowing its component: x_0 has the law of the mixture exactly, whatever K is."""
    from samplers.schedules import cosine_betas, gaussian_reverse
    from samplers.torch.denoisers import LabelledDenoiser
    from samplers.torch.processes import Process

    angle, variance, components = np.arange(8) * np.pi / 4, 0.1, 8
    means = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    weights = np.arange(1, components + 1) / 36.0
    betas = cosine_betas(20, largest=0.9)
    schedule = gaussian_reverse(betas, variance)
    signal, noise = float(schedule.signal[-1]), float(schedule.noise[-1])

    def start(z, condition):  # type: ignore[no-untyped-def]
        import torch

        centre = torch.as_tensor(means, dtype=z.dtype, device=z.device)[condition]
        return signal * centre + np.sqrt(signal**2 * variance + noise**2) * z

    def labels(n: int, seed: int) -> np.ndarray:
        return np.random.default_rng([seed, 1]).choice(components, size=n, p=weights)

    process = Process(schedule, LabelledDenoiser(schedule, means, variance), "sample", 2, start)
    coarse = LabelledDenoiser(schedule, 0.5 * means, variance)
    law = GaussianMixture(weights, means, np.full(components, variance))
    about = "labelled mixture: a chain for each component, exact for every number of steps (20 here); last states"
    return Problem("labelled", about, law, process, coarse, 5, _BUDGET, labels, output_only=True)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "two-modes": two_modes,
    "ring": ring,
    "grid": grid,
    "product": product,
    "digits": digits,
    "labelled": labelled,
}


def _mixture_problem(
    name: str, about: str, schedule: Schedule, weights: object, means: object, covariances: object, *, window: int,
    few: int = 0, final: Law | None = None, plan: Plan = _BUDGET, dtype: str = "float64",
) -> Problem:  # fmt: skip
    """A chain whose prediction is the mixture's posterior mean. The coarse model is the mixture of its first ``few``
    components, or the Gaussian of the same moments."""
    from samplers.torch.denoisers import MixtureDenoiser
    from samplers.torch.processes import Process

    w, m, v = (np.asarray(x, dtype=np.float64) for x in (weights, means, covariances))
    process = Process(schedule, MixtureDenoiser(schedule, w, m, v), "sample", m.shape[1])
    centre = w @ m
    spread = float((w @ ((m - centre) ** 2)).mean() + np.average(v.reshape(len(w), -1).mean(1), weights=w))
    if few:
        coarse = MixtureDenoiser(schedule, w[:few] / w[:few].sum(), m[:few], v[:few])
    else:
        coarse = MixtureDenoiser(schedule, np.ones(1), centre[None], np.array([spread]))
    return Problem(name, about, _chain(process, name, final), process, coarse, window, plan, dtype=dtype)


def _chain(process: Process, name: str, final: Law | None) -> GaussianChain:
    """The judge's side: the same prediction and schedule as a law."""
    a, b = process.schedule.coefficients(process.kind)

    def predict(k: int, x):  # type: ignore[no-untyped-def]
        return process.predict(x.new_full((len(x),), k).long(), x, None)

    return GaussianChain(predict, a=a, b=b, sigma=process.schedule.sigma, dim=process.dim, final=final, name=name)


def _line_law(schedule: Schedule, weights: object, means: object, variances: object) -> GridLaw:
    """The exact law of x_0 of a one-dimensional chain. The denoiser is written again here, in numpy: a second reading."""
    w, m, v = (np.asarray(x, dtype=np.float64) for x in (weights, means, variances))
    a, b = schedule.coefficients("sample")

    def mean(k: int, x: np.ndarray) -> np.ndarray:
        signal, noise = schedule.signal[k], schedule.noise[k]
        variance = signal**2 * v + noise**2
        offset = x[:, None] - signal * m
        log_joint = np.log(w) - 0.5 * (offset**2 / variance + np.log(variance))
        share = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return a[k - 1] * x + b[k - 1] * (share * (m + signal * v / variance * offset)).sum(axis=1)

    return chain_marginals(mean, schedule.sigma)[-1]
