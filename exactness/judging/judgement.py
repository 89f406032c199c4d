"""From evidence to findings and a decision. These functions are pure and sample nothing, so a certificate can be checked again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..certificate import TOLERATED, Certificate, ControlOutcome, Finding, Histogram, LoosestRow, Verdict, missed
from ..errors import InvalidSample
from ..evidence.base import Evidence, Result
from ..evidence.nulls import null_of
from ..evidence.summaries.base import Row
from ..evidence.summaries.serial import MOST_LAGS
from ..plan import Plan
from ..subject import digest_of


def findings_of(evidence: Sequence[Evidence], plan: Plan) -> list[Finding]:
    """The findings of all tests of all batteries, adjusted together by Holm's method, strongest first."""
    results = distinct([result for one in evidence for result in one.results()])
    if any(not math.isfinite(r.statistic) for r in results):
        raise InvalidSample("a statistic is NaN or infinite: the output holds numbers that are too large to be judged")
    adjusted = adjust([r.p_value for r in results], plan)
    discrepancies = sum(r.rows for r in results if r.bound(0.5) is not None)
    error = plan.bound_error(discrepancies) if discrepancies else 1.0
    found = []
    for result, p in zip(results, adjusted, strict=True):
        null = result.null
        bound, row = result.loosest(error)
        found.append(
            Finding(
                name=f"{result.battery}: {result.name}, {null.name}" + ("" if result.rows == 1 else ", worst row"),
                battery=result.battery,
                test=null.name,
                null=result.distribution,
                validity=null.validity,
                where=result.where,
                rows=result.rows,
                n=result.n,
                paths=result.paths,
                statistic=result.statistic,
                p_value=result.p_value,
                adjusted_p=p,
                effect=null.effect(result.statistic),
                unit=null.unit,
                bound=bound,
                detectable=_or_none(null.detectable(result.n, plan.level(len(results) * result.rows), 1.0 - plan.power)),
                parameters=null.parameters(),
                bounded=result.bounded,
                loosest=None if row.where == result.where else _loosest(row),
            )
        )
    return sorted(found, key=lambda f: (f.adjusted_p, f.p_value, f.name))


def distinct(results: Sequence[Result]) -> list[Result]:
    """The results without duplicates, that is, without those that test the same quantity as an earlier one by the same test.

    The law and the batteries decide which results are duplicates, and never the draws. So the adjustment stays valid.
    """
    seen, kept = set(), []
    for result in results:
        # One row, or the most extreme of as many.
        key = (result.measures, result.null.name, result.rows)
        if result.measures is None or key not in seen:
            kept.append(result)
        seen.add(key)
    return kept


