"""The laws of the catalogue. Each has the process that samples it, and a coarse model that makes drafts.

A law is described once, in numpy, and built from the samplers of either backend. Everything is in closed form, because the denoiser
of a mixture is its posterior mean. The digits are the 1,797 handwritten digits of scikit-learn (E. Alpaydin and C. Kaynak, UCI
"Optical Recognition of Handwritten Digits", 1998). Their law is the mixture with one component per picture, whose denoiser is the
exact empirical-Bayes denoiser of real data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..laws import GaussianChain, GaussianMixture, GridLaw, Law, ProductLaw, chain_marginals
from ..plan import Plan
from .backends import Backend, backend

if TYPE_CHECKING:
    from exactness_samplers.forecast import Forecast
    from exactness_samplers.schedules import Schedule

Labels = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Model:
    """A model: ``name`` is its name in ``exactness_samplers.<backend>.<module>``, ``arguments`` are those after the schedule."""

    name: str
    arguments: tuple[Any, ...] = ()
    module: str = "denoisers"

    def build(self, of: Backend, schedule: Schedule) -> Any:
        return getattr(of.part(self.module), self.name)(schedule, *self.arguments)


@dataclass(frozen=True)
class Description:
    """The description of a law and of the process that samples it.

    Attributes:
        name, about: the name of the law, and a line about it.
        schedule, dim: the schedule of the process, and the dimension d of its states.
        model, coarse: the prediction of the clean sample, and a cheaper one for drafts.
        window: the usual number of steps in a window.
        variance, centre: the variance within a component, and the mean (d,) of the whole law. The forecast of the posterior
            drafters needs them.
        plan: the default plan.
        final: the law of x_0, if it is known in addition to the law of the paths.
        outputs: the law of the last states, if they are judged instead of paths.
        labels: a function ``labels(n, seed)`` that gives each chain its condition, if there are conditions.
        starts: the means and the standard deviation of the starts. A chain with label c starts around ``starts[0][c]``.
        dtype: the dtype of the samplers' states.
        ahead: a network that forecasts the model's prediction.
    """

    name: str
    about: str
    schedule: Schedule
    model: Model
    coarse: Model
    dim: int
    window: int
    variance: float
    centre: np.ndarray
    plan: Plan
    final: Law | None = None
    outputs: Law | None = None
    labels: Labels | None = None
    starts: tuple[np.ndarray, float] | None = None
    dtype: str = "float64"
    ahead: Model | None = None


@dataclass(frozen=True)
class Problem:
    """A law that was built from its description. ``process`` and ``coarse`` belong to ``backend``; ``law`` is what they sample."""

    described: Description
    backend: Backend
    law: Law
    process: Any
    coarse: Any
    forecast: Forecast
    ahead: Any


@cache
def problem(name: str, backend_name: str = "torch") -> Problem:
    """Build the law of this name. Raises ``BadInput`` if the backend is missing, ``ModuleNotFoundError`` if its data are."""
    from exactness_samplers.forecast import Forecast

    of = backend(backend_name)
    described = DESCRIPTIONS[name]()
    schedule = described.schedule
    start = None
    if described.starts is not None:
        centres, spread = described.starts

        def start(z: Any, condition: Any) -> Any:
            return of.beside(centres, z)[condition] + spread * z

    process = of.part("processes").Process(schedule, described.model.build(of, schedule), "sample", described.dim, start)
    law = described.outputs
    if law is None:
        a, b = schedule.coefficients("sample")
        # For the judge, the same prediction and schedule make a law.
        predict = of.at_step(process.predict)
        law = GaussianChain(predict, a=a, b=b, sigma=schedule.sigma, dim=described.dim, final=described.final, name=name)
    forecast = Forecast.within(schedule, described.variance, described.centre)
    ahead = None if described.ahead is None else described.ahead.build(of, schedule)
    return Problem(described, of, law, process, described.coarse.build(of, schedule), forecast, ahead)


# Most certificates are made of 5,000 paths, and those of the digits of 2,000. The calls then just suffice for the tolerance: a call
# costs a speculative sampler some 20 milliseconds, however few paths it makes.
_BUDGET = Plan(alpha=1e-6, tolerance=0.08, first_paths=1_250, max_paths=10_000, per_call=30)
_BUDGET_OF_DIGITS = Plan(alpha=1e-6, tolerance=0.13, first_paths=500, max_paths=2_000, per_call=20)


def two_modes() -> Description:
    """Two modes on the line. The law of x_0 is known by propagation on a grid, so last states are tested too."""
    from exactness_samplers.schedules import cosine_betas, ddpm

    schedule = ddpm(cosine_betas(32))
    weights, means, variances = [0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2]
    final = _line_law(schedule, weights, np.ravel(means), variances)
    return _mixture(
        "two-modes", "two modes in one dimension, DDPM, 32 steps", schedule, weights, means, variances, window=5, final=final
    )


def ring() -> Description:
    """Eight Gaussians on a circle of radius 2."""
    from exactness_samplers.schedules import cosine_betas, ddpm

    angle = np.arange(8) * np.pi / 4
    means = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _mixture(
        "ring", "eight Gaussians on a ring in the plane, DDPM, 40 steps", ddpm(cosine_betas(40)),
        np.full(8, 1 / 8), means, np.full(8, 0.02), window=6, few=2,
    )  # fmt: skip


def grid() -> Description:
    """Twenty-five Gaussians on a 5 x 5 grid with different diagonal covariances, sampled by churned rectified flow."""
    from exactness_samplers.schedules import rectified_flow

    axis = np.linspace(-2.0, 2.0, 5)
    means = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(25, 2)
    spread = np.stack([np.linspace(0.02, 0.06, 25), np.linspace(0.06, 0.02, 25)], axis=1)
    weights = np.arange(1, 26) / 325.0
    return _mixture(
        "grid", "25 Gaussians on a grid in the plane, churned rectified flow, 40 steps", rectified_flow(40, churn=1.0),
        weights, means, spread, window=6, few=5,
    )  # fmt: skip


def product() -> Description:
    """A rotated product of 32 independent one-dimensional mixtures. The joint law of x_0 is known in d = 32."""
    from exactness_samplers.schedules import cosine_betas, ddpm

    dim, kinds = 32, 4
    schedule = ddpm(cosine_betas(40))
    weights = np.array([[0.3, 0.7], [0.5, 0.5], [0.8, 0.2], [0.6, 0.4]])
    means = np.array([[2.0, -1.0], [1.5, -1.5], [-0.5, 2.0], [0.8, -1.2]])
    variances = np.array([[0.1, 0.2], [0.15, 0.15], [0.2, 0.1], [0.3, 0.1]])
    rotation = np.linalg.qr(np.random.default_rng(32).standard_normal((dim, dim)))[0]
    laws = [_line_law(schedule, weights[i], means[i], variances[i]) for i in range(kinds)]
    kind = np.arange(dim) % kinds
    centre = rotation @ (weights * means).sum(1)[kind]
    spread = float(((weights * (variances + means**2)).sum(1) - (weights * means).sum(1) ** 2).mean())
    return Description(
        "product", "rotated product of 32 one-dimensional mixtures, DDPM, 40 steps", schedule,
        Model("ProductDenoiser", (weights[kind], means[kind], variances[kind], rotation)),
        Model("MixtureDenoiser", (np.ones(1), centre[None], np.array([spread]))), dim, window=5,
        variance=float((weights * variances).sum(1).mean()), centre=centre, plan=_BUDGET,
        final=ProductLaw([laws[k] for k in kind], rotation), dtype="float32",
    )  # fmt: skip


def digits() -> Description:
    """A mixture with one component per picture, with standard deviation 0.22 on pixels scaled to [-1, 1]."""
    from exactness_samplers.schedules import cosine_betas, ddpm
    from sklearn.datasets import load_digits

    pictures = load_digits().data / 8.0 - 1.0
    count = len(pictures)
    return _mixture(
        "digits", "1,797 handwritten digits in 64 dimensions, DDPM with small variance, 50 steps",
        ddpm(cosine_betas(50), "small"), np.full(count, 1 / count), pictures, np.full(count, 0.05), window=6,
        plan=_BUDGET_OF_DIGITS, dtype="float32",
    )  # fmt: skip


def network() -> Description:
    """A network trained on the digits, see `samplers/exactness_digits`. Only the law of its innovations is known."""
    from exactness_samplers.schedules import cosine_betas, ddpm
    from sklearn.datasets import load_digits

    return Description(
        "network", "a trained network of handwritten digits in 64 dimensions, DDPM with small variance, 50 steps",
        ddpm(cosine_betas(50), "small"), Model("digits_network", module="networks"),
        Model("digits_distilled", module="networks"), 64, window=6, variance=0.05, centre=load_digits().data.mean(0) / 8.0 - 1.0,
        plan=_BUDGET_OF_DIGITS, dtype="float32",
        ahead=Model("digits_ahead", module="networks"),
    )  # fmt: skip


def labelled() -> Description:
    """The ring, with chains that know their component. So x_0 has exactly the law of the mixture, whatever K is."""
    from exactness_samplers.schedules import cosine_betas, gaussian_reverse

    angle, variance, components = np.arange(8) * np.pi / 4, 0.1, 8
    means = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    weights = np.arange(1, components + 1) / 36.0
    schedule = gaussian_reverse(cosine_betas(20, largest=0.9), variance)
    signal, noise = float(schedule.signal[-1]), float(schedule.noise[-1])

    def labels(n: int, seed: int) -> np.ndarray:
        return np.random.default_rng([seed, 1]).choice(components, size=n, p=weights)

    return Description(
        "labelled", "labelled mixture: a chain for each component, exact for every number of steps (20 here); last states",
        schedule, Model("LabelledDenoiser", (means, variance)), Model("LabelledDenoiser", (0.5 * means, variance)), 2, window=5,
        variance=variance, centre=weights @ means, plan=_BUDGET,
        outputs=GaussianMixture(weights, means, np.full(components, variance)), labels=labels,
        starts=(signal * means, float(np.sqrt(signal**2 * variance + noise**2))),
    )  # fmt: skip


DESCRIPTIONS: dict[str, Callable[[], Description]] = {
    "two-modes": two_modes,
    "ring": ring,
    "grid": grid,
    "product": product,
    "digits": digits,
    "network": network,
    "labelled": labelled,
}

PROBLEMS: dict[str, Callable[..., Problem]] = {name: partial(problem, name) for name in DESCRIPTIONS}


def _mixture(
    name: str, about: str, schedule: Schedule, weights: object, means: object, covariances: object, *, window: int,
    few: int = 0, final: Law | None = None, plan: Plan = _BUDGET, dtype: str = "float64",
) -> Description:  # fmt: skip
    """A chain whose prediction is the posterior mean of a mixture.

    The coarse model is the mixture of the first ``few`` components, or, if ``few`` is 0, a Gaussian with the same moments.
    """
    w, m, v = (np.asarray(x, dtype=np.float64) for x in (weights, means, covariances))
    centre = w @ m
    within = float(np.average(v.reshape(len(w), -1).mean(1), weights=w))
    spread = float((w @ ((m - centre) ** 2)).mean()) + within
    coarse = (w[:few] / w[:few].sum(), m[:few], v[:few]) if few else (np.ones(1), centre[None], np.array([spread]))
    return Description(
        name, about, schedule, Model("MixtureDenoiser", (w, m, v)), Model("MixtureDenoiser", coarse), m.shape[1], window,
        within, centre, plan, final, dtype=dtype,
    )  # fmt: skip


def _line_law(schedule: Schedule, weights: object, means: object, variances: object) -> GridLaw:
    """The exact law of x_0 of a one-dimensional chain. The denoiser is written a second time here, in numpy, as a check."""
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
