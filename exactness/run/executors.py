"""Work in this process or in others: jobs go out, results come back as they are finished, and a lost job says why it was lost."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as TimedOut
from concurrent.futures import as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool

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
        self._pool: ProcessPool | None = None
        self._over = threading.Event()

    def __enter__(self) -> Workers:
        if self.count > 1 or self.timeout is not None:
            # Not forked: torch and JAX do not survive that.
            self._news = tempfile.TemporaryDirectory(prefix="exactness-")
            self._pool = ProcessPool(
                self.count, context=get_context("spawn"), initializer=_begin,
                initargs=(self._news.name if self.progress is not None else None, self.count),
            )  # fmt: skip
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._pool is None:
            return
        # After an interruption what is finished has been handed out; what is running or waiting is dropped.
        self._pool.close() if kind is None else self._pool.stop()
        self._pool.join()
        self._over.set()
        self._listener.join()
        self._news.cleanup()

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, Any]]:
        if self._pool is None:
            for job in jobs:
                yield job, job.run(self.progress)
            return
        waiting: dict[Any, J] = {self._pool.schedule(_run, args=(job,), timeout=self.timeout): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting[future], self._result(future)

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except TimedOut:
            return Lost(f"it did not finish within {self.timeout:g} seconds and was stopped: raise the time-out if it needs longer")
        except ProcessExpired as error:
            return Lost(
                f"the process that ran it ended with exit code {error.exitcode} before it was finished: the sampler, or a library "
                "that it uses, ends the process or crashes it"
            )

    def _listen(self) -> None:
        # Files, because a process that is stopped in the middle of a queue's lock would leave it locked.
        while self.progress is not None and not self._over.wait(_PAUSE):
            for file in Path(self._news.name).glob("*.txt"):
                with contextlib.suppress(OSError, ValueError):  # Half written, or gone: the next look will do.
                    done, most, name = file.read_text().split(" ", 2)
                    self.progress(name, int(done), int(most))


_PAUSE = 0.3
_news: Path | None = None
"""In a worker process: the folder in which to tell how far a job is, or None if nobody wants to know."""


def _begin(news: str | None, count: int) -> None:
    """Workers share the cores: two that each use all of them are many times slower than two that use half."""
    global _news
    _news = None if news is None else Path(news)
    threads = max(1, (os.cpu_count() or 1) // count)
    # Read when a library is imported; torch may be there already.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def _run(job: Runs) -> Any:
    last = 0.0

    def tell(name: str, done: int, most: int) -> None:
        nonlocal last
        if _news is not None and time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # Nobody listens any more.
                (_news / f"{os.getpid()}.txt").write_text(f"{done} {most} {name}")

    return job.run(tell)
