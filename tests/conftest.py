"""One seed for everything random in the tests; it is printed, and `--seed` repeats a run with another."""

from __future__ import annotations

import importlib
import json
import os
import secrets
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from hypothesis import settings

# Runs pytest in a test, for the tests of our own plugin.
pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"

# These are read when torch and JAX are imported, which is later. The arrays of the tests are small, so threads that wait for each
# other cost more than they compute: with two workers on two busy cores, ten times as much.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _compile_fast() -> None:
    """Ask XLA for its older code generator, which compiles in two thirds of the time: most programs of the tests run only once.

    A flag that XLA does not know aborts the process, so it is set only for the release that it was tried with. The samplers' tests
    run once more with the compiler's own settings in ``make study``. Fewer optimisations would be faster still, but they round
    otherwise, and the tests of accuracy in single precision notice.
    """
    try:
        tried = f"jaxlib=={version('jaxlib')}" in (ROOT / "constraints.txt").read_text().splitlines()
    except (PackageNotFoundError, FileNotFoundError):
        return
    if tried:
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")


_compile_fast()

settings.register_profile("exactness", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("exactness")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="root seed of the statistical tests")
    parser.addoption("--seeds", type=int, action="append", help="run the statistical tests once with each of these root seeds")
    parser.addoption("--vary-seed", action="store_true", help="another root seed every time, printed: to measure flakiness")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--vary-seed"):
        config.option.seed = secrets.randbelow(1 << 31)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = metafunc.config.getoption("--seeds")
    if seeds and "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds, ids=[f"seed={s}" for s in seeds], scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever takes the seed is statistical: its docstring says at which rate it may fail."""
    for item in items:
        if "seed" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.statistical)


def pytest_report_header(config: pytest.Config) -> str:
    return f"exactness root seed: {config.getoption('--seed')} (repeat with --seed)"


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seed"))


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Drop what JAX compiled for a file when the file is done: a worker that keeps all programs grows by gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def golden():
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


def module_or_skip(name: str):
    """The module, or a visible skip."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(name)


def missing(what: str) -> None:
    """A backend that is not here: a visible skip on a machine of one's own, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} must be there in CI")
    pytest.skip(f"{what} is not here")
