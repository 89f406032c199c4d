"""The figure of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..page import pyplot, save
from .counts import GROUPS, Report, alarms, caught, names, sizes
from .tests import TESTS

# Okabe and Ito's colours, which the colour-blind can tell apart: few and many paths, then the same for false alarms.
_FEW, _MANY, _ALARM_FEW, _ALARM_MANY = "#9ecae1", "#0072b2", "#f0c27b", "#d55e00"


def figure(report: Report, target: Path) -> None:
    """Draw three panels: the share of the wrong samplers caught, the same by group, and the share of right samplers refused."""
    tests, n = list(TESTS), sizes(report)
    run = {m: len(names(report, "caught", m)) for m in n}
    labels = [f"n = {m:,}" + (f", {run[m]} run so far" if run[m] < run[n[0]] else "") for m in n]
    # Groups of which some are still to be run would not compare.
    most = max(m for m in n if run[m] == run[n[0]])
    page, (left, middle, right) = pyplot().subplots(
        1, 3, figsize=(13, 4.4), layout="constrained", gridspec_kw={"width_ratios": [1.0, 1.35, 0.8]}
    )
    share = lambda test, m: len(caught(report, test, m, "caught")) / max(1, run[m])  # noqa: E731
    _bars(left, [[share(t, m) for t in tests] for m in n], labels, (_FEW, _MANY))
    left.set_title(f"share of {run[n[0]]} wrong samplers caught", fontsize=10)
    left.set_yticks(range(len(tests)), [TESTS[t].replace(", ", ",\n", 1) for t in tests], fontsize=8)

    refused = [[a / max(1, b) for a, b in (alarms(report, t, m) for t in tests)] for m in n]
    _bars(right, refused, [f"n = {m:,}" for m in n], (_ALARM_FEW, _ALARM_MANY))
    right.set_title("share of right samplers refused", fontsize=10)
    right.set_yticks(range(len(tests)), [])

    of = {g: len(names(report, "caught", most, g)) for g in GROUPS}
    groups = [g for g in GROUPS if of[g]]
    counts = [[len(caught(report, t, most, "caught", group=g)) for g in groups] for t in tests]
    shown = [[c / of[g] for c, g in zip(row, groups, strict=True)] for row in counts]
    if groups:
        middle.imshow(shown, cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto")
    for i, row in enumerate(counts):
        for j, (c, g) in enumerate(zip(row, groups, strict=True)):
            ink = "white" if c / of[g] > 0.7 else "black"
            middle.text(j, i, f"{c}/{of[g]}", ha="center", va="center", fontsize=8, color=ink)
    middle.set_title(f"caught by group, n = {most:,}", fontsize=10)
    middle.set_xticks(range(len(groups)), groups, fontsize=7.5)
    middle.set_yticks(range(len(tests)), [])
    middle.tick_params(length=0)
    middle.spines[:].set_visible(False)
    for axis in (left, middle, right):
        axis.set_ylim(len(tests) - 0.5, -0.5)
    save(page, target)


def _bars(axis: Any, shares: Sequence[Sequence[float]], labels: Sequence[str], colours: Sequence[str]) -> None:
    height = 0.8 / len(labels)
    for i, (values, label) in enumerate(zip(shares, labels, strict=True)):
        places = [y - 0.4 + (i + 0.5) * height for y in range(len(values))]
        axis.barh(places, values, height, color=colours[min(i, len(colours) - 1)], label=label)
        for y, v in zip(places, values, strict=True):
            axis.text(v + 0.01, y, f"{100 * v:.0f}%", va="center", fontsize=7)
    axis.set_xlim(0, 1.15)
    axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
