"""What a verifier emits after the drafts it keeps is judged: residuals are certified, and the known ways to be wrong refuted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exactness_samplers.torch.couplings import GaussianMasses, residual_quantile
from exactness_samplers.torch.verification import block, token_wise
from scipy import stats

import exactness as ex
from exactness.adapters import from_verifier
from exactness.adapters.emissions import coordinate_transforms, token_transforms
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

PLAN = quiet_plan(tolerance=0.2, first_paths=8_000, max_paths=8_000)
RULES = {"token": token_wise, "block": block}
LENGTH = 4


def gaussian(mode, emit):
    """A verifier of Gaussian windows; ``emit(fresh, log_weight, delta, s)`` with the rejected draft's coordinate s."""

    def verify(ratios, deltas, uniforms, fresh):
        tau, log_weight = RULES[mode](ratios, GaussianMasses(deltas), uniforms, torch.full((len(deltas),), LENGTH))
        at = tau.clamp(max=LENGTH - 1)[:, None]
        delta, ratio = (values.gather(1, at)[:, 0] for values in (deltas, ratios))
        return tau, emit(fresh, log_weight, delta, 0.5 * delta - ratio / delta)

    return verify


def residual(fresh, log_weight, delta, s):
    return residual_quantile(fresh, log_weight, delta)


GAUSSIAN_FAULTS = {
    "the target": lambda fresh, log_weight, delta, s: torch.special.ndtri(fresh),
    "the rejected draft": lambda fresh, log_weight, delta, s: s,
    "the residual of another window": lambda fresh, log_weight, delta, s: residual(fresh, log_weight, delta.roll(1), s),
    "counted from the draft's mean": lambda fresh, log_weight, delta, s: residual(fresh, log_weight, delta, s) - delta,
}


@pytest.mark.parametrize("mode", RULES)
def test_a_right_state_is_certified(mode, seed):
    """False alarms: 1e-6."""
    claim = from_verifier(gaussian(mode, residual), length=LENGTH, mode=mode, emits="coordinates", arrays="torch")
    judged = ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed, about=claim.about)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert "after a full window" in judged.sampler["not judged"]


@pytest.mark.parametrize("what", GAUSSIAN_FAULTS)
@pytest.mark.parametrize("mode", RULES)
def test_a_wrong_state_is_refuted(mode, what, seed):
    claim = from_verifier(gaussian(mode, GAUSSIAN_FAULTS[what]), length=LENGTH, mode=mode, emits="coordinates", arrays="torch")
    judged = ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
    assert "emitted" in judged.reasons[0]


def test_a_block_with_residuals_of_weight_one_is_refuted_and_a_reflection_certified_token_by_token(seed):
    """The bug of which MATH 3 warns: tau is right, and only what is emitted is wrong. A reflection uses the rejected draft, and is
    exact token by token. False alarms: 1e-6."""

    def mirrored(fresh, log_weight, delta, s):
        return delta - s

    def unweighted(fresh, log_weight, delta, s):
        return residual(fresh, torch.zeros_like(log_weight), delta, s)

    for mode, emit, verdict in (
        ("block", unweighted, ex.Verdict.REFUTED),
        ("token", mirrored, ex.Verdict.CERTIFIED),
        ("block", mirrored, ex.Verdict.REFUTED),
    ):
        claim = from_verifier(gaussian(mode, emit), length=LENGTH, mode=mode, emits="coordinates", arrays="torch")
        judged = ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed)
        assert judged.verdict is verdict, (mode, judged.reasons)


# Chains of tokens: the laws of the next one after each of four. The target never makes the last token after the first.
P = np.array([[0.6, 0.3, 0.1, 0.0], [0.1, 0.2, 0.5, 0.2], [0.3, 0.3, 0.3, 0.1], [0.25, 0.25, 0.25, 0.25]])
Q = np.array([[0.3, 0.3, 0.2, 0.2], [0.3, 0.4, 0.2, 0.1], [0.2, 0.2, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4]])


def drafts(n, generator, positions=LENGTH + 1):
    tokens = [np.zeros(n, dtype=int)]
    for _ in range(LENGTH):
        tokens.append((generator.random((n, 1)) >= np.cumsum(Q[tokens[-1]], axis=1)).sum(1).clip(max=3))
    before, after = np.stack(tokens, axis=1), np.stack(tokens[1:], axis=1)
    with np.errstate(divide="ignore"):
        ratios = np.log(P[before[:, :-1], after] / Q[before[:, :-1], after])
    return ratios, np.stack([P[before], Q[before]], axis=2)[:, :positions]


def tokens(mode, law_of):
    """A verifier of tokens, which draws from ``law_of(weight, target, draft, full)`` after the drafts it keeps."""

    def verify(ratios, laws, uniforms, fresh):
        target, draft = laws[:, 1:LENGTH].unbind(2)

        def masses(log_weights):
            excess = torch.clamp(log_weights[:, 1:-1, None].exp() * target - draft, min=0.0).sum(-1)
            return torch.cat([excess, torch.zeros(len(laws), 1, dtype=excess.dtype)], dim=1)

        tau, log_weight = RULES[mode](ratios, masses, uniforms, torch.full((len(laws),), LENGTH))
        last = laws.shape[1] - 1
        here = laws[torch.arange(len(laws)), tau.clamp(max=last)]
        law = law_of(log_weight.exp()[:, None], here[:, 0], here[:, 1], (tau == LENGTH)[:, None])
        below = torch.cumsum(law / law.sum(1, keepdim=True), dim=1)
        return tau, (fresh[:, None] >= below).sum(1).clamp(max=3)

    return verify


def right(weight, target, draft, full):
    return torch.where(full, target, torch.clamp(weight * target - draft, min=0.0))


