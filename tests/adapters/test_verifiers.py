"""A coupling or a verification function alone is judged in ten lines, in numpy, torch and JAX."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from exactness_samplers.torch.couplings import GaussianMasses, displacement, emit_rejected, log_ratio
from exactness_samplers.torch.verification import block, token_wise

import exactness as ex
from exactness.adapters import from_coupling, from_verifier
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

PLAN = quiet_plan(tolerance=0.15, first_paths=20_000, max_paths=20_000)
COUPLED = quiet_plan(tolerance=0.15, first_paths=6_000, max_paths=6_000)


def of_ours(verifier):
    def verify(log_ratios, deltas, uniforms):
        return verifier(log_ratios, GaussianMasses(deltas), uniforms, torch.full((len(deltas),), deltas.shape[1]))

    return verify


def in_jax(log_ratios, deltas, uniforms):
    jnp = module_or_skip("jax.numpy")
    return jnp.cumprod(uniforms < jnp.exp(log_ratios), axis=1).sum(1)


@pytest.mark.parametrize(
    ("verify", "mode", "arrays"),
    [(of_ours(token_wise), "token", "torch"), (of_ours(block), "block", "torch"), (in_jax, "token", "jax")],
    ids=["token", "block", "jax"],
)
def test_verifiers_are_certified_and_refuted_in_the_other_mode(verify, mode, arrays, seed):
    """False alarms: 1e-6 each."""
    if arrays == "jax":
        module_or_skip("jax")
    claim = from_verifier(verify, length=5, mode=mode, arrays=arrays)
    assert ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed).verdict is ex.Verdict.CERTIFIED
    other = from_verifier(verify, length=5, mode="token" if mode == "block" else "block", arrays=arrays)
    assert ex.certify(other.sample, other.law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


def test_windows_of_ones_own_are_verified(seed):
    """Drafts of tokens, one in five of which the target never makes: log r = -inf. False alarms: 1e-6."""

    def drafts(n, generator):
        with np.errstate(divide="ignore"):
            return np.log(generator.choice([0.0, 1.25], p=[0.2, 0.8], size=(n, 3))), np.zeros((n, 3))

    claim = from_verifier(of_ours(token_wise), length=3, drafts=drafts, arrays="torch")
    assert ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed).verdict is ex.Verdict.CERTIFIED


def test_blocks_of_tokens_are_certified_with_masses_that_are_sums(seed):
    """Chains of tokens, whose masses come from the next laws of target and draft. Refuted: those of the token before.

    False alarms: 1e-6 each.
    """
    # After each of three tokens; long windows, for there the two masses differ most.
    p = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    q = np.array([[0.4, 0.4, 0.2], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6]])

    def drafts(n, generator):
        tokens = [np.zeros(n, dtype=int)]
        for _ in range(4):
            tokens.append((generator.random((n, 1)) >= np.cumsum(q[tokens[-1]], axis=1)).sum(1).clip(max=2))
        before, after = np.stack(tokens[:-1], axis=1), np.stack(tokens[1:], axis=1)
        return np.log(p[before, after] / q[before, after]), np.stack([p[before], q[before]], axis=2)

    def verify(log_ratios, laws, uniforms, ahead=1):
        def masses(log_weights):
            target, draft = laws[:, ahead : ahead + 3].unbind(2)
            excess = torch.clamp(log_weights[:, 1:-1, None].exp() * target - draft, min=0.0).sum(-1)
            return torch.cat([excess, torch.zeros(len(laws), 1, dtype=excess.dtype)], dim=1)

        return block(log_ratios, masses, uniforms, torch.full((len(laws),), 4))

    for ahead, verdict in ((1, ex.Verdict.CERTIFIED), (0, ex.Verdict.REFUTED)):
        claim = from_verifier(partial(verify, ahead=ahead), length=4, mode="block", drafts=drafts, arrays="torch")
        assert ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed).verdict is verdict


def couple(p, q, sigma, generator, ends=("quantile", "kept"), emitted_sigma=1.0):
    n = len(p)
    spread = torch.full((n,), sigma, dtype=p.dtype)
    delta, axis = displacement(p, q, spread)
    z, fresh = (torch.randn(*p.shape, generator=generator, dtype=p.dtype) for _ in range(2))
    u, v = (torch.rand(n, generator=generator, dtype=p.dtype) for _ in range(2))
    kept = torch.log(u) < log_ratio(delta, (axis * z).sum(1))
    x = emit_rejected(p, emitted_sigma * spread, axis, delta, torch.zeros(n, dtype=p.dtype), z, fresh, v, *ends)
    y = q + sigma * z
    return torch.where(kept[:, None], y, x), y


@pytest.mark.parametrize(("kind", "ends"), [("reflection", ("quantile", "kept")), ("gamma", ("independent", "fresh"))])
def test_couplings_are_certified_and_a_wider_one_refuted(kind, ends, seed):
    """Refuted: what is emitted on rejection is 20% too far from the target's mean. False alarms: 1e-6 each."""
    right = from_coupling(lambda *a: couple(*a, ends=ends), kind=kind, sigma=0.7, arrays="torch")
    assert ex.certify(right.sample, right.law, plan=COUPLED, seed=seed).verdict is ex.Verdict.CERTIFIED
    wrong = from_coupling(lambda *a: couple(*a, ends=ends, emitted_sigma=1.2), sigma=0.7, arrays="torch")
    assert ex.certify(wrong.sample, wrong.law, plan=COUPLED, seed=seed).verdict is ex.Verdict.REFUTED


def test_a_verifier_that_does_not_listen_to_its_uniforms_is_invalid():
    """Its noise would be as good as any, but nobody could repeat it; the judge's is what must decide."""

    def deaf(r, d, u, generator=None):
        own = np.random.default_rng(0 if generator is None else generator.integers(1 << 30)).random(u.shape)
        return np.cumprod(own < np.exp(r), axis=1).sum(1)

    stream = np.random.default_rng(0)
    for verify, message in (
        (deaf, "the same answers to other uniforms"),
        (lambda r, d, u: deaf(r, d, u, stream), "two answers to the same uniforms"),
    ):
        claim = from_verifier(verify)
        judged = ex.certify(claim.sample, claim.law, plan=PLAN)
        assert judged.verdict is ex.Verdict.INVALID
        assert message in judged.reasons[0]


def test_what_does_not_fit_is_said():
    with pytest.raises(ex.BadInput, match="verify must be a function"):
        from_verifier("token")
    with pytest.raises(ex.BadInput, match="couple must be a function"):
        from_coupling(3)
    with pytest.raises(ex.BadInput, match="numpy, torch or jax"):
        from_verifier(in_jax, arrays="cupy")
    for claim, message in (
        (from_verifier(lambda r, d, u: u), r"tau of shape \(1000, 6\)"),
        (from_verifier(lambda r, d, u: 3), "returned int; return arrays"),
        (from_coupling(lambda p, q, s, g: p), "two arrays, X and Y"),
        (from_coupling(lambda p, q, s, g: (p, q[:, :1])), r"Y of \(16, 1\)"),
    ):
        judged = ex.certify(claim.sample, claim.law, plan=PLAN)
        assert judged.verdict is ex.Verdict.INVALID
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(judged.reasons[0])
