"""What was promised and what was found: a record that says everything needed to read it and to repeat it."""

from __future__ import annotations

import enum
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .errors import BadInput
from .plan import Plan

FORMAT = "exactness-certificate/2"


class Verdict(enum.Enum):
    """The four outcomes, each with its remedy."""

    CERTIFIED = "certified"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"

    @property
    def remedy(self) -> str:
        return {
            Verdict.CERTIFIED: "Nothing to do: not refuted, and every monitored difference of probabilities is tolerable.",
            Verdict.REFUTED: "The sampler does not follow the law. The first findings say where it departs; start there.",
            Verdict.INCONCLUSIVE: "Not refuted, but the evidence is too thin for the tolerance: raise max_paths or the tolerance.",
            Verdict.INVALID: "The output could not be judged. The reason says what to mend; nothing is known of the law.",
        }[self]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One test. ``n`` values independent under the law; ``paths`` draws; ``rows`` > 1: the most extreme of so many.

    ``effect`` and ``detectable`` are in ``unit``; ``bound`` is an upper confidence bound on the effect, where there is one, and
    ``bounded`` says whether every draw counts, so that one makes sense; ``detectable`` is the smallest effect that would have
    been refuted with the plan's power, None if none would: the level is beyond the reach of the test. ``test`` and
    ``parameters`` make the test again (:func:`exactness.evidence.nulls.null_of`).
    ``adjusted_p`` counts all tests (Holm) and all stages: below alpha it refutes.
    """

    name: str
    battery: str
    test: str
    null: str
    validity: str
    where: str
    rows: int
    n: int
    paths: int
    statistic: float
    p_value: float
    adjusted_p: float
    effect: float
    unit: str
    bound: float | None
    detectable: float | None
    parameters: dict[str, Any] = {}
    bounded: bool = True


TOLERATED = "probability"
"""The unit of the plan's tolerance; bounds in other units are reported, and decide nothing."""


def largest_bound(findings: Sequence[Finding]) -> float | None:
    return max((f.bound for f in findings if f.bound is not None and f.unit == TOLERATED), default=None)


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the evidence: draws so far, the smallest adjusted p-value, the largest bound, what was decided."""

    paths: int
    smallest_p: float
    largest_bound: float | None
    decision: str


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of probability integral transforms in equal cells of [0, 1]; flat if the law is right."""

    name: str
    battery: str
    where: str
    counts: list[int]


class ControlOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the same batteries, at the same budget, said of a sampler that is known to be wrong (or known to be exact).

    ``required``: whether a pass next to it means little if it was judged otherwise. ``needs``: about how many draws would have
    refuted a wrong sampler that was missed, as far as its loudest finding tells.
    """

    name: str
    wrong: str
    must_be_refuted: bool
    verdict: Verdict
    paths: int
    leading: str
    required: bool = True
    needs: int | None = None

    @property
    def as_it_should(self) -> bool:
        if self.must_be_refuted:
            return self.verdict is Verdict.REFUTED
        return self.verdict in (Verdict.CERTIFIED, Verdict.INCONCLUSIVE)


def missed(controls: Sequence[ControlOutcome]) -> list[ControlOutcome]:
    """Those beside which a pass means little: required ones that were judged otherwise, and the others if not one was seen."""
    others = [c for c in controls if not c.required]
    blind = others and not any(c.as_it_should for c in others)
    return [c for c in controls if not c.as_it_should and (c.required or blind)]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was judged."""

    exactness: str
    python: str
    platform: str
    packages: dict[str, str]
    array: str
    dtype: str
    device: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of :func:`exactness.certify`. ``reasons`` are sentences; ``cost`` are totals over all draws.

    ``source`` repeats it: a name of the catalogue or ``file.py:claim``. ``probe`` is the SHA-256 of a first small sample.
    ``expected`` is ``"exact"``, or ``"wrong"`` for a sampler that is a control itself.
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
    source: str | None = None
    probe: str | None = None
    reproducible: bool | None = None
    expected: str = "exact"
    format: str = FORMAT

    @property
    def paths(self) -> int:
        return self.stages[-1].paths if self.stages else 0

    @property
    def controls_hold(self) -> bool:
        return not missed(self.controls)

    @property
    def as_claimed(self) -> bool:
        """Certified, or refuted if it is a control; and its own controls did what they must."""
        wanted = Verdict.REFUTED if self.expected == "wrong" else Verdict.CERTIFIED
        return self.verdict is wanted and self.controls_hold

    @property
    def leading(self) -> Finding | None:
        """The finding that speaks loudest against the sampler."""
        return min(self.findings, key=lambda f: (f.adjusted_p, f.p_value), default=None)

    @property
    def largest_bound(self) -> float | None:
        """Of the discrepancies that the plan's tolerance is about."""
        return largest_bound(self.findings)

    @property
    def detectable(self) -> float | None:
        """Each of the same discrepancies at least this large would have been refuted, with the plan's power.

        None where there is no such number: nothing has a bound, or some test could not have refuted anything.
        """
        effects = [f.detectable for f in self.findings if f.bound is not None and f.unit == TOLERATED]
        known = [effect for effect in effects if effect is not None]
        return max(known) if known and len(known) == len(effects) else None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write JSON. The file appears whole or not at all, so a killed run leaves no half certificate."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
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
        """Read what ``save`` wrote. Raises ``BadInput`` for a file that is missing, unreadable or not a certificate."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from None
        try:
            certificate = msgspec.json.decode(data, type=cls)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise BadInput(f"{path} is not a certificate: {error}") from None
        if certificate.format != FORMAT:
            raise BadInput(f"{path} has format {certificate.format!r}; this version reads {FORMAT!r}")
        return certificate
