"""Runs jobs in other processes, or in this one. Results come back as jobs finish, and a lost job says why it was lost.

This is written out because no available pool does it. The pool of the standard library breaks as a whole when one process dies,
and has no time-outs. Pebble 5.2 believes that a process which ends with exit code 0 has done its work, and waits for it forever.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, Protocol, TypeVar

from ..errors import BadInput

Progress = Callable[[str, int, int], None]

TIMEOUT = 3600.0
"""The number of seconds without progress after which the command line stops a claim, unless the user names another number."""


class Runs(Protocol):
    """A job. It can be pickled, and run in any process."""

    def run(self, progress: Progress | None) -> Any:
        """Do the work, and tell ``progress`` what is being done, how much is done and how much there is."""


J = TypeVar("J", bound=Runs)


class Executor(Protocol):
    """A context in which jobs run: ``executor.run(jobs)`` yields (job, result) as jobs finish."""

    count: int
    """The largest number of jobs that run at a time."""
    progress: Progress | None
    """A function that is told how far the running jobs are."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        """Run jobs. An exception of a job is raised here. If its process ends or the time runs out, the result is :class:`Lost`."""


@dataclass(frozen=True)
class Lost:
    """This comes back instead of a result if a job did not finish. ``why`` says what happened."""

    why: str


class Here:
    """Runs jobs in this process, one after the other. A job that ends or blocks the process ends or blocks everything."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.count, self.progress = 1, progress

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        """Run jobs. An exception of a job is raised here."""
        for job in jobs:
            yield job, job.run(self.progress)


class Workers:
    """Runs jobs in ``count`` worker processes, which are kept from job to job, so that libraries are loaded once.

    Args:
        count: the number of processes.
        timeout: the number of seconds after which a job that tells of no progress is stopped. Its process is replaced, and the
            other jobs continue. None means that jobs are never stopped.
        progress: a function that is told how far the running jobs are, while their results are being waited for.
    """

    def __init__(self, count: int, timeout: float | None = None, progress: Progress | None = None) -> None:
        if timeout is not None and not timeout > 0:
            raise BadInput(f"timeout must be a positive number of seconds, not {timeout!r}")
        self.count, self.timeout, self.progress = count, timeout, progress
        self._idle: list[_Process] = []
        self._busy: list[_Process] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        # After an interruption, finished results have been returned already, and running jobs are dropped.
        for process in [*self._idle, *self._busy]:
            process.stop()

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        """Run jobs. An exception of a job is raised here. If its process ends or the time runs out, the result is :class:`Lost`."""
        waiting = list(jobs)[::-1]
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self.count:
                    process = self._next()
                    self._busy.append(process)
                    process.begin(waiting.pop(), self.timeout)
                for process in _ready(self._busy):
                    if not process.finished(self.progress):
                        continue
                    self._busy.remove(process)
                    job, result = process.job, process.result
                    if process.alive:
                        self._idle.append(process)
                    if isinstance(result, BaseException):
                        raise result
                    yield job, result
        finally:
            # Where the caller stopped early, what still runs belongs to no later call.
            for process in self._busy:
                process.stop()
            self._busy.clear()

    def _next(self) -> _Process:
        """An idle process, or a new one."""
        while self._idle:
            if (process := self._idle.pop()).lives():
                return process
            process.stop()
        return _Process(self.count)


def executor(count: int) -> Executor:
    """Worker processes for code that is trusted, as in studies: one job at a time needs no process of its own."""
    return Here() if count == 1 else Workers(count)


