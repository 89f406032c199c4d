"""p-values and verdicts of many certificates of exact samplers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import stats

import exactness as ex
from exactness.evidence.base import Result

from .cases import batteries, cases

LEVELS = (0.05, 0.01, 0.001)
# The laws for which the cost of stages is measured.
STAGED = ("chain", "mixture", "trusted sampler")


@dataclass
class Row:
    """Counts for one test: ``counts[i]`` of its p-values are at most ``LEVELS[i]``."""

    law: str
    test: str
    validity: str
    reach: float
    uniform: bool
    counts: list[int]
    certificates: int
    uniformity: float | None = None


def p_values(job: tuple[str, int, int]) -> tuple[list[tuple], np.ndarray]:
    """The tests of a law, and their p-values, (certificates, tests)."""
    name, first, count = job
    found, tests = [], []
    for i in range(first, first + count):
        case = cases()[name].of(i)
        generator = np.random.default_rng([7, i])
        sample = case.sample(case.draws, 1_000_003 * (1 + i) % (1 << 31))
        accepted = case.law.accept(sample, case.draws)
        evidence = [battery.start(case.law, generator) for battery in batteries(case.law)]
        for one in evidence:
            one.update(accepted, calls=_calls(case.draws))
        results = [r for one in evidence for r in one.results()]
        tests = [_label(r) for r in results]
        found.append([r.p_value for r in results])
    return tests, np.array(found)


def _calls(draws: int) -> tuple[int, ...]:
    """One long call and many short ones, as in a certificate."""
    return (draws - draws // 2, *[10] * (draws // 20), *([draws // 2 % 10] if draws // 2 % 10 else []))


def _label(r: Result) -> tuple[str, str, float, bool]:
    """The name of a test, its validity and reach, and whether its p-values are uniform. The worst of several rows is one test."""
    plain = r.where in ("pooled", "all features", "all frequencies")
    where = ", worst row" if r.rows > 1 else "" if plain else f", {r.where}"
    # For a discrete statistic and for a bound over rows, p-values are stochastically larger than uniform.
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
        # The p-values of a permutation test lie on a grid and have a reach, so they are not compared with the uniform law.
        fine = stats.kstest(p[:, j], "uniform").pvalue if uniform and reach == 0.0 else None
        rows.append(Row(name, test, validity, reach, uniform, counts, len(p), None if fine is None else float(fine)))
    return rows


def refuted(job: tuple[str, float, int, int]) -> int:
    """The number of refuted certificates, among ``count`` whole ones in three stages."""
    name, alpha, first, count = job
    per_call = cases()[name].per_call
    plan = ex.Plan(alpha=alpha, tolerance=1e-3, first_paths=50, max_paths=200, suspicion=1e-12, per_call=per_call)
    every = [(i, cases()[name].of(i)) for i in range(first, first + count)]
    verdicts = [ex.certify(case.sample, case.law, plan=plan, seed=i, name="null").verdict for i, case in every]
    return sum(v is ex.Verdict.REFUTED for v in verdicts)


def count_refuted(name: str, alpha: float, certificates: int, workers: int) -> int:
    size = max(1, certificates // (8 * workers))
    jobs = [(name, alpha, i, min(size, certificates - i)) for i in range(0, certificates, size)]
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(refuted, jobs))


def stage_cost(name: str, tolerance: float, certificates: int) -> tuple[float, float]:
    """The mean draws until an exact sampler is certified, in five stages and in one, at the same tolerance and confidence."""
    case = cases()[name]
    mean = []
    for stages in (5, 1):
        plan = ex.Plan.for_tolerance(tolerance, case.law, stages=stages)
        judged = [ex.certify(case.sample, case.law, plan=plan, seed=i, name="null") for i in range(certificates)]
        assert all(c.verdict is ex.Verdict.CERTIFIED for c in judged), "an exact sampler was not certified"
        mean.append(float(np.mean([c.paths for c in judged])))
    return mean[0], mean[1]


def together(before: dict, new: dict, names: Sequence[str]) -> dict:
    """The new counts, with the earlier counts of all other laws, in the order of the laws."""
    order = list(cases())
    rows = [r for r in before.get("rows", []) if r["law"] not in names] + new["rows"]
    family = [f for f in before.get("family", []) if f[0] not in names] + new["family"]
    merged = {key: {**before.get(key, {}), **new[key]} for key in ("strict", "stages")}
    return {
        "rows": sorted(rows, key=lambda r: order.index(r["law"])),
        "family": sorted(family, key=lambda f: order.index(f[0])),
        **{key: {name: kept[name] for name in order if name in kept} for key, kept in merged.items()},
    }
