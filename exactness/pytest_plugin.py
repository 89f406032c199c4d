"""Judges a sampler when a test calls the pytest fixture ``certify``.

The hooks are in ``pytest_exactness.py``, which every pytest session imports and which therefore imports this module only when a
test needs it. Nothing here imports the hooks.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import time
import warnings
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
from .show.pytest_text import facts_of, message_of, properties_of, section_of

_NAME = 100
_STANDS = (
    "the test was run again, and the sampler gave other draws although the seed was the same; another run is no other chance, so "
    "this verdict of the first run stands"
)
# After this many seconds, a test that still draws says so.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Settings:
    """What the command line and the ini file ask for. The hooks have checked the values.

    ``tests``: alpha is shared among at least this many tests. ``tolerance`` and ``max_paths`` serve tests that bring no plan.
    """

    alpha: float
    tolerance: float | None
    max_paths: int | None
    quick_paths: int
    profile: str
    seed: int
    tests: int
    json: Path | None
    html: Path | None


@dataclass
class Run:
    """One run of one test: how its marker changes the plan, how often it called ``certify``, and what is still to be reported.

    ``section``: the last certificate that was not as claimed, as text.
    """

    item: pytest.Item
    marks: dict[str, Any]
    calls: int = 0
    names: set[str] = field(default_factory=set)
    facts: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    section: str = ""


class NotAsClaimed(AssertionError):
    """The certificate of a test is not as claimed. ``certificate`` holds it."""

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate


def claims_of_call(tests: int, call: int, declared: int | None = None) -> int:
    """``Plan.claims`` for call number ``call`` of ``certify`` in one of ``tests`` tests: the call spends alpha divided by this.

    If the marker declares the number of calls, every call gets the same share. Otherwise nobody knows the number beforehand (a
    loop, Hypothesis), and call j gets 1 / (j (j + 1)) of the test's share. The first call gets a half, and all calls together never
    get more than the whole, because 1 / (j (j + 1)) = 1 / j - 1 / (j + 1). By the union bound, all tests together refute an exact
    sampler with probability at most alpha. This holds even if a test chooses its next call by what the last one found, because
    every call takes new draws.

    Raises ``BadInput`` for a call beyond the declared number.

    >>> claims_of_call(3, 1), claims_of_call(3, 2), claims_of_call(3, 2, declared=2)
    (6, 18, 6)
    """
    if declared is None:
        return tests * call * (call + 1)
    if call > declared:
        raise BadInput(f"the marker says claims={declared}, and this is call {call} of `certify`: no share of alpha is left for it")
    return tests * declared


class SignOfLife:
    """A progress function that writes a line to pytest's terminal while a certificate takes long.

    The first line comes after 5 seconds, and each later one when twice as much time has passed. They are not part of the test's
    captured output. With ``-q`` it writes nothing, and neither does a worker of pytest-xdist, which has no terminal.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.get_plugin("terminalreporter") if config.get_verbosity() >= 0 else None
        self._capture = config.pluginmanager.get_plugin("capturemanager")
        self._started, self._due = time.monotonic(), _PATIENCE

    def __call__(self, what: str, done: int, most: int) -> None:
        waited = time.monotonic() - self._started
        if self._reporter is None or waited < self._due:
            return
        self._due = 2.0 * waited
        with nullcontext() if self._capture is None else self._capture.global_and_fixture_disabled():
            self._reporter.ensure_newline()
            self._reporter.write_line(f"exactness: {what}: {done:,} of at most {most:,} draws after {waited:.0f} s")


