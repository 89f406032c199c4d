"""How the networks are fitted: recipes, first parameters, and the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from exactness_samplers.torch.networks import BUMPS, Parameters
from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """``steps`` updates with ``batch`` rows each, of a perceptron with this ``width`` and number of ``blocks``."""

    steps: int
    batch: int
    width: int
    blocks: int
    rate: float = 2e-3
    decay: float = 0.05
    dropout: float = 0.0


TARGET = Recipe(steps=24_000, batch=256, width=192, blocks=3, dropout=0.2)
DISTILLED = Recipe(steps=12_000, batch=512, width=80, blocks=1)
AHEAD = Recipe(steps=12_000, batch=512, width=80, blocks=1)


def axes(train: Tensor) -> Parameters:
    """Mean, principal axes and variances. A floor keeps the variances above 0, because some pixels never change."""
    values, vectors = np.linalg.eigh(np.cov(train.numpy().T.astype(np.float64)))
    found = {"mean": train.mean(0), "basis": torch.as_tensor(vectors), "variances": torch.as_tensor(np.maximum(values, 1e-3))}
    return {name: value.float() for name, value in found.items()}


def fresh(recipe: Recipe, generator: torch.Generator, *, inputs: int, outputs: int, bases: bool) -> Parameters:
    """Random parameters; the last layer starts at zero."""
    width, blocks = recipe.width, recipe.blocks
    normal = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    p = {
        "enter": normal(inputs, width) / inputs**0.5,
        "enter_bias": torch.zeros(width),
        "up": normal(blocks, width, width) / width**0.5,
        "up_bias": torch.zeros(blocks, width),
        "down": 0.3 * normal(blocks, width, width) / width**0.5,
        "down_bias": torch.zeros(blocks, width),
        "leave": torch.zeros(width, outputs),
        "leave_bias": torch.zeros(outputs),
        "modulate": 0.05 * normal(BUMPS, 2 * blocks * width),
    }
    return p | ({"modulate_base": 0.05 * normal(BUMPS, 2 * blocks * width)} if bases else {})


def fit(
    start: Parameters, recipe: Recipe, loss: Callable[[Parameters], Tensor], watch: Callable[[Parameters, int], None]
) -> Parameters:
    """AdamW with warm-up and a cosine. Returns the exponential moving average, which ``watch`` sees twelve times on the way."""
    p = {name: value.clone().requires_grad_() for name, value in start.items()}
    mean = {name: value.clone() for name, value in start.items()}
    optimiser = torch.optim.AdamW(p.values(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=recipe.decay)
    for step in range(1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, step / 200) * (0.505 + 0.495 * np.cos(np.pi * step / recipe.steps))
        optimiser.zero_grad()
        loss(p).backward()
        optimiser.step()
        with torch.no_grad():
            for name, value in p.items():
                mean[name].lerp_(value, 1.0 - min(0.999, step / (step + 9)))
            if step % (recipe.steps // 12) == 0:
                watch(mean, step)
    return mean
