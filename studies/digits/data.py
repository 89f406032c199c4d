"""The pictures, noised pictures, chains of the target, and the losses that training and measuring share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from exactness_samplers.schedules import Schedule, cosine_betas, ddpm
from exactness_samplers.torch.networks import DIM, LEVELS, DigitsNetwork, Parameters, bumps, denoise
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.sequential import Sequential
from torch import Tensor

HELD_OUT = 360
STEPS = (30, 50, 100, 250)
LAGS = (1, 2, 4, 8, 16)
# Bands of log noise: below the first there is nothing left to learn, above the last there is nothing to see.
BANDS = ((-5.5, -3.0), (-3.0, -2.0), (-2.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, 6.5))


@cache
def pictures() -> tuple[Tensor, Tensor]:
    """Training (1437, 64) and held-out (360, 64) pictures with pixels in [-1, 1]. Both share writers."""
    from sklearn.datasets import load_digits

    every = load_digits().data / 8.0 - 1.0
    order = np.random.default_rng(0).permutation(len(every))
    put = lambda rows: torch.as_tensor(every[rows], dtype=torch.float32)  # noqa: E731
    return put(order[HELD_OUT:]), put(order[:HELD_OUT])


def levels(n: int, generator: torch.Generator) -> Tensor:
    """Log noise levels: a quarter anywhere, the others where there is most to learn."""
    anywhere = LEVELS[0] + (LEVELS[1] - LEVELS[0]) * torch.rand(n, generator=generator)
    middle = (-0.2 + torch.randn(n, generator=generator)).clamp(*LEVELS)
    return torch.where(torch.rand(n, generator=generator) < 0.25, anywhere, middle)


def noised(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    return clean + torch.exp(level)[:, None] * torch.randn(clean.shape, generator=generator)


def said(p: Parameters, level: Tensor, y: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    return denoise(p, bumps(level) @ p["modulate"], level, y, drop)


def band_losses(predict: Callable[[Tensor, Tensor], Tensor], clean: Tensor, repeats: int = 16, seed: int = 1) -> list[float]:
    """The mean squared error per pixel of ``predict(level, y)`` in each band. Every predictor sees the same noise."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for low, high in BANDS:
        rows = clean.repeat(repeats, 1)
        level = low + (high - low) * torch.rand(len(rows), generator=generator)
        y = noised(rows, level, generator)
        found.append(float(((predict(level, y) - rows) ** 2).mean()))
    return found


def empirical_bayes(train: Tensor, variance: float = 0.05) -> Callable[[Tensor, Tensor], Tensor]:
    """The closed-form denoiser, at any level, of the mixture with one component per picture: that of the catalogue's digits."""
    squares = (train**2).sum(1)

    def predict(level: Tensor, y: Tensor) -> Tensor:
        noise2 = torch.exp(2.0 * level)[:, None]
        share = torch.softmax((y @ train.T - 0.5 * squares) / (variance + noise2), 1)
        return (noise2 * (share @ train) + variance * y) / (variance + noise2)

    return predict


@dataclass(frozen=True)
class Chains:
    """Pilot chains of the target. ``x``, ``y`` and ``sample`` are (n, K, 64), ``level`` is (K,); entry k - 1 belongs to step k."""

    schedule: Schedule
    x: Tensor
    y: Tensor
    sample: Tensor
    level: Tensor


def pilots(arrays: dict[str, np.ndarray], n: int, seed: int, counts: tuple[int, ...] = STEPS) -> list[Chains]:
    """States and predictions of n chains of the target, for each number of steps and each variance of DDPM."""
    found = []
    for index, (steps, variance) in enumerate((k, v) for k in counts for v in ("small", "large")):
        schedule = ddpm(cosine_betas(steps), "small" if variance == "small" else "large")
        target = DigitsNetwork(schedule, arrays)
        generator = torch.Generator().manual_seed(1_000 * seed + index)
        run = Sequential(Process(schedule, target, "sample", DIM)).run(n, generator, dtype=torch.float32)
        x = run.paths[:, :-1].flip(1)
        sample = torch.stack([target(torch.full((n,), k + 1), x[:, k]) for k in range(steps)], 1)
        signal = torch.as_tensor(schedule.signal[1:], dtype=torch.float32)
        level = torch.as_tensor(np.log(schedule.noise[1:] / schedule.signal[1:]), dtype=torch.float32)
        found.append(Chains(schedule, x, x / signal[:, None], sample, level))
    return found


def trained(p: Parameters | dict[str, np.ndarray]) -> int:
    """The number of trained parameters; the mean, axes and variances of the pictures are not trained."""
    return sum(int(np.prod(value.shape)) for name, value in p.items() if name not in ("mean", "basis", "variances"))
