"""The page of `studies.tails`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scipy import stats

from exactness.evidence.nulls import ChiSquareLimit

from ..page import table, versions
from .measure import LEVELS


def page(rows: Sequence[dict[str, Any]]) -> str:
    samples, null = rows[0]["certificates"], ChiSquareLimit(1)
    text = "# The tail of the one asymptotic test\n\n"
    text += f"Command: `python -m studies.tails`. {versions('numpy', 'scipy', 'exactness')}.\n\n"
    text += (
        "The Mahalanobis test of characteristic functions sees exact draws of mixtures in 2, 3 and 8 dimensions, and of one with a "
        "rare and far component, each at n, the smallest number of draws at which it gives a p-value. The table says how often its "
        "chi-square p-value, before it is cut at the reach, is at most 0.05, 0.01 and 0.001. There are "
        f"{samples:,} samples per row, and the intervals hold at 99.9%.\n\n"
        f"The test claims no p-value below {null.smallest:g}, and gives none for fewer draws than n.\n\n"
    )
    head = ("law", "bandwidth", "n", "freedom", *(f"{level:g}" for level in LEVELS))
    return text + table(head, [(r["law"], f"{r['factor']:g}", f"{r['n']:,}", r["freedom"], *_shares(r)) for r in rows])


def _shares(row: dict[str, Any]) -> list[str]:
    cells = []
    for count in row["counts"]:
        interval = stats.binomtest(count, row["certificates"]).proportion_ci(0.999)
        cells.append(f"{count / row['certificates']:.4f} ({interval.low:.4f} to {interval.high:.4f})")
    return cells
