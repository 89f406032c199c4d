"""``certify`` and its variants: they take a sampler and a law, and return a certificate."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np

from ..batteries.standard import chosen_batteries
from ..certificate import Certificate, ControlOutcome, Finding, Stage, Verdict, largest_bound, missed
from ..claim import Claim, Sample
from ..environment import environment
from ..errors import BadInput, InvalidSample
from ..evidence.base import Battery, Evidence
from ..laws.base import Law
from ..laws.draws_only import caveat_of, refuse_itself
from ..laws.trusted import TrustedSampler
from ..plan import Plan, monitored_by
from ..saved import SavedPaths, Source
from ..subject import Subject, files_as_subjects, subjects_of
from .digits import remark, too_few
from .draws import Draws, Probe, Progress, Take, started
from .judgement import (
    assumptions,
    beside_controls,
    decide,
    draws_to_refute,
    evidence_digest,
    findings_of,
    histograms_of,
    may_pass,
)
from .looking import Looking, pictures_of
from .own_controls import standard_controls


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
        sample: a function ``sample(n, seed)`` that returns (n, d) for a mixture, or (n, K + 1, d) in running order for a chain:
            a numpy, torch or JAX array on any device, or a tuple of such an array and a dict of costs. The same n and seed must
            give the same output. Or :class:`SavedPaths`.
        law: the law that the sampler should follow.
        plan: error rates, tolerance and budget.
        seed: the root of all randomness. The sampler and the judge get separate streams of it.
        name: the name of the sampler in the certificate. Samplers with different names get different seeds.
        batteries: these replace the standard ones. Batteries that do not apply to the law are left out.
        controls: claims that are known to be wrong. Each control is judged first, in the same way, and must be refuted. The
            sampler is not certified with fewer draws than its controls took. Outcomes of controls that were judged before may be
            passed instead of claims. ``"standard"`` stands for wrong samplers of the law's own chain, of which at least one must
            be refuted; they need torch.
        wrong, about: see :class:`exactness.Claim`.
        source: where the claim comes from. It is recorded in the certificate.
        progress: a function that is called after every block of draws.

    Returns:
        A certificate. A sampler that raises an exception or returns something unusable gets the verdict ``INVALID`` with the
        reason, and what was found before is kept.

    Raises:
        BadInput: if the law, plan or batteries cannot be used, before anything is sampled; or if the law's own prediction
            raises an exception or returns another shape. Also if the law is known only by the draws of this very sampler.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.GaussianMixture(weights=[1.0], means=[[0.0]], covariances=[1.0])
    >>> def sample(n, seed):
    ...     return np.random.default_rng(seed).standard_normal((n, 1))
    >>> ex.certify(sample, law, plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """
    if not isinstance(controls, Sequence):
        raise BadInput(f"controls must be a list of claims and outcomes, or 'standard', not {controls!r:.60}")
    outcomes = [c for c in controls if isinstance(c, ControlOutcome)]
    to_judge = controls if isinstance(controls, str) else [c for c in controls if not isinstance(c, ControlOutcome)]
    claim = Claim(name, sample, law, plan or Plan(), batteries, to_judge, wrong, about=dict(about or {}))
    return certify_claim(claim, seed=seed, outcomes=outcomes, source=source, progress=progress)


