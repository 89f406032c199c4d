"""Work in other processes: tasks go out, results come back as they are finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class workers:
    """``submit(function, tasks)`` yields (task, result) as they finish; one job runs here, more run in worker processes."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Callable[[Callable[[T], R], Iterable[T]], Iterator[tuple[T, R]]]:
        if self._jobs > 1:
            self._executor = ProcessPoolExecutor(
                self._jobs, mp_context=get_context("spawn"), initializer=_quiet_worker, initargs=(self._jobs,)
            )
        return self._submit

    def __exit__(self, kind: object, *_: object) -> None:
        if self._executor is not None:
            # After an interruption what is finished has been handed out; what had not begun is dropped.
            self._executor.shutdown(wait=kind is None, cancel_futures=True)

    def _submit(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        if self._executor is None:
            for task in tasks:
                yield task, function(task)
            return
        waiting: dict[Future[Any], T] = {self._executor.submit(function, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _quiet_worker(jobs: int) -> None:
    """Workers share the cores: two that each use all of them are many times slower than two that use half."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    try:
        import torch
    except ModuleNotFoundError:  # The first task that needs it says so, with what to install.
        return
    torch.set_num_threads(threads)
