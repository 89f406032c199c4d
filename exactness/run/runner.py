"""Judges many claims in one run, in parallel.

Certificates are saved as they are finished, so a run can be resumed. Controls are judged before the claims that need them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..catalogue import Setting
from ..certificate import Certificate, ControlOutcome, Verdict
from ..errors import BadInput
from ..judging.certify import outcome_of
from ..judging.draws import Probe, Taken
from .executors import Executor, Lost, Runs
from .jobs import ItemsJob, Job, LostJob, Overrides, ProbeJob, ShardJob, WholeJob, certificate_path
from .sources import Item, controls_of, is_file_claim, items_of

Done = Callable[[Certificate], None]


def check_writable(folder: Path | None, page: Path | None) -> None:
    """Check before a run that its results can be written. Raises ``BadInput``, or the ``OSError`` of the attempt."""
    for place in (folder, page and page.parent):
        if place is None:
            continue
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    if page is not None and page.is_dir():
        raise BadInput(f"{page} is a folder; name the page to write, such as {page / 'report.html'}")


def found_items(names: Sequence[str], workers: Executor) -> list[Item]:
    """Like :func:`exactness.run.sources.items_of`, but the user's files run in a worker. Raises ``BadInput`` like it."""
    found = []
    for name in (name for name in names if is_file_claim(name)):
        result = _only(workers, ItemsJob(source=name))
        if isinstance(result, Lost):
            raise BadInput(f"{name} could not be loaded: {result.why}")
        found += result
    patterns = [name for name in names if not is_file_claim(name)]
    return found + (items_of(patterns) if patterns else [])


def with_controls(items: Sequence[Item]) -> list[Item]:
    """The claims, followed by the controls of their laws that are not among them."""
    names = {item.name for item in items}
    groups = {item.group for item in items if item.group is not None}
    return [*items, *(control for control in controls_of(groups) if control.name not in names)]


def run_claims(
    items: Sequence[Item],
    *,
    folder: Path,
    workers: Executor,
    setting: Setting = Setting(),  # noqa: B008  (frozen)
    seed: int = 0,
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen)
    resume: bool = False,
    shards: int = 1,
    done: Done = lambda certificate: None,
) -> list[Certificate]:
    """Judge the controls of the laws first and then the claims, and write each certificate when it is finished.

    Args:
        items: what to judge; see :func:`exactness.run.sources.items_of`.
        folder: the folder for the certificates.
        workers: the workers that run the jobs. A lost job (time-out, crash) gets an invalid certificate that says so.
        setting: where and how the samplers of the catalogue run.
        seed: the root of all randomness.
        overrides: what the run changes in the plans.
        resume: whether to keep the certificates in ``folder`` that judging again would give.
        shards: the number of jobs into which each certificate is split. The certificate does not depend on it.
        done: a function that is called with each certificate as soon as it is finished.

    Returns:
        The certificates of the items and of their controls, in the order of :func:`with_controls`.

    Raises:
        BadInput: if a claim cannot be made or judged.
    """
    everything = with_controls(items)
    certificates: dict[str, Certificate] = {}
    outcomes: dict[str | None, list[ControlOutcome]] = {}
    waits = [item for item in everything if item.group is not None and not item.wrong]
    for wave in ([item for item in everything if item not in waits], waits):
        jobs = [
            Job(
                source=item.source, name=item.name, seed=seed, folder=str(folder), overrides=overrides, setting=setting,
                outcomes=() if item.wrong else tuple(sorted(outcomes.get(item.group, []), key=lambda c: c.name)), resume=resume,
            )
            for item in wave
        ]  # fmt: skip
        finished = workers.run(jobs) if shards == 1 else ((job, _in_shards(job, workers, shards)) for job in jobs)
        lost = []
        for job, result in finished:
            if isinstance(result, Lost):
                lost.append(LostJob(job=job, why=result.why))
            else:
                certificates[job.name] = result
                done(result)
        for task, result in workers.run(lost):
            # Where the claim ends even the process that describes it, the certificate says less.
            certificates[task.job.name] = found = task.job.unknown(task.why) if isinstance(result, Lost) else result
            done(found)
        for item in wave:
            if item.wrong and item.group is not None:
                judged = certificates[item.name]
                outcomes.setdefault(item.group, []).append(outcome_of(judged, str(judged.sampler["wrong"])))
    return [certificates[item.name] for item in everything]


def _in_shards(job: Job, workers: Executor, shards: int) -> Certificate | Lost:
    """Make one certificate, and divide the blocks of each stage among several jobs."""
    probe = _only(workers, ProbeJob(job=job))
    if not isinstance(probe, Probe):
        return probe
    taken: dict[int, Taken] = {}
    lost: str | None = None
    while True:
        found = _only(workers, WholeJob(job=job, probe=probe, taken=tuple(taken.values()), lost=lost))
        if not isinstance(found, tuple):
            return found
        parts = [ShardJob(job=job, blocks=found[i::shards]) for i in range(min(shards, len(found)))]
        for _, result in workers.run(parts):
            if isinstance(result, Lost):
                lost = result.why
                break
            taken |= {one.block.index: one for one in result}


def _only(workers: Executor, job: Runs) -> Any:
    ((_, result),) = workers.run([job])
    return result


def absent(certificates: Iterable[Certificate], folder: Path) -> list[str]:
    """The names of the certificates that the folder does not hold as they were made, found by looking."""
    return [c.name for c in certificates if not _is_there(c, certificate_path(folder, c.name))]


def _is_there(certificate: Certificate, path: Path) -> bool:
    try:
        return msgspec.json.encode(Certificate.load(path)) == msgspec.json.encode(certificate)
    except BadInput:
        return False


def exit_code(certificates: Iterable[Certificate]) -> int:
    """The exit code of a run. The most serious outcome decides.

    4: something was invalid. 1: a sampler was refuted. 5: a control was missed. 3: something was inconclusive. 0: everything is as
    claimed, and there is something.
    """
    found = list(certificates)
    exact = [c for c in found if c.expected == "exact"]
    if not found or any(c.verdict is Verdict.INVALID for c in found):
        return 4
    if any(c.verdict is Verdict.REFUTED for c in exact):
        return 1
    if any(not c.controls_hold for c in found) or any(c.verdict is not Verdict.REFUTED for c in found if c.expected == "wrong"):
        return 5
    return 3 if any(c.verdict is Verdict.INCONCLUSIVE for c in exact) else 0
