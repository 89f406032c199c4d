"""Judges many faults in one run, in parallel. Each record is saved when it is finished, so a run can be resumed."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..catalogue import Setting
from ..certificate import Environment
from ..controls.judge import chosen, judge_fault, said_of
from ..controls.matrix import Matrix, Record, in_order
from ..errors import BadInput
from ..plan import Plan
from ..strangers import read_json
from .executors import Executor, Here, Lost, Progress

PATIENCE = 32
BUDGET = Plan(alpha=1e-6, tolerance=0.02, first_paths=1_000, max_paths=200_000)


class FaultJob(msgspec.Struct, frozen=True):
    """Everything that a worker needs to judge one fault. A saved record is reused only for an equal job."""

    name: str
    plan: Plan
    seed: int
    device: str
    dtype: str | None
    backend: str
    patience: int
    version: str

    def run(self, progress: Progress | None = None) -> tuple[Record, Environment]:
        """Judge the fault, and return its record and the environment."""
        (fault,) = chosen([self.name])
        setting = Setting(self.device, self.dtype, self.backend)  # type: ignore[arg-type]
        return judge_fault(fault, self.plan, self.seed, setting, self.patience)


class _Saved(msgspec.Struct, frozen=True):
    task: FaultJob
    record: Record
    environment: Environment


def run_faults(
    names: Sequence[str] = (),
    *,
    plan: Plan = BUDGET,
    seed: int = 0,
    setting: Setting = Setting(),  # noqa: B008  (frozen)
    patience: int = PATIENCE,
    workers: Executor | None = None,
    folder: Path | None = None,
    resume: bool = False,
    done: Callable[[Record], None] = lambda record: None,
) -> Matrix:
    """Judge the named faults, or all of them if no name is given.

    With ``folder``, each record is saved there. ``resume`` keeps the records in the folder that were made in the same way. Raises
    ``BadInput`` for an unknown name, and for a fault that could not be judged.
    """
    from importlib.metadata import version

    faults = chosen(names)
    here = version("exactness")
    tasks = [FaultJob(f.name, plan, seed, setting.device, setting.dtype, setting.backend, patience, here) for f in faults]
    found: list[_Saved] = []
    for saved in (_kept(task, folder) for task in tasks) if resume and folder is not None else ():
        if saved is not None:
            found.append(saved)
            done(saved.record)
    kept = {saved.task.name for saved in found}
    lost: list[str] = []
    with contextlib.ExitStack() as stack:
        here_or_there = workers or stack.enter_context(Here())
        for task, result in here_or_there.run([task for task in tasks if task.name not in kept]):
            if isinstance(result, Lost):
                lost.append(f"{task.name}: {result.why}")
                continue
            found.append(_Saved(task, *result))
            record = found[-1].record
            if folder is not None:
                path = _path(task, folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(msgspec.json.encode(found[-1]))
            done(record)
    if lost:
        raise BadInput("some controls could not be judged; the others are kept, go on with --resume. " + "; ".join(lost))
    records = in_order([saved.record for saved in found], [f.name for f in faults])
    return Matrix(
        records=records, plan=plan, seed=seed, backend=setting.backend,
        environment=found[0].environment, created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _path(task: FaultJob, folder: Path) -> Path:
    return folder / f"{task.backend}--{task.name}.json"


def _kept(task: FaultJob, folder: Path) -> _Saved | None:
    try:
        saved = read_json(_path(task, folder), _Saved, "a record of a fault")
    except BadInput:
        return None
    if saved.task != task:
        return None
    # The description of a fault may have been improved since. Its measurements stay.
    (fault,) = chosen([task.name])
    return msgspec.structs.replace(saved, record=msgspec.structs.replace(saved.record, **said_of(fault)))