TOKEN_FAULTS = {
    "the target": lambda weight, target, draft, full: target,
    "the draft": lambda weight, target, draft, full: torch.where(full, target, draft),
    "|p - q|": lambda weight, target, draft, full: torch.where(full, target, (weight * target - draft).abs()),
    "the draft after a full window": lambda weight, target, draft, full: torch.where(
        full, draft, right(weight, target, draft, full)
    ),
}


@pytest.mark.parametrize("mode", RULES)
def test_right_tokens_are_certified_and_wrong_ones_refuted(mode, seed):
    """False alarms: 1e-6."""

    def judged(law_of, positions=LENGTH + 1):
        claim = from_verifier(
            tokens(mode, law_of), length=LENGTH, mode=mode, emits="tokens", arrays="torch",
            drafts=lambda n, generator: drafts(n, generator, positions),
        )  # fmt: skip
        return ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed)

    assert judged(right).verdict is ex.Verdict.CERTIFIED
    for what, law_of in TOKEN_FAULTS.items():
        assert judged(law_of).verdict is ex.Verdict.REFUTED, what
    # Without laws for it, the token after a full window is not judged.
    assert judged(TOKEN_FAULTS["the draft after a full window"], LENGTH).verdict is ex.Verdict.CERTIFIED


def test_a_token_that_the_residual_never_emits_refutes_at_once(seed):
    """In one window of a thousand: no test of a distribution sees it. False alarms: 0."""
    verify = tokens("token", right)

    def now_and_then(ratios, laws, uniforms, fresh):
        tau, token = verify(ratios, laws, uniforms, fresh)
        rejected = laws[torch.arange(len(laws)), tau.clamp(max=LENGTH - 1)]
        never = (rejected[:, 0] - rejected[:, 1]).argmin(dim=1)
        return tau, torch.where((fresh * 1000 % 1 < 0.001) & (tau < LENGTH), never, token)

    claim = from_verifier(now_and_then, length=LENGTH, emits="tokens", arrays="torch", drafts=drafts)
    judged = ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert "emitted though impossible" in judged.reasons[0]


def test_what_is_not_judged_is_said():
    """A verifier that returns acceptance alone."""
    claim = from_verifier(lambda r, d, u: np.cumprod(u < np.exp(r), axis=1).sum(1), length=LENGTH)
    judged = ex.certify(claim.sample, claim.law, plan=PLAN, about=claim.about)
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert judged.sampler["not judged"].startswith("what is emitted after the kept drafts")
    assert judged.law["judged"] == "the number of kept drafts, not what is emitted after them"


def test_the_transforms_are_those_of_the_golden_residuals(golden):
    """Quantiles at 25 digits, at every weight and distance of the file."""
    rows = golden("gaussian_residual")["rows"]
    cases = [
        (float(row["w"]), float(row["delta"]), float(u), float(s)) for row in rows for u, s in row.get("quantiles", {}).items()
        if float(row["delta"]) >= 1e-3 and 1e-4 <= float(u) <= 0.9999
    ]  # fmt: skip
    w, delta, u, s = np.array(cases).T
    at = np.zeros(len(w), dtype=int)
    found = coordinate_transforms(s, at, np.log(w), delta[:, None], 1, np.random.default_rng(0))
    np.testing.assert_allclose(found, u, rtol=1e-7)


def test_tokens_are_uniform_under_their_own_law():
    generator = np.random.default_rng(0)
    laws = generator.dirichlet(np.ones(7), (20_000, 1, 2))
    weighted = np.maximum(laws[:, 0, 0] - laws[:, 0, 1], 0.0)
    token = (generator.random((20_000, 1)) >= np.cumsum(weighted / weighted.sum(1, keepdims=True), axis=1)).sum(1)
    zero = np.zeros(20_000)
    found = token_transforms(token.astype(float), zero.astype(int), zero, laws, 1, generator)
    assert stats.kstest(found, "uniform").pvalue > 1e-6


def test_jax_and_what_does_not_fit(seed):
    jnp = module_or_skip("jax.numpy")

    def verify(r, d, u, fresh):
        return jnp.cumprod(u < jnp.exp(r), axis=1).sum(1), fresh

    claim = from_verifier(verify, emits="coordinates", arrays="jax", length=2)
    assert ex.certify(claim.sample, claim.law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED
    with pytest.raises(ex.BadInput, match="emits must be coordinates, tokens or None"):
        from_verifier(verify, emits="states")
    with pytest.raises(ex.BadInput, match="tokens need drafts of their own"):
        from_verifier(verify, emits="tokens")
    for broken, message in (
        (lambda r, d, u, fresh: u[:, 0], "must return tau and the emitted coordinates"),
        (lambda r, d, u, fresh: (u[:, 0] * 0, u), r"emitted coordinates of shape \(1000, 3\)"),
        (lambda r, d, u, fresh: (np.floor(1.1 * u[:, 0]), fresh * np.nan), "in window 0 is NaN"),
        (lambda r, d, u, fresh: (np.floor(9.0 * u[:, 0]), -fresh), "tau of window .* an integer in 0..3"),
    ):
        claim = from_verifier(broken, emits="coordinates", length=3)
        judged = ex.certify(claim.sample, claim.law, plan=PLAN)
        assert judged.verdict is ex.Verdict.INVALID
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(judged.reasons[0])
    for laws, message in ((np.zeros((9, 2)), r"laws of shape \(n, 1, 2, V\)"), (np.ones((9, 1, 2, 3)), "emitted 7 in window 0")):
        with pytest.raises((ex.BadInput, ex.errors.InvalidSample), match=message):
            token_transforms(np.full(9, 7.0), np.zeros(9, dtype=int), np.zeros(9), laws, 1, np.random.default_rng(0))
