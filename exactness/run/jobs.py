"""Jobs: each judges one claim, or draws a part of it.

The claim may be a member of the catalogue, a user's claim, saved draws or a control. A job holds everything that is needed to run
it, so it runs in any process. It need not run again if its certificate is already in the folder.
"""

from __future__ import annotations

import datetime
import re
import traceback
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import msgspec

from ..catalogue.base import Setting
from ..certificate import Certificate, ControlOutcome, Verdict
from ..claim import Claim
from ..environment import environment
from ..errors import BadInput, ExactnessError, InvalidSample
from ..judging.certify import about_of, certify_claim, ready, sampler_of
from ..judging.draws import Block, Drawing, Probe, Taken, blocks_of, probe_of
from ..judging.judgement import draws_before_a_pass
from ..plan import Plan
from .executors import Progress
from .sources import Item, claims_of, is_file_claim, items_of

# A quick run takes at most this many draws, or as many as it took to refute the controls of the same law.
QUICK_PATHS = 2_000


class Overrides(msgspec.Struct, frozen=True):
    """The changes that a run makes to the plan of each claim. None keeps the plan's own value.

    ``claims`` is the number of claims of the run, which share one alpha. ``quick`` shortens the plans of samplers that should be
    certified to what :data:`QUICK_PATHS` draws can show. Controls keep their plans.
    """

    alpha: float | None = None
    tolerance: float | None = None
    max_paths: int | None = None
    claims: int | None = None
    quick: bool = False

    def apply(self, plan: Plan) -> Plan:
        """The plan of a claim with these changes. Raises ``BadInput`` if a value makes no sense."""
        asked = {"alpha": self.alpha, "tolerance": self.tolerance, "max_paths": self.max_paths}
        changes = {k: v for k, v in asked.items() if v is not None}
        return Plan(**(msgspec.structs.asdict(plan) | changes | {"claims": max(plan.claims, self.claims or 1)}))


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that judges one claim.

    Args:
        source, name: where the claim comes from (see :mod:`exactness.run.sources`), and its name there.
        seed: the root of all randomness.
        folder: the folder in which the certificate is written.
        overrides: what the run changes in the plan.
        setting: where and how the samplers of the catalogue run.
        outcomes: the outcomes of controls that were judged before.
        resume: whether to keep a certificate in the folder if judging again would give the same one.
    """

    source: str
    name: str
    seed: int
    folder: str
    overrides: Overrides = Overrides()
    setting: Setting = Setting()
    outcomes: tuple[ControlOutcome, ...] = ()
    resume: bool = False

    @property
    def target(self) -> Path:
        """The file of the certificate."""
        return certificate_path(Path(self.folder), self.name)

    def claim(self) -> Claim:
        """The claim, with its plan in this run. Raises ``BadInput`` if it cannot be made."""
        found = next((c for c in claims_of(self.source, self.setting) if c.name == self.name), None)
        if found is None:
            raise BadInput(f"{self.source} no longer has a claim called {self.name!r}: check whether it was renamed or removed")
        plan = self.overrides.apply(found.plan or Plan())
        if self.overrides.quick and found.wrong is None and not found.controls:
            most = max(QUICK_PATHS, draws_before_a_pass(self.outcomes))
            plan = plan.shortened(most, found.law, batteries=found.batteries)
        return replace(found, plan=plan)

    def kept(self, claim: Claim) -> Certificate | None:
        """The certificate in the folder, if this job resumes and judging again would give the same one."""
        return reusable(self.target, claim, self.seed, self.outcomes) if self.resume else None

    def run(self, progress: Progress | None = None) -> Certificate:
        """Judge the claim and write its certificate. What is wrong with a user's claim makes it invalid, and nothing else."""
        try:
            return self.judge(progress)
        except Exception as error:
            return self.invalid(error)

    def judge(self, progress: Progress | None = None) -> Certificate:
        """Judge the claim and write its certificate. Raises what the law or the claim raise."""
        claim = self.claim()
        found = self.kept(claim)
        if found is None:
            found = certify_claim(claim, seed=self.seed, outcomes=self.outcomes, source=self.source, progress=progress)
            found.save(self.target)
        return found

    def invalid(self, error: Exception) -> Certificate:
        """Write the certificate of a user's claim that raised while it was judged.

        A claim of the catalogue depends on nothing but the options of the run, so its error is about these and is raised again.
        """
        if not is_file_claim(self.source):
            raise error
        return self.lost(_said(error))

    def lost(self, why: str) -> Certificate:
        """Write the certificate of a job that did not finish, and return it. It is invalid, and says why."""
        try:
            claim = self.claim()
            law, sampler = claim.law.describe(), sampler_of(claim)
            plan, expected = claim.plan or Plan(), "exact" if claim.wrong is None else "wrong"
        except Exception:  # Where even this fails, the certificate says no more than what is known.
            return self.unknown(why)
        return self._unjudged(why, law, sampler, plan, expected)

    def unknown(self, why: str) -> Certificate:
        """Write the certificate of a claim that cannot be made, and return it. It is invalid, and says why."""
        return self._unjudged(why, {"kind": "unknown"}, {"function": "unknown"}, self.overrides.apply(Plan()), "exact")

    def _unjudged(self, why: str, law: dict[str, object], sampler: dict[str, object], plan: Plan, expected: str) -> Certificate:
        found = Certificate(
            name=self.name, verdict=Verdict.INVALID, reasons=[why], law=law, sampler=sampler, plan=plan, seed=self.seed,
            findings=[], stages=[], histograms=[], controls=list(self.outcomes), cost={"paths": 0.0},
            environment=environment("none", "none", "none"),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), source=self.source, expected=expected,
        )  # fmt: skip
        found.save(self.target)
        return found


class ItemsJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that finds the claims of a source. It runs the user's file, so it belongs in a worker process."""

    source: str

    def run(self, progress: Progress | None = None) -> list[Item]:
        """The claims, as items. Raises ``BadInput`` if the file cannot be run or has no such claim."""
        return items_of([self.source])


class LostJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that writes the certificate of a lost ``job``. Its claim is the user's code too, so it is made in a worker process."""

    job: Job
    why: str

    def run(self, progress: Progress | None = None) -> Certificate:
        """Write the certificate."""
        return self.job.lost(self.why)


class ShardJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that draws some blocks of the certificate of another ``job``."""

    job: Job
    blocks: tuple[Block, ...]

    def run(self, progress: Progress | None = None) -> list[Taken]:
        """Draw and judge the blocks."""
        drawing = _drawing(self.job)
        return [drawing.take(block) for block in self.blocks]


class ProbeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that does what precedes the blocks of the certificate of another ``job``."""

    job: Job

    def run(self, progress: Progress | None = None) -> Certificate | Probe:
        """The first small sample; or the certificate, if it is there already, or if the claim cannot be split."""
        try:
            claim = self.job.claim()
            if claim.controls:  # Its controls are judged with it, in one place.
                return self.job.judge(progress)
            return self.job.kept(claim) or _drawing(self.job).probe()
        except Exception as error:
            return self.job.invalid(error)


class WholeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that makes the certificate of another ``job`` from blocks that were drawn elsewhere.

    ``lost`` says why blocks are missing that cannot be drawn.
    """

    job: Job
    probe: Probe
    taken: tuple[Taken, ...] = ()
    lost: str | None = None

    def run(self, progress: Progress | None = None) -> Certificate | tuple[Block, ...]:
        """The certificate; or the blocks that it needs next."""
        found = {taken.block.index: taken for taken in self.taken}

        def take(blocks: Sequence[Block]) -> Iterator[Taken]:
            if missing := tuple(block for block in blocks if block.index not in found):
                raise InvalidSample(self.lost) if self.lost is not None else _Missing(missing)
            # A copy, because the evidence is added up in place.
            return (found[block.index] for block in blocks)

        job = self.job
        try:
            certificate = certify_claim(
                job.claim(), seed=job.seed, outcomes=job.outcomes, source=job.source, probe=self.probe, take=take, progress=progress
            )
        except _Missing as missing:
            return missing.blocks
        except Exception as error:
            return job.invalid(error)
        certificate.save(job.target)
        return certificate


class _Missing(Exception):
    """The blocks that a certificate needs next are not there."""

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        self.blocks = blocks


# A file system takes 255 bytes, and the name of the temporary file is longer.
_LONGEST = 200


def certificate_path(folder: Path, name: str) -> Path:
    """The file in which the certificate of a claim is written.

    It has the name of the claim, without characters that a file system refuses. A name of too many bytes is cut, and a checksum
    tells it from others with the same beginning.

    >>> certificate_path(Path("out"), "ring/sequential").name, len(certificate_path(Path("out"), 100 * "\u6f22").name.encode())
    ('ring--sequential.json', 203)
    """
    plain = re.sub(r'[<>:"\\|?*]', "-", name.replace("/", "--"))
    if len(plain.encode()) > _LONGEST:
        mark = f"~{zlib.crc32(name.encode()):08x}"
        plain = plain.encode()[: _LONGEST - len(mark)].decode(errors="ignore") + mark
    return folder / f"{plain}.json"


def refuse_shared_files(names: Sequence[str]) -> None:
    """Raise ``BadInput`` if two claims would be saved in one file, also where a file system ignores case or accents' spelling."""
    held: dict[str, str] = {}
    for name in names:
        stem = certificate_path(Path(), name).stem
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        if key in held:
            which = f"saved as {stem!r}"
            if held[key] != stem:
                which = f"saved as {held[key]!r} and {stem!r}, which many file systems take for one name"
            raise BadInput(f"two claims would be {which}: give each claim a different name")
        held[key] = stem


