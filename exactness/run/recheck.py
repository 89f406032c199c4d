"""Checks a certificate: does its verdict follow from its findings, and does its claim repeat?

A certificate may come from a stranger, and its source may name a Python file. Nothing is run unless the caller asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec

from ..catalogue import Setting, find
from ..certificate import Certificate, Finding, Verdict
from ..claim import Claim
from ..errors import BadInput
from ..evidence.nulls import Null, null_of
from ..evidence.summaries.base import Row
from ..judging.certify import certify_claim
from ..judging.judgement import adjust, beside_controls, decide, may_pass
from .executors import Progress
from .sources import claims_of, controls_of, file_of, is_file_claim, is_saved_source, items_of, words_of

_CLOSE = 1e-9


class Recheck(msgspec.Struct, frozen=True):
    """The result of a check.

    Attributes:
        faults: sentences; the list is empty if all is well.
        how: what was compared.
        untraced: why nobody could sample again from here what the certificate is about. None if somebody could.
    """

    faults: list[str]
    how: str = ""
    untraced: str | None = None


class RecheckJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that checks the certificate in ``path`` and runs its claim again, which is a stranger's code."""

    path: str

    def run(self, progress: Progress | None = None) -> Recheck:
        """Check it. Raises ``BadInput`` if the file is no certificate."""
        return recheck(Certificate.load(self.path), run=True, progress=progress)


def recheck(certificate: Certificate, *, run: bool = False, progress: Progress | None = None) -> Recheck:
    """Recompute the verdict from the recorded statistics, which runs nothing.

    With ``run``, the claim is run again too. This executes the Python file that the certificate names: use it only for
    certificates whose source you trust.
    """
    faults, untraced = check_arithmetic(certificate), untraceable(certificate)
    how = "its verdict follows from its findings"
    if certificate.verdict is Verdict.INVALID:
        how = "it is invalid, so it has no verdict that findings could support"
    if not run or certificate.source is None:
        return Recheck(faults, f"{how}; nothing was sampled again", untraced)
    try:
        again = repeat(certificate, *_claims_of(certificate), progress=progress)
        return Recheck(faults + again.faults, f"{how}, {again.how}")
    except BadInput as error:
        return Recheck([*faults, f"the claim cannot be run again from here: {error}"], how, untraced)


def untraceable(certificate: Certificate) -> str | None:
    """Why the claim cannot be found from here, in words, or None if it can. Nothing is run to find out."""
    source = certificate.source
    if source is None:
        return "it does not say where its claim comes from"
    if (file := file_of(source)) is not None:
        words = words_of(source)
        needed = [file, *(value for option, value in pairwise(words) if option == "--paths")]
        missing = [name for name in needed if not Path(name).exists()]
        return f"its claim comes from {', '.join(missing)}, which is not here" if missing else None
    try:
        find([source])
    except BadInput as error:
        return f"its claim cannot be found: {error}"
    return None


def check_arithmetic(certificate: Certificate) -> list[str]:
    """Recompute p-values, their adjustment, bounds, detectable effects and the verdict. Returns a sentence per disagreement."""
    try:
        return _disagreements(certificate)
    except Exception as error:  # A stranger's numbers may make no sense at all, and any formula may fail on them.
        return [f"its numbers cannot be recomputed, because they make no sense: {type(error).__name__}: {error}"]


def _disagreements(certificate: Certificate) -> list[str]:
    faults: list[str] = []
    plan, findings = certificate.plan, certificate.findings
    if certificate.verdict is Verdict.INVALID:
        return faults
    if not certificate.stages:
        return ["the certificate has a verdict but no stage, so nothing was looked at"]
    nulls = {id(f): _null(f) for f in findings}
    unknown = {f.test for f in findings if nulls[id(f)] is None}
    if unknown:
        return [f"this version does not know the tests {', '.join(sorted(unknown))}, so they cannot be recomputed"]
    adjusted = adjust([f.p_value for f in findings], plan)
    discrepancies = sum(f.rows for f in findings if _bound(f, 0.5) is not None)
    error = plan.bound_error(discrepancies) if discrepancies else 1.0
    for finding, p in zip(findings, adjusted, strict=True):
        null = nulls[id(finding)]
        assert null is not None
        expected: dict[str, float | str | None] = {
            "p_value": null.p_over_rows(finding.statistic, finding.n, finding.rows),
            "adjusted_p": p,
            "effect": null.effect(finding.statistic),
            "detectable": null.detectable(finding.n, plan.level(len(findings) * finding.rows), 1.0 - plan.power),
            "validity": null.validity,
            "unit": null.unit,
        }
        expected["bound"] = _bound(finding, error)
        for name, value in expected.items():
            written = getattr(finding, name)
            if not _agree(written, value):
                faults.append(f"{finding.name} ({finding.where}): {name} is written as {written}, but its statistic gives {value}")
    last = certificate.stages[-1].paths >= plan.max_paths
    enough = may_pass(certificate.paths, plan, certificate.controls, certificate.expected == "wrong")
    verdict, _ = decide(findings, plan, last, enough)
    verdict = verdict and beside_controls(verdict, certificate.controls)
    if verdict is not certificate.verdict:
        given = "no verdict yet" if verdict is None else verdict.value
        faults.append(f"the verdict is written as {certificate.verdict.value}, but the findings and controls give {given}")
    return faults


