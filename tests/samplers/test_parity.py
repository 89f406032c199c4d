"""torch and JAX are two readings of one page: the same numbers in, the same numbers out."""

from __future__ import annotations

import inspect
import itertools
import re

import numpy as np
import pytest

from tests.backends import Backend
from tests.conftest import module_or_skip

PRECISIONS = [np.float64, np.float32]
TOLERANCE = {np.float64: {"rtol": 1e-12, "atol": 1e-12}, np.float32: {"rtol": 1e-5, "atol": 2e-6}}
GRID = np.array(
    list(
        itertools.product(
            [0.0, -1e-9, -1e-4, -0.03, -0.7, -4.0, -30.0],
            [0.0, 1e-10, 1e-5, 0.01, 0.24, 0.26, 0.49, 0.51, 1.0, 1.99, 2.01, 4.0, 9.0, 20.0, 50.0],
            [1e-7, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 2.0**-20],
        )
    )
).T


@pytest.fixture(params=PRECISIONS, ids=lambda d: np.dtype(d).name)
def both(request):
    return Backend("torch", request.param), Backend("jax", request.param)


def agree(both, module, function, *arrays, slack=None, **options):
    same(both, *(backend.call(module, function, *arrays, **options) for backend in both), slack)


def same(both, first, second, slack=None):
    for a, b in zip(first if isinstance(first, tuple) else [first], second if isinstance(second, tuple) else [second], strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, **(slack or TOLERANCE[both[0].dtype]))
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("module", ["couplings", "verification"])
def test_public_names_come_in_the_same_order(module):
    names, parameters = [], []
    for backend in ("torch", "jax"):
        module_or_skip(backend)
        loaded = __import__(f"exactness_samplers.{backend}.{module}", fromlist=[module])
        public = re.findall(r"^(?:def ([a-z]\w*)\(|([A-Z]\w*) = )", inspect.getsource(loaded), re.M)
        public = [function or alias for function, alias in public]
        names.append(public)
        parameters.append([list(inspect.signature(getattr(loaded, n)).parameters) for n in public if n[0].islower()])
    assert names[0] == names[1]
    assert parameters[0] == parameters[1]


def test_masses_and_acceptance(both):
    log_weight, delta, _ = GRID
    agree(both, "couplings", "residual_mass", log_weight, delta)
    agree(both, "couplings", "acceptance", delta)
    agree(both, "couplings", "log_ratio", delta, log_weight)


@pytest.mark.parametrize("upper", [False, True])
def test_quantiles(both, upper):
    log_weight, delta, u = GRID
    # A far edge is clamped, and each precision has its own infinity.
    some = (delta > 0) | (log_weight == 0)
    agree(both, "couplings", "residual_quantile", u[some], log_weight[some], delta[some], upper=upper)


def test_survival_of_rejected_drafts(both):
    log_weight, delta, u = GRID
    likely = (delta > 1e-3) | (log_weight < -1e-3)
    z = 6 * (u - 0.5)
    agree(both, "couplings", "rejected_survival", (delta + z)[likely], log_weight[likely], delta[likely])


@pytest.mark.parametrize("along", ["independent", "quantile"])
@pytest.mark.parametrize("across", ["fresh", "kept"])
def test_emitted_states(both, along, across):
    generator = np.random.default_rng(1)
    n, d = 400, 3
    mean_p, z, fresh = generator.normal(size=(3, n, d))
    mean_q = mean_p + generator.normal(size=(n, d)) * generator.choice([0.0, 0.05, 1.0, 3.0], size=(n, 1))
    sigma = generator.uniform(0.5, 2.0, n)
    agree(both, "couplings", "displacement", mean_p, mean_q, sigma)
    delta, axis = both[0].call("couplings", "displacement", mean_p, mean_q, sigma)
    log_weight = np.where(generator.random(n) < 0.3, 0.0, -generator.exponential(size=n))
    # Only what can be rejected is replaced: above the edge, and by some margin, for rounding decides at the edge itself.
    along_z = (axis * z).sum(1)
    could = (delta > 0) & (along_z * delta > log_weight - delta**2 / 2 + 1e-2)
    rows = [a[could] for a in (mean_p, sigma, axis, delta, log_weight, z, fresh, generator.random(n))]
    assert len(rows[0]) > 50
    # The map goes through a probability. Near 1, next to the edge, its rounding moves the state by as much as its square root.
    slack = {"rtol": 1e-5, "atol": 5e-4} if both[0].single and along == "quantile" else None
    agree(both, "couplings", "emit_rejected", *rows, slack=slack, along=along, across=across)


@pytest.mark.parametrize("length", [1, 5])
def test_verification(both, length):
    generator = np.random.default_rng(length)
    n = 512
    deltas = generator.exponential(size=(n, length))
    z, u = generator.normal(size=(n, length)), generator.random((n, length))
    ratios = -deltas * (0.5 * deltas + z)
    lengths = generator.integers(0, length + 1, n)
    agree(both, "verification", "block_weights", ratios)
    weights, masses = both[0].call("verification", "block_weights", ratios), generator.random((n, length))
    agree(both, "verification", "block_thresholds", weights, masses, lengths)
    agree(both, "verification", "block_length", u, generator.random((n, length)), lengths)
    for verifier in ("token_wise", "block"):
        same(both, *(backend.verify(verifier, ratios, deltas, u, lengths) for backend in both))


def test_the_block_verifier_is_made_of_its_parts(both):
    """u just below and just above each threshold, in a window of two."""
    for backend in both:
        ratios, deltas = np.array([[-0.5, -0.4]]), np.array([[0.2, 1.5]])
        mass = backend.call("couplings", "residual_mass", np.array([-0.5]), np.array([1.5])).astype(float)
        h = float(mass[0] / (mass[0] - np.expm1(-0.5)))
        for u, expected in ((h - 1e-5, 1), (h + 1e-5, 0)):
            tau, log_weight = backend.verify("block", ratios, deltas, np.array([[u, 0.999]]), np.array([2]))
            assert tau[0] == expected
            assert log_weight[0] == pytest.approx(-0.5 * expected)
        assert backend.verify("block", ratios, deltas, np.array([[0.999, 0.4]]), np.array([2]))[0][0] == 2
