"""What the pytest fixture ``certify`` does once it is called; the hooks are in ``pytest_exactness.py``, which is light."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shlex
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest

from .certificate import Certificate, Verdict
from .claim import Claim, Sample
from .errors import BadInput
from .evidence.base import Battery
from .judging.certify import certify
from .laws.base import Law
from .plan import Plan
from .run.runner import Overrides, check_writable

if TYPE_CHECKING:
    from pytest_exactness import Run, Settings

_LOUDEST = 3
_LISTED = 6
_NAME = 100


class NotAsClaimed(AssertionError):
    """A test fails because its certificate is not the one that was claimed."""

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate


def claims_of_call(tests: int, call: int, declared: int | None = None) -> int:
    """``Plan.claims`` of the ``call``-th certificate of one of so many tests: alpha over this is its share.

    Where the number of calls is declared, each gets the same. Otherwise nobody knows it beforehand (a loop, Hypothesis), and call
    j gets 1 / (j (j + 1)) of the test's share: the first a half, and all that there can ever be together 1, because
    1 / (j (j + 1)) = 1 / j - 1 / (j + 1). By the union bound the tests together refute an exact sampler with probability at
    most alpha; each call draws afresh, so that holds although what is asked next may depend on what was found before.

    >>> sum(1 / claims_of_call(3, j) for j in range(1, 1000)) < 1 / 3
    True
    """
    if declared is None:
        return tests * call * (call + 1)
    if call > declared:
        raise BadInput(f"the marker says claims={declared}, and this is call {call} of `certify`: there is no share of alpha left")
    return tests * declared


class Judge:
    """All certificates of one process."""

    def __init__(self, settings: Settings, config: pytest.Config) -> None:
        self.settings, self.config = settings, config
        self._standing: dict[tuple[str, int], Certificate] = {}

    def __call__(
        self,
        run: Run,
        tests: int,
        sample: Claim | Sample,
        law: Law | None = None,
        *,
        plan: Plan | None = None,
        batteries: Sequence[Battery] | None = None,
        controls: Sequence[Claim] | Literal["standard"] | None = None,
        wrong: str | None = None,
        about: dict[str, object] | None = None,
        name: str | None = None,
        check: bool = True,
    ) -> Certificate:
        """The certificate; raises :class:`NotAsClaimed` if it is not the one that was claimed, unless ``check`` is False.

        ``tests``: how many share the alpha of this one. The rest: :func:`exactness.certify`, or a claim instead of ``sample``.
        """
        __tracebackhide__ = True
        run.calls += 1
        test, call = run.item.nodeid, run.calls
        given = {"plan": plan, "batteries": batteries, "controls": controls, "wrong": wrong, "about": about, "name": name}
        claim = _claim(sample, law, {k: v for k, v in given.items() if v is not None}, run.item)
        # Every call of a test has a stream of its own, and the same one when the test is run again.
        named = claim.name if claim.name not in run.names else f"{claim.name[:_NAME]} #{call}"
        run.names.add(named)
        plan = self._plan(claim, run, claims_of_call(tests, call, run.marks.get("claims")))
        repeat = self._command(run, tests)
        certificate = self._standing.get((test, call))
        if certificate is None:
            certificate = certify(
                claim.sample, claim.law, plan=plan, seed=self.settings.seed, name=named, batteries=claim.batteries,
                controls=claim.controls, wrong=claim.wrong, about={**claim.about, "test": test, "repeat": repeat},
            )  # fmt: skip
        # A sampler that was let in although it does not repeat would have another chance when its test is run again.
        if certificate.reproducible is False:
            self._standing[test, call] = certificate
        saved = self._save(certificate, test, call)
        fact = facts_of(certificate, call, saved)
        run.facts.append(fact)
        run.item.user_properties += properties_of(fact)
        if self.settings.html is not None:
            run.certificates.append(msgspec.json.encode(certificate).decode())
        if not certificate.as_claimed:
            run.section = section_of(certificate)
            if check:
                raise NotAsClaimed(message_of(certificate, test, call, saved, self.settings.profile), certificate)
        return certificate

    def _plan(self, claim: Claim, run: Run, claims: int) -> Plan:
        """The claim's plan or the ini file's, as the marker changes it, with the share of alpha, in the profile."""
        settings, marks = self.settings, run.marks
        plan = claim.plan or Overrides(tolerance=settings.tolerance, max_paths=settings.max_paths).apply(Plan())
        alpha = marks.get("alpha", settings.alpha)
        if plan.alpha not in (alpha, Plan().alpha):
            warnings.warn(
                pytest.PytestWarning(
                    f"the alpha {plan.alpha:g} of the plan of {claim.name!r} is not used: alpha is the session's, "
                    f"{settings.alpha:g}, or that of @pytest.mark.exactness(alpha=...)"
                ),
                stacklevel=2,
            )
        plan = Overrides(alpha, marks.get("tolerance"), marks.get("max_paths"), claims).apply(plan)
        # What must be refuted needs its draws: fewer would only blind the controls.
        if settings.profile == "full" or claim.wrong is not None or claim.controls:
            return plan
        return plan.shortened(settings.quick_paths, claim.law, batteries=claim.batteries)

    def _command(self, run: Run, tests: int) -> str:
        """One line that repeats the test as it was judged here: alone it would have all of alpha."""
        file = os.path.relpath(run.item.path, self.config.invocation_params.dir)
        words = ["pytest", f"{file}::{_inside(run.item)}", "--exactness-seed", str(self.settings.seed)]
        words += ["--exactness-tests", str(tests)] * (tests > 1)
        for option in ("--exactness-alpha", "--exactness-profile"):
            if self.config.getoption(option) is not None:
                words += [option, str(self.config.getoption(option))]
        return shlex.join(words)

    def _save(self, certificate: Certificate, test: str, call: int) -> Path | None:
        """Where it was asked for; a failure in any case, in pytest's cache, if there is one."""
        folder = self.settings.json
        if folder is None:
            cache = vars(self.config).get("cache")
            if certificate.as_claimed or cache is None:
                return None
            folder = cache.mkdir("exactness")
        # Ids that differ only in what a file name cannot hold differ in the checksum.
        plain = re.sub(r"[^\w.=+-]+", "-", test).strip("-")[-_NAME:]
        return certificate.save(folder / f"{plain}.{zlib.crc32(test.encode()):08x}.{call}.json")