def repeat(
    certificate: Certificate, claims: Sequence[Claim], controls: Sequence[str] | None = None, *, progress: Progress | None = None
) -> Recheck:
    """Run the claim again with the recorded plan and seed, and compare the results.

    ``controls`` are the names of the controls that the certificate must list. If left out, they are the claim's own controls,
    which are run again too.
    """
    claim = next((c for c in claims if c.name == certificate.name), None)
    if claim is None:
        return Recheck([f"its source {certificate.source} no longer has a claim called {certificate.name!r}"])
    faults = []
    again = replace(claim, plan=certificate.plan, controls=claim.controls if controls is None else ())
    new = certify_claim(
        again,
        seed=certificate.seed,
        outcomes=() if controls is None else certificate.controls,
        source=certificate.source,
        progress=progress,
    )
    names = sorted([c.name for c in new.controls] if controls is None else controls)
    if sorted(c.name for c in certificate.controls) != names:
        faults.append(f"its controls should be {', '.join(names) or 'none'}, but it lists {len(certificate.controls)}")
    if new.verdict is not certificate.verdict:
        faults.append(f"run again, the verdict is {new.verdict.value}, but it was {certificate.verdict.value}")
    if new.law != certificate.law:
        faults.append("the law is not the one that was judged, because its description has changed")
    if new.environment != certificate.environment:
        return Recheck(faults, "the versions or the device differ, so only the verdict was compared")
    if new.probe != certificate.probe:
        faults.append("the versions and the device are the same, but the first draws differ: the sampler has changed")
    else:
        # A name may occur several times, because a summary may make several tests of one kind.
        old, now = (sorted((f.name, f.where, f.statistic) for f in c.findings) for c in (certificate, new))
        moved = [b[0] for a, b in zip(old, now, strict=False) if a[:2] != b[:2] or abs(a[2] - b[2]) > 1e-6 * (1 + abs(b[2]))]
        if moved:
            faults.append(f"the first draws are the same, but some statistics differ: {', '.join(moved[:3])}")
    changed = [s.name for s in certificate.subjects if s.kind == "file" and s not in new.subjects]
    return Recheck(faults, "and it repeats" + (f" (changed since: {', '.join(changed)})" if changed else ""))


def _claims_of(certificate: Certificate) -> tuple[list[Claim], list[str] | None]:
    """The claims of its source, and the names of the controls that a certificate of the catalogue must list."""
    assert certificate.source is not None
    where, backend = certificate.environment, str(certificate.sampler.get("backend", "torch"))
    setting = Setting(where.device.split()[0], where.dtype, backend)  # type: ignore[arg-type]
    claims = claims_of(certificate.source, setting)
    if is_file_claim(certificate.source) or is_saved_source(certificate.source):
        return claims, None
    (item,) = items_of([certificate.source])
    controls = controls_of({item.group}) if item.group is not None and not item.wrong else []
    return claims, [control.name for control in controls]


def _null(finding: Finding) -> Null | None:
    try:
        if finding.loosest is not None:
            null_of(finding.test, finding.loosest.parameters)
        return null_of(finding.test, finding.parameters)
    except (KeyError, TypeError):
        return None


def _bound(finding: Finding, error: float) -> float | None:
    """The largest bound of the recorded rows: of the one with the smallest p-value, and of the one that is named as the loosest."""
    if not finding.bounded:
        return None
    recorded = [row for row in (finding, finding.loosest) if row is not None]
    rows = [Row(null_of(finding.test, row.parameters), row.where, row.statistic, row.n) for row in recorded]
    return max((b for row in rows if (b := row.bound(finding.paths, error)) is not None), default=None)


def _agree(written: float | str | None, value: float | str | None) -> bool:
    if written is None or value is None or isinstance(written, str) or isinstance(value, str):
        # An infinite value is written as None.
        return written == value or (written is None and value == math.inf)
    return abs(written - value) <= max(_CLOSE * abs(value), 1e-300)
