"""Tests of what the distributions hold and what an installation exposes."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import exactness as ex

from .conftest import DIGITS, ROOT

# Of the wheel; the weights, which are larger, are in a distribution of their own.
MOST_BYTES = 900_000


def names(wheel) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_packages_and_nothing_else(build):
    wheel = build()
    held = names(wheel)
    assert {name.partition("/")[0] for name in held} == {"exactness", "exactness_samplers", "pytest_exactness.py"}
    assert {"exactness/py.typed", "exactness_samplers/py.typed", "exactness/show/report/templates/report.html.j2"} <= held
    assert wheel.stat().st_size < MOST_BYTES


def test_every_module_of_the_working_copy_is_in_the_wheel(build):
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "exactness").rglob("*.py")}
    here |= {path.relative_to(ROOT / "samplers").as_posix() for path in (ROOT / "samplers/exactness_samplers").rglob("*.py")}
    assert here | {"pytest_exactness.py"} == {name for name in names(build()) if name.endswith(".py")}


def test_the_weights_are_a_distribution_of_their_own(build):
    files = {f"exactness_digits/{path.name}" for path in DIGITS.glob("*.safetensors")}
    assert len(files) == 5
    assert names(build(DIGITS)) == files | {"exactness_digits/__init__.py", "exactness_digits/py.typed"}
    for path in DIGITS.glob("*.safetensors"):
        assert zipfile.ZipFile(build(DIGITS)).read(f"exactness_digits/{path.name}") == path.read_bytes()


@pytest.mark.parametrize("environments", ["installed", "editable"])
def test_an_installation_exposes_the_packages_and_hides_nobodys_tests(request, environments, tmp_path):
    environment = request.getfixturevalue(environments)
    code = (
        "import importlib.util as u, importlib.metadata as m\n"
        "import exactness, exactness_samplers, exactness_digits, pytest_exactness\n"
        "print(exactness.__file__, exactness_samplers.__file__, pytest_exactness.__file__)\n"
        "ours = lambda n: m.packages_distributions().get(n, ['exactness']) == ['exactness']\n"  # blackjax has a folder docs
        "print([n for n in ('tests', 'studies', 'samplers', 'notebooks', 'docs') if u.find_spec(n) and ours(n)])\n"
        "print(exactness.__version__, m.version('exactness'))\n"
        "print([(p.name, p.value) for p in m.distribution('exactness').entry_points])"
    )
    done = environment.run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files, found, versions, points = done.stdout.splitlines()
    assert all(file.startswith(str(environment.source)) for file in files.split())
    assert found == "[]"
    assert versions == f"{ex.__version__} {ex.__version__}"
    assert points == "[('exactness', 'exactness.__main__:main'), ('exactness', 'pytest_exactness')]"


@pytest.mark.parametrize("environments", ["installed", "editable"])
def test_pytest_finds_the_plugin_and_judges(request, environments, tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import exactness as ex\n"
        "LAW = ex.GaussianMixture([1.0], [[0.0]], [1.0])\n"
        "def test_right(certify): certify(LAW.sample, LAW, plan=ex.Plan(tolerance=0.2, max_paths=2_000))\n"
        "def test_wrong(certify): certify(lambda n, s: LAW.sample(n, s) + 1, LAW, plan=ex.Plan(max_paths=2_000))\n"
    )
    done = request.getfixturevalue(environments).run("-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "NotAsClaimed: test_mine.py::test_wrong: refuted" in done.stdout
    assert "warning" not in done.stdout.lower()


def test_without_the_weights_one_sentence_says_what_to_install(build, environment, tmp_path):
    alone = environment(build())
    done = alone.run("-m", "exactness", "certify", "network/sequential", "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install ./samplers/exactness_digits" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def unpacked(build, tmp_path_factory) -> Path:
    """The sdist's folder."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(hook="build_sdist")) as archive:
        archive.extractall(folder, filter="data")
    (inside,) = folder.iterdir()
    return inside


def test_the_sdist_holds_every_file_of_the_working_copy(unpacked):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    here = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    assert len(here) > 100
    assert [name for name in here if not (unpacked / name).exists()] == []


@pytest.mark.slow
def test_the_sdist_collects_its_own_tests(unpacked):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "-m", ""]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert tests <= collected


def test_the_two_distributions_are_installed_together():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    makefile = (ROOT / "Makefile").read_text()
    assert '--editable ".[dev]" --editable samplers/exactness_digits' in makefile
    assert project["dynamic"] == ["version"]
