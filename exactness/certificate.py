"""Certificates: records of what was planned and what was found, with everything that is needed to read and repeat them."""

from __future__ import annotations

import enum
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from .canonical import digest
from .errors import BadInput
from .evidence.pictures import Picture
from .plan import Plan
from .strangers import Count, parse_json, read_text, reading
from .subject import Subject

FORMAT = "exactness-certificate/3"


class Verdict(enum.Enum):
    """The four possible outcomes. Each has a ``remedy``: what to do about it.

    >>> from exactness import Verdict
    >>> Verdict.REFUTED.remedy
    'The sampler does not follow the law. The first findings show where it departs: start there.'
    """

    CERTIFIED = "certified"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"

    @property
    def remedy(self) -> str:
        """This says what the user should do, in a sentence or two."""
        return {
            Verdict.CERTIFIED: "Nothing needs to be done: every monitored difference of probabilities is within the tolerance.",
            Verdict.REFUTED: "The sampler does not follow the law. The first findings show where it departs: start there.",
            Verdict.INCONCLUSIVE: (
                "The sampler was not refuted, but there is too little evidence for the tolerance: raise max_paths or the tolerance."
            ),
            Verdict.INVALID: "The output could not be judged, so nothing is known about its law. The reason says what to fix.",
        }[self]


