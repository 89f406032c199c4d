"""What must hold of every law and every step, on examples that Hypothesis looks for; kernels in both backends and precisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exactness as ex
from exactness.strategies import Family, chains, deltas, log_weights, mixtures, seeds, token_pairs, triples, windows
from tests.backends import BACKENDS
from tests.registry import quiet_plan
from tests.token_windows import Laws, Way, distance

crossed = pytest.mark.parametrize("backend", BACKENDS, ids=str)
brief = settings(max_examples=25)


# --- masses of a maximal coupling


@crossed
@brief
@given(rows=st.lists(triples(), min_size=1, max_size=40))
def test_what_is_accepted_and_what_is_replaced_add_up(backend, rows):
    """P(X = Y) + Z(1, delta) = 1, and Z(w, delta) = w - (integral of min(w p, q)), as the judge's own law has it."""
    log_weight, delta, _ = (column.astype(backend.dtype) for column in np.array(rows, dtype=float).T)
    kept = backend.call("couplings", "acceptance", delta)
    mass = backend.call("couplings", "residual_mass", np.zeros_like(delta), delta)
    np.testing.assert_allclose(kept.astype(float) + mass, 1.0, atol=4 * backend.eps)
    mass = backend.call("couplings", "residual_mass", log_weight, delta)
    for w, d, z in zip(np.exp(log_weight.astype(float)), delta.astype(float), mass, strict=True):
        # Where the law refuses, doubles hold no residual; next to delta = 0 its acceptance is a difference of its own.
        if d > 1e-3 and 0.5 * d + np.log(w) / d > -37.0:
            law = ex.GaussianCoupling([0.0], [d], 1.0, weight=min(1.0, w))
            assert abs(w - law.acceptance - z) <= 8 * backend.eps


@crossed
@brief
@given(weights=st.lists(log_weights(), min_size=2, max_size=12), shifts=st.lists(deltas(), min_size=2, max_size=12))
def test_masses_rise_with_the_weight_and_with_the_distance(backend, weights, shifts):
    weights, shifts = np.sort(weights).astype(backend.dtype), np.sort(shifts).astype(backend.dtype)
    grid = [a.ravel() for a in np.meshgrid(weights, shifts, indexing="ij")]
    mass = backend.call("couplings", "residual_mass", *grid).astype(float).reshape(len(weights), len(shifts))
    for axis in (0, 1):
        assert (np.diff(mass, axis=axis) >= -1e-9 * mass.take(range(1, mass.shape[axis]), axis) - 4 * backend.eps).all()


# --- verification


@crossed
@brief
@given(window=windows(length=4))
def test_weights_of_a_window_are_what_the_law_promises(backend, window):
    """P_i <= 1, those of blocks never below those of tokens, and both as :class:`VerifiedWindow` reads them."""
    shifts, z = (backend.rounded(column[None]) for column in (window.deltas, window.noise))
    ratios = backend.call("couplings", "log_ratio", shifts, z)
    weights = np.exp(backend.call("verification", "block_weights", ratios).astype(float))[:, 1:]
    exact = ratios.astype(float)
    tokens, blocks = (ex.VerifiedWindow(4, mode).promised(exact) for mode in ("token", "block"))
    assert (weights <= 1.0).all()
    assert (blocks >= tokens * (1 - 1e-12)).all()
    # A log-weight of size x is known to eps x, and e^-x x is at most 1/e.
    np.testing.assert_allclose(weights, blocks, atol=20 * backend.eps)


@crossed
@brief
@given(window=windows(length=4), lower=windows(length=4))
def test_smaller_uniforms_never_keep_fewer_drafts(backend, window, lower):
    shifts, z = (column[None].astype(backend.dtype) for column in (window.deltas, window.noise))
    ratios, lengths = backend.call("couplings", "log_ratio", shifts, z), np.array([4])
    larger = window.uniforms[None].astype(backend.dtype)
    smaller = np.minimum(larger, lower.uniforms[None].astype(backend.dtype))
    for verifier in ("token_wise", "block"):
        kept = [backend.verify(verifier, ratios, shifts, u, lengths)[0][0] for u in (larger, smaller)]
        assert kept[0] <= kept[1]


@crossed
@brief
@given(pair=token_pairs())
def test_blocks_of_two_tokens_have_the_law_of_the_target(backend, pair):
    """Exact for every pair of distributions, zeros and ties included: no sampling here."""
    assert distance(backend, Laws.of_pair(*pair, 2)) <= 30 * backend.eps


@pytest.mark.parametrize("wrong", [np.zeros_like, lambda log_weight: 2 * log_weight], ids=["unweighted", "weighted-twice"])
def test_the_residual_of_another_weight_is_seen_by_the_enumeration(wrong):
    """The falsehoods on both sides that the test above must refute."""
    from hypothesis import find

    pair = find(token_pairs(), lambda pair: distance(BACKENDS[0], Laws.of_pair(*pair, 2), Way(weight=wrong)) > 0.01)
    # Of two tokens a residual has one, whatever its weight.
    assert len(pair.target) <= 3, "a small vocabulary is enough to show it"


