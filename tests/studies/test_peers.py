"""The tests in use today refute gross differences, pass right samples, and have the error rates that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from studies import peers
from studies.field.tests import ALPHA
from studies.peers import Pair


def pair(shift: float, n: int, seed: int) -> Pair:
    x, y = np.random.default_rng(seed).standard_normal((2, n, 2))
    return Pair(x + shift, y, lambda n, s: y)


def test_a_tolerance_refutes_right_samplers_and_a_z_test_does_not(seed):
    """100 pairs of right samples at n = 10,000: the tolerance fails about 19 in 20, and fewer than 60 never; the z-test fails five
    or more with probability 1e-8.
    """
    pairs = [pair(0.0, 10_000, 1_000 * seed + i) for i in range(100)]
    assert sum(peers.within_tolerance(p)[0] == 0.0 for p in pairs) > 60
    assert sum(peers.moments_z(p)[0] <= ALPHA for p in pairs) < 5


@pytest.mark.parametrize("test", [peers.energy, lambda p, seed: (peers.random_features(p, seed, 10, 100), "")])
def test_permutation_tests_tell_a_shift_from_nothing(test, seed):
    """A right pair fails at most once in 1,000, three of them once in 10^9; half a standard deviation is never missed."""
    assert test(pair(0.5, 400, seed), seed)[0] == 1 / (1 + peers.PERMUTATIONS)
    assert max(test(pair(0.0, 200, 3 * seed + i), seed)[0] for i in range(3)) > ALPHA


@pytest.mark.parametrize("enough", [None, 10])
def test_permutation_p_values_are_exact(enough, seed):
    """Of 4,000 p-values of exchangeable statistics, those up to 0.05 are 5%, within five standard errors: fails once in 10^6."""
    generator = np.random.default_rng(seed)
    p = [peers.p_value(generator.standard_normal(), generator.standard_normal, 199, 50, enough) for _ in range(4_000)]
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 5 * (0.05 * 0.95 / 4_000) ** 0.5
    # The +1: nothing reaches the observed statistic, and p is not 0.
    assert peers.p_value(1e9, generator.standard_normal, 199, 50, enough) == 1 / 200
