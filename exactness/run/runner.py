"""Judges many claims in one run, in parallel.

Certificates are saved as they are finished, so a run can be resumed. Controls are judged before the claims that need them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..catalogue import Setting
from ..certificate import Certificate, ControlOutcome, Verdict
from ..errors import BadInput, InvalidSample
from ..judging.certify import certify_claim, outcome_of
from ..judging.draws import Block, Taken
from .executors import Lost, Workers
from .jobs import Job, Overrides, ProbeJob, ShardJob
from .sources import Item, controls_of

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


def with_controls(items: Sequence[Item]) -> list[Item]:
    """The claims, followed by the controls of their laws that are not among them."""
    names = {item.name for item in items}
    groups = {item.group for item in items if item.group is not None}
    return [*items, *(control for control in controls_of(groups) if control.name not in names)]


def run_claims(
    items: Sequence[Item],
    *,
    folder: Path,
    workers: Workers,
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
        for job, result in finished:
            certificates[job.name] = found = job.lost(result.why) if isinstance(result, Lost) else result
            done(found)
        for item in wave:
            if item.wrong and item.group is not None:
                judged = certificates[item.name]
                outcomes.setdefault(item.group, []).append(outcome_of(judged, str(judged.sampler["wrong"])))
    return [certificates[item.name] for item in everything]


def _in_shards(job: Job, workers: Workers, shards: int) -> Certificate:
    """Make one certificate, and divide the blocks of each stage among several jobs."""
    claim = job.claim()
    if claim.controls:
        # Its controls are judged with it, in one place.
        ((_, result),) = workers.run([job])
        return job.lost(result.why) if isinstance(result, Lost) else result
    ((_, first),) = workers.run([ProbeJob(job=job)])
    if isinstance(first, Lost):
        return job.lost(first.why)
    if isinstance(first, Certificate):
        return first

    def take(blocks: Sequence[Block]) -> Iterator[Taken]:
        parts = [ShardJob(job=job, blocks=tuple(blocks[i::shards])) for i in range(min(shards, len(blocks)))]
        found: dict[int, Taken] = {}
        for _, result in workers.run(parts):
            if isinstance(result, Lost):
                raise InvalidSample(result.why)
            found |= {taken.block.index: taken for taken in result}
        for block in blocks:
            yield found[block.index]

    certificate = certify_claim(
        claim, seed=job.seed, outcomes=job.outcomes, source=job.source, progress=workers.progress, probe=first, take=take
    )
    certificate.save(job.target)
    return certificate


def exit_code(certificates: Iterable[Certificate]) -> int:
    """The exit code of a run. The most serious outcome decides.

    0: everything is as claimed. 1: something was refuted, or a control was not. 3: something was inconclusive. 4: something was
    invalid.
    """
    found = list(certificates)
    if any(c.verdict is Verdict.INVALID for c in found):
        return 4
    for c in found:
        if not c.controls_hold or (c.expected == "wrong") != (c.verdict is Verdict.REFUTED):
            return 1
    return 3 if any(c.verdict is Verdict.INCONCLUSIVE for c in found if c.expected == "exact") else 0
