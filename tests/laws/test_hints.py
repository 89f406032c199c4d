"""A sample of the wrong shape is told what it may be, and how to make a right one of it."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex

CHAIN = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x, sigma=np.ones(3), dim=4)
PAIRS = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
LINE = ex.GaussianMixture([1.0], [[0.0]], [1.0])

SHAPES = {
    "final states": (CHAIN, lambda n: (n, 4), "judged by whole paths, not by final states.*np.stack.*sample_loop"),
    "images": (CHAIN, lambda n: (n, 1, 2, 2), "judged by whole paths"),
    "paths of images": (CHAIN, lambda n: (n, 4, 1, 2, 2), r"flatten the images, paths\.reshape\(n, 4, 4\)"),
    "steps first": (CHAIN, lambda n: (4, n, 4), "the first two axes are in the other order"),
    "no start": (CHAIN, lambda n: (n, 3, 4), "one state is missing; a path begins with x_K itself"),
    "something else": (CHAIN, lambda n: (n, 7), r"needs \(16, 4, 4\)$"),
    "chains of draws": (PAIRS, lambda n: (4, n // 4, 2), r"\(chain, draw, d\).*reshape\(-1, 2\).*depend on each other"),
    "chains of numbers": (LINE, lambda n: (4, n // 4), r"\(chain, draw, d\).*reshape\(-1, 1\)"),
    "a list of numbers": (LINE, lambda n: (n,), r"return draws\[:, None\]"),
    "too few coordinates": (PAIRS, lambda n: (n, 3), r"needs \(16, 2\)$"),
}


@pytest.mark.parametrize("which", SHAPES)
def test_a_sampler_is_told(which):
    law, shape, message = SHAPES[which]
    judged = ex.certify(lambda n, seed: np.random.default_rng(seed).standard_normal(shape(n)), law)
    assert judged.verdict is ex.Verdict.INVALID
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(judged.reasons[0])


def test_what_is_no_array_is_told_too():
    judged = ex.certify(lambda n, seed: ["an image"] * n, CHAIN)
    assert "returned list" in judged.reasons[0]
    assert "judged by whole paths" in judged.reasons[0]


@pytest.mark.parametrize("which", ["images", "paths of images", "steps first", "chains of draws"])
def test_saved_draws_are_told_as_well(which):
    law, shape, message = SHAPES[which]
    with pytest.raises(ex.BadInput, match=message):
        ex.certify_paths(np.zeros(shape(400)), law)


def test_joining_the_chains_works(seed):
    """What the message says: draws of independent chains, joined. False alarms: 1e-6."""
    chains = np.random.default_rng(seed).standard_normal((4, 4_000, 2))
    judged = ex.certify_paths(chains.reshape(-1, 2), PAIRS, plan=ex.Plan(tolerance=0.1), seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED
