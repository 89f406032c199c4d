"""The figure of the study: rounds by window."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..page import pyplot, save

Row = dict[str, Any]


def figure(rows: list[Row], laws: list[str], target: Path) -> None:
    """Draw the rounds by window at K = 100, one panel per law."""
    shown = {
        "free noise, token-wise, reflection": "C7", "free noise, block, Gamma-maximal": "C1", "free sample, block, kept": "C2",
        "posterior, block, kept": "C0", "ahead network, block, kept": "C3",
    }  # fmt: skip
    shown_laws = [law for law in laws if law not in ("grid, churn 0.3", "grid, churn 2")]
    if not shown_laws:
        return
    drawn, axes = pyplot().subplots(1, len(shown_laws), figsize=(3.1 * len(shown_laws), 3.2), sharey=True, squeeze=False)
    of: Callable[[str, str], list[Row]] = lambda law, m: [  # noqa: E731
        r for r in rows if r["law"] == law and r["method"] == m and r["steps"] == 100
    ]
    for axis, law in zip(axes[0], shown_laws, strict=True):
        for method, colour in shown.items():
            points = sorted(of(law, method), key=lambda r: r["window"])
            if points:
                axis.plot([p["window"] for p in points], [p["rounds"] for p in points], "o-", ms=3, color=colour, label=method)
        windows = sorted({r["window"] for r in rows})
        axis.plot(windows, [math.ceil(100 / (w + 1)) for w in windows], "k:", lw=1, label="nothing is ever rejected")
        axis.set_title(law, fontsize=9)
        axis.set_xlabel("window")
        axis.set_yscale("log")
        axis.set_yticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes[0][0].set_ylabel("rounds per chain, K = 100")
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    drawn.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, fontsize=8, frameon=False)
    drawn.tight_layout(rect=(0, 0.14, 1, 1))
    save(drawn, target)
