"""Lossless, by quadrature: the law of what a window emits is the target's, and that of a wrong window is not. No sampling.

`tests/quadrature.py` says what is computed and what the distance means.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends import BACKENDS, Backend
from tests.quadrature import (
    Scheme,
    at_least,
    at_most,
    block_thresholds,
    defects,
    log_ratios,
    thresholds_of,
    token_thresholds,
)

BLOCK = Scheme()
TOKEN = Scheme(thresholds=token_thresholds, first_failure=True)
ALONG = ("independent", "quantile")
MARK = {np.float64: 1e-10, np.float32: 1e-6}
# What a wrong window must exceed: a thousand times the larger mark.
REFUTED = 1e-3

ONE_STEP = [
    1e-12,
    1e-8,
    1e-6,
    1e-4,
    1e-3,
    0.01,
    0.05,
    0.2,
    0.3,
    0.45,
    0.55,
    1.0,
    1.5,
    1.9,
    2.1,
    3.0,
    5.0,
    8.0,
    12.0,
    20.0,
    35.0,
    50.0,
]
TWO_STEPS = [
    [1e-8, 1e-8], [1e-6, 0.1], [1e-3, 1e-3], [1e-3, 2.0], [0.05, 50.0], [0.1, 8.0], [0.2, 2.0], [0.3, 0.3], [0.5, 1.0],
    [1.5, 1.5], [2.0, 0.2], [2.0, 1e-6], [4.0, 4.0], [8.0, 0.1], [50.0, 0.05], [50.0, 50.0],
]  # fmt: skip
THREE_STEPS = [[0.01, 0.01, 0.01], [0.5, 0.3, 0.8], [1.0, 1.0, 1.0], [0.1, 1.0, 5.0], [3.0, 1.0, 0.1]]


def powered(power: float):
    return lambda b, deltas, z: (power * log_ratios(b, deltas, z)).astype(b.dtype)


def scaled(factor: float):
    def thresholds(b: Backend, ratios, deltas):
        weights, h = block_thresholds(b, ratios, deltas)
        return weights, factor * h

    return thresholds


def without_minimum(b: Backend, ratios, deltas):
    weights = np.concatenate([np.zeros_like(ratios[:, :1]), np.cumsum(ratios, axis=1)], axis=1)
    return weights, thresholds_of(b, weights, deltas[1:])


def of_the_current_step(b: Backend, ratios, deltas):
    weights = b.call("verification", "block_weights", ratios)
    return weights, thresholds_of(b, weights, deltas[:-1])


def _without_failing(h_of_mass):
    def thresholds(b: Backend, ratios, deltas):
        weights, h = map(np.array, block_thresholds(b, ratios, deltas))
        inner = weights[:, 1:-1]
        if inner.size:
            h[:, :-1] = h_of_mass(b.call("couplings", "residual_mass", inner, np.broadcast_to(deltas[1:], inner.shape)))
        return weights, h

    return thresholds


WRONG = {
    "unweighted residual": replace(BLOCK, weighted=False),
    "unweighted reflection": replace(BLOCK, weighted=False, along="quantile"),
    "thresholds times 1.03": replace(BLOCK, thresholds=scaled(1.03)),
    "thresholds times 0.97": replace(BLOCK, thresholds=scaled(0.97)),
    "weights without a minimum": replace(BLOCK, thresholds=without_minimum),
    "h = Z": replace(BLOCK, thresholds=_without_failing(lambda mass: mass)),
    "h = Z/Z": replace(BLOCK, thresholds=_without_failing(np.ones_like)),
    "stop at the first failure": replace(BLOCK, first_failure=True),
    "residual from the target": replace(BLOCK, from_target=True),
    "mass of the current step": replace(BLOCK, thresholds=of_the_current_step),
    "ratio to the power 0.98": replace(BLOCK, ratios=powered(0.98)),
    "ratio to the power 1.02": replace(BLOCK, ratios=powered(1.02)),
}
WRONG_TOKEN = {
    "ratio to the power 0.98": replace(TOKEN, ratios=powered(0.98)),
    "ratio to the power 1.02": replace(TOKEN, ratios=powered(1.02)),
    "residual from the target": replace(TOKEN, from_target=True),
    "thresholds of a block": replace(TOKEN, thresholds=block_thresholds),
}


@pytest.fixture(params=BACKENDS, ids=str)
def backend(request):
    return request.param


@pytest.mark.parametrize("along", ALONG)
@pytest.mark.parametrize("scheme", [TOKEN, BLOCK], ids=["token", "block"])
def test_one_step_has_the_law_of_the_target(backend, scheme, along):
    distances = {delta: at_most(defects(backend, replace(scheme, along=along), [delta], cells=16)) for delta in ONE_STEP}
    assert max(distances.values()) < MARK[backend.dtype], distances


@pytest.mark.parametrize("along", ALONG)
@pytest.mark.parametrize("scheme", [TOKEN, BLOCK], ids=["token", "block"])
def test_two_steps_have_the_joint_law_of_the_target(backend, scheme, along):
    for deltas in TWO_STEPS:
        parts = defects(backend, replace(scheme, along=along), deltas)
        assert at_most(parts) < MARK[backend.dtype], (deltas, parts)


@pytest.mark.parametrize("along", ALONG)
def test_three_steps_have_the_joint_law_of_the_target(backend, along):
    for deltas in THREE_STEPS:
        parts = defects(backend, replace(BLOCK, along=along), deltas, cells=5, nodes=3)
        assert at_most(parts) < MARK[backend.dtype], (deltas, parts)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_has_another_law(backend, name):
    assert at_least(defects(backend, WRONG[name], [0.6, 1.2])) > REFUTED
    if backend.name == "torch" and not backend.single:
        assert at_least(defects(backend, WRONG[name], [0.6, 1.2, 0.9], cells=5, nodes=3)) > REFUTED


@pytest.mark.parametrize("name", WRONG_TOKEN)
def test_wrong_token_wise_windows_have_another_law(backend, name):
    assert at_least(defects(backend, WRONG_TOKEN[name], [0.6, 1.2])) > REFUTED


def test_the_bounds_hold_each_other():
    parts = [0.25, 0.5, 0.125]
    assert at_least(parts) == 0.25
    assert at_most(parts) == 0.875


def test_a_finer_rule_finds_the_same_distance():
    """Of a wrong window: the distances above are no artefact of few nodes and cells."""
    reference = BACKENDS[0]
    for name in ("unweighted residual", "stop at the first failure", "thresholds times 1.03"):
        coarse = defects(reference, WRONG[name], [0.6, 1.2])
        fine = defects(reference, WRONG[name], [0.6, 1.2], cells=24, nodes=8)
        np.testing.assert_allclose(coarse, fine, rtol=0.05, atol=1e-12)