def certify_claim(
    claim: Claim,
    *,
    seed: int = 0,
    outcomes: Sequence[ControlOutcome] = (),
    source: str | None = None,
    progress: Progress | None = None,
    probe: Probe | None = None,
    take: Take | None = None,
) -> Certificate:
    """Do what :func:`certify` does, for a claim. If its blocks are drawn elsewhere, pass the ``probe`` and ``take`` from there."""
    claim, evidence = ready(claim, seed)
    assert claim.plan is not None
    controls = claim.controls
    if isinstance(controls, str):
        controls = standard_controls(claim.sample, claim.law)
    judged = [*outcomes, *(_control(control, claim, int(seed), progress) for control in controls)]
    about = about_of(claim)
    run = _Run(Draws(claim, claim.plan, int(seed), evidence, progress, probe=probe, take=take))
    verdict, reason = run.judge(judged)
    reasons = [reason]
    if verdict is Verdict.REFUTED and (hint := remark(run.findings, claim.plan)):
        reasons.append(hint)
    reasons += [said for one in run.draws.evidence for said in one.remarks()]
    if isinstance(claim.sample, SavedPaths):
        reasons.append(claim.sample.caveat(claim.plan))
    if caveat := caveat_of(claim.law):
        reasons.append(caveat)
    if others := [c for c in judged if not c.required]:
        reasons.append(_seen(others))
    if verdict is Verdict.CERTIFIED and not isinstance(claim.sample, SavedPaths):
        reasons.append(_of_seeds(claim.plan, run.draws.calls))
    if blind := [_with_need(c) for c in missed(judged)]:
        reasons.append(f"these controls got the wrong verdict: {', '.join(blind)}; a pass next to them means little")
    return run.certificate(beside_controls(verdict, judged), reasons, judged, source, about)


