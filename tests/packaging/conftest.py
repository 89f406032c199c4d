"""The distributions as a user installs them: built here, and unpacked into environments of their own that share our libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import module_or_skip

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "samplers" / "exactness_digits"
# Where the libraries are. A .pth file that lists a folder lends its packages, and follows none of the .pth files in it: an editable
# install of this working copy stays invisible.
LENT = ("numpy", "editables")

Build = Callable[..., Path]


@dataclass(frozen=True)
class Environment:
    """A virtual environment. ``source``: the folder from which it must import exactness."""

    python: Path
    source: Path

    def run(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_"))}
        return subprocess.run(
            [self.python, *map(str, arguments)], cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> Build:
    """``build(project, hook)``: the file that this hook of hatchling makes of the project, without an index."""
    module_or_skip("hatchling")
    module_or_skip("editables")

    @cache
    def call(project: Path = ROOT, hook: str = "build_wheel") -> Path:
        folder = tmp_path_factory.mktemp("dist")
        code = f"import hatchling.build as b; print(b.{hook}({str(folder)!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return folder / done.stdout.split()[-1]

    return call


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> Callable[..., Environment]:
    """``environment(*wheels)``: one with these unpacked, as pip does it, and our libraries."""

    def call(*wheels: Path) -> Environment:
        folder = tmp_path_factory.mktemp("env")
        venv.create(folder, with_pip=False, symlinks=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        for wheel in wheels:
            zipfile.ZipFile(wheel).extractall(packages)
        libraries = {Path(module_or_skip(name).__file__).parents[1] for name in LENT}
        # Read before the others, in alphabetical order: the hook of an editable install needs a library.
        (packages / "00_libraries.pth").write_text("".join(f"{folder}\n" for folder in sorted(libraries)))
        return Environment(folder / "bin" / "python", packages)

    return call


@pytest.fixture(scope="session")
def installed(build, environment) -> Environment:
    """From both wheels."""
    return environment(build(), build(DIGITS))


@pytest.fixture(scope="session")
def editable(build, environment) -> Environment:
    """From this working copy, as `make install` has it."""
    made = environment(build(hook="build_editable"), build(DIGITS, "build_editable"))
    return Environment(made.python, ROOT)
