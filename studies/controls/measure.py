"""The faults of one backend through all tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from exactness_samplers.faults import FAULTS

from exactness.catalogue import Setting
from exactness.controls import Matrix, Record
from exactness.controls.matrix import in_order
from exactness.plan import Plan
from exactness.run.executors import executor
from exactness.run.faults import BUDGET, PATIENCE, run_faults

Backend = Literal["torch", "jax"]
PLANS: dict[Backend, Plan] = {"torch": BUDGET, "jax": msgspec.structs.replace(BUDGET, max_paths=128_000)}
PATIENCES: dict[Backend, int] = {"torch": PATIENCE, "jax": 1}


def measure(backend: Backend, names: Sequence[str], jobs: int, folder: Path, done: Callable[[Record], None]) -> Matrix:
    """All faults, or some by name. Records are kept in the folder, from which a killed run continues."""
    with executor(jobs) as workers:
        return run_faults(
            names, plan=PLANS[backend], patience=PATIENCES[backend], setting=Setting(backend=backend), workers=workers,
            folder=folder, resume=True, done=done,
        )  # fmt: skip


def kept_beside(new: Matrix, old: Matrix | None) -> Matrix:
    """The new records, and of the ``old`` matrix those of other faults, if they were judged with the same plan and seed."""
    if old is None or (old.plan, old.seed, old.backend) != (new.plan, new.seed, new.backend):
        return new
    judged = {record.name for record in new.records}
    known = [fault.name for fault in FAULTS]
    others = [record for record in old.records if record.name not in judged and record.name in known]
    return msgspec.structs.replace(new, records=in_order([*new.records, *others], known))
