"""A single impossible draw refutes a law on an interval or a surface; rounding at its ends does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.batteries import Possible, ProjectedKS
from exactness.laws import families
from tests.registry import quiet_plan

PLAN = quiet_plan(tolerance=0.1, first_paths=8_000, max_paths=8_000)
EXPONENTIAL = ex.UnivariateLaw(stats.expon.cdf, support=(0.0, np.inf), name="exponential")
ANGLE = ex.UnivariateLaw(lambda t: (t + np.pi) / (2.0 * np.pi), support=(-np.pi, np.pi), name="angle")


def exponentials(n, seed, wrong=0.0):
    rng = np.random.default_rng(seed)
    return rng.exponential(size=(n, 2)) * np.where(rng.random((n, 2)) < wrong, -1.0, 1.0)


@pytest.mark.parametrize("dim", [1, 2])
def test_half_a_percent_of_impossible_draws_refutes(dim):
    """One draw in 200 below zero moves no distribution function by more than the tolerance."""
    law = EXPONENTIAL if dim == 1 else ex.ProductLaw([EXPONENTIAL] * 2)
    right = ex.certify(lambda n, s: exponentials(n, s)[:, :dim], law, plan=PLAN)
    wrong = ex.certify(lambda n, s: exponentials(n, s, 0.005)[:, :dim], law, plan=PLAN)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert wrong.verdict is ex.Verdict.REFUTED
    assert wrong.leading.battery == "support"
    without = ex.certify(lambda n, s: exponentials(n, s, 0.005)[:, :1], EXPONENTIAL, plan=PLAN, batteries=[ProjectedKS()])
    assert without.verdict is ex.Verdict.CERTIFIED


def test_rounding_at_the_ends_of_the_support_is_allowed():
    """The float32 next to pi is larger than pi."""
    assert ANGLE.inside(np.array([[np.float32(np.pi)], [-np.float32(np.pi)], [3.1416]])).tolist() == [True, True, False]
    simplex = families.dirichlet([1.0, 2.0, 3.0])
    draws = np.random.default_rng(0).dirichlet([1.0, 2.0, 3.0], size=1_000)
    assert simplex.inside(draws.astype(np.float32)).all()
    assert not simplex.inside(1.001 * draws).any()


def test_laws_without_ends_have_nothing_to_look_at():
    assert not Possible().applies(ex.UnivariateLaw(stats.norm.cdf))
    assert not Possible().applies(ex.RosenblattLaw(lambda x: x, shape=2))
    assert not Possible().applies(ex.GaussianMixture([1.0], [[0.0]], [1.0]))
    assert Possible().applies(EXPONENTIAL)
