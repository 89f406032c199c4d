"""Trains the networks of `samplers/exactness_samplers/weights` on the handwritten digits, and measures them.

    python -m studies.train_digits             # trains the three of them, then writes the page
    python -m studies.train_digits --page      # only the page, from the weights that are there

The target predicts the clean picture from a noisy one, at any noise level. Then two drafters learn from the target alone: a
distilled network says what the target says at the states where it will be asked, and a network that looks ahead carries the
target's prediction at one state of its own chains to the states that follow.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.schedules import Schedule, cosine_betas, ddpm
from exactness_samplers.torch.networks import BUMPS, DIM, LEVELS, DigitsNetwork, Parameters, bumps, denoise, foresee
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.sequential import Sequential
from torch import Tensor

HELD_OUT = 360
STEPS = (30, 50, 100, 250)
LAGS = (1, 2, 4, 8, 16)
# Bands of log noise: below the first there is nothing left to learn, above the last nothing to see.
BANDS = ((-5.5, -3.0), (-3.0, -2.0), (-2.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, 6.5))
LICENCE = "digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, CC BY 4.0 (by scikit-learn)"


@dataclass(frozen=True)
class Recipe:
    """``steps`` updates with ``batch`` rows each; ``width`` and ``blocks`` of the perceptron."""

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


@cache
def pictures() -> tuple[Tensor, Tensor]:
    """Training (1437, 64) and held-out (360, 64), pixels in [-1, 1]. The split is random: the writers are in both parts."""
    from sklearn.datasets import load_digits

    every = load_digits().data / 8.0 - 1.0
    order = np.random.default_rng(0).permutation(len(every))
    put = lambda rows: torch.as_tensor(every[rows], dtype=torch.float32)  # noqa: E731
    return put(order[HELD_OUT:]), put(order[:HELD_OUT])


def axes(train: Tensor) -> Parameters:
    """Mean, principal axes and variances. Some pixels never change: a floor keeps their variance from 0."""
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
    """AdamW with warm-up and a cosine; the exponential moving average is returned, and watched every twelfth of the way."""
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


def levels(n: int, generator: torch.Generator) -> Tensor:
    """Log noise: a quarter anywhere, the rest where there is most to learn."""
    anywhere = LEVELS[0] + (LEVELS[1] - LEVELS[0]) * torch.rand(n, generator=generator)
    middle = (-0.2 + torch.randn(n, generator=generator)).clamp(*LEVELS)
    return torch.where(torch.rand(n, generator=generator) < 0.25, anywhere, middle)


def noised(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    return clean + torch.exp(level)[:, None] * torch.randn(clean.shape, generator=generator)


def importance(level: Tensor) -> Tensor:
    """Karras et al. 2022, section 5: the reciprocal of the scale of F, here one number for all axes; 0.3 is a pixel's variance."""
    return torch.exp(-2.0 * level) + 1.0 / 0.3


def said(p: Parameters, level: Tensor, y: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    return denoise(p, bumps(level) @ p["modulate"], level, y, drop)


def carried(p: Parameters, level: Tensor, y: Tensor, base_level: Tensor, base_y: Tensor, base_sample: Tensor) -> Tensor:
    modulation = bumps(level) @ p["modulate"] + bumps(base_level) @ p["modulate_base"]
    return foresee(p, modulation, level, y, base_level, base_y, base_sample)


def band_losses(predict: Callable[[Tensor, Tensor], Tensor], clean: Tensor, repeats: int = 16, seed: int = 1) -> list[float]:
    """Mean squared error a pixel of ``predict(level, y)`` in each band, the same noise for everybody."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for low, high in BANDS:
        rows = clean.repeat(repeats, 1)
        level = low + (high - low) * torch.rand(len(rows), generator=generator)
        y = noised(rows, level, generator)
        found.append(float(((predict(level, y) - rows) ** 2).mean()))
    return found


def empirical_bayes(train: Tensor, variance: float = 0.05) -> Callable[[Tensor, Tensor], Tensor]:
    """The closed-form denoiser of the mixture with one component a picture, at any level: that of the catalogue's digits."""
    squares = (train**2).sum(1)

    def predict(level: Tensor, y: Tensor) -> Tensor:
        noise2 = torch.exp(2.0 * level)[:, None]
        share = torch.softmax((y @ train.T - 0.5 * squares) / (variance + noise2), 1)
        return (noise2 * (share @ train) + variance * y) / (variance + noise2)

    return predict


@dataclass(frozen=True)
class Chains:
    """Pilot chains of the target: ``y``, ``sample``: (n, K, 64), entry k - 1 is step k; ``level``: (K,)."""

    schedule: Schedule
    x: Tensor
    y: Tensor
    sample: Tensor
    level: Tensor


def pilots(arrays: dict[str, np.ndarray], n: int, seed: int, counts: tuple[int, ...] = STEPS) -> list[Chains]:
    """n chains of the target for each number of steps and each variance of DDPM: states and predictions."""
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
    """Half of a batch from the target's own chains, half from the forward process."""
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
    """Pairs of states of one chain, 1 to 16 steps apart."""
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


def trained(p: Parameters | dict[str, np.ndarray]) -> int:
    """How many parameters were trained: the mean, axes and variances of the pictures are not."""
    return sum(int(np.prod(value.shape)) for name, value in p.items() if name not in ("mean", "basis", "variances"))


def save(name: str, p: Parameters, folder: Path, **metadata: object) -> Path:
    from safetensors.numpy import save_file

    from .page import versions

    said = {"command": "python -m studies.train_digits", "versions": versions("torch", "numpy", "scikit-learn"), "data": LICENCE}
    said |= {"parameters": str(trained(p))} | {key: json.dumps(value) for key, value in metadata.items()}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / weights.path(name).name
    save_file({key: np.ascontiguousarray(value.detach().numpy()) for key, value in p.items()}, file, metadata=said)
    file.chmod(0o644)  # The writer keeps files to their owner; an installed package is everybody's.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="train nothing, write the page of the weights that are there")
    parser.add_argument("--weights", type=Path, default=weights.path(weights.DIGITS).parent)
    parser.add_argument("--out", type=Path, help="folder of the page; reports/ by default")
    options = parser.parse_args()
    # One core: the same sums in the same order, and a machine that stays usable.
    torch.set_num_threads(1)
    if not options.page:
        train(options.weights)
    from . import digits_page

    print(digits_page.write_page(options.weights, options.out))


if __name__ == "__main__":
    main()
