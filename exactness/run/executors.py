"""Work in this process or in others: jobs go out, results come back as they are finished, and a lost job says why it was lost.

Written out, because no pool at hand does it: that of the standard library breaks as a whole when one process dies, and knows no
time-outs; pebble 5.2 takes a process that ends with exit code 0 for one that has done its work, and waits for it for ever.
"""

from __future__ import annotations

import contextlib
import os
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
    """A job: it can be pickled, and run anywhere."""

    def run(self, progress: Progress | None) -> Any:
        """Do the work. ``progress`` is told what is being done, how much is done and how much there is."""


J = TypeVar("J", bound=Runs)


@dataclass(frozen=True)
class Lost:
    """What comes back instead of a result from a job that did not finish. ``why`` is a sentence."""

    why: str


class Workers:
    """A context in which jobs run: ``workers.run(jobs)`` yields (job, result) as they finish.

    Args:
        count: how many processes. With 1 and no time-out jobs run in this process, one after the other.
        timeout: seconds after which a job is stopped; its process is replaced, and the other jobs go on. None means never.
        progress: told how far the running jobs are, from a thread of its own if they run elsewhere.
    """

    def __init__(self, count: int, timeout: float | None = None, progress: Progress | None = None) -> None:
        if timeout is not None and not timeout > 0:
            raise BadInput(f"the time-out must be a positive number of seconds, not {timeout!r}")
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
            # After an interruption what is finished has been handed out; what is running is dropped.
            for process in [*self._idle, *self._busy]:
                process.stop()
            self._over.set()
            self._listener.join()
            self._news.cleanup()

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        """Run jobs. An exception of a job is raised here; the end of its process, or the time-out, gives :class:`Lost`."""
        if not self._elsewhere:
            for job in jobs:
                yield job, job.run(self.progress)
            return
        waiting = list(jobs)[::-1]
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

    def _listen(self) -> None:
        # Files, because a process that is stopped in the middle of a queue's lock would leave it locked.
        while not self._over.wait(_PAUSE):
            for file in Path(self._news.name).glob("*.txt") if self.progress is not None else ():
                with contextlib.suppress(OSError, ValueError):  # Half written, or gone: the next look will do.
                    done, most, name = file.read_text().split(" ", 2)
                    assert self.progress is not None
                    self.progress(name, int(done), int(most))


class _Process:
    """A worker process, and the job that it has."""

    def __init__(self, count: int, news: str) -> None:
        # Spawned and not forked: torch and JAX do not survive that.
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
        with contextlib.suppress(OSError):  # It died while it was idle: ``finish`` says so.
            self.pipe.send(job)

    def finish(self) -> tuple[Any, Any, bool]:
        """Its job, the result (or exception, or why there is none), and whether the process can go on."""
        try:
            if self.pipe.poll():
                return self.job, self.pipe.recv(), True
            self.stop()
            said = f"it did not finish within {self._timeout:g} seconds and was stopped: raise the time-out if it needs longer"
        except (EOFError, OSError):
            self._process.join()
            said = (
                f"the process that ran it ended with exit code {self._process.exitcode} before it was finished: the sampler, or a "
                "library that it uses, ends the process or crashes it"
            )
        return self.job, Lost(said), False

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _ready(busy: list[_Process]) -> list[_Process]:
    """Those that have an answer, have died, or are late."""
    left = min(process.deadline for process in busy) - time.monotonic()
    answered = wait([process.pipe for process in busy], None if left == float("inf") else max(0.0, left))
    now = time.monotonic()
    return [process for process in busy if process.pipe in answered or process.deadline <= now]


_PAUSE = 0.3


def _work(pipe: Connection, count: int, news: str) -> None:
    """What a worker process does: jobs come, results go."""
    # Workers share the cores: two that each use all of them are many times slower than two that use half. The variable is read
    # when a library is imported; torch may be there already.
    threads = max(1, (os.cpu_count() or 1) // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    file, last = Path(news) / f"{os.getpid()}.txt", 0.0

    def tell(name: str, done: int, most: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # Nobody listens any more.
                file.write_text(f"{done} {most} {name}")

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):  # The parent is gone, or wants to go.
        while True:
            job = pipe.recv()
            try:
                result: Any = job.run(tell)
            except Exception as error:
                result = error
            try:
                pipe.send(result)
            except (TypeError, ValueError, AttributeError) as error:  # Cannot be pickled.
                pipe.send(BadInput(f"the result of a job cannot be sent to another process: {error}"))
