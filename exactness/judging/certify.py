"""The one door: a sampler and a law go in, a certificate comes out."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..batteries.standard import chosen_batteries
from ..certificate import Certificate, ControlOutcome, Finding, Stage, Verdict, largest_bound, missed
from ..claim import Claim, Sample
from ..environment import environment
from ..errors import BadInput, InvalidSample
from ..evidence.base import Battery
from ..laws.base import Law
from ..plan import Plan
from ..saved import SavedPaths
from .draws import Draws, Progress
from .judgement import beside_controls, decide, draws_before_a_pass, findings_of, histograms_of


def certify(
    sample: Sample | SavedPaths,
    law: Law,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str = "sampler",
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim | ControlOutcome] | Literal["standard"] = (),
    wrong: str | None = None,
    about: dict[str, object] | None = None,
    source: str | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Judge whether ``sample`` follows ``law``.

    Args:
        sample: ``sample(n, seed)`` -> (n, d) for a mixture, (n, K + 1, d) in running order for a chain; numpy, torch or JAX, on
            any device; or a tuple of that and a dict of costs. Same n and seed must give the same output. :class:`SavedPaths`
            are looked at once.
        law: what it should follow.
        plan: error rates, tolerance and budget.
        seed: root of all randomness; the sampler and the judge get separate streams of it.
        batteries: instead of the standard ones; those that do not apply to the law are left out.
        controls: claims known to be wrong; each is judged first, in the same way, and must be refuted. The sampler is not
            certified on fewer draws than that took. Outcomes of controls judged before may be passed instead of claims.
            ``"standard"``: wrong samplers of the law's own chain (torch is needed), of which at least one must be refuted.
        wrong, about, source: recorded, see :class:`exactness.Claim`.
        progress: called after every batch of draws.

    Returns:
        A certificate. A sampler that raises or returns something unusable gets the verdict ``INVALID`` with the reason; what
        was found before is kept.

    Raises:
        BadInput: if the law, plan or batteries cannot be used, before anything is sampled; or if the law's own prediction
            raises or returns another shape.
    """
    plan = plan or Plan()
    if not isinstance(controls, Sequence):
        raise BadInput(f"controls must be a list of claims and outcomes, or 'standard'; not {controls!r:.60}")
    judged_before = [c for c in controls if isinstance(c, ControlOutcome)]
    to_judge = controls if isinstance(controls, str) else [c for c in controls if not isinstance(c, ControlOutcome)]
    claim = Claim(name, sample, law, plan, batteries, to_judge, wrong, about=dict(about or {}))
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BadInput(f"seed must be an integer of at least 0, not {seed!r}")
    chosen = [battery for battery in chosen_batteries(batteries) if battery.applies(law)]
    # No battery, no certificate: silence must not look like a pass.
    if not chosen:
        raise BadInput(f"no battery applies to {type(law).__name__}: an empty set of checks certifies nothing")
    if isinstance(sample, SavedPaths):
        plan = sample.plan_for(law, plan)
        claim.about["saved"] = sample.describe()
    if isinstance(to_judge, str):
        from .own_controls import standard_controls

        to_judge = standard_controls(sample, law)
    outcomes = judged_before + [_control(control, plan, int(seed), batteries, progress) for control in to_judge]
    run = _Run(Draws(claim, plan, int(seed), chosen, progress))
    verdict, reason = run.judge(draws_before_a_pass(outcomes))
    reasons = [reason]
    if isinstance(sample, SavedPaths):
        reasons.append(sample.caveat(plan))
    if others := [c for c in outcomes if not c.required]:
        reasons.append(_seen(others))
    if blind := [c.name for c in missed(outcomes)]:
        reasons.append(f"controls that were not judged as they must be: {', '.join(blind)}; a pass beside them means little")
    return run.certificate(beside_controls(verdict, outcomes), reasons, outcomes, source)


def _seen(controls: Sequence[ControlOutcome]) -> str:
    refuted = [c for c in controls if c.as_it_should]
    most = max((c.paths for c in refuted), default=0)
    said = f"of {len(controls)} wrong samplers of this very chain {len(refuted)} were refuted, within {most:,} draws"
    unseen = [c.name.rpartition("/")[2] for c in controls if not c.as_it_should]
    return said + (f"; not at this budget: {', '.join(unseen)}" if unseen else "")


class _Run:
    """One certificate in the making."""

    def __init__(self, draws: Draws) -> None:
        self.draws, self.plan = draws, draws.plan
        self.findings: list[Finding] = []
        self.stages: list[Stage] = []

    def judge(self, least: int) -> tuple[Verdict, str]:
        try:
            self.draws.probe()
            for stage, size in enumerate(self.plan.stages):
                self.draws.up_to(size)
                verdict, reason = self._look(last=stage == len(self.plan.stages) - 1, may_pass=size >= least)
                if verdict is not None:
                    return verdict, reason
        except InvalidSample as error:
            return Verdict.INVALID, str(error)
        raise AssertionError("the last stage always decides")

    def certificate(self, verdict: Verdict, reasons: list[str], controls: list[ControlOutcome], source: str | None) -> Certificate:
        draws, claim = self.draws, self.draws.claim
        return Certificate(
            name=claim.name,
            verdict=verdict,
            reasons=reasons,
            law=claim.law.describe(),
            sampler={"function": _qualified_name(claim.sample), **claim.about, **({"wrong": claim.wrong} if claim.wrong else {})},
            plan=self.plan,
            seed=draws.seed,
            findings=self.findings,
            stages=self.stages,
            histograms=histograms_of(draws.evidence) if draws.paths else [],
            controls=controls,
            cost={**{k: round(v, 6) for k, v in draws.cost.items()}, "paths": float(draws.paths)},
            environment=environment(draws.array, draws.dtype, draws.device),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            source=source,
            probe=draws.digest,
            reproducible=draws.reproducible,
            expected="exact" if claim.wrong is None else "wrong",
        )

    def _look(self, last: bool, may_pass: bool) -> tuple[Verdict | None, str]:
        started = time.perf_counter()
        self.findings = findings_of(self.draws.evidence, self.plan)
        verdict, reason = decide(self.findings, self.plan, last, may_pass)
        self.stages.append(
            Stage(
                paths=self.draws.paths,
                smallest_p=min((f.adjusted_p for f in self.findings), default=1.0),
                largest_bound=largest_bound(self.findings),
                decision="go on" if verdict is None else verdict.value,
            )
        )
        self.draws.cost["seconds_judging"] += time.perf_counter() - started
        return verdict, reason


def _control(
    control: Claim, plan: Plan, seed: int, batteries: Sequence[Battery] | None, progress: Progress | None
) -> ControlOutcome:
    """Judged by the same batteries, at the same plan: what it shows is what these would have caught."""
    judged = certify(
        control.sample, control.law, plan=plan, seed=seed, name=control.name, batteries=batteries,
        wrong=control.wrong, about=control.about, progress=progress,
    )  # fmt: skip
    return outcome_of(judged, control.wrong, control.required)


def outcome_of(judged: Certificate, wrong: str | None, required: bool = True) -> ControlOutcome:
    """A certificate of a control, as one line of somebody else's certificate."""
    leading = judged.leading
    return ControlOutcome(
        name=judged.name,
        wrong=wrong or "",
        must_be_refuted=wrong is not None,
        verdict=judged.verdict,
        paths=judged.paths,
        leading="" if leading is None else f"{leading.name} ({leading.where})",
        required=required,
    )


def _qualified_name(function: object) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
