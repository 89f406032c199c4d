"""Does any statistical test fail by chance? The whole statistical tier again and again, each time with a new seed.

    python -m studies.flakiness --runs 2000 --minutes 60
    python -m studies.flakiness --of tests/conformance --runs 50

Runs add up over calls, folder by folder, as long as the code is the same (comments and docstrings may change). When it changes,
its count begins anew, and the runs of before stay on the page as what they are; ``--fresh`` forgets those of today's code. The
seeds come from the operating system's entropy: nothing is fixed. Every function below the folder that takes the ``seed`` fixture
is run, but for the slow tier; failures are listed with the seed that repeats them.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scipy.stats import beta

from .page import REPORTS, table, versions, write

NONE = {"runs": 0, "failures": 0}
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
    command = [sys.executable, "-m", "pytest", "-q", "-m", "statistical and not slow", "--tb=no", "-rf"]
    command += ["-p", "no:cacheprovider", "-p", "no:logging", folder, *(f"--seeds={seed}" for seed in seeds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = re.findall(r"^FAILED (.+?)(?: - |$)", done.stdout, flags=re.MULTILINE)
    if done.returncode not in (0, 1) or passed is None:
        raise SystemExit(f"the tier did not run:\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}")
    return int(passed.group(1)), failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--of", choices=FOLDERS, default="tests/batteries", help="which tests")
    parser.add_argument("--each", type=int, default=20, help="runs a process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600.0, help="start no further process after so long")
    parser.add_argument("--fresh", action="store_true", help="forget the folder's runs that were counted before")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    seeds = [secrets.randbelow(1 << 31) for _ in range(options.runs)]
    groups = [seeds[i : i + options.each] for i in range(0, len(seeds), options.each)]
    started, passed, failed, runs = time.monotonic(), 0, Counter[str](), 0
    code = digest(options.of)
    kept = counted(options.out).get(options.of)
    earlier = kept["earlier"] if kept else NONE
    if kept and kept["code"] != code:
        print(f"the code has changed since {kept['runs']} runs of {options.of} were counted: they are kept beside those of today's")
        earlier = {"runs": earlier["runs"] + kept["runs"], "failures": earlier["failures"] + sum(kept["failed"].values())}
    elif kept and not options.fresh:
        passed, failed, runs = kept["passed"], Counter(kept["failed"]), kept["runs"]

    def work(group: list[int]) -> tuple[int, list[str], int]:
        if time.monotonic() - started > 60.0 * options.minutes:
            return 0, [], 0
        good, bad = batch(options.of, group)
        if digest(options.of) != code:
            raise SystemExit("the code has changed meanwhile: run the study in a clone of its own")
        return good, bad, len(group)

    with ThreadPoolExecutor(options.workers) as pool:
        for good, bad, count in pool.map(work, groups):
            if not count:
                continue
            passed, runs = passed + good, runs + count
            failed.update(bad)
            print(f"{runs} runs: {passed} passed, {sum(failed.values())} failed", *bad, flush=True)
            # Written as it goes: a killed study keeps what it has.
            counts = {"runs": runs, "passed": passed, "failed": dict(failed), "code": code, "commit": commit(), "earlier": earlier}
            write_pages(options.out, options.of, counts)


def commit() -> str:
    """Where the code that is counted can be read again; nothing where that is no commit."""
    try:
        changed = _git("status", "--porcelain", "--", ".", ":!reports")
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


def counted(out: Path) -> dict[str, dict]:
    """What was counted so far, by folder."""
    path = out / "flakiness.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {of: kept[of] for of in FOLDERS if of in kept}


def write_pages(out: Path, folder: str, counts: dict) -> None:
    """The page and its numbers, with these of one folder in place of those before."""
    # Read again: another call may be counting another folder.
    kept = counted(out) | {folder: counts}
    write("flakiness.json", json.dumps(kept, indent=1) + "\n", out)
    rows, failed = [], Counter[str]()
    for of in FOLDERS:
        if of not in kept:
            rows.append((f"`{of}`", FOLDERS[of], "", "", "not counted yet", "", "", "", ""))
            continue
        bad = sum(kept[of]["failed"].values())
        total = kept[of]["passed"] + bad
        failed.update(kept[of]["failed"])
        # Clopper and Pearson 1934: failures of one run of the folder, whatever test fails.
        runs = kept[of]["runs"]
        most = 1.0 if bad >= runs else float(beta.ppf(0.95, bad + 1, runs - bad))
        earlier = kept[of]["earlier"]
        numbers = (f"{total / runs:.0f}", f"{runs:,}", f"{total:,}", bad, f"{most:.1e}")
        rows.append((f"`{of}`", FOLDERS[of], kept[of]["commit"], *numbers, f"{earlier['runs']:,} ({earlier['failures']})"))
    text = "# Flakiness of the statistical tests\n\n"
    text += "Command: `python -m studies.flakiness --of FOLDER`. "
    text += f"{versions(*PACKAGES)}.\n\n"
    text += (
        "Every test marked `statistical` (each function that takes a seed), but for the slow tier, run with seeds from the "
        "operating system's entropy. **at most** bounds, at 95% confidence, how often a run of the folder has a failure, for the "
        "code of the commit that is named; **before**: runs of earlier code, and in brackets their failures, kept from the first "
        "2,000 runs on.\n\n"
    )
    head = ("folder", "what it tests", "commit", "tests a run", "runs", "tests run", "failures", "at most", "before")
    text += table(head, rows, right=6)
    if failed:
        text += "\n" + table(("test and seed", "failures"), sorted(failed.items()))
    write("flakiness.md", text, out)


if __name__ == "__main__":
    main()