class LoosestRow(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a summary with the largest bound: its name, statistic and number of values, and the parameters of its test."""

    where: str
    statistic: float
    n: int
    parameters: dict[str, Any] = {}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one test.

    Attributes:
        name, battery, where: the test, its battery, and the row of the summary.
        test, parameters: these make the test again (:func:`exactness.evidence.nulls.null_of`).
        null: the null distribution of the values.
        validity: how far the p-value can be trusted.
        rows: if > 1, the row is the most extreme of this many.
        n: the number of values, which are independent under the law.
        paths: the number of draws.
        statistic, p_value: the observed statistic, and its p-value over all ``rows``.
        adjusted_p: the p-value adjusted for all tests (Holm), stages and claims. At or below the plan's alpha it refutes.
        effect: the size of the observed effect, in ``unit``.
        bound: an upper confidence bound on the effect, in ``unit``: the largest over all ``rows``. None if the test has no bound.
        bounded: whether every draw counts in the statistic, so that a bound makes sense.
        loosest: the row with the largest bound. None if it is the row with the smallest p-value, which is called ``where``.
        detectable: the smallest effect that would have been refuted with the plan's power, in ``unit``. None if no effect would
            have been, because the level is beyond the reach of the test.
    """

    name: str
    battery: str
    test: str
    null: str
    validity: str
    where: str
    rows: Count
    n: Count
    paths: Count
    statistic: float
    p_value: float
    adjusted_p: float
    effect: float
    unit: str
    bound: float | None
    detectable: float | None
    parameters: dict[str, Any] = {}
    bounded: bool = True
    loosest: LoosestRow | None = None

    @property
    def bound_where(self) -> str:
        """The name of the row with the largest bound."""
        return self.where if self.loosest is None else self.loosest.where


TOLERATED = "probability"
"""The unit of the plan's tolerance. Bounds in other units are reported, and decide nothing."""


def largest_bound(findings: Sequence[Finding]) -> float | None:
    """The largest bound in the unit of the tolerance. None if there is no such bound."""
    return max((f.bound for f in findings if f.bound is not None and f.unit == TOLERATED), default=None)


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the evidence: the draws so far, the smallest adjusted p-value, the largest bound and the decision."""

    paths: Count
    smallest_p: float
    largest_bound: float | None
    decision: str


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of probability integral transforms in equal cells of [0, 1]. They are flat if the law is right."""

    name: str
    battery: str
    where: str
    counts: Annotated[list[Count], msgspec.Meta(min_length=1)]


class ControlOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of the same batteries, with the same budget, on a sampler that is known to be wrong (or known to be exact).

    Attributes:
        required: whether the sampler may not be certified unless this control has the right verdict.
        needs: for a wrong sampler that was not refuted, about how many draws would have refuted it, as estimated from its leading
            finding. None if that is not known.
    """

    name: str
    wrong: str
    must_be_refuted: bool
    verdict: Verdict
    paths: Count
    leading: str
    required: bool = True
    needs: Count | None = None

    @property
    def as_it_should(self) -> bool:
        """Whether the control has the right verdict."""
        if self.must_be_refuted:
            return self.verdict is Verdict.REFUTED
        return self.verdict in (Verdict.CERTIFIED, Verdict.INCONCLUSIVE)


def missed(controls: Sequence[ControlOutcome]) -> list[ControlOutcome]:
    """The controls whose verdict makes a pass meaningless.

    These are the required controls with the wrong verdict, and the other ones with the wrong verdict if none of the others has
    the right one.
    """
    others = [c for c in controls if not c.required]
    blind = others and not any(c.as_it_should for c in others)
    return [c for c in controls if not c.as_it_should and (c.required or blind)]


class Redraw(msgspec.Struct, frozen=True, kw_only=True):
    """One block of draws, by which a later run sees that judging again would give the same certificate.

    Attributes:
        index: the number of the block (:func:`exactness.judging.draws.blocks_of`).
        sha256: the digest of all sums that the batteries kept of this block: of every draw, and of what the law says of it.
    """

    index: Count
    sha256: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The versions, and the kind of array, dtype and device, with which the sampler was judged."""

    exactness: str
    python: str
    platform: str
    packages: dict[str, str]
    array: str
    dtype: str
    device: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of :func:`exactness.certify`.

    Attributes:
        verdict, reasons: the verdict, and sentences that say why.
        law, sampler, plan, seed: what was judged, and how.
        findings: the results of all tests, strongest first.
        stages, histograms, controls: the looks at the evidence, the histograms of the values, and the outcomes of the controls.
        cost: totals over all draws.
        assumes: what the verdict takes for granted, in sentences.
        calls: the number of calls of the sampler that made the draws, each with a seed of its own. None for saved draws.
        source: how to find the claim again: a name of the catalogue or ``file.py:claim``.
        probe: the SHA-256 digest of a first small sample.
        reproducible: whether the same seed gave the same draws. None if that cannot be known, as for saved draws.
        expected: ``"exact"``, or ``"wrong"`` for a sampler that is a control itself.
        pictures: tables of numbers for the page: z-scores by step and direction, and draws next to the law.
        subjects: digests of what the certificate is about: source files, weights and settings of the sampler and of the law.
        unread: what of the sampler and the law could not be read, in words.
        evidence: the SHA-256 digest of all sums that the batteries kept.
        redraw: the same of one block, which ``--resume`` draws and judges again.

    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> certificate = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.1))
    >>> certificate.verdict.value, certificate.as_claimed, certificate.largest_bound < 0.1
    ('certified', True, True)
    >>> certificate.leading.p_value > 0.001
    True
    """

    name: str
    verdict: Verdict
    reasons: list[str]
    law: dict[str, object]
    sampler: dict[str, object]
    plan: Plan
    seed: int
    findings: list[Finding]
    stages: list[Stage]
    histograms: list[Histogram]
    controls: list[ControlOutcome]
    cost: dict[str, float]
    environment: Environment
    created: str
    assumes: list[str] = []
    calls: Count | None = None
    source: str | None = None
    probe: str | None = None
    reproducible: bool | None = None
    expected: str = "exact"
    pictures: list[Picture] = []
    subjects: list[Subject] = []
    unread: list[str] = []
    evidence: str | None = None
    redraw: Redraw | None = None
    format: str = FORMAT

    @property
    def paths(self) -> int:
        """The number of draws that were judged."""
        return self.stages[-1].paths if self.stages else 0

    @property
    def controls_hold(self) -> bool:
        """Whether the controls have the right verdicts, as far as a pass needs it."""
        return not missed(self.controls)

    @property
    def as_claimed(self) -> bool:
        """Whether the sampler was certified (or refuted, if it is a control), and its own controls have the right verdicts."""
        wanted = Verdict.REFUTED if self.expected == "wrong" else Verdict.CERTIFIED
        return self.verdict is wanted and self.controls_hold

    @property
    def leading(self) -> Finding | None:
        """The finding with the strongest evidence against the sampler. None if there are no findings."""
        return min(self.findings, key=lambda f: (f.adjusted_p, f.p_value), default=None)

    @property
    def largest_bound(self) -> float | None:
        """The largest bound of the differences that the plan's tolerance limits. None if there is no such bound."""
        return largest_bound(self.findings)

    @property
    def detectable(self) -> float | None:
        """The size from which on each of the same differences would have been refuted, with the plan's power.

        None if there is no such size, because no difference has a bound, or some test could not have refuted anything.
        """
        effects = [f.detectable for f in self.findings if f.bound is not None and f.unit == TOLERATED]
        known = [effect for effect in effects if effect is not None]
        return max(known) if known and len(known) == len(effects) else None

    @property
    def digest(self) -> str:
        """The SHA-256 of the certificate in its canonical form (:mod:`exactness.canonical`). A file of it holds this digest too."""
        return digest(msgspec.json.decode(msgspec.json.encode(self)))

    def to_json(self) -> bytes:
        """The certificate as JSON, with its digest."""
        return msgspec.json.encode(self)[:-1] + f',"digest":"{self.digest}"}}'.encode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the certificate as JSON, and return the path. A run that is killed leaves no incomplete file."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(self.to_json(), indent=1)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text + b"\n")
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """Read a certificate that ``save`` wrote.

        Raises ``BadInput`` if the file is missing, unreadable or not a certificate, and ``Edited`` if it is no longer what was
        written. An edit is noticed by the digest in the file. Whoever edits on purpose can write another digest: against that,
        somebody must sign (see :mod:`exactness.statement`).
        """
        return cls.from_json(read_text(path, "a certificate"), str(path))

    @classmethod
    def from_json(cls, text: bytes, name: str) -> Certificate:
        """Read what ``to_json`` wrote. ``name`` is the file, for messages. Raises like :meth:`load`."""
        head = parse_json(text, _Head, name, "a certificate")
        if head.format != FORMAT:
            raise BadInput(f"{name} has format {head.format!r}; this version reads {FORMAT!r}: certify again to get one")
        certificate = parse_json(text, cls, name, "a certificate")
        with reading(name):
            document = json.loads(text, object_pairs_hook=_without_repetition)
            document.pop("digest")
            found = digest(document)
        if found != head.digest:
            raise Edited(
                f"{name} was changed after it was written: it states the digest {head.digest:.12}, but its contents give "
                f"{found:.12}; certify again, or ask for the original"
            )
        return certificate


class Edited(BadInput):
    """A certificate was changed after it was written."""


class _Head(msgspec.Struct):
    format: str
    digest: str = ""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadInput("the file is no certificate: it holds a name twice, and readers would disagree about its value")
    return found
