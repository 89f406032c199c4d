"""The study of SBC: its kernels are what their names say, its tests see gross errors, and its page is its numbers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from studies.page import REPORTS
from studies.sbc import methods
from studies.sbc.kernels import INVARIANTS, OBSERVED, POSTERIORS, log_likelihood, posterior
from studies.sbc.page import page


@pytest.mark.statistical
def test_right_kernels_reach_the_exact_posterior(seed):
    """400 chains of 200 steps; five standard errors. Fails by chance at most once in a million runs for each kernel and number."""
    data, rng = np.tile(OBSERVED, (400, 1)), np.random.default_rng(seed)
    mean, covariance = posterior(OBSERVED[None])
    for kernel in POSTERIORS.values():
        if kernel.right:
            x = rng.multivariate_normal(mean[0], covariance, 400)
            for _ in range(200):
                x = kernel.move(x, data, rng)
            assert np.all(np.abs(x.mean(0) - mean[0]) < 5 * np.sqrt(np.diag(covariance) / 400))
            assert np.all(np.abs(x.var(0) / np.diag(covariance) - 1) < 5 * np.sqrt(2 / 400))


def test_the_posterior_solves_the_normal_equations():
    mean, covariance = posterior(OBSERVED[None])
    steps = np.linalg.cholesky(covariance).T[:1]
    heights = [log_likelihood(mean + s * steps, OBSERVED) - 0.5 * ((mean + s * steps) ** 2).sum() for s in (-1.0, 0.0, 1.0)]
    np.testing.assert_allclose(np.ravel(heights) - heights[1], [-0.5, 0.0, -0.5], atol=1e-12)


def test_methods_see_a_likelihood_that_counts_twice():
    wrong = POSTERIORS["likelihood twice"]
    found = methods.ranks(wrong, 400, 0)
    assert methods.uniform(found["every 20th state"]) < 1e-3
    assert np.median(methods.geweke(wrong, [8000], 9, 0)[8000]) < 1e-2
    assert methods.seven_percent(wrong, 1000, 3, 0).all()
    jacobian = INVARIANTS["Jacobian forgotten"]
    assert methods.scores_of_chain(jacobian, [1000], 9, 0)[1000].max() < 1e-2


def test_the_page_is_made_of_the_published_numbers():
    text, published = page(json.loads((REPORTS / "sbc.json").read_text())), (REPORTS / "sbc.md").read_text()
    without = lambda text: re.sub(r"Command: .*", "", text)  # noqa: E731
    assert without(text) == without(published)
