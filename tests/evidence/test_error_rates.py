"""False alarms, measured: whole certificates of exact samplers, at a level at which alarms can be counted.

A few here; ``make calibrate`` counts thousands, and every test's.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from tests.registry import plain_chain

CHAIN, SAMPLE = plain_chain(dim=2, steps=3)
MIXTURE = ex.GaussianMixture([0.4, 0.6], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2])


def alarms(sample, law, certificates, seed, alpha):
    plan = ex.Plan(alpha=alpha, tolerance=1e-3, first_paths=50, max_paths=100, suspicion=1e-9)
    return sum(ex.certify(sample, law, plan=plan, seed=1_000 * seed + i).verdict is ex.Verdict.REFUTED for i in range(certificates))


@pytest.mark.parametrize(("sample", "law"), [(SAMPLE, CHAIN), (MIXTURE.sample, MIXTURE)], ids=["chain", "mixture"])
def test_family_wise_false_alarms_stay_below_alpha(sample, law, seed):
    """At alpha = 0.05, over all tests and both looks: 20 certificates, refused at a binomial p-value of 1e-7."""
    count = alarms(sample, law, 20, seed, 0.05)
    assert stats.binomtest(count, 20, 0.05, alternative="greater").pvalue > 1e-7, count


def test_the_measurement_would_notice_a_judge_that_does_not_adjust(seed, monkeypatch):
    """Without Holm and the stages' factor, 30 certificates raise more alarms than 0.05 allows.

    About five in six do, and 12 are enough: missed at a rate of 5e-8.
    """
    monkeypatch.setattr("exactness.judging.judgement.adjust", lambda p, plan: list(p))
    count = alarms(SAMPLE, CHAIN, 30, seed, 0.05)
    assert stats.binomtest(count, 30, 0.05, alternative="greater").pvalue < 1e-7, count


def test_a_looser_level_refutes_no_less(seed):
    """The same evidence at five levels: refuted at one means refuted at every higher one."""

    def shifted(n, s):
        return SAMPLE(n, s) + np.array([0.02, 0.0])

    verdicts = [
        ex.certify(shifted, CHAIN, plan=ex.Plan(alpha=10.0**-k, first_paths=3_000, max_paths=3_000), seed=seed).verdict
        for k in range(1, 11, 2)
    ]
    refuted = [v is ex.Verdict.REFUTED for v in verdicts]
    assert refuted == sorted(refuted, reverse=True)
