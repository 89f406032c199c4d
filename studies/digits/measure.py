"""The numbers of the page: how good and how costly the networks are. Nothing is trained here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.schedules import cosine_betas, ddpm
from exactness_samplers.torch.networks import DIM, DigitsAhead, DigitsNetwork, Parameters
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.sequential import Sequential
from torch import Tensor

from .data import LAGS, Chains, band_losses, empirical_bayes, pictures, pilots, said, trained

Draft = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""A function of the arguments of `DigitsAhead`: steps, x, base_steps, base_x, base_sample."""


def bayes_update(of: Chains, variance: float) -> Draft:
    """Condition N(D_j, V_j I) on the drafted state; V_j is the variance that belongs to a component of this variance."""
    signal, noise = (torch.as_tensor(v, dtype=torch.float32) for v in (of.schedule.signal, of.schedule.noise))

    def draft(steps: Tensor, x: Tensor, base_steps: Tensor, base_x: Tensor, base_sample: Tensor) -> Tensor:
        now, then = (noise[k] ** 2 / signal[k] ** 2 for k in (steps, base_steps))
        unseen = (1.0 - now / then)[:, None]
        doubt = (variance * then / (variance + then))[:, None]
        surprise = x / signal[steps][:, None] - (1.0 - unseen) * base_x / signal[base_steps][:, None] - unseen * base_sample
        return base_sample + doubt / (unseen * doubt + now[:, None]) * surprise

    return draft


def drafts(of: Chains, distilled: dict[str, np.ndarray], ahead: dict[str, np.ndarray]) -> dict[str, Draft]:
    small = DigitsNetwork(of.schedule, distilled)
    return {
        "reuse": lambda steps, x, base_steps, base_x, base_sample: base_sample,
        "Bayes, v = 0.05": bayes_update(of, 0.05),
        "ahead": DigitsAhead(of.schedule, ahead),
        "distilled": lambda steps, x, base_steps, base_x, base_sample: small(steps, x),
    }


def drafted(of: Chains, draft: Draft, lag: int) -> tuple[float, float]:
    """Over all pairs of states ``lag`` steps apart: the mean squared error per pixel, and the chance 2 Phi(-delta/2) of acceptance.

    With small variance the last step is deterministic; it is left out of both.
    """
    n, total = of.x.shape[:2]
    low = 1 if of.schedule.sigma[0] == 0 else 0
    count = total - lag - low
    rows = lambda values, start: values[:, start : start + count].reshape(n * count, -1)  # noqa: E731
    at = lambda start: torch.arange(start + 1, start + 1 + count).repeat(n)  # noqa: E731
    now = at(low)
    error = draft(now, rows(of.x, low), at(low + lag), rows(of.x, low + lag), rows(of.sample, low + lag)) - rows(of.sample, low)
    _, b = of.schedule.coefficients("sample")
    scale = torch.as_tensor(np.abs(b[low:]) / of.schedule.sigma[low:], dtype=torch.float32)[now - 1 - low]
    delta = scale * error.norm(dim=1)
    return float((error**2).mean()), float(torch.erfc(delta / 8**0.5).mean())


def seconds_per_state(evaluate: Callable[[], object], rows: int, repeats: int = 200) -> float:
    """The best of many calls after a first one, because other work on the machine only adds time."""
    evaluate()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - began)
    return min(times) / rows


def costs(name: str, arrays: dict[str, np.ndarray], rows: int) -> tuple[float, float]:
    """Seconds per state in eager torch and in compiled JAX."""
    import jax
    import jax.numpy as jnp
    from exactness_samplers.jax import networks as mirrored
    from exactness_samplers.torch import networks

    schedule, look_ahead = ddpm(cosine_betas(50), "small"), name == weights.DIGITS_AHEAD
    kind = "DigitsAhead" if look_ahead else "DigitsNetwork"
    steps, x = np.full(rows, 25), np.random.default_rng(0).standard_normal((rows, DIM)).astype(np.float32)
    arguments = (steps, x, steps + 4, x, x) if look_ahead else (steps, x)
    eager, compiled = getattr(networks, kind)(schedule, arrays), jax.jit(getattr(mirrored, kind)(schedule, arrays).__call__)
    there, here = [torch.as_tensor(a) for a in arguments], [jnp.asarray(a) for a in arguments]
    return (
        seconds_per_state(lambda: eager(*there), rows),
        seconds_per_state(lambda: compiled(*here).block_until_ready(), rows),
    )


def samples(arrays: dict[str, np.ndarray], n: int, seed: int = 7) -> Tensor:
    schedule = ddpm(cosine_betas(100), "small")
    process = Process(schedule, DigitsNetwork(schedule, arrays), "sample", DIM)
    return Sequential(process).run(n, torch.Generator().manual_seed(seed), dtype=torch.float32, keep_paths=False).paths


Arrays = dict[str, dict[str, np.ndarray]]


def measured(folder: Path) -> dict[str, Any]:
    """All numbers of the page, for the weights in a folder."""
    loaded = {name: weights.load(folder / weights.path(name).name) for name in weights.NAMES}
    arrays = {name: of.arrays for name, of in loaded.items()}
    train, held_out = pictures()
    return {
        "split": (len(train), len(held_out)),
        "curve": json.loads(loaded[weights.DIGITS].metadata["curve"]),
        "pictures": (samples(arrays[weights.DIGITS], 50).numpy(), held_out[:50].numpy()),
        "networks": [
            {
                "name": name,
                "trained": trained(of.arrays),
                "bytes": (folder / weights.path(name).name).stat().st_size,
                "seconds": of.metadata["seconds"],
                "costs": [cost for n in (64, 512) for cost in costs(name, of.arrays, n)],
            }
            for name, of in loaded.items()
        ],
        "losses": losses(arrays, train, held_out),
        "drafters": quality(arrays),
    }


def losses(arrays: Arrays, train: Tensor, held_out: Tensor) -> dict[str, list[float]]:
    """The loss in each band, by network and pictures."""

    def network(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        p: Parameters = {key: torch.as_tensor(value) for key, value in arrays[name].items()}
        return lambda level, y: said(p, level, y)

    target, distilled = network(weights.DIGITS), network(weights.DIGITS_DISTILLED)
    return {
        "target, training": band_losses(target, train),
        "target, held out": band_losses(target, held_out),
        "distilled, held out": band_losses(distilled, held_out),
        "empirical Bayes, held out": band_losses(empirical_bayes(train), held_out),
    }


def quality(arrays: Arrays, n: int = 64, seed: int = 2) -> list[dict[str, Any]]:
    """The errors and acceptances of the drafters, on chains that none of them was trained on."""
    found = []
    for of in pilots(arrays[weights.DIGITS], n, seed)[::2]:
        candidates = drafts(of, arrays[weights.DIGITS_DISTILLED], arrays[weights.DIGITS_AHEAD])
        for lag in LAGS:
            line = {name: drafted(of, draft, lag) for name, draft in candidates.items()}
            found.append({"steps": len(of.level), "lag": lag, "found": line})
    return found
