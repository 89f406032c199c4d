"""Does any statistical test fail by chance? The whole statistical tier again and again, each time with a new seed.

    python -m studies.flakiness --runs 2000 --minutes 60

Runs add up over calls, until ``--fresh``: start again after a change of tests or batteries. The seeds come from the operating
system's entropy: nothing is fixed. Every function below ``tests/batteries`` that takes the ``seed`` fixture is run; failures are
listed with the seed that repeats them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .page import REPORTS, table, versions, write

ROOT = Path(__file__).parents[1]


def batch(seeds: list[int]) -> tuple[int, list[str]]:
    """How many tests passed, and what failed, in one process that runs the tier once a seed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "statistical and not slow", "-p", "no:cacheprovider", "--tb=no", "-rf"]
    command += ["tests/batteries", *(f"--seeds={seed}" for seed in seeds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = re.findall(r"^FAILED (\S+)", done.stdout, flags=re.MULTILINE)
    if done.returncode not in (0, 1) or passed is None:
        raise SystemExit(f"the tier did not run:\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}")
    return int(passed.group(1)), failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--each", type=int, default=20, help="runs a process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600.0, help="start no further process after so long")
    parser.add_argument("--fresh", action="store_true", help="forget the runs that were counted before")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    seeds = [secrets.randbelow(1 << 31) for _ in range(options.runs)]
    groups = [seeds[i : i + options.each] for i in range(0, len(seeds), options.each)]
    started, passed, failed, runs = time.monotonic(), 0, Counter[str](), 0
    before = options.out / "flakiness.json"
    if before.exists() and not options.fresh:
        kept = json.loads(before.read_text())
        passed, failed, runs = kept["passed"], Counter(kept["failed"]), kept["runs"]

    def work(group: list[int]) -> tuple[int, list[str], int]:
        if time.monotonic() - started > 60.0 * options.minutes:
            return 0, [], 0
        return *batch(group), len(group)

    with ThreadPoolExecutor(options.workers) as pool:
        for i, (good, bad, count) in enumerate(pool.map(work, groups)):
            passed, runs = passed + good, runs + count
            failed.update(bad)
            print(f"{runs} runs: {passed} passed, {sum(failed.values())} failed", flush=True)
            # Written as it goes: a killed study keeps what it has.
            if i % 5 == 4 or i == len(groups) - 1:
                _write(options.out, runs, passed, failed)


def _write(out: Path, runs: int, passed: int, failed: Counter[str]) -> None:
    text = "# Flakiness of the statistical tests\n\n"
    text += f"Command: `python -m studies.flakiness`. {versions('numpy', 'scipy', 'torch', 'pytest', 'exactness')}.\n\n"
    text += (
        "Every test marked `statistical` (each function of `tests/batteries` that takes a seed), run with seeds from the operating "
        f"system's entropy.\n\n{runs:,} runs, {passed + sum(failed.values()):,} tests: {sum(failed.values())} failures.\n\n"
    )
    if failed:
        text += table(("test and seed", "failures"), sorted(failed.items()))
    write("flakiness.md", text, out)
    write("flakiness.json", json.dumps({"runs": runs, "passed": passed, "failed": dict(failed)}, indent=1) + "\n", out)


if __name__ == "__main__":
    main()