class Judge:
    """Makes all certificates of one process."""

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
        """The certificate. Raises :class:`NotAsClaimed` if it is not as claimed, unless ``check`` is False.

        ``tests``: how many tests share alpha. ``sample`` may be a claim; everything else is as in :func:`exactness.certify`.
        """
        __tracebackhide__ = True
        run.calls += 1
        test, call = run.item.nodeid, run.calls
        given = {"plan": plan, "batteries": batteries, "controls": controls, "wrong": wrong, "about": about, "name": name}
        claim = _claim(sample, law, {k: v for k, v in given.items() if v is not None}, run.item)
        # The name decides the random stream: every call of a test has its own, and has the same one when the test is run again.
        named = claim.name if claim.name not in run.names else f"{claim.name[:_NAME]} #{call}"
        run.names.add(named)
        plan = self._plan(claim, run, claims_of_call(tests, call, run.marks.get("claims")))
        repeat = self._command(run, tests)
        first = self._standing.get((test, call))
        if first is not None and first.reproducible is False:
            certificate = first
        else:
            certificate = certify(
                claim.sample, claim.law, plan=plan, seed=self.settings.seed, name=named, batteries=claim.batteries,
                controls=claim.controls, wrong=claim.wrong, about={**claim.about, "test": test, "repeat": repeat},
                progress=SignOfLife(self.config),
            )  # fmt: skip
            certificate = self._first_of(first, certificate, test, call)
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

    def _first_of(self, first: Certificate | None, new: Certificate, test: str, call: int) -> Certificate:
        """The certificate that counts when a test is run again: the first one, unless it was as claimed or invalid.

        A plugin may run a test again until it passes. If the sampler repeats its draws, so does the verdict. If it does not, as one
        that ignores its seed for some numbers of draws, each run would be another chance. An invalid certificate is no verdict.
        """
        if first is not None and new.evidence != first.evidence:
            return msgspec.structs.replace(first, reasons=[*first.reasons, _STANDS])
        if new.reproducible is False or not (new.as_claimed or new.verdict is Verdict.INVALID):
            self._standing[test, call] = new
        return new

    def _plan(self, claim: Claim, run: Run, claims: int) -> Plan:
        """The plan of the claim or of the ini file, changed by the marker and the profile, with this call's share of alpha."""
        settings, marks = self.settings, run.marks
        plan = claim.plan or Overrides(tolerance=settings.tolerance, max_paths=settings.max_paths).apply(Plan())
        alpha = marks.get("alpha", settings.alpha)
        if plan.alpha not in (alpha, Plan().alpha):
            warnings.warn(
                pytest.PytestWarning(
                    f"the fixture `certify` ignores Plan.alpha, and the plan of {claim.name!r} sets it to {plan.alpha:g}: alpha "
                    f"is that of the session, {settings.alpha:g}, or of @pytest.mark.exactness(alpha=...)"
                ),
                stacklevel=2,
            )
        plan = Overrides(alpha, marks.get("tolerance"), marks.get("max_paths"), claims).apply(plan)
        # A wrong sampler keeps its draws: with fewer it could be missed.
        if settings.profile == "full" or claim.wrong is not None or claim.controls:
            return plan
        return plan.shortened(settings.quick_paths, claim.law, batteries=claim.batteries)

    def _command(self, run: Run, tests: int) -> str:
        """The command that repeats the test with the same share of alpha. Without `--exactness-tests` it would have all of it."""
        file = os.path.relpath(run.item.path, self.config.invocation_params.dir)
        words = ["pytest", f"{file}::{_inside(run.item)}", "--exactness-seed", str(self.settings.seed)]
        words += ["--exactness-tests", str(tests)] * (tests > 1)
        for option in ("--exactness-alpha", "--exactness-profile"):
            if self.config.getoption(option) is not None:
                words += [option, str(self.config.getoption(option))]
        return shlex.join(words)

    def _save(self, certificate: Certificate, test: str, call: int) -> Path | None:
        """Saves it in the folder of `--exactness-json`. Without one, saves only failures, in pytest's cache if there is one."""
        folder = self.settings.json
        if folder is None:
            cache = vars(self.config).get("cache")
            if certificate.as_claimed or cache is None:
                return None
            folder = cache.mkdir("exactness")
        # The checksum tells ids apart that differ only in characters that a file name cannot hold.
        plain = re.sub(r"[^\w.=+-]+", "-", test).strip("-")[-_NAME:]
        return certificate.save(folder / f"{plain}.{zlib.crc32(test.encode()):08x}.{call}.json")


def _claim(sample: Claim | Sample, law: Law | None, given: dict[str, Any], item: pytest.Item) -> Claim:
    if isinstance(sample, Claim):
        if law is not None:
            raise BadInput(f"certify(claim) takes the law from the claim {sample.name!r}: leave out the second argument")
        return dataclasses.replace(sample, **given)
    if law is None:
        raise BadInput("certify takes either a Claim, or a sampler and the law that it should follow: certify(sample, law)")
    return Claim(**{"name": _name(item), "sample": sample, "law": law, **given})


def _name(item: pytest.Item) -> str:
    """File and test. The name is short enough for a certificate and does not depend on the folder that pytest runs in."""
    name = "".join(c if c.isprintable() else "?" for c in f"{item.path.name}::{_inside(item)}")
    return name if len(name) <= _NAME else f"{name[: _NAME - 9]}~{zlib.crc32(name.encode()):08x}"


def _inside(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2]


def check_places(folder: Path | None, page: Path | None) -> None:
    """Raises ``pytest.UsageError`` before any test runs if certificates or the page could not be written at the end."""
    try:
        check_writable(folder, page)
        if page is not None:
            from .show.report import require_report_extra

            require_report_extra()
    except BadInput as error:
        raise pytest.UsageError(f"exactness: {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"exactness: cannot write {error.filename or 'there'}: {error.strerror}") from None


def write_page(certificates: Sequence[str], target: Path) -> None:
    """Writes the HTML page of these certificates, which are JSON texts."""
    from .show.report import write_report

    write_report([msgspec.json.decode(text, type=Certificate) for text in certificates], target)
