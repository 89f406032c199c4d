"""The schedulers as they are set up, the mixtures, and their exact denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from exactness_samplers.schedules import Schedule
from exactness_samplers.torch.denoisers import MixtureDenoiser
from torch import Tensor

import exactness as ex
from exactness.adapters import sample_scheduler

_SLICE = 10_000

# The class, its settings, and the options of step(). Nothing is clipped, because a clipped mixture is no mixture.
SCHEDULERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "DDPM": ("DDPMScheduler", {"clip_sample": False}, {}),
    "DDIM, eta 1": ("DDIMScheduler", {"clip_sample": False}, {"eta": 1.0}),
    "DDIM, eta 0": ("DDIMScheduler", {"clip_sample": False}, {}),
    "PNDM": ("PNDMScheduler", {}, {}),
    "DEIS": ("DEISMultistepScheduler", {}, {}),
    "DPM-Solver++": ("DPMSolverMultistepScheduler", {}, {}),
    "SDE-DPM-Solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}),
    "UniPC": ("UniPCMultistepScheduler", {}, {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}, {}),
}
# The schedulers whose states have the scale of DDPM's, or can be brought to it.
STOCHASTIC = ("DDPM", "DDIM, eta 1", "Euler ancestral", "SDE-DPM-Solver++")


def laws() -> dict[str, ex.GaussianMixture]:
    angles = np.arange(8) * np.pi / 4
    return {
        "three modes": ex.GaussianMixture([0.5, 0.3, 0.2], [[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], [0.02, 0.05, 0.1]),
        "ring": ex.GaussianMixture(np.full(8, 0.125), 1.5 * np.stack([np.cos(angles), np.sin(angles)], 1), np.full(8, 0.01)),
    }


def scheduler(name: str, **more: Any) -> Any:
    import diffusers

    kind, settings, _ = SCHEDULERS[name]
    return getattr(diffusers, kind)(**{**settings, **more})


def denoiser(law: ex.GaussianMixture, of: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """``model(x, t)``: the noise that the mixture's exact denoiser predicts at the timesteps that are set, fractions included."""
    train = of.alphas_cumprod.double().numpy()
    times = np.unique(of.timesteps.double().numpy())
    # Between training steps the noise level in units of the signal is interpolated, as Euler's scheduler does.
    level = np.interp(times, np.arange(len(train)), np.sqrt((1.0 - train) / train))
    signal, noise = 1.0 / np.sqrt(1.0 + level**2), level / np.sqrt(1.0 + level**2)
    nothing = np.full(len(times), np.nan)
    schedule = Schedule("timesteps", "sample", nothing, nothing, nothing, signal, noise, nothing, nothing)
    clean = MixtureDenoiser(schedule, law.weights, law.means, law.covariances)

    def model(x: Tensor, t: Tensor) -> Tensor:
        i = int(np.argmin(np.abs(times - float(t))))
        at = torch.full((len(x),), i)
        return (x - float(signal[i]) * clean(at, x)) / float(noise[i])

    return model


def build(name: str, law: ex.GaussianMixture, steps: int, **more: Any) -> tuple[Any, Callable[[Tensor, Tensor], Tensor]]:
    """The scheduler with its timesteps set, and the exact model at these timesteps."""
    of = scheduler(name, **more)
    of.set_timesteps(steps)
    return of, denoiser(law, of)


def finals(name: str, law: ex.GaussianMixture, steps: int, n: int, seed: int, **more: Any) -> tuple[Tensor, int]:
    """Final samples (n, 2), and the number of calls of the model for each."""
    of, model = build(name, law, steps, **more)
    calls = 0

    def counting(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return model(x, t)

    draw = sample_scheduler(of, counting, (2,), options=SCHEDULERS[name][2])
    # The draw gives whole paths, of which only the last states are kept: slice by slice, each with its own seed.
    slices = -(-n // _SLICE)
    x = torch.cat([draw(min(_SLICE, n - i * _SLICE), seed + i)[:, -1] for i in range(slices)])
    return x, calls // slices
