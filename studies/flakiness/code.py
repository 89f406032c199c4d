"""Which code is counted: a digest of all code that a folder's statistical tests may run, and its commit."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from pathlib import Path

from ..page import ROOT, versions

PACKAGES = ("numpy", "scipy", "torch", "jax", "numpyro", "diffusers", "hypothesis", "pytest", "exactness")


def commit() -> str:
    """The commit at which the code can be read again, or an empty string where the code is not committed."""
    try:
        changed = _git("status", "--porcelain", "--", "*.py", "tests/golden")
        return "" if changed else _git("rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def digest(folder: str) -> str:
    """A digest of all code that the folder's statistical tests may run, without comments and docstrings, of the numbers that they
    read, and of the versions of the packages.
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
    """The whole package and all samplers, because they import some modules by name; among tests and studies, the files that take
    ``seed`` and everything that they import.
    """
    found = {*ROOT.glob("*.py"), *(path for of in ("exactness", "samplers") for path in (ROOT / of).rglob("*.py"))}
    waiting = [*(ROOT / "tests").glob("*.py"), *(path for path in (ROOT / folder).rglob("*.py") if takes_seed(path))]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return found


def takes_seed(path: Path) -> bool:
    """True where a function of the file has a parameter ``seed``."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return any(argument.arg == "seed" for function in functions for argument in function.args.args)


def _imported(path: Path) -> list[Path]:
    """The files of this repository that a file imports, anywhere in it."""
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
