"""The page of `studies.schedulers`: which paths are those of DDPM, how far final samples are from the data, what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..page import table, versions, write
from .figure import figure, names_of

Row = dict[str, Any]

# A bound that is at most this many times that of exact draws does not tell a sampler apart from them.
_ABOUT_THE_FLOOR = 1.25


def page(data: dict[str, Any], folder: Path) -> Path:
    """Write schedulers.md, schedulers.json and schedulers.svg."""
    rows: list[Row] = [row for part in data["parts"].values() for row in part]
    text = "# Schedulers of diffusers, judged\n\n"
    text += f"Command: `python -m studies.schedulers`. {versions('diffusers', 'numpy', 'torch', 'exactness')}; "
    text += _cost(data["seconds"]) + "\n\n"
    text += (
        "There are two Gaussian mixtures in the plane: three modes of unequal width, and a ring of eight with standard deviation "
        "0.1. Their denoiser is exact, so every error is the scheduler's. The betas are linear over 1,000 training steps, nothing "
        f"is clipped, and everything else is as shipped. Each verdict is at alpha {data['alpha']:g}.\n\n"
    )
    text += "## Which paths are those of the DDPM chain?\n\n" + _paths(rows, data["paths"]) + "\n"
    text += "## How far are final samples from the data?\n\n" + _intro(rows, data["finals"])
    text += "![distance by evaluations](schedulers.svg)\n\n"
    groups = list(dict.fromkeys((r["law"], r["spacing"]) for r in rows if r["question"] == "finals"))
    for law, spacing in groups:
        title = f"{law}, {'timesteps as shipped' if spacing == 'as shipped' else f'{spacing} timesteps'}"
        text += f"### {title[0].upper()}{title[1:]}\n\n" + _finals(rows, law, spacing) + "\n"
    text += "## What goes wrong\n\n" + _cases(rows)
    # A distance that does not exist is null.
    data["parts"] = {
        part: [{k: None if v != v else v for k, v in row.items()} for row in rows] for part, rows in data["parts"].items()
    }
    write("schedulers.json", json.dumps(data, separators=(",", ":")).replace('{"question"', '\n{"question"') + "\n", folder)
    figure(rows, folder / "schedulers.svg")
    return write("schedulers.md", text, folder)


def _cost(seconds: dict[str, float]) -> str:
    """Seconds of one core, for the parts whose time was taken; 0 means that it was not."""
    taken = ", ".join(f"{part} {spent:,.0f}" for part, spent in seconds.items() if spent)
    rest = ", ".join(part for part, spent in seconds.items() if not spent)
    return f"seconds of one core: {taken or 'none taken'}" + (f" (not taken: {rest})." if taken and rest else ".")


def _paths(rows: list[Row], n: int) -> str:
    here = [r for r in rows if r["question"] == "paths"]
    counts = sorted({r["steps"] for r in here})
    found = {(r["scheduler"], r["steps"]): r for r in here}
    cell = lambda row: "invalid, see below" if row["verdict"] == "invalid" else f"{row['verdict']} ({row['bound']:.2f})"  # noqa: E731
    text = (
        f"For each scheduler, {n:,} paths of the three modes are judged by their innovations against the chain that "
        "`from_scheduler` reads off `DDPMScheduler.step` at the same timesteps (leading). Euler ancestral's states are divided by "
        "sqrt(1 + sigma^2). The brackets hold the upper bound on the largest difference of probabilities along everything that is "
        "monitored, step by step.\n\n"
    )
    text += table(
        ("scheduler", *(f"{k:,} steps" for k in counts)),
        ((name, *(cell(found[name, k]) for k in counts)) for name in names_of(here)),
    )
    agree = [name for name in names_of(here) if all(found[name, k]["verdict"] == "certified" for k in counts)]
    return text + f"\nCertified at every number of steps: {', '.join(agree) or 'none'}.\n"


def _intro(rows: list[Row], n: int) -> str:
    floors = ", ".join(
        f"{r['estimate']:.3f} < {r['bound']:.3f}, MMD {r['mmd']:.4f} ({r['law']})" for r in rows if r["question"] == "floor"
    )
    return (
        f"For each scheduler, {n:,} final samples are judged against the mixture. A cell holds the largest difference of "
        "probabilities (Kolmogorov distances along coordinates, random directions, conditional distribution functions and whitened "
        "components, shares of components), then its upper confidence bound at 0.999, simultaneous over the row's tests; *r* means "
        f"refuted. Exact draws of the mixture, judged in the same way, are at {floors}; samplers below that cannot be told apart "
        "here. The last column is the largest "
        "of three Gaussian-kernel discrepancies (MMD). The columns are the steps that were asked for. Where the model was "
        "evaluated more often, brackets say how often, and the line below the table leaves the scheduler out, because that line "
        "compares equal numbers of evaluations. It names several schedulers where the bound of the best is above the estimates "
        "of others.\n\n"
    )


def _finals(rows: list[Row], law: str, spacing: str) -> str:
    here = [r for r in rows if r["question"] == "finals" and (r["law"], r["spacing"]) == (law, spacing)]
    found = {(r["scheduler"], r["steps"]): r for r in here}
    counts = sorted({r["steps"] for r in here})

    def cell(name: str, k: int) -> str:
        row = found[name, k]
        if row["verdict"] == "invalid":
            return "NaN or infinite"
        more = "" if row["evaluations"] == k else f" ({row['evaluations']:,} evaluations)"
        return f"{row['estimate']:.3f} < {row['bound']:.3f}" + (" *r*" if row["verdict"] == "refuted" else "") + more

    last = counts[-1]

    def kernel(name: str) -> str:
        row = found[name, last]
        return "" if row["verdict"] == "invalid" else f"{row['mmd']:.4f}"

    text = table(
        ("scheduler", *(f"{k:,}" for k in counts), f"MMD at {last:,}"),
        ((name, *(cell(name, k) for k in counts), kernel(name)) for name in names_of(here)),
        right=len(counts) + 1,
    )
    floor = next(r for r in rows if r["question"] == "floor" and r["law"] == law)
    equal = {k: [r for r in here if r["steps"] == r["evaluations"] == k and r["verdict"] != "invalid"] for k in counts}
    return text + "\n" + " ".join(f"At {k:,}: {_closest(equal[k], floor)}." for k in counts) + "\n"


def _closest(rows: list[Row], floor: Row) -> str:
    """The sampler that is closest to the data, as far as that can be told, among those with one number of evaluations."""
    exact = [r["scheduler"] for r in rows if r["verdict"] != "refuted" and r["bound"] <= _ABOUT_THE_FLOOR * floor["bound"]]
    if exact:
        return f"not told apart from exact draws: {'; '.join(exact)}"
    if not rows:
        return "no scheduler has this number of evaluations"
    best = min(rows, key=lambda r: r["estimate"])
    return f"closest to the data: {'; '.join(r['scheduler'] for r in rows if r['estimate'] <= best['bound'])}"


def _cases(rows: list[Row]) -> str:
    here = [r for r in rows if r["question"] == "cases"]
    return table(("scheduler", "case", "finding"), ((r["scheduler"], r["case"], r["reason"]) for r in here))