def ready(claim: Claim, seed: int) -> tuple[Claim, list[Evidence]]:
    """The claim with its final plan, and empty evidence of the batteries that apply. Raises ``BadInput`` if it cannot be judged."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BadInput(f"seed must be an integer of at least 0, not {seed!r}")
    chosen = [battery for battery in chosen_batteries(claim.batteries) if battery.applies(claim.law)]
    # Without a battery there is no certificate, because the absence of tests must not look like a pass.
    if not chosen:
        raise BadInput(
            f"no battery applies to {type(claim.law).__name__}, and an empty set of checks certifies nothing: name other "
            "batteries, or give the law what they need, such as an exact sample(n, seed)"
        )
    refuse_itself(claim.sample, claim.law)
    plan, about = claim.plan or Plan(), claim.about
    if claim.batteries is not None:
        about = {**about, "batteries": [repr(battery) for battery in claim.batteries]}
    if isinstance(claim.sample, SavedPaths):
        plan, about = claim.sample.plan_for(claim.law, plan), {**about, "saved": claim.sample.describe()}
    evidence = started(claim, [*chosen, Looking()], int(seed))
    if not isinstance(claim.sample, SavedPaths):
        plan = plan.with_calls(monitored_by(evidence))
    return replace(claim, plan=plan, about=about), evidence


def compare(
    sample: Sample,
    reference: Sample,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str = "sampler",
    reference_name: str = "reference",
    atoms: bool = False,
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim] = (),
) -> Certificate:
    """Judge whether two samplers have the same law, when nothing else is known about either.

    Args:
        sample, reference: functions ``sample(n, seed)`` that return (n, d) or (n, K + 1, d). They get different seeds.
        name, reference_name: their names in the certificate.
        atoms: whether draws of the reference may repeat; see :class:`exactness.TrustedSampler`.
        plan, seed, batteries, controls: see :func:`exactness.certify`. The standard battery is
            :class:`exactness.batteries.TwoSample`.

    Returns:
        A certificate.

    Raises:
        BadInput: if the reference, plan or batteries cannot be used, or if both samplers are the same one.

    >>> import numpy as np
    >>> from exactness import compare
    >>> def normals(n, seed, mean=0.0):
    ...     return np.random.default_rng(seed).normal(mean, 1.0, (n, 2))
    >>> compare(normals, lambda n, seed: normals(n, seed, 0.5)).verdict.value
    'refuted'
    """
    law = TrustedSampler(reference, name=reference_name, atoms=atoms)
    return certify(sample, law, plan=plan, seed=seed, name=name, batteries=batteries, controls=controls)


def certify_paths(
    paths: Source | Sequence[Source] | SavedPaths,
    law: Law,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str | None = None,
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim] = (),
    entry: str | None = None,
    chains: bool = False,
) -> Certificate:
    """Judge draws that were saved before, by any program in any language.

    Args:
        paths: an array (n, d) or (n, K + 1, d) with x_K first, a file of one (``.npy``, ``.npz``, ``.safetensors``, ``.csv`` or
            ``.pt``), a folder of such files, or a list of these, which are judged as one sample.
        law, batteries, controls: see :func:`exactness.certify`.
        plan: at most ``max_paths`` of the draws are judged; without a plan, all of them are.
        seed: the seed of the judge's own noise.
        name: the name in the certificate. If left out, it is the name of the file.
        entry: which array of the file to judge. :class:`SavedPaths` explains what is and is not claimed of saved draws.
        chains: whether the arrays have the axes (chain, draw, ...).

    Returns:
        A certificate. Its ``reproducible`` is None, because nobody can run the sampler again.

    Raises:
        BadInput: if the file, law, plan or batteries cannot be used.

    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
    >>> certificate = certify_paths(law.sample(20_000, 0), law, plan=ex.Plan(tolerance=0.05))
    >>> certificate.verdict.value, certificate.paths, certificate.reproducible
    ('certified', 20000, None)
    """
    saved = paths if isinstance(paths, SavedPaths) else SavedPaths(paths, entry=entry, chains=chains)
    plan = plan or Plan(max_paths=saved.count)
    return certify(saved, law, plan=plan, seed=seed, name=name or saved.name, batteries=batteries, controls=controls)


def _seen(controls: Sequence[ControlOutcome]) -> str:
    refuted = [c for c in controls if c.as_it_should]
    most = max((c.paths for c in refuted), default=0)
    said = f"{len(refuted)} of {len(controls)} wrong samplers of this law were refuted, within {most:,} draws"
    unseen = [c.name.rpartition("/")[2] for c in controls if not c.as_it_should]
    return said + (f"; this budget was too small for {', '.join(unseen)}" if unseen else "")


def _of_seeds(plan: Plan, calls: int) -> str:
    """What the number of calls shows. It is a bound of its own: the other bounds count draws."""
    share = plan.share_of_seeds(calls)
    return (
        f"{calls:,} calls, each with a seed of its own, show that at most {100 * share:.2g}% of the seeds lead to draws of a "
        f"recognisably different kind (confidence {plan.confidence:g})"
        + ("" if calls >= plan.enough_calls else f"; {plan.enough_calls:,} calls would bring this share within the tolerance")
    )


def _with_need(control: ControlOutcome) -> str:
    return control.name + ("" if control.needs is None else f" (it needs about {control.needs:,} draws: raise max_paths)")


class _Run:
    """The making of one certificate."""

    def __init__(self, draws: Draws) -> None:
        self.draws, self.plan = draws, draws.plan
        self.findings: list[Finding] = []
        self.stages: list[Stage] = []

    def judge(self, controls: Sequence[ControlOutcome]) -> tuple[Verdict, str]:
        try:
            self.draws.probe()
            for stage, size in enumerate(self.plan.stages):
                self.draws.up_to(size)
                enough = may_pass(size, self.plan, controls, self.draws.claim.wrong is not None)
                verdict, reason = self._look(last=stage == len(self.plan.stages) - 1, may_pass=enough)
                if verdict is not None:
                    return verdict, reason
        except InvalidSample as error:
            return Verdict.INVALID, str(error)
        raise AssertionError("the last stage always decides")

    def certificate(
        self,
        verdict: Verdict,
        reasons: list[str],
        controls: list[ControlOutcome],
        source: str | None,
        about: tuple[list[Subject], list[str]],
    ) -> Certificate:
        draws, claim = self.draws, self.draws.claim
        return Certificate(
            name=claim.name,
            verdict=verdict,
            reasons=reasons,
            law=claim.law.describe(),
            sampler=sampler_of(claim),
            plan=self.plan,
            seed=draws.seed,
            findings=self.findings,
            stages=self.stages,
            histograms=histograms_of(draws.evidence) if draws.paths else [],
            pictures=pictures_of(draws.evidence, claim.law) if draws.paths else [],
            controls=controls,
            cost={**{k: round(v, 6) for k, v in draws.cost.items()}, "paths": float(draws.paths)},
            assumes=self._assumes(),
            calls=None if isinstance(claim.sample, SavedPaths) else draws.calls,
            environment=environment(draws.where.array, draws.where.dtype, draws.where.device),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            source=source,
            probe=draws.probed.digest,
            reproducible=draws.probed.reproducible,
            expected="exact" if claim.wrong is None else "wrong",
            subjects=about[0],
            unread=about[1],
            evidence=evidence_digest(draws.evidence) if draws.paths else None,
            redraw=draws.redraw,
        )

    def _assumes(self) -> list[str]:
        """What the verdict takes for granted."""
        if not self.findings:
            return []
        found = assumptions(
            self.findings, saved := isinstance(self.draws.claim.sample, SavedPaths), chained=self.draws.claim.law.chained
        )
        if not saved:
            least, most = min(self.draws.sizes), max(self.draws.sizes)
            found.append(f"Calls of {least:,} to {most:,} draws were made. Calls of other sizes are taken to behave alike.")
        return found

    def _look(self, last: bool, may_pass: bool) -> tuple[Verdict | None, str]:
        started = time.perf_counter()
        self.findings = findings_of(self.draws.evidence, self.plan)
        verdict, reason = decide(self.findings, self.plan, last, may_pass)
        if verdict is Verdict.CERTIFIED and (why := [why for one in self.draws.evidence for why in one.objections()]):
            verdict, reason = Verdict.INCONCLUSIVE, why[0]
        if verdict is Verdict.REFUTED and (lost := too_few(self.findings, self.plan, self.draws.digits)):
            verdict, reason = Verdict.INVALID, lost
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


def about_of(claim: Claim) -> tuple[list[Subject], list[str]]:
    """What the certificate is about, and what of it cannot be read. It is looked up before anything is sampled."""
    # A law that finds out its shape by drawing has found it out from here on, in every process.
    _ = claim.law.event_shape
    law, unread = subjects_of(claim.law, "law")
    if isinstance(claim.sample, SavedPaths):
        draws = Subject(role="draws", kind="draws", name=claim.sample.name, sha256=claim.sample.digest)
        return [*files_as_subjects(claim.sample.files), draws, *law], unread
    sampler, more = subjects_of(claim.sample, "sampler")
    return [*sampler, *law], [*more, *unread]


def _control(control: Claim, beside: Claim, seed: int, progress: Progress | None) -> ControlOutcome:
    """Judge a control by the same batteries and the same plan: its outcome shows what these would have caught.

    Only the number of draws per call may be its own. It counts if what is wrong with the control depends on the seed.
    """
    assert beside.plan is not None
    per_call = beside.plan.per_call if control.plan is None or control.plan.per_call is None else control.plan.per_call
    plan = msgspec.structs.replace(beside.plan, per_call=per_call)
    alike = replace(control, plan=plan, batteries=beside.batteries, controls=())
    return outcome_of(certify_claim(alike, seed=seed, progress=progress), control.wrong, control.required)


def outcome_of(judged: Certificate, wrong: str | None, required: bool = True) -> ControlOutcome:
    """The outcome of a control, from its own certificate, to be recorded in the certificate of another sampler."""
    leading = judged.leading
    return ControlOutcome(
        name=judged.name,
        wrong=wrong or "",
        must_be_refuted=wrong is not None,
        verdict=judged.verdict,
        paths=judged.paths,
        leading="" if leading is None else f"{leading.name} ({leading.where})",
        required=required,
        needs=draws_to_refute(judged) if wrong is not None and judged.verdict is not Verdict.REFUTED else None,
    )


def sampler_of(claim: Claim) -> dict[str, object]:
    """What a certificate says of the sampler of a claim."""
    return {"function": qualified_name(claim.sample), **claim.about, **({"wrong": claim.wrong} if claim.wrong else {})}


def qualified_name(function: object) -> str:
    """``module.name`` of a function, or of the type of a callable object."""
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
