"""The figure of the study: distance to the data by evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..page import pyplot, save

Row = dict[str, Any]


def names_of(rows: list[Row]) -> list[str]:
    """The schedulers, in the order of their rows."""
    return list(dict.fromkeys(r["scheduler"] for r in rows))


def figure(rows: list[Row], target: Path) -> None:
    """Draw the distance to the data by evaluations, one panel per law and spacing of timesteps."""
    here = [r for r in rows if r["question"] == "finals"]
    groups = list(dict.fromkeys((r["law"], r["spacing"]) for r in here))
    drawn, axes = pyplot().subplots(1, len(groups), figsize=(3.6 * len(groups), 3.6), sharey=True, squeeze=False)
    markers = "osD^v<>Px"
    for axis, (law, spacing) in zip(axes[0], groups, strict=True):
        for i, name in enumerate(names_of(here)):
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
    drawn.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=7, frameon=False)
    drawn.tight_layout(rect=(0, 0.12, 1, 1))
    save(drawn, target)
