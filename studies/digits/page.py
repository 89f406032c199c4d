"""The page of the digits' networks: losses beside the closed form, drafters beside plain reuse, pictures. Trains nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.schedules import cosine_betas, ddpm
from exactness_samplers.torch.networks import DigitsAhead, DigitsNetwork, Parameters
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.sequential import Sequential
from torch import Tensor

from .page import REPORTS, table, versions, write
from .train_digits import BANDS, DIM, LAGS, Chains, band_losses, empirical_bayes, pictures, pilots, said, trained

Draft = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""What `DigitsAhead` takes: steps, x, base_steps, base_x, base_sample."""


def bayes_update(of: Chains, variance: float) -> Draft:
    """Conditioning N(D_j, V_j I) on the drafted state; V_j is that of a component of this variance."""
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
    """At all pairs of states ``lag`` steps apart: mean squared error a pixel, and the chance 2 Phi(-delta/2) of one accepted step.

    The last step of a small variance is deterministic, and is left out of both.
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


def seconds_a_state(evaluate: Callable[[], object], rows: int, repeats: int = 200) -> float:
    """The best of many calls after a first one: other work on the machine only adds."""
    evaluate()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - began)
    return min(times) / rows


def costs(name: str, arrays: dict[str, np.ndarray], rows: int) -> tuple[float, float]:
    """Seconds a state in eager torch and in compiled JAX."""
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
        seconds_a_state(lambda: eager(*there), rows),
        seconds_a_state(lambda: compiled(*here).block_until_ready(), rows),
    )


def samples(arrays: dict[str, np.ndarray], n: int, seed: int = 7) -> Tensor:
    schedule = ddpm(cosine_betas(100), "small")
    process = Process(schedule, DigitsNetwork(schedule, arrays), "sample", DIM)
    return Sequential(process).run(n, torch.Generator().manual_seed(seed), dtype=torch.float32, keep_paths=False).paths


def figure(curve: list[dict], reference: list[float], made: Tensor, real: Tensor, target: Path) -> None:
    """Losses are divided by ``reference``, one number a band."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "exactness"
    import matplotlib.pyplot as plt

    page, (left, *grids) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    steps = [row["step"] for row in curve]
    for band, colour in ((2, "#b03030"), (3, "#1f4e79"), (4, "#7a7a7a")):
        label = f"log(noise/signal) {BANDS[band][0]:g} to {BANDS[band][1]:g}"
        for part, style in (("held_out", "o-"), ("train", "--")):
            ratio = [row[part][band] / reference[band] for row in curve]
            left.plot(steps, ratio, style, markersize=3, color=colour, label=label if part == "held_out" else None)
    left.set(xlabel="updates", ylabel="squared error / that of empirical Bayes", title="held out (solid), training (dashed)")
    left.set_ylim(0.3, 1.4)
    left.legend(frameon=False, fontsize=7)
    left.spines[["top", "right"]].set_visible(False)
    for axis, rows, title in ((grids[0], made, "generated, 100 steps"), (grids[1], real, "held-out pictures")):
        tiles = np.pad(rows.numpy().reshape(5, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1.0)
        axis.imshow(tiles.transpose(0, 2, 1, 3).reshape(50, 100), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
        axis.set_title(title)
        axis.axis("off")
    page.savefig(target, metadata={"Date": None})
    plt.close(page)


def write_page(folder: Path, out: Path | None = None) -> Path:
    out = out or REPORTS
    out.mkdir(parents=True, exist_ok=True)
    loaded = {name: weights.load(folder / weights.path(name).name) for name in weights.NAMES}
    arrays = {name: of.arrays for name, of in loaded.items()}
    train, held_out = pictures()
    curve = json.loads(loaded[weights.DIGITS].metadata["curve"])
    reference = band_losses(empirical_bayes(train), held_out)
    figure(curve, reference, samples(arrays[weights.DIGITS], 50), held_out[:50], out / "digits_network.svg")
    text = "# Networks for the digits\n\n"
    text += f"Command: `python -m studies.train_digits`. {versions('torch', 'jax', 'scikit-learn', 'safetensors')}; one core.\n\n"
    text += (
        "The target predicts the clean 8x8 picture at any noise level, so it serves any schedule and any number of steps. The\n"
        f"drafters learn from the target alone. {len(train):,} pictures train, {len(held_out)} are held out, at random: the\n"
        "writers are in both parts. Dropout and the number of updates were chosen with an eye on the held-out loss.\n\n"
        "![losses, generated and real digits](digits_network.svg)\n\n"
    )
    text += sizes_and_costs(loaded, folder) + losses(arrays, train, held_out) + quality(arrays)
    return write("digits_network.md", text, out)


def sizes_and_costs(loaded: dict[str, weights.Weights], folder: Path) -> str:
    rows = []
    for name, of in loaded.items():
        spent = [f"{1e6 * cost:.1f}" for n in (64, 512) for cost in costs(name, of.arrays, n)]
        size = (folder / weights.path(name).name).stat().st_size / 1e3
        rows.append((name, f"{trained(of.arrays):,}", f"{size:.0f}", of.metadata["seconds"], *spent))
    head = ("network", "trained parameters", "file, kB", "training, s", "torch, 64", "JAX, 64", "torch, 512", "JAX, 512")
    text = "## Size and cost\n\n"
    text += "Last columns: microseconds a state in float32, batches of 64 and 512, eager torch and compiled JAX, one core.\n\n"
    return text + table(head, rows, right=7) + "\n"


def losses(arrays: dict[str, dict[str, np.ndarray]], train: Tensor, held_out: Tensor) -> str:
    def network(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        p: Parameters = {key: torch.as_tensor(value) for key, value in arrays[name].items()}
        return lambda level, y: said(p, level, y)

    target, distilled = network(weights.DIGITS), network(weights.DIGITS_DISTILLED)
    columns = [
        band_losses(target, train),
        band_losses(target, held_out),
        band_losses(distilled, held_out),
        band_losses(empirical_bayes(train), held_out),
    ]
    rows = [(f"{low:g} to {high:g}", *(f"{c[i]:.5f}" for c in columns)) for i, (low, high) in enumerate(BANDS)]
    head = ("log(noise/signal)", "target, training", "target, held out", "distilled, held out", "empirical Bayes, held out")
    return (
        "## Squared error a pixel of the clean picture\n\n"
        "Empirical Bayes is the closed form for one component, of variance 0.05, a training picture: the catalogue's `digits`.\n"
        "The network is the better denoiser where its number is the smaller.\n\n" + table(head, rows, right=4) + "\n"
    )


def quality(arrays: dict[str, dict[str, np.ndarray]], n: int = 64, seed: int = 2) -> str:
    """On pilot chains that trained nobody."""
    text = (
        "## Drafters beside plain reuse\n\n"
        "On chains of the target that trained nobody, DDPM with small variance: the squared error of a forecast of the\n"
        "target's prediction `lag` steps on, divided by that of reusing the one at hand; in brackets the chance that one drafted\n"
        "step is accepted, averaged over the chain.\n\n"
    )
    rows = []
    for of in pilots(arrays[weights.DIGITS], n, seed)[::2]:
        candidates = drafts(of, arrays[weights.DIGITS_DISTILLED], arrays[weights.DIGITS_AHEAD])
        for lag in LAGS:
            found = {name: drafted(of, draft, lag) for name, draft in candidates.items()}
            reuse = found["reuse"][0]
            cells = [f"{error / reuse:.3f} ({accepted:.3f})" for error, accepted in found.values()]
            rows.append((len(of.level), lag, f"{reuse:.5f}", *cells))
    return text + table(("steps", "lag", "reuse, squared error", *candidates), rows, right=2 + len(candidates))
