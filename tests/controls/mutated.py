"""Runs tests against a judge with one function replaced: ``python -m tests.controls.mutated NAME ...`` shows what they say.

Each run is a fork of one pytest that has collected the tests and run none, so it starts at once and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import Phase, settings

from tests.controls.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


class Server:
    """The process that forks, as a context. Questions are mutants' names, answers what the tests said."""

    def __enter__(self) -> Server:
        # What the pytest outside says to its workers is not meant for the one inside; threads would be lost in a fork.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.controls.mutated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, mutant: str | None, tests: Sequence[str]) -> dict:
        """``failed`` (None if the run broke), ``test`` (the first that failed, "" if none), ``error`` (the name of its exception),
        ``output``, ``seconds``.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([mutant, list(tests)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that runs the mutants has ended; python -m tests.controls.mutated says why"
        return json.loads(answer)


class _Forking:
    """A plugin of pytest: in place of running what was collected, answers each question by a fork that runs some of it."""

    def __init__(self, questions: TextIO, answers: TextIO) -> None:
        self._questions, self._answers = questions, answers
        self._said = {"failed": False, "test": "", "error": "", "output": ""}

    def pytest_sessionstart(self) -> None:
        # After the profile of conftest.py, before any test takes it over: the smallest example of a killed mutant is no news.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("unshrunk", settings.get_profile("exactness"), phases=phases, database=None)
        settings.load_profile("unshrunk")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        if report.failed and not self._said["failed"] and call.excinfo is not None:
            self._said = {
                "failed": True, "test": item.nodeid, "error": call.excinfo.typename, "output": report.longreprtext,
            }  # fmt: skip
        return report

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Failed("some tests of the mutants could not be collected")
        for line in self._questions:
            name, tests = json.loads(line)
            print(json.dumps(self._answer(session, name, tests)), file=self._answers, flush=True)
        return True

    def _answer(self, session: pytest.Session, mutant: str | None, tests: Sequence[str]) -> dict:
        started = time.perf_counter()
        with tempfile.TemporaryFile() as file:
            child = os.fork()
            if child == 0:
                try:
                    said = self._run(session, mutant, tests)
                except BaseException:
                    said = {"failed": None, "test": "", "error": "the run broke", "output": traceback.format_exc()}
                try:
                    file.write(json.dumps(said).encode())
                    file.flush()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            file.seek(0)
            said = json.loads(file.read() or b'{"failed": null, "test": "", "error": "the process died", "output": ""}')
        return said | {"seconds": round(time.perf_counter() - started, 2)}

    def _run(self, session: pytest.Session, mutant: str | None, tests: Sequence[str]) -> dict:
        """The tests, up to the first that fails."""
        chosen = {
            test: [i for i in session.items if i.nodeid == test or i.nodeid.startswith((f"{test}[", f"{test}::"))] for test in tests
        }
        if missing := [test for test, items in chosen.items() if not items]:
            raise LookupError(f"there is no test {missing[0]}")
        if mutant is not None:
            MUTANTS[mutant].apply()
        items = list(dict.fromkeys(item for some in chosen.values() for item in some))
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._said["failed"]:
                break
        return self._said


def _serve() -> None:
    # Its own copies of both ends, before pytest captures them; what pytest prints is for nobody.
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    files = sorted({test.partition("::")[0] for mutant in MUTANTS.values() for test in mutant.tests})
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files], plugins=[_Forking(questions, answers)]))


if __name__ == "__main__" and len(sys.argv) == 1:
    _serve()
elif __name__ == "__main__":
    with Server() as server:
        for name in sys.argv[1:]:
            said = server.ask(name, MUTANTS[name].tests)
            print(
                said["output"], f"{name}: {said['error'] or 'survives'} in {said['test'] or 'none'}, {said['seconds']} s", sep="\n"
            )