def _claim(sample: Claim | Sample, law: Law | None, given: dict[str, Any], item: pytest.Item) -> Claim:
    if isinstance(sample, Claim):
        if law is not None:
            raise BadInput(f"certify(claim) takes its law from the claim {sample.name!r}: leave out the second argument")
        return dataclasses.replace(sample, **given)
    if law is None:
        raise BadInput("certify takes a Claim, or a sampler and the law that it should follow: certify(sample, law)")
    return Claim(**{"name": _name(item), "sample": sample, "law": law, **given})


def _name(item: pytest.Item) -> str:
    """File and test: short enough for a certificate, and the same wherever the test is run from."""
    name = "".join(c if c.isprintable() else "?" for c in f"{item.path.name}::{_inside(item)}")
    return name if len(name) <= _NAME else f"{name[: _NAME - 9]}~{zlib.crc32(name.encode()):08x}"


def _inside(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2]


def facts_of(certificate: Certificate, call: int, saved: Path | None) -> dict[str, Any]:
    """One line of the summary, in JSON types."""
    paths = certificate.cost.get("paths", 0.0)
    rounds = certificate.cost.get("rounds")
    return {
        "call": call,
        "name": certificate.name,
        "verdict": certificate.verdict.value,
        "expected": certificate.expected,
        "held": certificate.as_claimed,
        "paths": certificate.paths,
        "bound": certificate.largest_bound,
        "tolerance": certificate.plan.tolerance,
        "detectable": certificate.detectable,
        "alpha": certificate.plan.alpha,
        "claims": certificate.plan.claims,
        "seed": certificate.seed,
        "seconds": round(certificate.cost["seconds_sampling"] + certificate.cost["seconds_judging"], 3),
        "rounds": rounds / paths if rounds is not None and paths else None,
        "certificate": None if saved is None else str(saved),
    }


def properties_of(fact: dict[str, Any]) -> list[tuple[str, object]]:
    """As JUnit files show it: ``exactness.verdict``; of a second call ``exactness.2.verdict``."""
    prefix = "exactness." if fact["call"] == 1 else f"exactness.{fact['call']}."
    return [(prefix + key, value) for key, value in fact.items() if key not in ("call", "held") and value is not None]


def message_of(certificate: Certificate, test: str, call: int, saved: Path | None, profile: str) -> str:
    """What a failing test says: what was found, what to do, and how to see it again."""
    plan = certificate.plan
    verdict = f"{certificate.name}: {certificate.verdict.value}"
    if certificate.expected == "wrong":
        verdict += f", but it must be refuted: {certificate.sampler['wrong']}"
    lines = [verdict, *(f"  {reason}" for reason in certificate.reasons)]
    if certificate.expected == "exact" and certificate.verdict is not Verdict.CERTIFIED:
        lines.append(f"  {certificate.verdict.remedy}")
    lines += [
        f"    {f.name} ({f.where}): effect {f.effect:+.3g} {f.unit}, adjusted p-value {f.adjusted_p:.2g}"
        + ("" if f.bound is None else f", bound {f.bound:.3g}")
        for f in certificate.findings[:_LOUDEST]
    ]
    which = "" if call == 1 else f", call {call} of the test"
    lines.append(
        f"  seed {certificate.seed}, {certificate.paths:,} paths, 1/{plan.claims} of alpha {plan.alpha:g}, "
        f"tolerance {plan.tolerance:g}, profile {profile}{which}"
    )
    lines.append(f"  repeat: {certificate.sampler['repeat']}")
    lines.append(f"  certificate: {saved or 'not saved; --exactness-json DIR keeps it'}")
    return "\n".join(lines)


def section_of(certificate: Certificate) -> str:
    """The certificate as text."""
    from rich.console import Console

    from .show.console import findings_table, print_certificate

    console = Console(file=io.StringIO(), width=132, color_system=None, force_terminal=False)
    print_certificate(console, certificate)
    console.print(f"  law: {certificate.law}\n  plan: {certificate.plan}", highlight=False, markup=False)
    for stage in certificate.stages:
        console.print(
            f"  after {stage.paths:,} paths: smallest adjusted p-value {stage.smallest_p:.2g}, {stage.decision}", highlight=False
        )
    if certificate.findings:
        console.print(findings_table(certificate, _LISTED))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def check_places(settings: Settings) -> None:
    """A usage error, before anything runs, for what could not be written at the end."""
    try:
        check_writable(settings.json, settings.html)
    except BadInput as error:
        raise pytest.UsageError(f"exactness: {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"exactness: cannot write {error.filename or 'there'}: {error.strerror}") from None


def write_page(certificates: Sequence[str], target: Path) -> None:
    """The HTML report on certificates that came as JSON."""
    from .show.report import write_report

    write_report([msgspec.json.decode(text, type=Certificate) for text in certificates], target)