class _Process:
    """A worker process and its current job."""

    def __init__(self, count: int) -> None:
        self.pipe, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(there, count, dict(os.environ)))
        with _without_main():
            self._process.start()
        there.close()
        self.job: Any = None
        self.result: Any = None
        self.alive = True
        self.deadline = float("inf")
        self._timeout: float | None = None

    def begin(self, job: Any, timeout: float | None) -> None:
        self.job, self._timeout = job, timeout
        self._wait_again()
        self.deadline += _STARTING
        with contextlib.suppress(OSError):  # It died while it was idle. ``finished`` says so.
            self.pipe.send(job)

    def heard(self, ready: Collection[object]) -> bool:
        """Whether it has sent something, or has died. A process that a sampler has started may hold its pipe open."""
        return self.pipe in ready or self._process.sentinel in ready

    def hears(self) -> list[Any]:
        """What to wait for."""
        return [self.pipe, self._process.sentinel]

    def lives(self) -> bool:
        return self._process.is_alive()

    def finished(self, progress: Progress | None) -> bool:
        """Read what the process sent. Whether ``result`` is there: the job's own, its exception, or :class:`Lost`."""
        try:
            if self.pipe.poll():
                told, *what = self.pipe.recv()
                if told == "result":
                    (self.result,) = what
                    return True
                self._wait_again()
                if told == "progress" and progress is not None:
                    progress(*what)
                return False
            dead = not self.lives()
        except (EOFError, OSError, pickle.UnpicklingError):
            dead = True
        if not dead and time.monotonic() < self.deadline:
            return False
        if dead:
            self._process.join(_DYING)
        self.stop()
        self.result, self.alive = Lost(_died(self._process.exitcode) if dead else _late(self._timeout)), False
        return True

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _wait_again(self) -> None:
        self.deadline = float("inf") if self._timeout is None else time.monotonic() + self._timeout


def _late(timeout: float | None) -> str:
    return (
        f"the claim made no progress for {timeout:g} seconds and was stopped: if a call of the sampler needs longer, raise the "
        "time-out"
    )


def _died(code: int | None) -> str:
    how = f"ended with exit code {code}"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            how = f"was ended by {signal.Signals(-code).name}"
    return (
        f"the process of this claim {how} before the claim was judged: check whether the sampler, or a library that it uses, ends "
        "or crashes the process, or needs more memory than there is"
    )


def _ready(busy: list[_Process]) -> list[_Process]:
    """The processes that have sent something, have died, or are late. Waits until there is one."""
    left = min(process.deadline for process in busy) - time.monotonic()
    ready = wait([one for process in busy for one in process.hears()], None if left == float("inf") else max(0.0, left))
    now = time.monotonic()
    return [process for process in busy if process.heard(ready) or process.deadline <= now]


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not run this program's main script again: a worker needs nothing of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# torch and JAX do not survive a fork, so no process that may have loaded them is forked. On Linux workers are forked from a server
# that has loaded this package and nothing else, which takes milliseconds for each after the first.
_CONTEXT: Any = get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    _CONTEXT.set_forkserver_preload(["exactness.run.jobs"])


def prepare() -> None:
    """Begin to load what workers need, in a process of its own, while this process loads other things."""
    if sys.platform == "linux":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


# Progress is told once in this many seconds.
_PAUSE = 0.3
# A new process is given this many seconds more, because it loads libraries first.
_STARTING = 120.0
# A process whose pipe has broken is given this many seconds to end, so that its exit code is known.
_DYING = 5.0


def _work(pipe: Connection, count: int, environ: dict[str, str]) -> None:
    """The loop of a worker process: it receives jobs and sends progress and results."""
    os.environ.update(environ)
    # Workers share the cores: two that each use all cores are many times slower than two that use half. Libraries read the
    # variable when they are imported, and torch may have been imported already.
    threads = max(1, (os.cpu_count() or 1) // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops its workers.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home, last = os.getcwd(), 0.0

    def tell(name: str, done: int, most: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            pipe.send(("progress", name, done, most))

    with contextlib.suppress(EOFError, OSError):  # The parent has ended, or wants to end.
        while True:
            job = pipe.recv()
            pipe.send(("begun",))
            os.chdir(home)  # The last job may have moved.
            result = _result_of(job, tell)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()  # What a sampler prints is not lost when the worker is stopped.
            pipe.send(("result", result))


def _result_of(job: Runs, tell: Progress) -> Any:
    """Run a job, and return its result or its exception in a form that can be sent."""
    try:
        result: Any = job.run(tell)
    except Exception as error:
        result = error
    except BaseException as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Lost(f"the claim raised {said}, which ends a process: raise an ordinary exception instead")
    try:
        pickle.loads(pickle.dumps(result))
    except Exception as error:  # What cannot travel is told in words.
        raised = isinstance(result, Exception)
        return RuntimeError(f"{type(result).__name__}: {result}" if raised else f"its result cannot be sent: {error}")
    return result


def _end_with_parent() -> None:
    """End this process when its parent has ended, even if a sampler hangs."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
