"""Every method on every kernel: how often it refuses at level .05, and how much it needs for a p-value of 1e-6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import exactness as ex

from .kernels import INVARIANTS, POSTERIORS, Invariant, Posterior, log_likelihood, log_prior, prior, simulate
from .methods import STEPS_OF_SBC, geweke, ranks, scores_of_chain, seven_percent, uniform

LEVEL, SMALL = 0.05, 1e-6
# What one run of each method is, at level .05. The rule has no level.
SIMULATIONS, CHAIN, MOVES = 500, 10_000, 1_000
STEPS = 10
# How far each method goes for a p-value of 1e-6, in simulations or steps.
MOST = 3_200
SIZES = [100 * 2**i for i in range(6)]
SEEDS = 5
COLUMNS = {"parameters": 2, "and the log-likelihood": 3}


def runs_of(right: bool, runs: int) -> int:
    """Right kernels need many runs for a narrow interval, and wrong ones few."""
    return runs if right else min(10, runs)


def rows(runs: int) -> Iterator[dict[str, Any]]:
    """One row for each kernel and method."""
    for seed, (name, kernel) in enumerate(POSTERIORS.items()):
        about = {"kernel": name, "right": kernel.right, "claim": "posterior"}
        for found in (
            *_sbc(kernel, runs, seed),
            _geweke(kernel, runs, seed),
            _rule(kernel, runs, seed),
            _joint(kernel, runs, seed),
        ):
            yield about | found
    for seed, (name, invariant) in enumerate(INVARIANTS.items()):
        about = {"kernel": name, "right": invariant.right, "claim": "invariance"}
        for found in (_scores(invariant, runs, seed), _rule(invariant, runs, seed), _invariance(invariant, runs, seed)):
            yield about | found


def _row(method: str, refused: int, runs: int, steps: float, needs: list[float], unit: str) -> dict[str, Any]:
    """``needs`` has one size per seed, infinity where the method did not get there."""
    median = float(np.median(needs)) if needs else float("nan")
    return {
        "method": method, "refused": int(refused), "runs": runs, "steps": float(steps),
        "needs": median if np.isfinite(median) else None, "unit": unit,
    }  # fmt: skip


def _first(p_values: dict[int, float]) -> float:
    return min((n for n, p in p_values.items() if p <= SMALL), default=float("inf"))


def _sbc(kernel: Posterior, runs: int, seed: int) -> Iterator[dict[str, Any]]:
    count = runs_of(kernel.right, runs)
    small: dict[str, list[np.ndarray]] = {how: [] for how in STEPS_OF_SBC}
    # Runs are drawn together, and in parts for the memory's sake.
    for part in range(0, count, 20):
        many = min(20, count - part)
        for how, found in ranks(kernel, many * SIMULATIONS, 1_000 * seed + part).items():
            small[how] += np.split(found, many)
    large = [ranks(kernel, MOST, 1_000 * seed + 900 + i) for i in range(SEEDS)]
    for how, steps in STEPS_OF_SBC.items():
        for what, columns in COLUMNS.items():
            refused = sum(uniform(run[:, :columns]) <= LEVEL for run in small[how])
            needs = [_first({n: uniform(one[how][:n, :columns]) for n in SIZES}) for one in large]
            yield _row(f"SBC, {how}, {what}", refused, count, SIMULATIONS * steps, needs, "simulations")


def _geweke(kernel: Posterior, runs: int, seed: int) -> dict[str, Any]:
    count = runs_of(kernel.right, runs)
    found = geweke(kernel, sorted({*SIZES, CHAIN}), count, seed)
    needs = [_first({n: found[n][i] for n in SIZES}) for i in range(SEEDS)]
    return _row("Geweke's z-scores", (found[CHAIN] <= LEVEL).sum(), count, CHAIN, needs, "steps")


def _scores(kernel: Invariant, runs: int, seed: int) -> dict[str, Any]:
    count = runs_of(kernel.right, runs)
    found = scores_of_chain(kernel, sorted({*SIZES, CHAIN}), count, seed)
    needs = [_first({n: found[n][i] for n in SIZES}) for i in range(SEEDS)]
    return _row("z-scores of moments", (found[CHAIN] <= LEVEL).sum(), count, CHAIN, needs, "steps")


def _rule(kernel: Posterior | Invariant, runs: int, seed: int) -> dict[str, Any]:
    count = runs_of(kernel.right, runs)
    return _row("the 7% rule", seven_percent(kernel, CHAIN, count, seed).sum(), count, CHAIN, [], "")


def _joint(kernel: Posterior, runs: int, seed: int) -> dict[str, Any]:
    quantities = {"log-likelihood": log_likelihood, "log-joint": lambda theta, data: log_prior(theta) + log_likelihood(theta, data)}
    law = ex.JointLaw(prior, simulate, quantities=quantities, steps=STEPS)
    return _certified("joint law", law.moved_by(kernel), law, kernel.right, runs, seed, STEPS)


def _invariance(kernel: Invariant, runs: int, seed: int) -> dict[str, Any]:
    law = ex.KernelInvariance(kernel.target)
    return _certified("invariance", law.moved_by(kernel), law, kernel.right, runs, seed, 1)


def _certified(method: str, sampler: Any, law: ex.Law, right: bool, runs: int, seed: int, steps: int) -> dict[str, Any]:
    """Whole certificates: at level .05 with few moves, and with the default alpha of 1e-6."""
    count, most = runs_of(right, runs), STEPS * MOVES // steps
    plan = ex.Plan(alpha=LEVEL, tolerance=0.5, max_paths=most)
    found = [ex.certify(sampler, law, plan=plan, seed=1_000 * seed + i) for i in range(count)]
    refused = sum(one.verdict is ex.Verdict.REFUTED for one in found)
    needs = []
    for i in range(1 if right else SEEDS):
        one = ex.certify(sampler, law, plan=ex.Plan(tolerance=0.001, max_paths=MOST), seed=1_000 * seed + 900 + i)
        needs.append(float(one.paths) if one.verdict is ex.Verdict.REFUTED else float("inf"))
    spent = float(np.mean([one.cost["kernel_steps"] for one in found]))
    return _row(method, refused, count, spent, needs, "simulations" if steps > 1 else "steps")
