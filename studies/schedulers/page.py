"""The page of `studies.schedulers`: whose paths are DDPM's, how far final samples are from the data, and what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .page import table, versions, write

Row = dict[str, Any]

# Bounds that are larger than those of exact draws by less than this are what exact draws may have too.
_ABOUT_THE_FLOOR = 1.25


def page(data: dict[str, Any], folder: Path) -> Path:
    """Writes schedulers.md, schedulers.json and schedulers.svg."""
    rows: list[Row] = [row for part in data["parts"].values() for row in part]
    text = "# Schedulers of diffusers, judged\n\n"
    text += f"Command: `python -m studies.schedulers`. {versions('diffusers', 'numpy', 'torch', 'exactness')}; "
    text += _cost(data["seconds"]) + "\n\n"
    text += (
        "Two Gaussian mixtures in the plane (three modes of unequal width, and a ring of eight of standard deviation 0.1), with "
        "their exact denoiser: whatever is wrong is the scheduler's. Linear betas over 1,000 training steps, nothing clipped, all "
        f"else as shipped. All verdicts at alpha {data['alpha']:g} each.\n\n"
    )
    text += "## Whose paths are those of the DDPM chain?\n\n" + _paths(rows, data["paths"]) + "\n"
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
    _figure(rows, folder / "schedulers.svg")
    return write("schedulers.md", text, folder)


def _cost(seconds: dict[str, float]) -> str:
    """Seconds of one core, of the parts whose time was taken; 0 is none."""
    taken = ", ".join(f"{part} {spent:,.0f}" for part, spent in seconds.items() if spent)
    rest = ", ".join(part for part, spent in seconds.items() if not spent)
    return f"seconds of one core: {taken or 'none taken'}" + (f" (not taken: {rest})." if taken and rest else ".")


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(r["scheduler"] for r in rows))


def _paths(rows: list[Row], n: int) -> str:
    here = [r for r in rows if r["question"] == "paths"]
    counts = sorted({r["steps"] for r in here})
    found = {(r["scheduler"], r["steps"]): r for r in here}
    cell = lambda row: "invalid, see below" if row["verdict"] == "invalid" else f"{row['verdict']} ({row['bound']:.2f})"  # noqa: E731
    text = (
        f"{n:,} paths of the three modes each, judged by their innovations against the chain that `from_scheduler` reads off "
        "`DDPMScheduler.step` at the same timesteps (leading). Euler ancestral's states are divided by sqrt(1 + sigma^2). In "
        "brackets the upper bound on the largest difference of probabilities along all that is monitored, step by step.\n\n"
    )
    text += table(
        ("scheduler", *(f"{k:,} steps" for k in counts)),
        ((name, *(cell(found[name, k]) for k in counts)) for name in _names(here)),
    )
    agree = [name for name in _names(here) if all(found[name, k]["verdict"] == "certified" for k in counts)]
    return text + f"\nCertified at every number of steps: {', '.join(agree) or 'none'}.\n"


def _intro(rows: list[Row], n: int) -> str:
    floors = ", ".join(
        f"{r['estimate']:.3f} < {r['bound']:.3f}, MMD {r['mmd']:.4f} ({r['law']})" for r in rows if r["question"] == "floor"
    )
    return (
        f"{n:,} final samples each, against the mixture. A cell is the largest difference of probabilities (Kolmogorov distances "
        "along coordinates, random directions, conditional distribution functions and whitened components, shares of components), "
        "then its upper confidence bound at 0.999, simultaneous over the row's tests. *r*: refuted. Exact draws of the mixture, "
        f"judged in the same way, are at {floors}: below that no two samplers are told apart here. The last column is the largest "
        "of three Gaussian-kernel discrepancies (MMD). Columns are steps asked for. Where the model was evaluated more "
        "often than that, brackets say how often, and the line below the table leaves it out: that line is of equal numbers of "
        "evaluations. It names more than one where the best's bound is above the others' estimates.\n\n"
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
        ((name, *(cell(name, k) for k in counts), kernel(name)) for name in _names(here)),
        right=len(counts) + 1,
    )
    floor = next(r for r in rows if r["question"] == "floor" and r["law"] == law)
    equal = {k: [r for r in here if r["steps"] == r["evaluations"] == k and r["verdict"] != "invalid"] for k in counts}
    return text + "\n" + " ".join(f"At {k:,}: {_closest(equal[k], floor)}." for k in counts) + "\n"


def _closest(rows: list[Row], floor: Row) -> str:
    """Who is closest to the data, as far as that can be told, among samplers with one number of evaluations."""
    exact = [r["scheduler"] for r in rows if r["verdict"] != "refuted" and r["bound"] <= _ABOUT_THE_FLOOR * floor["bound"]]
    if exact:
        return f"not told apart from exact draws: {'; '.join(exact)}"
    if not rows:
        return "none with so many evaluations"
    best = min(rows, key=lambda r: r["estimate"])
    return f"closest to the data: {'; '.join(r['scheduler'] for r in rows if r['estimate'] <= best['bound'])}"


def _cases(rows: list[Row]) -> str:
    here = [r for r in rows if r["question"] == "cases"]
    return table(("scheduler", "case", "what was found"), ((r["scheduler"], r["case"], r["reason"]) for r in here))


def _figure(rows: list[Row], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    here = [r for r in rows if r["question"] == "finals"]
    groups = list(dict.fromkeys((r["law"], r["spacing"]) for r in here))
    figure, axes = plt.subplots(1, len(groups), figsize=(3.6 * len(groups), 3.6), sharey=True, squeeze=False)
    markers = "osD^v<>Px"
    for axis, (law, spacing) in zip(axes[0], groups, strict=True):
        for i, name in enumerate(_names(here)):
            points = [
                r for r in here if (r["law"], r["spacing"], r["scheduler"]) == (law, spacing, name) and r["verdict"] != "invalid"
            ]
            points.sort(key=lambda r: r["evaluations"])
            evaluations = [r["evaluations"] for r in points]
            axis.plot(evaluations, [r["bound"] for r in points], marker=markers[i], ms=3, lw=1, color=f"C{i}", label=name)
            axis.plot(evaluations, [r["estimate"] for r in points], ":", lw=0.8, color=f"C{i}")
        floor = next(r for r in rows if r["question"] == "floor" and r["law"] == law)
        axis.axhline(floor["bound"], color="k", lw=0.8, label="exact draws")
        axis.axhline(floor["estimate"], color="k", lw=0.8, ls=":")
        axis.set_title(f"{law}, {spacing}", fontsize=9)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("model evaluations")
    axes[0][0].set_ylabel("largest difference of probabilities\n(solid: upper bound, dotted: estimate)", fontsize=8)
    handles = dict(zip(*reversed(axes[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=7, frameon=False)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