def reusable(path: Path, claim: Claim, seed: int, outcomes: Sequence[ControlOutcome]) -> Certificate | None:
    """The certificate in ``path``, if judging the claim again would give the same one. Otherwise None.

    Everything that the certificate says of the claim must be the same: law, sampler, plan, seed, batteries, controls, backend,
    versions, and the source files of sampler and law. Besides, the first draws and one block of the last stage are drawn and judged
    again, by which changes are noticed that no description shows: of what the law predicts, or of the sampler at the numbers of
    draws that are really used. Nothing can be drawn again from a sampler without a seed. Its first verdict stands, because judging
    it again would be another chance.
    """
    if not path.exists():
        return None
    try:
        found = Certificate.load(path)
    except BadInput:
        return None
    # What controls of its own show is not known without judging them again, except for those made of the law itself.
    standard = isinstance(claim.controls, str)
    if found.verdict is Verdict.INVALID or (claim.controls and not standard):
        return None
    judged, evidence = ready(claim, seed)
    assert judged.plan is not None
    here = environment(found.environment.array, found.environment.dtype, found.environment.device.split()[0])
    theirs = [c for c in found.controls if standard and c.name.startswith("standard/")]
    before = sorted((c for c in found.controls if c not in theirs), key=lambda c: c.name)
    same = (
        found.name == claim.name
        and found.seed == seed
        and found.plan == judged.plan
        and found.expected == ("exact" if claim.wrong is None else "wrong")
        and found.sampler == _as_written(sampler_of(judged))
        and found.law == _as_written(claim.law.describe())
        and found.environment == here
        and (found.subjects, found.unread) == about_of(judged)
        and bool(theirs) == standard
        and before == sorted(outcomes, key=lambda c: c.name)
    )
    if not same or found.reproducible is False:
        return found if same else None
    try:
        if found.probe != probe_of(claim, seed) or found.redraw is None:
            return None
        blocks = [block for stage in blocks_of(judged.plan, claim.law) for block in stage]
        again = Drawing(judged, judged.plan, seed, evidence).take(blocks[found.redraw.index])
        return found if again.digest == found.redraw.sha256 else None
    except Exception:  # A sampler that raises an exception now is judged again, and gets a certificate that says so.
        return None


def _as_written(value: dict[str, object]) -> dict[str, object]:
    """The value as a file holds it: with lists where there are tuples."""
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, object])


def _said(error: Exception) -> str:
    """An exception in words. One that this package did not raise on purpose says where it comes from."""
    if isinstance(error, ExactnessError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"judging raised {type(error).__name__}: {error} (in {where.name}, line {where.lineno} of {Path(where.filename).name}); if "
        "this is not the code of your law or claim, it is a bug in exactness, and nothing was decided: please report it"
    )


@lru_cache(maxsize=1)
def _drawing(job: Job) -> Drawing:
    """The drawing of a job. It is kept, so that a process which draws many blocks of a certificate starts its batteries once."""
    claim, evidence = ready(job.claim(), job.seed)
    assert claim.plan is not None
    return Drawing(claim, claim.plan, job.seed, evidence)