def adjust(p_values: Sequence[float], plan: Plan) -> list[float]:
    """The family-wise p-value of each test: adjusted by Holm's method (Holm 1979), times the numbers of stages and of claims.

    This is written out because ``multipletests`` of statsmodels collects garbage at every call, which takes 0.1 s in a stage that
    takes a few milliseconds. The test suite compares this function with that one.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(q) for q in np.minimum(1.0, adjusted * (len(plan.stages) * plan.claims))]


def decide(findings: Sequence[Finding], plan: Plan, last: bool, may_pass: bool = True) -> tuple[Verdict | None, str]:
    """The verdict, or None to go on, and the reason. ``may_pass`` says whether a stage before the last may certify."""
    # An empty set of checks must never pass, because nothing was looked at.
    if not findings:
        return Verdict.INVALID, "no test had any data, and an empty set of checks certifies nothing"
    leading = min(findings, key=lambda f: (f.adjusted_p, f.p_value))
    if leading.adjusted_p <= plan.alpha:
        return Verdict.REFUTED, why_refuted([f for f in findings if f.adjusted_p <= plan.alpha], plan)
    bounds = [f for f in findings if f.bound is not None and f.unit == TOLERATED]
    loosest = max(bounds, key=lambda f: f.bound or 0.0, default=None)
    if loosest is None or loosest.bound is None:
        return (
            (
                Verdict.INCONCLUSIVE,
                "not refuted, but no monitored difference of probabilities has an upper bound, so no tolerance can be certified",
            )
            if last
            else (None, "go on")
        )
    suspicious = leading.adjusted_p < plan.suspicion
    if loosest.bound <= plan.tolerance and not suspicious and (last or may_pass):
        return Verdict.CERTIFIED, (
            f"not refuted, and all {len(bounds)} bounds are within the tolerance {plan.tolerance:g} "
            f"(largest {loosest.bound:.3g}: {loosest.name}, {loosest.bound_where})"
        )
    if not last:
        return None, "go on"
    if suspicious:
        return Verdict.INCONCLUSIVE, (
            f"not refuted at alpha {plan.alpha:g}, but {leading.name} ({leading.where}) has adjusted p-value "
            f"{leading.adjusted_p:.2g} after {leading.paths} draws, which an exact sampler reaches at most once in "
            f"{1 / plan.suspicion:.0f} certificates: raise max_paths"
        )
    advice = null_of(loosest.test, loosest.parameters).too_far
    if advice and abs(loosest.effect) >= plan.tolerance:
        return Verdict.INCONCLUSIVE, (
            f"not refuted, but {loosest.name} ({loosest.where}) is {loosest.effect:.3g} after {loosest.paths} draws, with an upper "
            f"bound of {loosest.bound:.3g}, and the tolerance is {plan.tolerance:g}: {advice}"
        )
    return Verdict.INCONCLUSIVE, (
        f"not refuted, but the bound {loosest.bound:.3g} of {loosest.name} ({loosest.bound_where}) exceeds the tolerance "
        f"{plan.tolerance:g} after {loosest.paths} draws: raise max_paths or the tolerance ({_enough(plan, findings)})"
    )


def why_refuted(findings: Sequence[Finding], plan: Plan) -> str:
    """The reason for a refutation, from the findings that refute. It says whether draws depend on each other.

    Tests of the law assume independent draws, and some dependence makes all of them fail. Tests of dependence allow for another
    mean and variance, but not for every other law. So the smallest p-value decides which of the two is named first.
    """
    ordered = sorted(findings, key=lambda f: (f.adjusted_p, f.p_value, -abs(f.effect)))
    of_dependence = [f for f in ordered if about_dependence(f)]
    of_law = [f for f in ordered if not about_dependence(f)]
    if of_dependence and (not of_law or of_dependence[0].p_value < of_law[0].p_value):
        first, others = of_dependence[0], "; tests of the law, which assume independent draws, fail as well" if of_law else ""
        return f"draws depend on each other ({first.where}): {_said(first, plan)}{others}"
    leading = of_law[0]
    more = f"; draws also depend on each other ({of_dependence[0].where})" if of_dependence else ""
    return f"{_said(leading, plan)}{more}"


def _said(finding: Finding, plan: Plan) -> str:
    return (
        f"{finding.name} ({finding.where}): effect {finding.effect:+.3g} {finding.unit}, "
        f"adjusted p-value {finding.adjusted_p:.2g} <= alpha {plan.alpha:g}"
    )


def about_dependence(finding: Finding) -> bool:
    """Whether a finding is about how draws depend on each other, rather than about the law of one draw."""
    return null_of(finding.test, finding.parameters).of_dependence


def assumptions(findings: Sequence[Finding], saved: bool = False, chained: bool = False) -> list[str]:
    """What a certificate takes for granted about how draws depend on each other, in sentences: what its tests cannot see."""
    if chained:
        return ["The draws may depend on each other: all p-values and bounds hold given the past, within one run too."]
    independent = "The p-values and the bounds that count draws take the draws to be independent of each other."
    if not any(about_dependence(f) for f in findings):
        return [f"{independent} No test looked at this: name a battery that does, or leave out the batteries."]
    said = [
        f"{independent} Looked at were repeated and close draws and, up to {MOST_LAGS:,} draws apart, correlations of the draws "
        "and of their sizes. Any other dependence would go unseen, such as one that shows only in three or more draws together."
    ]
    if saved:
        said.append("The draws of a file are taken in their order, as if each block of them came from one call.")
    else:
        said.append(
            "Draws of different calls are taken to be independent, because each call has a seed of its own. Looked at were "
            "repeated draws, close draws within a block of calls, and the means and sizes of calls."
        )
    return said


def draws_before_a_pass(controls: Sequence[ControlOutcome]) -> int:
    """The least number of draws for a pass: as many as the controls took, because only then the batteries have shown power."""
    return max((c.paths for c in controls if c.verdict is Verdict.REFUTED), default=0)


def may_pass(paths: int, plan: Plan, controls: Sequence[ControlOutcome], wrong: bool) -> bool:
    """Whether a stage of this many draws may certify. A control is never certified early: it gets every chance to be refuted."""
    return paths >= (plan.max_paths if wrong else draws_before_a_pass(controls))


def draws_to_refute(certificate: Certificate) -> int | None:
    """About how many draws would refute a sampler, if its leading finding shows the true effect.

    None if no number is enough, or if nothing is known, because there is no finding or it may be due to chance.
    """
    leading, plan = certificate.leading, certificate.plan
    if leading is None or leading.adjusted_p > 0.05:
        return None
    null = null_of(leading.test, leading.parameters)
    level = plan.level(len(certificate.findings) * leading.rows)
    values = null.needed(abs(leading.effect), level, 1.0 - plan.power)
    return math.ceil(values * leading.paths / leading.n) if math.isfinite(values) else None


def beside_controls(verdict: Verdict, controls: Sequence[ControlOutcome]) -> Verdict:
    """The verdict in view of the controls: a pass becomes ``INCONCLUSIVE`` if a control got the wrong verdict."""
    return Verdict.INCONCLUSIVE if missed(controls) and verdict is Verdict.CERTIFIED else verdict


def _enough(plan: Plan, findings: Sequence[Finding]) -> str:
    error = plan.bound_error(sum(f.rows for f in findings if f.bound is not None))
    tolerated = [f for f in findings if f.bound is not None and f.unit == TOLERATED]
    needed = max(null_of(f.test, f.parameters).paths_for_bound(plan.tolerance, error) for f in tolerated)
    if not math.isfinite(needed):
        return "no number of draws is enough for a tolerance this small"
    return f"about {math.ceil(needed):,} draws would be enough"


def histograms_of(evidence: Sequence[Evidence]) -> list[Histogram]:
    """The histograms of all batteries that keep probability integral transforms."""
    return [
        Histogram(name=name, battery=one.battery, where=where, counts=[int(c) for c in counts])
        for one in evidence
        for name, where, counts in one.histograms()
    ]


def evidence_digest(evidence: Sequence[Evidence]) -> str:
    """The SHA-256 of everything that the batteries kept. It is the same for the same draws, versions and threads."""
    return digest_of(
        {
            f"{one.battery}: {name}": {k: v for k, v in vars(summary).items() if k not in summary.constant}
            for one in evidence
            for name, summary in one.summaries.items()
        }
    )


def _loosest(row: Row) -> LoosestRow:
    return LoosestRow(where=row.where, statistic=row.statistic, n=row.n, parameters=row.null.parameters())


def _or_none(detectable: float) -> float | None:
    return detectable if math.isfinite(detectable) else None
