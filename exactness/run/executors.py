"""Runs jobs in this process or in others. Results come back as jobs finish, and a lost job says why it was lost.

This is written out because no available pool does it. The pool of the standard library breaks as a whole when one process dies,
and has no time-outs. Pebble 5.2 believes that a process which ends with exit code 0 has done its work, and waits for it forever.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import BadInput

Progress = Callable[[str, int, int], None]


class Runs(Protocol):
    """A job. It can be pickled, and run in any process."""

    def run(self, progress: Progress | None) -> Any:
        """Do the work, and tell ``progress`` what is being done, how much is done and how much there is."""


J = TypeVar("J", bound=Runs)


@dataclass(frozen=True)
class Lost:
    """This comes back instead of a result if a job did not finish. ``why`` says what happened."""

    why: str


class Workers:
    """A context in which jobs run: ``workers.run(jobs)`` yields (job, result) as jobs finish.

    Args:
        count: the number of processes. With one process and no time-out, jobs run in this process, one after the other.
        timeout: the number of seconds after which a job is stopped. Its process is replaced, and the other jobs continue. None
            means that jobs are never stopped.
        progress: a function that is told how far the running jobs are. It is called in a separate thread if they run in other
            processes.
    """

    def __init__(self, count: int, timeout: float | None = None, progress: Progress | None = None) -> None:
        if timeout is not None and not timeout > 0:
            raise BadInput(f"timeout must be a positive number of seconds, not {timeout!r}")
        self.count, self.timeout, self.progress = count, timeout, progress
        self._elsewhere = count > 1 or timeout is not None
        self._idle: list[_Process] = []
        self._busy: list[_Process] = []
        self._over = threading.Event()

    def __enter__(self) -> Workers:
        if self._elsewhere:
            self._news = tempfile.TemporaryDirectory(prefix="exactness-")
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._elsewhere:
            # After an interruption, finished results have been returned already, and running jobs are dropped.
            for process in [*self._idle, *self._busy]:
                process.stop()
            self._over.set()
            self._listener.join()
            self._news.cleanup()

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        """Run jobs. An exception of a job is raised here. If its process ends or the time runs out, the result is :class:`Lost`."""
        if not self._elsewhere:
            for job in jobs:
                yield job, job.run(self.progress)
            return
        waiting = list(jobs)[::-1]
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self.count:
                    process = self._idle.pop() if self._idle else _Process(self.count, self._news.name)
                    self._busy.append(process)
                    process.begin(waiting.pop(), self.timeout)
                for process in _ready(self._busy):
                    self._busy.remove(process)
                    job, result, alive = process.finish()
                    if alive:
                        self._idle.append(process)
                    if isinstance(result, BaseException):
                        raise result
                    yield job, result
        finally:
            # Where the caller stopped early, what still runs belongs to no later call.
            for process in self._busy:
                process.stop()
            self._busy.clear()

    def _listen(self) -> None:
        # Progress travels in files, because a process that is stopped while it holds the lock of a queue would leave it locked.
        while not self._over.wait(_PAUSE):
            for file in Path(self._news.name).glob("*.txt") if self.progress is not None else ():
                with contextlib.suppress(OSError, ValueError):  # It is half written or gone. The next look reads it.
                    done, most, name = file.read_text().split(" ", 2)
                    assert self.progress is not None
                    self.progress(name, int(done), int(most))


class _Process:
    """A worker process and its current job."""

    def __init__(self, count: int, news: str) -> None:
        # Processes are spawned, because torch and JAX do not survive a fork.
        context = get_context("spawn")
        self.pipe, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, count, news))
        self._process.start()
        there.close()
        self.job: Any = None
        self.deadline, self._timeout = float("inf"), 0.0

    def begin(self, job: Any, timeout: float | None) -> None:
        self.job = job
        if timeout is not None:
            self.deadline, self._timeout = time.monotonic() + timeout, timeout
        with contextlib.suppress(OSError):  # It died while it was idle. ``finish`` says so.
            self.pipe.send(job)

    def finish(self) -> tuple[Any, Any, bool]:
        """The job, its result (or exception, or :class:`Lost`), and whether the process can take another job."""
        try:
            if self.pipe.poll():
                return self.job, self.pipe.recv(), True
            self.stop()
            said = f"the job did not finish within {self._timeout:g} seconds and was stopped: raise the time-out if it needs longer"
        except (EOFError, OSError):
            self._process.join()
            said = (
                f"the process of this job ended with exit code {self._process.exitcode} before the job was finished: check whether "
                "the sampler, or a library that it uses, ends or crashes the process"
            )
        return self.job, Lost(said), False

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _ready(busy: list[_Process]) -> list[_Process]:
    """The processes that have an answer, have died, or are late. Waits until there is one."""
    left = min(process.deadline for process in busy) - time.monotonic()
    answered = wait([process.pipe for process in busy], None if left == float("inf") else max(0.0, left))
    now = time.monotonic()
    return [process for process in busy if process.pipe in answered or process.deadline <= now]


_PAUSE = 0.3


def _work(pipe: Connection, count: int, news: str) -> None:
    """The loop of a worker process: it receives jobs and sends results."""
    # Workers share the cores: two that each use all cores are many times slower than two that use half. Libraries read the
    # variable when they are imported, and torch may have been imported already.
    threads = max(1, (os.cpu_count() or 1) // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    file, last = Path(news) / f"{os.getpid()}.txt", 0.0

    def tell(name: str, done: int, most: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # Nobody listens any longer.
                file.write_text(f"{done} {most} {name}")

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):  # The parent has ended, or wants to end.
        while True:
            job = pipe.recv()
            try:
                result: Any = job.run(tell)
            except Exception as error:
                result = error
            try:
                pickle.loads(pickle.dumps(result))
            except Exception as error:  # What cannot travel is told in words.
                raised = isinstance(result, Exception)
                result = RuntimeError(f"{type(result).__name__}: {result}" if raised else f"its result cannot be sent: {error}")
            pipe.send(result)
