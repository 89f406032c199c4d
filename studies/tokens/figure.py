"""The figure of the study: sequences until refuted, and what the tests of the field see."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..page import pyplot, save
from . import counts
from .counts import Report
from .peers import TESTS

# Okabe and Ito's colours, which the colour-blind can tell apart.
_BEST, _SINGLE, _WHOLE, _ALARM = "#000000", "#56b4e9", "#0072b2", "#d55e00"


def figure(report: Report, target: Path) -> None:
    """Draw, for two laws, the sequences that the best prototype, our single test and a certificate need; and shares by test."""
    laws = [law for law in ("V = 4", "V = 50") if counts.seeds(report, law)]
    page, axes = pyplot().subplots(
        1, len(laws) + 1, figsize=(13, 7.2), layout="constrained", gridspec_kw={"width_ratios": [1.0] * len(laws) + [0.9]}
    )
    for axis, law in zip(axes, laws, strict=False):
        rows, cap = counts.needed(report, law), report["caps"][law]
        names = sorted(rows, key=lambda name: (min(rows[name]["certificate"], 3 * cap), rows[name]["single test"], name))
        at = lambda n: 2 * cap if n == math.inf else n  # noqa: E731, B023
        for shift, colour, marker, label in (
            (0.0, _BEST, "|", "best prototype"), (0.22, _SINGLE, "o", "our single test"), (-0.22, _WHOLE, "s", "certificate")
        ):  # fmt: skip
            values = [counts.best(rows[n])[1] if label == "best prototype" else rows[n][label.removeprefix("our ")] for n in names]
            axis.plot(
                [at(v) for v in values],
                [i - shift for i in range(len(names))],
                marker,
                color=colour,
                ms=12 if marker == "|" else 4,
                label=label,
            )
        axis.axvline(1.4 * cap, color="black", lw=0.6, ls=":")
        axis.text(2 * cap, -1.4, "later", ha="center", fontsize=7)
        axis.set_xscale("log")
        axis.set_yticks(range(len(names)), names, fontsize=6.5)
        axis.set_ylim(len(names), -2)
        axis.set_title(f"sequences until refuted, {law}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", lw=0.3)
    axes[0].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.3, -0.05), ncols=3)
    _shares(axes[-1], report, laws)
    save(page, target)


def _shares(axis: Any, report: Report, laws: list[str]) -> None:
    rows: list[tuple[str, tuple[float, float]]] = []
    for key, test in TESTS.items():
        seen, missed, (k, n) = counts.sees(report, key), counts.misses(report, key), counts.alarms(report, key)
        if counts.complete(report, key):
            rows.append((test.who.split(":")[0], (len(seen) / (len(seen) + len(missed)), k / n if n else math.nan)))
    for law in laws:
        k, n = counts.our_alarms(report, law)
        seen = counts.certified_within(report, law, report["caps"][law])
        rows.append((f"a certificate, {law}", (len(seen) / max(1, len(counts.needed(report, law))), k / n if n else math.nan)))
    for shift, column, colour, label in ((-0.2, 0, _WHOLE, "wrong verifiers seen"), (0.2, 1, _ALARM, "right rules refused")):
        axis.barh(
            [i + shift for i in range(len(rows))],
            [0.0 if math.isnan(row[1][column]) else row[1][column] for row in rows],
            0.38,
            color=colour,
            label=label,
        )
        for i, row in enumerate(rows):
            known = not math.isnan(row[1][column])
            text = f"{100 * row[1][column]:.0f}%" if known else "not run"
            axis.text(row[1][column] + 0.01 if known else 0.01, i + shift, text, va="center", fontsize=7)
    axis.set_yticks(range(len(rows)), [row[0].replace(" of a", "\nof a") for row in rows], fontsize=7.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1.12)
    axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"], fontsize=8)
    axis.set_title("share refuted", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.3, -0.05))
