"""What a plan promises: draws said to be enough are enough, claims of a run share alpha, looking early costs little."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B
from exactness.batteries import standard
from exactness.evidence.nulls import null_of
from exactness.judging.judgement import adjust, decide, findings_of
from exactness.run.recheck import check_arithmetic, repeat
from tests.batteries.test_mixtures import BATTERIES, MIXTURE
from tests.registry import another, plain_chain

CHAIN, SAMPLE = plain_chain()
SURE = 1.0 - 1e-7
LAWS = {
    "chain": (CHAIN, SAMPLE),
    "mixture": (MIXTURE, MIXTURE.sample),
    "trusted": (ex.TrustedSampler(MIXTURE.sample), another(MIXTURE.sample)),
}


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("name", LAWS)
def test_the_plan_for_a_tolerance_certifies_an_exact_sampler(name, stages, seed):
    """A verdict other than certified: alpha 1e-6, and the bounds' error, at most e 1e-7."""
    law, sample = LAWS[name]
    plan = ex.Plan.for_tolerance(0.12, law, stages=stages, suspicion=1e-9, confidence=SURE)
    assert len(plan.stages) == stages
    assert ex.certify(sample, law, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED


def test_the_number_of_monitored_discrepancies_is_known_beforehand():
    """What is planned for is at least what is then bounded."""
    for law, sample in LAWS.values():
        evidence = [b.start(law, np.random.default_rng(0)) for b in standard() if b.applies(law)]
        planned = sum(rows for one in evidence for _, rows in one.monitored())
        for one in evidence:
            one.update(sample(200, 1))
        bounded = sum(r.rows for one in evidence for r in one.results() if r.bound(0.5) is not None)
        assert bounded <= planned <= 1.5 * bounded


def test_a_smaller_tolerance_takes_more_draws_in_the_square():
    small, large = (ex.Plan.for_tolerance(t, MIXTURE).max_paths for t in (0.02, 0.04))
    assert small / large == pytest.approx(4.0, rel=0.15)


def test_a_tolerance_that_cannot_be_had_says_so():
    with pytest.raises(ex.BadInput, match="no number of draws"):
        ex.Plan.for_tolerance(0.0009, CHAIN)
    with pytest.raises(ex.BadInput, match="stages must be a positive integer"):
        ex.Plan.for_tolerance(0.1, CHAIN, stages=0)
    with pytest.raises(ex.BadInput, match="no number of draws"):
        ex.Plan.for_tolerance(0.1, MIXTURE, batteries=[B.MeanEmbedding()])
    for arguments, message in (
        ({"stages": 100}, "at most 40"),
        ({"max_paths": 10}, "it computes the number of draws"),
        ({"law": "x"}, "must be one of exactness.laws"),
    ):
        with pytest.raises(ex.BadInput, match=message):
            ex.Plan.for_tolerance(0.1, **({"law": CHAIN} | arguments))


@pytest.mark.parametrize("name", LAWS)
def test_a_shortened_plan_is_the_one_for_its_tolerance_and_certifies_an_exact_sampler(name, seed):
    """A verdict other than certified: alpha 1e-6, and the bounds' error, at most e 1e-7."""
    law, sample = LAWS[name]
    short = ex.Plan(tolerance=0.001, first_paths=3_000, suspicion=1e-9, confidence=SURE).shortened(3_000, law)
    assert (short.max_paths, short.stages, short.alpha) == (3_000, (3_000,), 1e-6)
    enough, less = (ex.Plan.for_tolerance(short.tolerance - off, law, stages=1, confidence=SURE).max_paths for off in (0.0, 0.001))
    assert enough <= 3_000 < less
    assert ex.certify(sample, law, plan=short, seed=seed).verdict is ex.Verdict.CERTIFIED


def test_a_plan_is_not_shortened_where_it_is_short_or_wide_enough():
    plan = ex.Plan(tolerance=0.5, max_paths=10_000)
    assert plan.shortened(10_000, CHAIN) is plan
    assert plan.shortened(5_000, CHAIN).tolerance == 0.5
    # Two draws show nothing: the tolerance stays, and the verdict will be inconclusive.
    assert ex.Plan(tolerance=0.02).shortened(2, CHAIN) == ex.Plan(tolerance=0.02, max_paths=2)


def test_claims_of_a_run_share_alpha():
    """A p-value counts as often as there are claims; detectable effects know it."""
    one, many = ex.Plan(), ex.Plan(claims=50)
    p = [1e-9, 0.003, 0.2]
    assert adjust(p, many) == pytest.approx([min(1.0, 50 * q) for q in adjust(p, one)])
    assert many.level(7) == pytest.approx(one.level(7) / 50)
    evidence = B.Innovations().start(CHAIN, np.random.default_rng(0))
    evidence.update(SAMPLE(300, 0))
    for a, b in zip(*(sorted(findings_of([evidence], plan), key=lambda f: (f.name, f.where)) for plan in (one, many)), strict=True):
        assert a.detectable < b.detectable or a.test in ("equality", "distinct")
    with pytest.raises(ex.BadInput, match="claims must be a positive integer"):
        ex.Plan(claims=0)


def test_holm_by_hand():
    """Steps down, never back up; times the stages, of which there are three."""
    p = [0.03, 0.01, 0.02]
    assert adjust(p, ex.Plan(first_paths=100, max_paths=100)) == pytest.approx([0.04, 0.03, 0.04])
    assert adjust(p, ex.Plan(first_paths=100, max_paths=400)) == pytest.approx([0.12, 0.09, 0.12])


def test_error_probabilities_add_up_to_those_of_the_plan():
    """Over tests, stages and claims to alpha; over bounds and stages to one minus the confidence."""
    plan = ex.Plan(alpha=1e-4, confidence=0.9, first_paths=100, max_paths=800, claims=3)
    assert plan.level(7) * 7 * 4 * 3 == pytest.approx(1e-4)
    assert plan.bound_error(11) * 11 * 4 == pytest.approx(0.1)
    evidence = B.Innovations().start(CHAIN, np.random.default_rng(0))
    evidence.update(SAMPLE(300, 0))
    found = findings_of([evidence], plan)
    error = 0.1 / (4 * sum(f.rows for f in found if f.bound is not None))
    for f in found:
        null = null_of(f.test, f.parameters)
        assert f.bound == (null.bound(f.statistic, 300, error) if f.bounded else None)
        assert f.detectable == null.detectable(f.n, 1e-4 / (4 * 3 * len(found) * f.rows), 1.0 - plan.power)


def judged_with(*changes, **plan):
    """What is decided of findings that differ from an unsuspicious one as said."""
    evidence = B.ProjectedKS().start(MIXTURE, np.random.default_rng(0))
    evidence.update(MIXTURE.sample(300, 0))
    plain = msgspec.structs.replace(
        findings_of([evidence], ex.Plan())[0], p_value=0.5, adjusted_p=1.0, unit="probability", bound=0.01
    )
    return decide([msgspec.structs.replace(plain, **change) for change in changes], ex.Plan(tolerance=0.02), **plan)[0]


def test_every_bound_must_be_within_the_tolerance():
    assert judged_with({}, {"bound": 0.0199}, last=True) is ex.Verdict.CERTIFIED
    assert judged_with({}, {"bound": 0.0201}, last=True) is ex.Verdict.INCONCLUSIVE
    assert judged_with({}, {"bound": 0.0201}, last=False) is None
    assert judged_with({"bound": None}, last=True) is ex.Verdict.INCONCLUSIVE


def test_a_pass_waits_while_a_p_value_is_small_and_until_its_controls_were_refuted():
    assert judged_with({}, last=False) is ex.Verdict.CERTIFIED
    assert judged_with({}, {"adjusted_p": 9e-4}, last=False) is None
    assert judged_with({}, {"adjusted_p": 9e-4}, last=True) is ex.Verdict.INCONCLUSIVE
    assert judged_with({}, last=False, may_pass=False) is None
    control = ex.certificate.ControlOutcome(
        name="c", wrong="Wrong.", must_be_refuted=True, verdict=ex.Verdict.REFUTED, paths=1_500, leading=""
    )
    plan = ex.Plan(tolerance=0.2, first_paths=1_000, max_paths=4_000)
    assert ex.certify(MIXTURE.sample, MIXTURE, plan=plan).paths == 1_000
    assert ex.certify(MIXTURE.sample, MIXTURE, plan=plan, controls=[control]).paths == 2_000
    # A control gets every chance to be refuted, however small its bounds are.
    assert ex.certify(MIXTURE.sample, MIXTURE, plan=plan, wrong="In truth nothing.").paths == 4_000


def test_stages_cost_at_most_1_7_times_the_draws_of_one_look():
    """Gandy and Scott's mark. For the tolerance: draws of five stages against one. For what is seen: n at the same power."""
    for law, _ in LAWS.values():
        five, one = (ex.Plan.for_tolerance(0.05, law, stages=s).max_paths for s in (5, 1))
        assert five / one < 1.7
    plan = ex.Plan.for_tolerance(0.05, CHAIN, stages=5)
    for null in (ex.evidence.nulls.NormalMean(), ex.evidence.nulls.Kolmogorov(), ex.evidence.nulls.MeanVector(8)):
        needed = [null.needed(0.05, alpha / 100, 0.01) for alpha in (plan.alpha / 5, plan.alpha)]
        assert 1.0 < needed[0] / needed[1] < 1.7


@pytest.mark.parametrize("name", BATTERIES)
def test_certificates_of_every_battery_repeat(name):
    """Judged again, the same statistics: also where a summary makes several tests of one name."""
    battery = BATTERIES[name][0]
    law, sample = LAWS["mixture" if battery.applies(MIXTURE) else "trusted"]
    claim = ex.Claim(name, sample, law, ex.Plan(tolerance=0.3, first_paths=600, max_paths=600), [battery])
    judged = ex.certify(claim.sample, law, plan=claim.plan, batteries=[battery], name=name)
    assert repeat(judged, [claim]).faults == []


def test_a_bound_cannot_be_left_out():
    """Bounds that do not suit, taken out of a certificate, are missed."""
    judged = ex.certify(MIXTURE.sample, MIXTURE, plan=ex.Plan(tolerance=0.05, first_paths=2_000, max_paths=2_000))
    assert judged.verdict is ex.Verdict.INCONCLUSIVE
    kept = [msgspec.structs.replace(f, bound=None) for f in judged.findings]
    assert check_arithmetic(msgspec.structs.replace(judged, findings=kept))


@pytest.mark.parametrize("name", BATTERIES)
def test_certificates_of_every_battery_are_saved_and_their_arithmetic_holds(name, tmp_path):
    """And tampering with a statistic shows."""
    battery = BATTERIES[name][0]
    law, sample = LAWS["mixture" if battery.applies(MIXTURE) else "trusted"]
    plan = ex.Plan(tolerance=0.3, first_paths=2_000, max_paths=2_000)
    judged = ex.certify(sample, law, plan=plan, batteries=[battery])
    judged.save(tmp_path / "c.json")
    again = ex.Certificate.load(tmp_path / "c.json")
    assert again == judged
    assert check_arithmetic(again) == []
    first, *rest = judged.findings
    tampered = msgspec.structs.replace(first, statistic=first.statistic * 1.5 + 0.01)
    assert check_arithmetic(msgspec.structs.replace(judged, findings=[tampered, *rest]))


def test_the_smallest_effect_that_is_seen_is_written_beside_every_test_that_may_decide():
    evidence = B.CharacteristicFunction().start(MIXTURE, np.random.default_rng(0))
    evidence.update(MIXTURE.sample(3_000, 0))
    for finding in findings_of([evidence], ex.Plan()):
        # alpha 1e-6 is beyond the reach of the asymptotic ones: nothing would have been refuted by them.
        assert (finding.detectable is None) == (finding.validity == "asymptotic")
        assert finding.detectable is None or math.isfinite(finding.detectable)
