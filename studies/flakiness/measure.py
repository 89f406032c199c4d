"""Does any statistical test fail by chance? The whole statistical tier again and again, each time with a new seed.

    python -m studies.flakiness --runs 20
    python -m studies.flakiness --of tests/conformance --runs 50

Runs add up over calls, folder by folder, as long as the code is the same (comments and docstrings may change). Other code is
another count, and nothing that was counted is ever taken away. The seeds come from the operating system's entropy: nothing is
fixed. Every function below the folder that takes the ``seed`` fixture is run, but for the slow tier; failures are listed with the
seed that repeats them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from filelock import FileLock
from scipy.stats import beta

from .page import REPORTS, table, versions, write

ROOT = Path(__file__).parents[1]
PACKAGES = ("numpy", "scipy", "torch", "jax", "numpyro", "diffusers", "hypothesis", "pytest", "exactness")

FOLDERS = {
    "tests/batteries": "the judge: batteries, nulls, error rates",
    "tests/conformance": "samplers: whole certificates, and theory's numbers",
    "tests/adapters": "adapters: other people's samplers",
    "tests/controls": "wrong samplers",
    "tests/docs": "the tests of the field study",
}


def batch(folder: str, seeds: list[int]) -> tuple[int, list[str]]:
    """How many tests passed, and what failed, in one process that runs the tier once a seed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "statistical and not slow", "--tb=no", "-rfE"]
    command += ["-p", "no:cacheprovider", "-p", "no:logging", folder, *(f"--seeds={seed}" for seed in seeds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    return outcome(done.returncode, done.stdout, done.stderr)


def outcome(code: int, said: str, errors: str) -> tuple[int, list[str]]:
    """Of what pytest printed. A fixture that raises is a failure, too, before its test or after it."""
    passed = re.search(r"(\d+) passed", said)
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", said, flags=re.MULTILINE)
    if code not in (0, 1) or not (passed or failed):
        raise RuntimeError(f"the tier did not run:\n{said[-2_000:]}\n{errors[-2_000:]}")
    return int(passed.group(1)) if passed else 0, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--of", choices=FOLDERS, help="which tests; those of all folders in turn if left out")
    parser.add_argument("--each", type=int, default=20, help="runs a process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600.0, help="start no further process after so long")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    for folder in [options.of] if options.of else FOLDERS:
        count_runs(folder, options)


def count_runs(folder: str, options: argparse.Namespace) -> None:
    """So many runs of one folder, several processes at once."""
    seeds = [secrets.randbelow(1 << 31) for _ in range(options.runs)]
    groups = [seeds[i : i + options.each] for i in range(0, len(seeds), options.each)]
    started, code, where = time.monotonic(), digest(folder), commit()
    broken: list[str] = []

    def work(group: list[int]) -> tuple[int, int, list[str]]:
        if broken or time.monotonic() - started > 60.0 * options.minutes:
            return 0, 0, []
        try:
            good, bad = batch(folder, group)
            if digest(folder) != code:
                raise RuntimeError("the code has changed meanwhile: run the study in a clone of its own")
        except RuntimeError as error:
            # What others find counts all the same; no further process is started.
            broken.append(str(error))
            return 0, 0, []
        return len(group), good, bad

    with ThreadPoolExecutor(options.workers) as pool:
        for done in as_completed([pool.submit(work, group) for group in groups]):
            runs, good, bad = done.result()
            if runs:
                count = add(options.out, folder, code, where, runs, good, bad)
                print(f"{count['runs']} runs: {count['passed']} passed, {sum(count['failed'].values())} failed", *bad, flush=True)
    if broken:
        raise SystemExit(broken[0])


def commit() -> str:
    """Where the code that is counted can be read again; nothing where that is no commit."""
    try:
        changed = _git("status", "--porcelain", "--", "*.py", "tests/golden")
        return "" if changed else _git("rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def digest(folder: str) -> str:
    """Of all code that the folder's statistical tests may run, without comments and docstrings, of the numbers that they read, and
    of the versions of what they run on.
    """
    found = hashlib.sha256(versions(*PACKAGES).encode())
    for path in sorted([*(ROOT / "tests" / "golden").glob("*.json"), *(ROOT / "samplers").rglob("*.safetensors")]):
        found.update(path.read_bytes())
    for path in sorted(reached(folder)):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        found.update(f"{path.relative_to(ROOT).as_posix()}\n{ast.dump(tree)}\n".encode())
    return found.hexdigest()


def reached(folder: str) -> set[Path]:
    """The package and the samplers whole, as they import some modules by their names; of tests and studies, what the files with a
    function of ``seed`` import.
    """
    found = {*ROOT.glob("*.py"), *(path for of in ("exactness", "samplers") for path in (ROOT / of).rglob("*.py"))}
    waiting = [*(ROOT / "tests").glob("*.py"), *(path for path in (ROOT / folder).rglob("*.py") if _takes_seed(path))]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return found


def _takes_seed(path: Path) -> bool:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return any(argument.arg == "seed" for function in functions for argument in function.args.args)


def _imported(path: Path) -> list[Path]:
    """The files of this folder's modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parent.parts
            base = [*above[: len(above) + 1 - node.level], *filter(None, [node.module])] if node.level else [node.module or ""]
            names += [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
    files = [ROOT.joinpath(*name.split(".")) for name in names]
    return [file for stem in files for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.exists()]


def counted(out: Path) -> dict[str, list[dict]]:
    """What was counted so far: for each folder the counts of every code, the latest last."""
    path = out / "flakiness.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {of: kept[of] for of in FOLDERS if of in kept}


def add(out: Path, folder: str, code: str, where: str, runs: int, passed: int, failed: list[str]) -> dict:
    """Runs of a folder are added to those of the same code, and the page is written: as it goes, so that a killed study keeps
    what it has, and one call at a time, as several may count at once.
    """
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".flakiness.lock"):
        kept = counted(out)
        counts = kept.setdefault(folder, [])
        count = next((c for c in counts if c["code"] == code), None)
        if count is None:
            on = versions(*PACKAGES)
            counts.append(count := {"code": code, "commit": where, "versions": on, "runs": 0, "passed": 0, "failed": {}})
        count["runs"] += runs
        count["passed"] += passed
        count["failed"] = dict(Counter(count["failed"]) + Counter(failed))
        write_pages(out, kept)
    return count


def write_pages(out: Path, kept: dict[str, list[dict]]) -> None:
    """The numbers and the page."""
    write("flakiness.json", json.dumps(kept, indent=1) + "\n", out)
    rows, failures = [], []
    for of in FOLDERS:
        if of not in kept:
            rows.append((f"`{of}`", FOLDERS[of], "", "", "not counted yet", "", "", ""))
        for count in reversed(kept.get(of, [])):
            bad, runs = sum(count["failed"].values()), count["runs"]
            total = count["passed"] + bad
            # Clopper and Pearson 1934: failures of one run of the folder, whatever test fails.
            most = 1.0 if bad >= runs else float(beta.ppf(0.95, bad + 1, runs - bad))
            numbers = (f"{total / runs:.0f}", f"{runs:,}", f"{total:,}", bad, f"{most:.1e}")
            rows.append((f"`{of}`", FOLDERS[of], count["commit"] or "none", *numbers))
            failures += [(test, count["commit"] or "none", times) for test, times in sorted(count["failed"].items())]
    text = "# Flakiness of the statistical tests\n\n"
    text += "Command: `python -m studies.flakiness --of FOLDER`. "
    text += "; ".join(dict.fromkeys(count["versions"] for counts in kept.values() for count in counts)) + ".\n\n"
    text += (
        "Every test marked `statistical` (each function that takes a seed), but for the slow tier, run with seeds from the "
        "operating system's entropy. Runs of the same code add up, whatever the commits in between changed besides; other code "
        "has a row of its own, the latest first. **commit**: where that code can be read; **at most** bounds, at 95% confidence, "
        "how often a run of the folder has a failure.\n\n"
    )
    head = ("folder", "what it tests", "commit", "tests a run", "runs", "tests run", "failures", "at most")
    text += table(head, rows, right=5)
    if failures:
        text += "\n" + table(("test and seed", "commit", "failures"), failures)
    write("flakiness.md", text, out)


if __name__ == "__main__":
    main()
