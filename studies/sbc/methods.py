"""The tests in use today, each for many runs at once. A run is a row, and every p-value is over all quantities of a run."""

from __future__ import annotations

import numpy as np
from scipy import stats

from .kernels import DESIGN, OBSERVED, SD, Invariant, Posterior, Rows, log_likelihood, posterior, prior, simulate

# 20 ranks, 0 to 19, as in the paper of 2018. Chains start at the prior.
DRAWS, THIN, BURN = 19, 20, 100


def ranks(kernel: Posterior, n: int, seed: int) -> dict[str, Rows]:
    """The ranks (n, 3) of both parameters and of the log-likelihood, from the same chains: successive states, and every 20th."""
    rng = np.random.default_rng(seed)
    theta = prior(n, int(rng.integers(1 << 31)))
    data = simulate(theta, int(rng.integers(1 << 31)))
    truth = np.column_stack([theta, log_likelihood(theta, data)])
    x = prior(n, int(rng.integers(1 << 31)))
    found = {"every state": np.zeros((n, 3), dtype=int), "every 20th state": np.zeros((n, 3), dtype=int)}
    for step in range(1, BURN + DRAWS * THIN + 1):
        x = kernel.move(x, data, rng)
        since = step - BURN
        if since >= 1 and (since <= DRAWS or since % THIN == 0):
            below = np.column_stack([x, log_likelihood(x, data)]) < truth
            found["every state"] += below & (since <= DRAWS)
            found["every 20th state"] += below & (since % THIN == 0)
    return found


STEPS_OF_SBC = {"every state": BURN + DRAWS, "every 20th state": BURN + DRAWS * THIN}


def uniform(ranked: Rows) -> float:
    """The p-value of ranks (n, k): chi-square tests of the 20 ranks, adjusted for their number."""
    counts = [np.bincount(column, minlength=DRAWS + 1) for column in ranked.T]
    return float(smallest(np.array([stats.chisquare(c).pvalue for c in counts])))


def smallest(p_values: Rows) -> Rows:
    """The smallest p-value along the last axis, adjusted for their number (Bonferroni and Holm agree on it)."""
    found: Rows = np.minimum(1.0, p_values.shape[-1] * p_values.min(axis=-1))
    return found


def of_chain(kept: Rows, exact: Rows) -> Rows:
    """p-values (runs,) of the means of a chain (steps, runs, k) against the exact ones, by the means of about sqrt(n) batches."""
    count = int(len(kept) ** 0.5)
    size = len(kept) // count
    batches = kept[: count * size].reshape(count, size, *kept.shape[1:]).mean(1)
    error = batches.std(axis=0, ddof=1) / len(batches) ** 0.5
    return p_of_scores((batches.mean(0) - exact) / np.where(error > 0, error, np.inf), count)


def p_of_scores(z: Rows, batches: int) -> Rows:
    """One p-value per run from z-scores (runs, k), by Student's distribution, because the errors are those of few batches."""
    return smallest(2.0 * stats.t.sf(np.abs(z), batches - 1))


def geweke(kernel: Posterior, lengths: list[int], runs: int, seed: int) -> dict[int, Rows]:
    """Joint distribution tests: p-values (runs,) of the first steps, for each of the lengths.

    The chain draws data given the parameters and moves the parameters given the data. Its means of both parameters, their squares,
    their product and the log-likelihood are compared with the exact ones.
    Source: Geweke 2004, section 3.
    """
    rng = np.random.default_rng(seed)
    theta = prior(runs, int(rng.integers(1 << 31)))
    exact = np.array([0.0, 0.0, 1.0, 1.0, 0.0, -0.5 * DESIGN.shape[1]])
    kept = np.empty((max(lengths), runs, len(exact)))
    for step in range(max(lengths)):
        data = theta @ DESIGN + SD * rng.standard_normal((runs, DESIGN.shape[1]))
        a, b = theta.T
        kept[step] = np.column_stack([a, b, a**2, b**2, a * b, log_likelihood(theta, data)])
        theta = kernel.move(theta, data, rng)
    return {n: of_chain(kept[:n], exact) for n in lengths}


def scores_of_chain(kernel: Invariant, lengths: list[int], runs: int, seed: int) -> dict[int, Rows]:
    """p-values (runs,) of z-scores of the first two moments of a chain against the exact ones. Chains start at exact draws."""
    rng = np.random.default_rng(seed)
    mean, sd = (np.asarray(part) for part in kernel.moments)
    exact = np.concatenate([mean, sd**2 + mean**2])
    x = kernel.target.sample(runs, int(rng.integers(1 << 31)))
    kept = np.empty((max(lengths), runs, len(exact)))
    for step in range(max(lengths)):
        x = kernel.move(x, rng)
        kept[step] = np.concatenate([x, x**2], axis=1)
    return {n: of_chain(kept[:n], exact) for n in lengths}


def seven_percent(kernel: Posterior | Invariant, steps: int, runs: int, seed: int) -> Rows:
    """Which runs (runs,) fail: a mean or a standard deviation differs by more than 7% from the exact one, after 10% of burn-in."""
    rng = np.random.default_rng(seed)
    if isinstance(kernel, Posterior):
        data = np.tile(OBSERVED, (runs, 1))
        centre, covariance = posterior(OBSERVED[None])
        mean, sd = centre[0], np.diag(covariance) ** 0.5
        x = prior(runs, int(rng.integers(1 << 31)))
    else:
        mean, sd = (np.asarray(part) for part in kernel.moments)
        x = kernel.target.sample(runs, int(rng.integers(1 << 31)))
    total, squares, count = np.zeros_like(x), np.zeros_like(x), 0
    for step in range(steps):
        x = kernel.move(x, data, rng) if isinstance(kernel, Posterior) else kernel.move(x, rng)
        if step >= steps // 10:
            total, squares, count = total + x, squares + x**2, count + 1
    found = total / count
    spread = np.sqrt(squares / count - found**2)
    wrong = (np.abs(found - mean) > 0.07 * np.abs(mean)) | (np.abs(spread - sd) > 0.07 * sd)
    return np.any(wrong, axis=1)
