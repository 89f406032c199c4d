"""The page of `studies.calibrate`."""

from __future__ import annotations

from scipy import stats

from ..page import table, versions
from .measure import LEVELS, Row

# All intervals of one table hold together with this probability.
TOGETHER = 0.99


def page(data: dict, n: int) -> str:
    rows, family, strict, cost = [Row(**r) for r in data["rows"]], data["family"], data["strict"], data["stages"]
    comparisons = len(rows) * len(LEVELS)
    bad = [r for r in rows if verdict(r, comparisons) != "ok"]
    uniform = [r.uniformity for r in rows if r.uniformity is not None]
    text = "# Calibration: error rates, measured\n\n"
    text += f"Command: `make calibrate` (`python -m studies.calibrate`). {versions('numpy', 'scipy', 'exactness')}.\n\n"
    text += (
        f"The table shows every test in {n:,} certificates of an exact sampler: the share of p-values that are at most 0.05, 0.01 "
        f"and 0.001, with Clopper-Pearson intervals. All {comparisons} intervals hold together with probability {TOGETHER:g}. The "
        "interval of an exact test must contain the level; that of a bound, and of a test of counts or of the worst of several "
        "rows, may lie below it. A test never claims a p-value below its reach. "
        f"{len(rows) - len(bad)} of {len(rows)} tests have the right rates"
        + ("." if not bad else "; the last column marks the others.") + "\n\n"
    )  # fmt: skip
    smallest = min(uniform, default=1.0)
    text += (
        f"Kolmogorov's test compares the p-values of {len(uniform)} exact tests with the uniform law. Its smallest p-value is "
        f"{smallest:.2g}, and {min(1.0, len(uniform) * smallest):.2g} after Bonferroni's adjustment for their number.\n\n"
    )
    text += "## Whole certificates, three stages\n\n"
    text += table(
        ("law", "alpha", "refuted", "of", "interval"),
        [(a, f"{b:g}", c, f"{d:,}", "{:.4f} to {:.4f}".format(*interval(c, d, len(family)))) for a, b, c, d in family]
        + [(name, "1e-06", count, f"{of:,}", "") for name, (count, of) in strict.items()],
    )
    text += "\n## The cost of stages\n\nThe mean draws until an exact sampler is certified at tolerance 0.05, in five stages "
    text += "(doubling) and in one, at the same tolerance and confidence.\n\n"
    text += table(
        ("law", "five stages", "one stage", "ratio"), [(k, f"{a:,.0f}", f"{b:,.0f}", f"{a / b:.2f}") for k, (a, b) in cost.items()]
    )
    text += "\n## Every test\n\n"
    return text + table(
        ("law", "test", "null", "reach", *(f"{level:g}" for level in LEVELS), "uniform", ""), [_shown(r, comparisons) for r in rows]
    )


def _shown(row: Row, comparisons: int) -> tuple[object, ...]:
    cells = []
    for count in row.counts:
        low, high = interval(count, row.certificates, comparisons)
        cells.append(f"{count / row.certificates:.4f} ({low:.4f} to {high:.4f})")
    uniform = "" if row.uniformity is None else f"{row.uniformity:.2g}"
    reach = f"{row.reach:g}" if row.reach else ""
    return row.law, row.test, row.validity, reach, *cells, uniform, verdict(row, comparisons)


def verdict(row: Row, comparisons: int) -> str:
    """Exact tests must not be off on either side, and bounds must not be above."""
    for count, level in zip(row.counts, LEVELS, strict=True):
        low, high = interval(count, row.certificates, comparisons)
        if level < row.reach:
            if count:
                return f"beyond reach at {level:g}"
            continue
        if low > level:
            return f"too many at {level:g}"
        if row.uniform and high < level:
            return f"too few at {level:g}"
    return "ok"


def interval(count: int, n: int, comparisons: int) -> tuple[float, float]:
    """The Clopper-Pearson interval, wide enough for all comparisons to hold together."""
    found = stats.binomtest(count, n).proportion_ci(1.0 - (1.0 - TOGETHER) / comparisons)
    return float(found.low), float(found.high)
