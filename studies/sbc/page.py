"""The page of `studies.sbc`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scipy import stats

from ..page import table, versions
from .measure import CHAIN, LEVEL, MOST, MOVES, SEEDS, SIMULATIONS, SIZES, STEPS
from .methods import BURN, DRAWS, STEPS_OF_SBC, THIN

Row = dict[str, Any]


def page(report: Sequence[Row]) -> str:
    text = "# Tests of posterior samplers in use today\n\n"
    text += f"Command: `python -m studies.sbc`. {versions('numpy', 'scipy', 'exactness')}.\n\n"
    text += (
        "Simulation-based calibration (SBC), Geweke's joint distribution tests and the rule that mean and standard deviation must "
        "be right to 7% judge the same kernels as `JointLaw` and `KernelInvariance`. The model is a straight line with normal "
        "noise and five observations; the laws without data are a mixture in the plane and a gamma. All kernels are written in "
        "numpy.\n\n"
    )
    text += _findings(report)
    text += (
        "\nA method that refuses right kernels says nothing by refusing wrong ones. The 7% rule needs the exact mean and standard "
        "deviation of a posterior, which are known here and seldom elsewhere; the others need only the model.\n"
    )
    text += "\n![ranks of right kernels, and how often each method refuses](sbc.svg)\n\n"
    text += f"## One run at level {LEVEL:g}\n\n"
    text += (
        f"* SBC: {SIMULATIONS:,} simulations with {DRAWS} draws each, that is {DRAWS + 1} ranks. The chain starts at the prior and "
        f"makes {BURN} steps first. Its next {DRAWS} states are ranked, or every {THIN}th of {DRAWS * THIN}: "
        f"{STEPS_OF_SBC['every state']:,} and {STEPS_OF_SBC['every 20th state']:,} steps per simulation. Chi-square tests, "
        "adjusted for the number of quantities.\n"
        f"* Geweke's z-scores: {CHAIN:,} steps of one chain that draws data and moves parameters in turn. For laws without data, "
        "the first two moments of one chain against the exact ones. Standard errors come from the means of 100 batches.\n"
        f"* The 7% rule: {CHAIN:,} steps of one chain on one data set, less a tenth. It has no level.\n"
        f"* Joint law and invariance: whole certificates at alpha = {LEVEL:g} with at most {MOVES:,} simulations of {STEPS} steps, "
        f"or {STEPS * MOVES:,} moves of one step.\n\n"
        "The tables say how often each method refuses, with exact binomial intervals at 99%, and how many kernel steps a run "
        "spends on average.\n\n"
    )
    for claim, title in (("posterior", "Kernels for a posterior"), ("invariance", "Kernels for a law without data")):
        text += f"### {title}\n\n" + _shares([row for row in report if row["claim"] == claim]) + "\n"
    text += "## What a p-value of 1e-6 costs\n\n"
    text += (
        f"The median over {SEEDS} seeds of the smallest size, among {SIZES[0]:,} to {SIZES[-1]:,} in powers of two, at which the "
        "method reaches 1e-6; in brackets the kernel steps. For joint law and invariance, the draws that whole certificates took "
        f"with the default alpha of 1e-6; these look first after 1,000 draws and go to {MOST:,}. A dash means that the median run "
        "did not get there. For right kernels, every number is a false alarm.\n\n"
    )
    for claim, title in (("posterior", "Kernels for a posterior"), ("invariance", "Kernels for a law without data")):
        text += f"### {title}\n\n" + _needs([row for row in report if row["claim"] == claim]) + "\n"
    return text


def _of(report: Iterable[Row], **wanted: Any) -> list[Row]:
    return [row for row in report if all(row[key] == value for key, value in wanted.items())]


def _share(rows: Sequence[Row]) -> str:
    refused, runs = sum(row["refused"] for row in rows), sum(row["runs"] for row in rows)
    interval = stats.binomtest(refused, runs).proportion_ci(0.99)
    return f"{refused} of {runs:,} ({100 * interval.low:.1f}% to {100 * interval.high:.1f}%)"


def _findings(report: Sequence[Row]) -> str:
    lines = [
        "| method | right kernels refused | wrong kernels of which it refuses every run | steps per run |",
        "|---|---|---|---:|",
    ]
    for method in dict.fromkeys(row["method"] for row in report):
        mine = _of(report, method=method)
        wrong = _of(mine, right=False)
        sure = [row for row in wrong if row["refused"] == row["runs"]]
        missed = ", ".join(row["kernel"] for row in wrong if row not in sure)
        steps = max(row["steps"] for row in mine)
        named = f"{len(sure)} of {len(wrong)}" + (f"; not: {missed}" if missed else "")
        lines.append(f"| {method} | {_share(_of(mine, right=True))} | {named} | {steps:,.0f} |")
    return "\n".join(lines) + "\n"


def _shares(report: Sequence[Row]) -> str:
    methods = list(dict.fromkeys(row["method"] for row in report))
    kernels = list(dict.fromkeys((row["kernel"], row["right"]) for row in report))
    lines = []
    for kernel, right in kernels:
        cells = []
        for method in methods:
            (row,) = _of(report, kernel=kernel, method=method)
            cells.append(_share([row]) if right else f"{row['refused']} of {row['runs']}")
        lines.append((f"{kernel} (right)" if right else kernel, *cells))
    steps = ["kernel steps per run"]
    for method in methods:
        spent = [row["steps"] for row in _of(report, method=method)]
        steps.append(f"{min(spent):,.0f}" if min(spent) == max(spent) else f"{min(spent):,.0f} to {max(spent):,.0f}")
    return table(("kernel", *methods), [*lines, steps])


def _needs(report: Sequence[Row]) -> str:
    methods = [m for m in dict.fromkeys(row["method"] for row in report) if _of(report, method=m)[0]["unit"]]
    lines = []
    for kernel, right in dict.fromkeys((row["kernel"], row["right"]) for row in report):
        cells = []
        for method in methods:
            (row,) = _of(report, kernel=kernel, method=method)
            cells.append("–" if row["needs"] is None else f"{row['needs']:,.0f} ({row['needs'] * _price(row):,.0f})")
        lines.append((f"{kernel} (right)" if right else kernel, *cells))
    return table(("kernel", *methods), lines, right=len(methods))


def _price(row: Row) -> int:
    """Kernel steps per simulation."""
    if row["unit"] == "steps":
        return 1
    return next((steps for how, steps in STEPS_OF_SBC.items() if f"SBC, {how}," in row["method"]), STEPS)
