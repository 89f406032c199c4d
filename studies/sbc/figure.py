"""The figure of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ..page import pyplot, save
from .kernels import POSTERIORS
from .methods import DRAWS, ranks

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#bbbbbb"
_N = 4_000


def figure(report: list[dict[str, Any]], target: Path) -> None:
    """Ranks of right kernels against their band, and how often right and wrong kernels are refused."""
    page, (left, right) = pyplot().subplots(1, 2, figsize=(11, 4.2), layout="constrained", gridspec_kw={"width_ratios": [1, 1.4]})
    band, at = stats.kstwo.isf(1e-3, _N), np.arange(DRAWS + 1)
    left.axhspan(-band, band, color=_GREY, alpha=0.5, label="band of 99.9% for uniform ranks", zorder=0)
    for name, style in (("random walk", "-"), ("elliptical slice", "--")):
        for (how, found), colour in zip(ranks(POSTERIORS[name], _N, 0).items(), (_ORANGE, _BLUE), strict=True):
            shares = np.cumsum(np.bincount(found[:, 0], minlength=DRAWS + 1)) / _N
            left.plot(at, shares - (at + 1) / (DRAWS + 1), style, color=colour, label=f"{name}, {how}")
    left.set_xlabel("rank of the intercept")
    left.set_ylabel("share up to the rank, less the uniform share")
    left.set_title(f"ranks of two right kernels, {_N:,} simulations", fontsize=10)
    left.legend(frameon=False, fontsize=7.5)

    methods = list(dict.fromkeys(row["method"] for row in report))
    for i, method in enumerate(methods):
        mine = [row for row in report if row["method"] == method]
        for is_right, colour, shift in ((True, _ORANGE, -0.2), (False, _BLUE, 0.2)):
            refused = [row["refused"] / row["runs"] for row in mine if row["right"] is is_right]
            right.barh(i + shift, np.mean(refused), 0.36, color=colour, alpha=0.35)
            right.scatter(refused, np.full(len(refused), i + shift), s=16, color=colour, zorder=3)
    right.barh([-9], [0], color=_ORANGE, label="right kernels, each a dot")
    right.barh([-9], [0], color=_BLUE, label="wrong kernels, each a dot")
    right.set_yticks(range(len(methods)), methods, fontsize=8)
    right.set_ylim(len(methods) - 0.5, -0.5)
    right.set_xlim(-0.03, 1.03)
    right.axvline(0.05, color="black", linewidth=0.7, linestyle=":")
    right.set_title("share of runs that refuse the kernel, at level .05 (dotted)", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.1), ncols=2)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    save(page, target)
