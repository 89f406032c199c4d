"""Runs of the statistical tests in processes of their own, and what they printed."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from filelock import FileLock

from ..page import ROOT, versions
from . import code
from .counts import Count, added, counted
from .page import write_pages


def batch(folder: str, seeds: list[int]) -> tuple[int, list[str]]:
    """The number of tests that passed, and the tests that failed, in one process that runs the folder once per seed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "statistical and not slow", "--tb=no", "-rfE"]
    command += ["-p", "no:cacheprovider", "-p", "no:logging", folder, *(f"--seeds={seed}" for seed in seeds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    return outcome(done.returncode, done.stdout, done.stderr)


def outcome(code: int, said: str, errors: str) -> tuple[int, list[str]]:
    """Read from pytest's output. A fixture that raises before its test or after it counts as a failure as well."""
    passed = re.search(r"(\d+) passed", said)
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", said, flags=re.MULTILINE)
    if code not in (0, 1) or not (passed or failed):
        raise RuntimeError(f"the tests did not run:\n{said[-2_000:]}\n{errors[-2_000:]}")
    return int(passed.group(1)) if passed else 0, failed


def count_runs(folder: str, options: argparse.Namespace) -> None:
    """Run one folder with ``options.runs`` new seeds, in several processes at once."""
    seeds = [secrets.randbelow(1 << 31) for _ in range(options.runs)]
    groups = [seeds[i : i + options.each] for i in range(0, len(seeds), options.each)]
    started, digest, commit = time.monotonic(), code.digest(folder), code.commit()
    broken: list[str] = []

    def work(group: list[int]) -> tuple[int, int, list[str]]:
        if broken or time.monotonic() - started > 60.0 * options.minutes:
            return 0, 0, []
        try:
            good, bad = batch(folder, group)
            if code.digest(folder) != digest:
                raise RuntimeError("the code has changed meanwhile; run the study in a clone of its own")
        except RuntimeError as error:
            # The findings of the other processes still count, but no further process is started.
            broken.append(str(error))
            return 0, 0, []
        return len(group), good, bad

    with ThreadPoolExecutor(options.workers) as pool:
        for done in as_completed([pool.submit(work, group) for group in groups]):
            runs, good, bad = done.result()
            if runs:
                count = add(options.out, folder, digest, commit, runs, good, bad)
                print(f"{count['runs']} runs: {count['passed']} passed, {sum(count['failed'].values())} failed", *bad, flush=True)
    if broken:
        raise SystemExit(broken[0])


def add(out: Path, folder: str, digest: str, commit: str, runs: int, passed: int, failed: list[str]) -> Count:
    """Add runs of a folder to the counts and write the page. This happens as the study goes, so that a killed study keeps its runs,
    and by one process at a time, because several may count at once.
    """
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".flakiness.lock"):
        kept = counted(out)
        count = added(kept.setdefault(folder, []), digest, commit, versions(*code.PACKAGES), runs, passed, failed)
        write_pages(out, kept)
    return count
