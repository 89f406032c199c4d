"""The page of the digits' networks, written from the numbers of `measure.measured`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..page import REPORTS, pyplot, save, table, versions, write
from .data import BANDS


def write_page(found: dict[str, Any], out: Path = REPORTS) -> Path:
    """Write digits_network.md and digits_network.svg."""
    made, real = found["pictures"]
    figure(found["curve"], found["losses"]["empirical Bayes, held out"], made, real, out / "digits_network.svg")
    train, held_out = found["split"]
    text = "# Networks for the digits\n\n"
    text += f"Command: `python -m studies.digits`. {versions('torch', 'jax', 'scikit-learn', 'safetensors')}; one core.\n\n"
    text += (
        "The target predicts the clean 8x8 picture at any noise level, so it serves any schedule and any number of steps. The\n"
        f"drafters learn from the target alone. {train:,} pictures are for training and {held_out} are held out. The split is\n"
        "random, so both parts hold pictures by the same writers. Dropout and the number of updates were chosen with an eye on\n"
        "the held-out loss.\n\n"
        "![losses, generated and real digits](digits_network.svg)\n\n"
    )
    text += _sizes(found["networks"]) + _losses(found["losses"]) + _quality(found["drafters"])
    return write("digits_network.md", text, out)


def _sizes(networks: list[dict[str, Any]]) -> str:
    head = ("network", "trained parameters", "file, kB", "training, s", "torch, 64", "JAX, 64", "torch, 512", "JAX, 512")
    rows = [
        (n["name"], f"{n['trained']:,}", f"{n['bytes'] / 1e3:.0f}", n["seconds"], *(f"{1e6 * cost:.1f}" for cost in n["costs"]))
        for n in networks
    ]
    text = "## Size and cost\n\nThe last columns are microseconds per state in float32, for batches of 64 and 512, in eager torch\n"
    return text + "and in compiled JAX, on one core.\n\n" + table(head, rows, right=7) + "\n"


def _losses(columns: dict[str, list[float]]) -> str:
    rows = [(f"{low:g} to {high:g}", *(f"{c[i]:.5f}" for c in columns.values())) for i, (low, high) in enumerate(BANDS)]
    return (
        "## Squared error per pixel of the clean picture\n\n"
        "Empirical Bayes is the closed form for the catalogue's `digits`: one component of variance 0.05 per training picture.\n"
        "The network is the better denoiser where its number is smaller.\n\n"
        + table(("log(noise/signal)", *columns), rows, right=4)
        + "\n"
    )


def _quality(drafters: list[dict[str, Any]]) -> str:
    text = (
        "## Drafters compared with plain reuse\n\n"
        "The chains are new chains of the target, by DDPM with small variance; no network was trained on them. A cell holds the\n"
        "squared error of a forecast of the target's prediction `lag` steps later, divided by the error of reusing the present\n"
        "prediction; in brackets is the chance that one drafted step is accepted, averaged over the chain.\n\n"
    )
    rows = []
    for line in drafters:
        reuse = line["found"]["reuse"][0]
        cells = [f"{error / reuse:.3f} ({accepted:.3f})" for error, accepted in line["found"].values()]
        rows.append((line["steps"], line["lag"], f"{reuse:.5f}", *cells))
    names = drafters[0]["found"]
    return text + table(("steps", "lag", "reuse, squared error", *names), rows, right=2 + len(names))


def figure(curve: list[dict], reference: list[float], made: np.ndarray, real: np.ndarray, target: Path) -> None:
    """Draw the losses, divided by ``reference`` (one number per band), and some pictures."""
    page, (left, *grids) = pyplot().subplots(1, 3, figsize=(11, 3.2), layout="constrained")
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
        tiles = np.pad(rows.reshape(5, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1.0)
        axis.imshow(tiles.transpose(0, 2, 1, 3).reshape(50, 100), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
        axis.set_title(title)
        axis.axis("off")
    save(page, target)
