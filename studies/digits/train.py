"""Training: first the target, then the two drafters, which learn from the target alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.torch.networks import DIM, Parameters, bumps, foresee
from torch import Tensor

from ..page import versions
from .data import BANDS, LAGS, Chains, band_losses, levels, noised, pictures, pilots, said, trained
from .recipes import AHEAD, DISTILLED, TARGET, Recipe, axes, fit, fresh

LICENCE = "digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, CC BY 4.0 (by scikit-learn)"


def importance(level: Tensor) -> Tensor:
    """Karras et al. 2022, section 5: the reciprocal of the scale of F, here with one pixel variance, 0.3, for all axes."""
    return torch.exp(-2.0 * level) + 1.0 / 0.3


def carried(p: Parameters, level: Tensor, y: Tensor, base_level: Tensor, base_y: Tensor, base_sample: Tensor) -> Tensor:
    modulation = bumps(level) @ p["modulate"] + bumps(base_level) @ p["modulate_base"]
    return foresee(p, modulation, level, y, base_level, base_y, base_sample)


def train_target(train: Tensor, held_out: Tensor, recipe: Recipe = TARGET, seed: int = 0) -> tuple[Parameters, list[dict]]:
    generator = torch.Generator().manual_seed(seed)
    fixed = axes(train)
    curve: list[dict] = []
    keep = 1.0 - recipe.dropout

    def drop(inner: Tensor) -> Tensor:
        return inner * (torch.rand(inner.shape, generator=generator) < keep) / keep

    def loss(p: Parameters) -> Tensor:
        clean = train[torch.randint(len(train), (recipe.batch,), generator=generator)]
        level = levels(recipe.batch, generator)
        error = (said(p | fixed, level, noised(clean, level, generator), drop) - clean) ** 2
        return (error.mean(1) * importance(level)).mean()

    def watch(p: Parameters, step: int) -> None:
        predict = lambda level, y: said(p | fixed, level, y)  # noqa: E731
        seen, unseen = band_losses(predict, train, 4), band_losses(predict, held_out)
        print(step, np.round(seen, 4), np.round(unseen, 4), flush=True)
        curve.append({"step": step, "train": seen, "held_out": unseen})

    found = fit(fresh(recipe, generator, inputs=DIM, outputs=DIM, bases=False), recipe, loss, watch)
    return found | fixed, curve


def train_distilled(
    train: Tensor, target: Parameters, chains: list[Chains], recipe: Recipe = DISTILLED, seed: int = 1
) -> Parameters:
    """Half of every batch comes from the target's own chains, half from the forward process."""
    generator = torch.Generator().manual_seed(seed)
    fixed = {name: target[name] for name in ("mean", "basis", "variances")}
    share = recipe.batch // (2 * len(chains))

    def loss(p: Parameters) -> Tensor:
        rows = recipe.batch // 2
        level = levels(rows, generator)
        y = noised(train[torch.randint(len(train), (rows,), generator=generator)], level, generator)
        with torch.no_grad():
            batch = [(level, y, said(target, level, y))]
        for of in chains:
            n, k = (torch.randint(size, (share,), generator=generator) for size in of.y.shape[:2])
            batch.append((of.level[k], of.y[n, k], of.sample[n, k]))
        level, y, wanted = (torch.cat(parts) for parts in zip(*batch, strict=True))
        return (((said(p | fixed, level, y) - wanted) ** 2).mean(1) * importance(level)).mean()

    found = fit(fresh(recipe, generator, inputs=DIM, outputs=DIM, bases=False), recipe, loss, lambda p, step: None)
    return found | fixed


def train_ahead(target: Parameters, chains: list[Chains], recipe: Recipe = AHEAD, seed: int = 2) -> Parameters:
    """Every batch holds pairs of states of one chain, 1 to 16 steps apart."""
    generator = torch.Generator().manual_seed(seed)
    fixed = {name: target[name] for name in ("mean", "basis", "variances")}
    share = recipe.batch // len(chains)

    def loss(p: Parameters) -> Tensor:
        batch = []
        for of in chains:
            lag = torch.randint(1, max(LAGS) + 1, (share,), generator=generator)
            n = torch.randint(len(of.y), (share,), generator=generator)
            k = (torch.rand(share, generator=generator) * (len(of.level) - lag)).long()
            j = k + lag
            batch.append((of.level[k], of.y[n, k], of.level[j], of.y[n, j], of.sample[n, j], of.sample[n, k]))
        *known, wanted = (torch.cat(parts) for parts in zip(*batch, strict=True))
        return (((carried(p | fixed, *known) - wanted) ** 2).mean(1) * importance(known[0])).mean()

    found = fit(fresh(recipe, generator, inputs=3 * DIM, outputs=2 * DIM, bases=True), recipe, loss, lambda p, step: None)
    return found | fixed


def save(name: str, p: Parameters, folder: Path, **metadata: object) -> Path:
    from safetensors.numpy import save_file

    said = {"command": "python -m studies.digits", "versions": versions("torch", "numpy", "scikit-learn"), "data": LICENCE}
    said |= {"parameters": str(trained(p))} | {key: json.dumps(value) for key, value in metadata.items()}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / weights.path(name).name
    save_file({key: np.ascontiguousarray(value.detach().numpy()) for key, value in p.items()}, file, metadata=said)
    file.chmod(0o644)  # safetensors writes files that only their owner may read, and an installed package is for everybody.
    return file


def train(folder: Path, recipes: tuple[Recipe, Recipe, Recipe] = (TARGET, DISTILLED, AHEAD), pilot_chains: int = 512) -> None:
    pictured, held_out = pictures()
    seconds, began = {}, time.perf_counter()

    def lap(name: str) -> float:
        nonlocal began
        seconds[name], began = time.perf_counter() - began, time.perf_counter()
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
        return round(seconds[name])

    target, curve = train_target(pictured, held_out, recipes[0])
    predict = lambda level, y: said(target, level, y)  # noqa: E731
    losses = {"bands": BANDS, "train": band_losses(predict, pictured), "held_out": band_losses(predict, held_out)}
    save(weights.DIGITS, target, folder, losses=losses, curve=curve, recipe=vars(recipes[0]), seconds=lap("target"))
    chains = pilots({name: value.numpy() for name, value in target.items()}, pilot_chains, seed=1)
    lap("pilot chains")
    distilled = train_distilled(pictured, target, chains, recipes[1])
    save(weights.DIGITS_DISTILLED, distilled, folder, recipe=vars(recipes[1]), seconds=lap("distilled"))
    ahead = train_ahead(target, chains, recipes[2])
    save(weights.DIGITS_AHEAD, ahead, folder, recipe=vars(recipes[2]), seconds=lap("ahead"))