@crossed
@brief
@given(pair=token_pairs())
def test_a_token_is_kept_as_often_as_the_distributions_overlap(backend, pair):
    """sum of q min(1, p/q) = 1 - TV, by the verifier itself: kept strictly below the ratio, failed at it."""
    p, q = pair
    drafted = np.flatnonzero(q > 0)
    with np.errstate(divide="ignore"):
        ratios = np.log(backend.rounded(p[drafted] / q[drafted]))[:, None]
    lengths = np.ones(len(drafted), dtype=int)
    weights = np.exp(backend.call("verification", "block_weights", ratios)[:, 1].astype(float))
    assert q[drafted] @ weights == pytest.approx(np.minimum(p, q).sum(), abs=20 * backend.eps)
    for verifier in ("token_wise", "block"):
        below, at = (np.clip(weights * (1 + s * 64 * backend.eps), 0.0, 1 - backend.eps)[:, None] for s in (-1, 1))
        zeros = np.zeros_like(ratios)
        kept, failed = (backend.verify(verifier, ratios, zeros, u, lengths)[0] for u in (below, at))
        np.testing.assert_array_equal(kept == 1, weights > 0)
        assert (failed[weights < 1 - 200 * backend.eps] == 0).all()


# --- laws


@settings(max_examples=40)
@given(chain=chains(), seed=seeds())
def test_innovations_of_a_chain_are_the_noise_that_made_it(chain, seed):
    """The noise of ``chain.sample`` is drawn again and found again; a deterministic step holds to rounding."""
    n = 5
    steps = {step.step: step for step in chain.innovations(chain.sample(n, seed))}
    generator = np.random.default_rng(seed)
    for k in range(chain.steps + 1, 0, -1):
        drawn = generator.standard_normal((n, chain.dim))
        if k == chain.steps + 1 or chain.sigma[k - 1] > 0:
            np.testing.assert_allclose(steps[k].noise, drawn, atol=1e-6)
        else:
            assert (steps[k].mismatch < 1e-13).all()


@settings(max_examples=40)
@given(mixture=mixtures(), seed=seeds())
def test_a_mixture_is_turned_into_noise_and_back(mixture, seed):
    """x = mean + root z of the label it was given; shares add up; Rosenblatt's transform stays in [0, 1]."""
    x = mixture.sample(20, seed)
    labels, z = mixture.decompose(x, np.random.default_rng(seed).random(20))
    root = np.linalg.cholesky(mixture.full_covariances())[labels]
    back = mixture.means[labels] + np.einsum("nij,nj->ni", root, z)
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9 * (1 + np.abs(mixture.means).max()))
    np.testing.assert_allclose(mixture.responsibilities(x).sum(1), 1.0, rtol=1e-12)
    u = mixture.rosenblatt(x)
    assert ((u >= 0) & (u <= 1 + 1e-12)).all()
    first = np.eye(mixture.dim)[0]
    np.testing.assert_allclose(u[:, 0], mixture.projected_cdf(first, x[:, 0]), atol=1e-9)


# --- certificates

PLAN = quiet_plan(alpha=1e-6, tolerance=0.2, first_paths=2_000, max_paths=4_000)
OF_MIXTURES, OF_CHAINS = Family(12, PLAN), Family(12, PLAN)
SHIFTED, NARROW = Family(12, PLAN), Family(12, PLAN)


@OF_MIXTURES.settings
@given(mixture=mixtures())
def test_every_mixture_certifies_its_own_samples(mixture):
    """One family: alpha 1e-6 over the 12 of them."""
    OF_MIXTURES.certify(mixture.sample, mixture)


@OF_CHAINS.settings
@given(chain=chains())
def test_every_chain_certifies_its_own_paths(chain):
    """One family: alpha 1e-6 over the 12 of them."""
    OF_CHAINS.certify(chain.sample, chain)


def test_wrong_samplers_of_mixtures_and_chains_are_found():
    """Half a standard deviation off, and noise a tenth too small: at alpha 1e-6 each of the two is refuted within 12 examples."""

    @SHIFTED.settings
    @given(mixture=mixtures())
    def shifted(mixture):
        scale = np.sqrt(np.max(mixture.full_covariances()))
        SHIFTED.certify(lambda n, seed: mixture.sample(n, seed) + 0.5 * scale, mixture)

    @NARROW.settings
    @given(chain=chains())
    def narrow(chain):
        thin = ex.GaussianChain(chain.predict, a=chain.a, b=chain.b, sigma=0.9 * chain.sigma, dim=chain.dim, start=chain.start)
        NARROW.certify(thin.sample, chain)

    for test, family in ((shifted, SHIFTED), (narrow, NARROW)):
        with pytest.raises(AssertionError, match="refuted"):
            test()
        assert family.certificates[-1].verdict is ex.Verdict.REFUTED
