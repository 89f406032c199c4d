"""Are the error rates what they are said to be? Thousands of certificates of exact samplers.

    python -m studies.calibrate
    python -m studies.calibrate --of chain

For every test of every battery: how often its p-value is at most 0.05, 0.01 and 0.001, with a binomial interval; for exact
tests, whether p-values are uniform; how many certificates are refuted at a level at which refutations can be counted, and at
1e-6; and what looking in stages costs. After a change of one law's batteries, ``--of`` counts that law anew and keeps the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

import exactness as ex
from exactness.batteries import standard
from exactness.evidence.base import Battery, Result
from exactness.laws.base import Law

from .page import REPORTS, table, versions, write

LEVELS = (0.05, 0.01, 0.001)
# All intervals of one table hold together with this probability.
TOGETHER = 0.99
# Laws whose stages are priced.
STAGED = ("chain", "mixture", "trusted sampler")
EXTRA = (ex.MeanEmbedding(most=300), ex.PermutationTwoSample(most=100, permutations=1999))


@dataclass(frozen=True)
class Case:
    """A law, an exact sampler of it, and how many draws a certificate takes."""

    law: Law
    sample: Callable[[int, int], np.ndarray]
    draws: int


def _mean(k: int, x: np.ndarray) -> np.ndarray:
    return 0.7 * x + 0.2 * np.sin(k * x)


_SIGMA = 0.3 + 0.1 * np.arange(1, 7)


def _paths(n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    path = [generator.standard_normal((n, 2))]
    for k in range(len(_SIGMA), 0, -1):
        path.append(_mean(k, path[-1]) + _SIGMA[k - 1] * generator.standard_normal((n, 2)))
    return np.stack(path, axis=1)


@cache
def cases() -> dict[str, Case]:
    turn = np.array([[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]])
    mixture = ex.GaussianMixture(
        [0.5, 0.3, 0.2], [[1.5, 0.0, 0.0], [-1.0, 1.0, 0.5], [0.0, -1.5, 1.0]], [turn, 0.5 * turn, 0.3 * np.eye(3)]
    )
    return {
        "chain": Case(ex.GaussianChain.from_mean(_mean, sigma=_SIGMA, dim=2), _paths, 300),
        "mixture": Case(mixture, mixture.sample, 1_000),
        "trusted sampler": Case(ex.TrustedSampler(mixture.sample), mixture.sample, 500),
        **_more(),
    }


def _more() -> dict[str, Case]:
    """Laws of couplings and of verified windows."""
    target, draft = np.array([0.4, -1.1]), np.array([0.9, -0.6])
    length = 4

    def coupled(n: int, seed: int) -> np.ndarray:
        """The reflection coupling at sigma = 1."""
        generator = np.random.default_rng(seed)
        z = generator.standard_normal((n, 2))
        axis = (draft - target) / np.linalg.norm(draft - target)
        y, s = draft + z, (draft + z - target) @ axis
        delta = float(np.linalg.norm(draft - target))
        accepted = np.log(generator.random(n)) < 0.5 * delta**2 - delta * s
        reflected = target + z - 2.0 * (z @ axis)[:, None] * axis
        return np.stack([np.where(accepted[:, None], y, reflected), y], axis=1)

    def window(n: int, seed: int) -> np.ndarray:
        """Token by token, over any log-ratios."""
        generator = np.random.default_rng(seed)
        log_ratio = generator.normal(-0.1, 0.5, size=(n, length))
        kept = np.cumprod(np.log(generator.random((n, length))) < log_ratio, axis=1).sum(1)
        return np.concatenate([log_ratio, kept[:, None]], axis=1)

    return {
        "coupling": Case(ex.GaussianCoupling(target, draft, 1.0, "reflection"), coupled, 500),
        "verified window": Case(ex.VerifiedWindow(length, "token"), window, 500),
    }


def batteries(law: Law) -> list[Battery]:
    return [b for b in (*standard(), *EXTRA) if b.applies(law)]


@dataclass
class Row:
    """What was counted of one test."""

    law: str
    test: str
    validity: str
    reach: float
    uniform: bool
    counts: list[int]
    certificates: int
    uniformity: float | None = None

    def verdict(self, comparisons: int) -> str:
        """Exact tests must not be off on either side, bounds must not be above."""
        for count, level in zip(self.counts, LEVELS, strict=True):
            low, high = interval(count, self.certificates, comparisons)
            if level < self.reach:
                if count:
                    return f"beyond reach at {level:g}"
                continue
            if low > level:
                return f"too many at {level:g}"
            if self.uniform and high < level:
                return f"too few at {level:g}"
        return "ok"


def interval(count: int, n: int, comparisons: int) -> tuple[float, float]:
    """Clopper-Pearson, so wide that all comparisons hold together."""
    found = stats.binomtest(count, n).proportion_ci(1.0 - (1.0 - TOGETHER) / comparisons)
    return float(found.low), float(found.high)


def p_values(job: tuple[str, int, int]) -> tuple[list[tuple], np.ndarray]:
    """The tests of a law, and their p-values (certificates, tests)."""
    name, first, count = job
    case = cases()[name]
    found, tests = [], []
    for i in range(first, first + count):
        generator = np.random.default_rng([7, i])
        sample = case.sample(case.draws, 1_000_003 * (1 + i) % (1 << 31))
        evidence = [battery.start(case.law, generator) for battery in batteries(case.law)]
        for one in evidence:
            one.update(sample)
        results = [r for one in evidence for r in one.results()]
        tests = [_label(r) for r in results]
        found.append([r.p_value for r in results])
    return tests, np.array(found)


def _label(r: Result) -> tuple[str, str, float, bool]:
    """What a test is called over many certificates; the worst of several rows is a test of its own."""
    plain = r.where in ("pooled", "all features", "all frequencies")
    where = ", worst row" if r.rows > 1 else "" if plain else f", {r.where}"
    # A discrete statistic, a bound over rows: p-values are at least uniform, not exactly.
    uniform = r.null.validity == "exact" and r.rows == 1 and r.null.name not in ("share", "equality", "distinct")
    return f"{r.battery}: {r.name}, {r.null.name}{where}", r.null.validity, r.null.reach, uniform


def calibrate(name: str, certificates: int, workers: int) -> list[Row]:
    size = max(1, certificates // (8 * workers))
    jobs = [(name, i, min(size, certificates - i)) for i in range(0, certificates, size)]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(p_values, jobs))
    p = np.concatenate([part[1] for part in parts])
    rows = []
    for j, (test, validity, reach, uniform) in enumerate(parts[0][0]):
        counts = [int((p[:, j] <= level).sum()) for level in LEVELS]
        # A permutation's p-values lie on a grid: compared with the uniform law of that grid by their cells.
        fine = stats.kstest(p[:, j], "uniform").pvalue if uniform and reach == 0.0 else None
        rows.append(Row(name, test, validity, reach, uniform, counts, len(p), None if fine is None else float(fine)))
    return rows


def refuted(job: tuple[str, float, int, int]) -> int:
    """How many of so many whole certificates, in three stages, are refuted."""
    name, alpha, first, count = job
    case = cases()[name]
    plan = ex.Plan(alpha=alpha, tolerance=1e-3, first_paths=50, max_paths=200, suspicion=1e-12)
    verdicts = [ex.certify(case.sample, case.law, plan=plan, seed=i, name="null").verdict for i in range(first, first + count)]
    return sum(v is ex.Verdict.REFUTED for v in verdicts)


def count_refuted(name: str, alpha: float, certificates: int, workers: int) -> int:
    size = max(1, certificates // (8 * workers))
    jobs = [(name, alpha, i, min(size, certificates - i)) for i in range(0, certificates, size)]
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(refuted, jobs))


def stage_cost(name: str, tolerance: float, certificates: int) -> tuple[float, float]:
    """Mean draws until an exact sampler is certified: in five stages, and in one at the same tolerance and confidence."""
    case = cases()[name]
    mean = []
    for stages in (5, 1):
        plan = ex.Plan.for_tolerance(tolerance, case.law, stages=stages)
        judged = [ex.certify(case.sample, case.law, plan=plan, seed=i, name="null") for i in range(certificates)]
        assert all(c.verdict is ex.Verdict.CERTIFIED for c in judged), "an exact sampler was not certified"
        mean.append(float(np.mean([c.paths for c in judged])))
    return mean[0], mean[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=2_000, help="null certificates of each law")
    parser.add_argument("--strict", type=int, default=10_000, help="null certificates at alpha 1e-6, over all laws")
    parser.add_argument("--staged", type=int, default=20, help="certificates for the cost of stages")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=REPORTS)
    parser.add_argument("--of", choices=cases(), action="append", help="only these laws; of the others what was counted before")
    options = parser.parse_args()
    n, workers = options.certificates, options.workers
    names, share = list(dict.fromkeys(options.of or cases())), options.strict // len(cases()) + 1
    new = {
        "rows": [asdict(row) for name in names for row in calibrate(name, n, workers)],
        "family": [(name, alpha, count_refuted(name, alpha, n, workers), n) for name in names for alpha in (0.05, 0.01)],
        "strict": {name: (count_refuted(name, 1e-6, share, workers), share) for name in names},
        "stages": {name: stage_cost(name, 0.05, options.staged) for name in STAGED if name in names},
    }
    before = json.loads((options.out / "calibration.json").read_text()) if options.of else {}
    data = together(before, new, names)
    print(write("calibration.md", page(data, n), options.out))
    write("calibration.json", json.dumps(data, indent=1) + "\n", options.out)


def together(before: dict, new: dict, names: Sequence[str]) -> dict:
    """What was counted now, and before of the laws that were not, in the order of the laws."""
    order = list(cases())
    rows = [r for r in before.get("rows", []) if r["law"] not in names] + new["rows"]
    family = [f for f in before.get("family", []) if f[0] not in names] + new["family"]
    merged = {key: {**before.get(key, {}), **new[key]} for key in ("strict", "stages")}
    return {
        "rows": sorted(rows, key=lambda r: order.index(r["law"])),
        "family": sorted(family, key=lambda f: order.index(f[0])),
        **{key: {name: kept[name] for name in order if name in kept} for key, kept in merged.items()},
    }


def page(data: dict, n: int) -> str:
    rows, family, strict, cost = [Row(**r) for r in data["rows"]], data["family"], data["strict"], data["stages"]
    comparisons = len(rows) * len(LEVELS)
    bad = [r for r in rows if r.verdict(comparisons) != "ok"]
    uniform = [r.uniformity for r in rows if r.uniformity is not None]
    text = "# Calibration: error rates, measured\n\n"
    text += f"Command: `make calibrate` (`python -m studies.calibrate`). {versions('numpy', 'scipy', 'exactness')}.\n\n"
    text += (
        f"Each test of {n:,} certificates of an exact sampler: the share of p-values at most 0.05, 0.01 and 0.001, with "
        f"Clopper-Pearson intervals that hold all together ({comparisons} of them) with probability {TOGETHER:g}. Exact tests "
        "must have the level inside; bounds, tests of the worst of several rows and of counts may lie below. A test never "
        f"claims less than its reach. {len(rows) - len(bad)} of {len(rows)} tests are as they must be"
        + ("." if not bad else ": see those that are not.") + "\n\n"
    )  # fmt: skip
    text += f"Uniformity of the {len(uniform)} exact p-values (Kolmogorov, smallest of all): {min(uniform, default=1.0):.2g}, "
    text += f"times their number {min(1.0, len(uniform) * min(uniform, default=1.0)):.2g}.\n\n"
    text += "## Whole certificates, three stages\n\n"
    text += table(
        ("law", "alpha", "refuted", "of", "interval"),
        [(a, f"{b:g}", c, f"{d:,}", "{:.4f} to {:.4f}".format(*interval(c, d, len(family)))) for a, b, c, d in family]
        + [(name, "1e-06", count, f"{of:,}", "") for name, (count, of) in strict.items()],
    )
    text += "\n## What stages cost\n\nMean draws until an exact sampler is certified at tolerance 0.05, in five stages (doubling) "
    text += "and in one at the same tolerance and confidence.\n\n"
    text += table(
        ("law", "five stages", "one stage", "ratio"), [(k, f"{a:,.0f}", f"{b:,.0f}", f"{a / b:.2f}") for k, (a, b) in cost.items()]
    )
    text += "\n## Every test\n\n"
    shown = []
    for r in rows:
        cells = []
        for count in r.counts:
            low, high = interval(count, r.certificates, comparisons)
            cells.append(f"{count / r.certificates:.4f} ({low:.4f} to {high:.4f})")
        fine = "" if r.uniformity is None else f"{r.uniformity:.2g}"
        shown.append((r.law, r.test, r.validity, f"{r.reach:g}" if r.reach else "", *cells, fine, r.verdict(comparisons)))
    return text + table(("law", "test", "null", "reach", *(f"{level:g}" for level in LEVELS), "uniform", ""), shown)


if __name__ == "__main__":
    main()
