"""Independent draws side by side."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.laws import Copies

TARGET = ex.GaussianMixture([0.5, 0.5], [[1.5, 0.0], [-1.5, 0.0]], [0.7, 0.7])
LAW = Copies(TARGET, 3)


def test_rows_are_independent_draws_of_the_target():
    rows = LAW.sample(4_000, seed=1)
    assert rows.shape == (4_000, 6)
    plan = ex.Plan(tolerance=0.1)
    assert ex.certify(lambda n, seed: LAW.sample(n, seed)[:, 2:4], TARGET, plan=plan).verdict is ex.Verdict.CERTIFIED
    same = ex.certify(lambda n, seed: np.tile(TARGET.sample(n, seed), 3), LAW, plan=plan)
    assert same.verdict is ex.Verdict.REFUTED


def test_the_log_density_is_the_sum_and_is_a_quantity_of_kernels():
    rows = LAW.sample(5, seed=0)
    np.testing.assert_allclose(LAW.log_density(rows), TARGET.log_density(rows.reshape(15, 2)).reshape(5, 3).sum(1))
    assert ex.KernelInvariance(LAW, reversible=False).quantity_names == ["log-density"]


def test_what_cannot_be_copied_is_refused():
    with pytest.raises(ex.BadInput, match="the target of an ensemble must be"):
        Copies("normal", 3)
    with pytest.raises(ex.BadInput, match="number must be"):
        Copies(TARGET, 0)
