"""The numbers of the page: how well the models predict text, and how much they agree. Nothing is trained here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.characters import PROMPTS, WINDOW, decode, encode
from exactness_samplers.torch.characters import Characters
from exactness_samplers.torch.token_sampling import TokenSampler
from torch import Tensor

from .train import text


def windows(blocks: Tensor) -> Tensor:
    """Windows of 65 characters that do not overlap, (n, 65)."""
    return blocks[:, : blocks.shape[1] // (WINDOW + 1) * (WINDOW + 1)].reshape(-1, WINDOW + 1)


def bits(model: Characters, rows: Tensor) -> float:
    """The mean number of bits per character of windows (n, 65), each of which predicts its last 64."""
    logs = model.score(rows[:, :-1]).gather(2, rows[:, 1:, None])
    return float(-logs.double().mean() / np.log(2.0))


def overlap(target: Characters, draft: Characters, rows: Tensor) -> float:
    """The mean of the sum of min(p, q): the share of drafts that are accepted one by one."""
    p, q = (model.score(rows[:, :-1]).exp() for model in (target, draft))
    return float(torch.minimum(p, q).sum(2).double().mean())


def measured(folder: Path) -> dict[str, Any]:
    """All numbers of the page, for the weights in a folder."""
    loaded = [weights.load(folder / f"{name}.safetensors") for name in (weights.CHARACTERS, weights.CHARACTERS_DRAFT)]
    target, draft = (Characters(of.arrays) for of in loaded)
    train, held_out = (windows(blocks) for blocks in text())
    rows = held_out[:512]
    seconds = []
    for model in (target, draft):
        model.score(rows[:, :-1])
        began = time.perf_counter()
        model.score(rows[:, :-1])
        seconds.append((time.perf_counter() - began) / rows[:, :-1].numel())
    run = TokenSampler(target.law, 56, prompts=[encode(prompt) for prompt in PROMPTS]).sample(len(PROMPTS), seed=0)
    return {
        "models": [
            {
                "name": name,
                "parameters": sum(int(np.prod(size)) for size in model.shape.arrays().values()),
                "bytes": (folder / f"{name}.safetensors").stat().st_size,
                "seconds": of.metadata["seconds"],
                "bits": (bits(model, train[::9]), bits(model, held_out)),
                "cost": cost,
            }
            for name, model, of, cost in zip(("characters", "characters_draft"), (target, draft), loaded, seconds, strict=True)
        ],
        "versions": loaded[0].metadata["versions"],
        "split": (train.numel(), held_out.numel()),
        "overlap": overlap(target, draft, held_out),
        "texts": [prompt + decode(row) for prompt, row in zip(PROMPTS, run.tokens.tolist(), strict=True)],
    }
