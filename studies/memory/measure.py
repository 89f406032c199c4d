"""One certificate per process, and what it took."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np

import exactness as ex

STEPS, DIM = 40, 2
VALUES = (STEPS + 1) * DIM
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, -(-(10**9) // VALUES))


def sample(n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    path = np.empty((n, STEPS + 1, DIM))
    path[:, 0] = generator.standard_normal((n, DIM))
    for i in range(STEPS):
        path[:, i + 1] = 0.9 * path[:, i] + 0.5 * generator.standard_normal((n, DIM))
    return path


def one(paths: int) -> dict[str, object]:
    """A whole certificate in this process. The peak of the resident memory includes the interpreter and its libraries."""
    law = ex.GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.full(STEPS, 0.5), dim=DIM)
    plan = ex.Plan(tolerance=0.99, first_paths=paths, max_paths=paths)
    judged = ex.certify(sample, law, plan=plan, name="plain")
    return {
        "paths": judged.paths,
        "innovations": judged.paths * VALUES,
        "verdict": judged.verdict.value,
        "sampling_s": judged.cost["seconds_sampling"],
        "judging_s": judged.cost["seconds_judging"],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(paths: int) -> dict[str, object]:
    """The same in a process of its own, so that the peak is that of this certificate."""
    done = subprocess.run([sys.executable, "-m", "studies.memory", "--one", str(paths)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
