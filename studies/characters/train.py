"""The text and the training of both models."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.characters import ALPHABET, WINDOW, Shape, encode, reduced
from exactness_samplers.torch.characters import Parameters, logits
from torch import Tensor

from ..page import versions

LICENCE = "pydoc_data.topics of Python, Copyright Python Software Foundation, PSF License Agreement"
# Every tenth block of the text is held out.
BLOCK, EVERY = 4096, 10


@dataclass(frozen=True)
class Recipe:
    """``steps`` updates, each with ``batch`` windows of the text."""

    shape: Shape
    steps: int
    batch: int = 32
    rate: float = 4e-3
    decay: float = 0.02


TARGET = Recipe(Shape(2, 96, 160), steps=1200, rate=6e-3)
DRAFT = Recipe(Shape(1, 32, 96), steps=2400, rate=1e-2)


@cache
def text() -> tuple[Tensor, Tensor]:
    """The blocks of text for training and those that are held out, ids (m, 4096)."""
    from pydoc_data.topics import topics

    ids = torch.tensor(encode(reduced("\n\n".join(topics[name] for name in sorted(topics)))))
    blocks = ids[: len(ids) // BLOCK * BLOCK].view(-1, BLOCK)
    held = torch.arange(len(blocks)) % EVERY == EVERY - 1
    return blocks[~held], blocks[held]


def fresh(shape: Shape, generator: torch.Generator) -> Parameters:
    """Random matrices of a size that keeps what passes through them; norms begin at one."""
    return {
        name: torch.ones(size) if len(size) == 1 else torch.randn(size, generator=generator) * (0.5 / size[-1] ** 0.5)
        for name, size in shape.arrays().items()
    }


def loss(p: Parameters, shape: Shape, windows: Tensor) -> Tensor:
    """Nats per character of windows (n, 65): each predicts its last 64."""
    found = logits(p, shape, windows[:, :-1])
    return torch.nn.functional.cross_entropy(found.reshape(-1, len(ALPHABET)), windows[:, 1:].reshape(-1))


def fit(recipe: Recipe, blocks: Tensor, seed: int) -> Parameters:
    """AdamW with a warm-up and a cosine. The parameters are rounded to half precision at the end."""
    generator = torch.Generator().manual_seed(seed)
    p = {name: value.requires_grad_() for name, value in fresh(recipe.shape, generator).items()}
    optimiser = torch.optim.AdamW(p.values(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay, fused=True)
    running = 0.0
    for step in range(1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, step / 100) * (0.51 + 0.49 * np.cos(np.pi * step / recipe.steps))
        row = torch.randint(len(blocks), (recipe.batch, 1), generator=generator)
        start = torch.randint(BLOCK - WINDOW, (recipe.batch, 1), generator=generator)
        found = loss(p, recipe.shape, blocks[row, start + torch.arange(WINDOW + 1)])
        optimiser.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        optimiser.step()
        running += found.item() / np.log(2.0)
        if step % 200 == 0:
            print(step, round(running / 200, 3), flush=True)
            running = 0.0
    return {name: value.detach().half() for name, value in p.items()}


def train(folder: Path, recipes: tuple[Recipe, Recipe] = (TARGET, DRAFT)) -> None:
    """Train both models and save them in this folder."""
    from safetensors.numpy import save_file

    blocks, _ = text()
    for seed, (name, recipe) in enumerate(zip((weights.CHARACTERS, weights.CHARACTERS_DRAFT), recipes, strict=True)):
        began = time.perf_counter()
        p = fit(recipe, blocks, seed)
        said = {"command": "python -m studies.characters", "versions": versions("torch", "numpy"), "data": LICENCE}
        said |= {"seconds": f"{time.perf_counter() - began:.0f}", "characters": str(blocks.numel())}
        said |= {"recipe": json.dumps({"steps": recipe.steps, "batch": recipe.batch, "rate": recipe.rate}), "format": "pt"}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.safetensors"
        save_file({key: np.ascontiguousarray(value.numpy()) for key, value in p.items()}, file, metadata=said)
        file.chmod(0o644)  # safetensors writes files that only their owner may read, and an installed package is for everybody.
