"""Runs tests against a judge with one function replaced: ``python -m tests.controls.mutated NAME ...`` shows what they say.

Each run is a fork of a process that has imported everything slow, so it starts at once and leaves nothing behind.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.controls.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
# Imported before anything is forked. A mutant replaces all bindings of its function, so the package may be there already.
_SLOW = ("mpmath", "scipy.stats", "scipy.optimize", "torch", "hypothesis", "tests.registry")


class Server:
    """The process that forks, as a context. Questions are mutants' names, answers what pytest said."""

    def __enter__(self) -> Server:
        # What the pytest outside says to its workers is not meant for the one inside; threads would be lost in a fork.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, mutant: str | None, tests: Sequence[str]) -> dict:
        """``code`` (pytest's), ``test`` (the first that failed, "" if none), ``error`` (the name of its exception), ``output``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([mutant, list(tests)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class _Recorder:
    """The first test that fails, and by which exception."""

    def __init__(self) -> None:
        self.test, self.error = "", ""

    def pytest_sessionstart(self) -> None:
        # After the profile of conftest.py, before any test takes it over: the smallest example of a killed mutant is no news.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("unshrunk", settings.get_profile("exactness"), phases=phases, database=None)
        settings.load_profile("unshrunk")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        if report.failed and not self.test and call.excinfo is not None:
            self.test, self.error = item.nodeid, call.excinfo.typename
        return report


def run(mutant: Mutant | None, tests: Sequence[str]) -> dict:
    """The tests, up to the first that fails, in a fork of this process."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                if mutant is not None:
                    mutant.apply()
                recorder = _Recorder()
                code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests], plugins=[recorder])
                answer.write(json.dumps({"code": int(code), "test": recorder.test, "error": recorder.error}).encode())
                answer.flush()
                sys.stdout.flush()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        answer.seek(0)
        output.seek(0)
        said = json.loads(answer.read() or b'{"code": -1, "test": "", "error": "the process died"}')
        return said | {"output": output.read().decode(errors="replace"), "seconds": round(time.perf_counter() - started, 2)}


def _serve() -> None:
    for line in sys.stdin:
        name, tests = json.loads(line)
        print(json.dumps(run(None if name is None else MUTANTS[name], tests)), flush=True)


if __name__ == "__main__":
    for module in _SLOW:
        importlib.import_module(module)
    for name in sys.argv[1:]:
        found = run(MUTANTS[name], MUTANTS[name].tests)
        print(
            found["output"], f"{name}: {found['error'] or 'survives'} in {found['test'] or 'none'}, {found['seconds']} s", sep="\n"
        )
    if len(sys.argv) == 1:
        _serve()
