"""The battery of accepted lengths accepts both verifiers, and refutes wrong ones from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exactness_samplers.torch.couplings import GaussianMasses, log_ratio
from exactness_samplers.torch.verification import block, block_length, block_thresholds, block_weights, token_wise
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import exactness as ex
from exactness import batteries as B
from exactness.errors import BadInput, InvalidSample
from tests.conftest import module_or_skip
from tests.evidence.test_evidence import collect, key, of_pairs
from tests.registry import quiet_plan

DELTAS = (0.6, 0.3, 1.1)
VERIFIERS = {"token": token_wise, "block": block}
PLAN = quiet_plan(alpha=1e-6, tolerance=0.3, first_paths=12_000, max_paths=12_000)


def windows(verifier, deltas=DELTAS, dtype=torch.float64):
    """Windows whose displacements do not depend on the drafts. ``verifier``: as in exactness_samplers.torch.verification."""

    def sample(n, seed):
        generator = torch.Generator().manual_seed(seed)
        shifts = torch.tensor(deltas, dtype=dtype).expand(n, -1)
        z, u = (
            torch.randn(*shifts.shape, generator=generator, dtype=dtype),
            torch.rand(*shifts.shape, generator=generator, dtype=dtype),
        )
        ratios = log_ratio(shifts, z)
        tau, _ = verifier(ratios, GaussianMasses(shifts), u, torch.full((n,), shifts.shape[1]))
        return torch.cat([ratios, tau[:, None].to(dtype)], dim=1)

    return sample


def thresholds(log_weights, masses, lengths):
    return block_thresholds(log_weights, masses(log_weights), lengths)


def first_failure_stops(ratios, masses, uniforms, lengths):
    passed = uniforms < thresholds(block_weights(ratios), masses, lengths)
    return torch.cumprod(passed.long(), 1).sum(1), None


def scaled(factor):
    def verify(ratios, masses, uniforms, lengths):
        return block_length(uniforms, factor * thresholds(block_weights(ratios), masses, lengths), lengths), None

    return verify


def capped_at_the_end_only(ratios, masses, uniforms, lengths):
    """P_i = min(1, r_1 .. r_i): a good step is let make up for what a later cap would have cut."""
    logs = torch.cat([torch.zeros_like(ratios[:, :1]), torch.clamp(torch.cumsum(ratios, 1), max=0.0)], dim=1)
    return block_length(uniforms, thresholds(logs, masses, lengths), lengths), None


def powered(verifier, power):
    return lambda ratios, masses, uniforms, lengths: verifier(power * ratios, masses, uniforms, lengths)


def shared_uniform(ratios, masses, uniforms, lengths):
    return token_wise(ratios, masses, uniforms[:, :1].expand_as(uniforms), lengths)


def whatever_the_draft(ratios, masses, uniforms, lengths):
    """Accepts the right share of first drafts (2 Phi(-delta/2)), the wrong ones, and no second one."""
    return (uniforms[:, 0] < torch.special.erfc(masses.deltas[:, 0] / math.sqrt(8.0))).long(), None


def judge(verifier, mode, seed, deltas=DELTAS, dtype=torch.float64, plan=PLAN):
    return ex.certify(windows(verifier, deltas, dtype), ex.VerifiedWindow(len(deltas), mode), plan=plan, seed=seed)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("deltas", [DELTAS, (0.4,), (0.05,) * 8], ids=len)
@pytest.mark.parametrize("mode", VERIFIERS)
def test_both_verifiers_are_certified(mode, deltas, dtype, seed):
    """12 certificates at alpha 1e-6."""
    judged = judge(VERIFIERS[mode], mode, seed, deltas, dtype)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


@pytest.mark.parametrize(
    ("verifier", "mode"),
    [
        (first_failure_stops, "block"), (scaled(0.88), "block"), (scaled(1.12), "block"), (capped_at_the_end_only, "block"),
        (powered(block, 0.85), "block"), (powered(block, 1.18), "block"), (token_wise, "block"), (block, "token"),
        (powered(token_wise, 0.85), "token"), (powered(token_wise, 1.18), "token"), (shared_uniform, "token"),
    ],
    ids=[
        "first-failure-stops", "h-times-0.88", "h-times-1.12", "capped-at-the-end-only", "block-r^0.85", "block-r^1.18",
        "token-as-block", "block-as-token", "token-r^0.85", "token-r^1.18", "one-uniform-for-all",
    ],
)  # fmt: skip
def test_wrong_verifiers_are_refuted_from_both_sides(verifier, mode, seed):
    """11 falsehoods at alpha 1e-6, 30,000 windows each."""
    judged = judge(verifier, mode, seed, plan=quiet_plan(alpha=1e-6, first_paths=30_000, max_paths=30_000))
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verifier", "mode"),
    [
        (scaled(0.97), "block"), (scaled(1.03), "block"), (powered(block, 0.95), "block"), (powered(block, 1.05), "block"),
        (powered(token_wise, 0.95), "token"), (powered(token_wise, 1.05), "token"),
    ],
    ids=["h-times-0.97", "h-times-1.03", "block-r^0.95", "block-r^1.05", "token-r^0.95", "token-r^1.05"],
)  # fmt: skip
def test_finer_errors_are_refuted_with_more_windows(verifier, mode, seed):
    """6 falsehoods at alpha 1e-6, 300,000 windows each."""
    judged = judge(verifier, mode, seed, plan=quiet_plan(alpha=1e-6, first_paths=300_000, max_paths=300_000))
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


def test_the_right_share_of_the_wrong_drafts_is_refuted_by_their_probability(seed):
    """The plain difference has mean zero here, and sees next to nothing: its variance is twice the promised one, so that it is
    below 1e-14 for one seed in 10^7."""
    judged = judge(whatever_the_draft, "token", seed, deltas=(0.6,))
    assert judged.verdict is ex.Verdict.REFUTED
    p = {f.name.removeprefix("acceptance: ").removesuffix(", promised probability"): f.adjusted_p for f in judged.findings}
    p = {name: value for name, value in p.items() if not of_pairs(name)}
    assert p.pop("drafts kept, by their probability") < 1e-100
    assert len(p) == 2
    assert min(p.values()) > 1e-14


@pytest.mark.parametrize("mode", VERIFIERS)
def test_promised_lengths_match_golden(golden, mode):
    """E[tau] = E[sum_i P_i], by the trapezoid rule in the noise of both steps: 1e-4 is what the kinks of the minima leave."""
    z = np.linspace(-8.0, 8.0, 801)
    weight = np.multiply.outer(stats.norm.pdf(z), stats.norm.pdf(z)).ravel() * (z[1] - z[0]) ** 2
    noise = torch.as_tensor(np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1).reshape(-1, 2))
    for row in golden("block_two_steps")["rows"]:
        ratios = log_ratio(torch.tensor([float(d) for d in row["delta"]]).double(), noise).numpy()
        expected = weight @ ex.VerifiedWindow(2, mode).promised(ratios).sum(1)
        assert expected == pytest.approx(float(row[f"expected_accepted_{mode}"]), abs=1e-4), row


@pytest.mark.parametrize("mode", VERIFIERS)
def test_the_variance_of_the_length_is_right_or_a_bound(mode, seed):
    """Token by token it is that of tau given the drafts: within 5 standard errors (6e-7) at 50,000 windows. In a block: below."""
    evidence = collect(B.Acceptance(), ex.VerifiedWindow(3, mode), [windows(VERIFIERS[mode])(50_000, seed)])
    claimed = next(r for r in evidence.results() if r.name == "length").null.variance
    draws = windows(VERIFIERS[mode])(50_000, seed)
    gaps = (draws[:, -1] - ex.VerifiedWindow(3, mode).promised(draws[:, :-1]).sum(1)) / 3
    squares = gaps**2
    error = float(squares.std()) / len(squares) ** 0.5
    assert float(squares.mean()) < claimed + 5 * error
    if mode == "token":
        assert abs(float(squares.mean()) - claimed) < 5 * error


def test_probabilities_of_a_window_by_hand():
    ratios = np.log([[0.5, 4.0, 0.25, 0.5]])
    np.testing.assert_allclose(ex.VerifiedWindow(4, "block").promised(ratios), [[0.5, 1.0, 0.25, 0.125]], rtol=1e-15)
    np.testing.assert_allclose(ex.VerifiedWindow(4, "token").promised(ratios), [[0.5, 0.5, 0.125, 0.0625]], rtol=1e-15)


def test_a_draft_that_the_target_never_makes_must_be_rejected(seed):
    """log r = -inf in the second of three steps: P_2 = P_3 = 0, and one window that keeps it refutes."""
    law = ex.VerifiedWindow(3, "block")

    def sample(n, s, kept=0):
        draws = windows(block)(n, s)
        draws[::2, 1] = -math.inf
        generator = torch.Generator().manual_seed(s)
        # With the second step impossible h_1 = P_1: its residual at the next step is the whole target.
        draws[::2, 3] = (torch.rand(len(draws[::2]), generator=generator) < torch.exp(draws[::2, 0])).double()
        draws[:kept, 3] = 3.0
        return draws

    assert float(law.promised(sample(2, 0)[:, :-1])[0, 1:].sum()) == 0.0
    judged = [
        ex.certify(sample, law, plan=PLAN, seed=seed),
        ex.certify(lambda n, s: sample(n, s, n // 25), law, plan=PLAN, seed=seed),
    ]
    assert judged[0].verdict is ex.Verdict.CERTIFIED, judged[0].reasons
    assert judged[1].verdict is ex.Verdict.REFUTED


DRAWS = windows(block)(300, 0).numpy()


@given(cuts=st.lists(st.integers(1, 299), max_size=4, unique=True), order=st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_shards_in_any_order_give_one_and_the_same_evidence(cuts, order):
    law = ex.VerifiedWindow(3, "block")
    parts = np.split(DRAWS, sorted(cuts))
    order.shuffle(parts)
    assert key(collect(B.Acceptance(), law, parts), of_pairs) == key(collect(B.Acceptance(), law, [DRAWS]), of_pairs)


@pytest.mark.parametrize("mode", VERIFIERS)
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_arrays_give_the_same_evidence(mode, backend):
    """torch in double to 1e-10; JAX in single here."""
    law = ex.VerifiedWindow(3, mode)
    other = torch.as_tensor(DRAWS) if backend == "torch" else module_or_skip("jax.numpy").asarray(DRAWS, dtype="float32")
    expected, got = collect(B.Acceptance(), law, [DRAWS]), collect(B.Acceptance(), law, [other])
    if backend == "torch":
        assert key(got) == key(expected)
    for a, b in zip(expected.results(), got.results(), strict=True):
        # In single precision a draw's bits are others, and with them the judge's noise.
        if not of_pairs(a.name):
            assert (a.name, a.where, a.n) == (b.name, b.where, b.n)
            assert abs(a.statistic - b.statistic) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:, 1:], r"shape \(300, 3\); this law needs \(300, 4\)"),
        (lambda d: _with(d, 5, 1, math.nan), "the first at window 5, log r_2"),
        (lambda d: _with(d, 5, 0, math.inf), "the first at window 5, log r_1"),
        (lambda d: _with(d, 7, 3, 1.5), r"tau of window 7 is 1.5; .* an integer in 0\.\.3"),
        (lambda d: _with(d, 7, 3, 4.0), "tau of window 7 is 4"),
        (lambda d: _with(d, 7, 3, -1.0), "tau of window 7 is -1"),
        (lambda d: _with(d, 7, 3, -math.inf), "tau of window 7 is -inf"),
        (lambda d: d.astype(np.int64), "dtype int64"),
        (lambda d: d.tolist(), "returned list"),
    ],
)
def test_what_cannot_be_judged_says_why(change, message):
    with pytest.raises(InvalidSample, match=message):
        ex.VerifiedWindow(3, "block").accept(change(DRAWS.copy()), 300)


def _with(draws, row, column, value):
    draws[row, column] = value
    return draws


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "block"), "length must be a positive integer"),
        ((True, "block"), "length must be a positive integer"),
        ((2.0, "block"), "length must be a positive integer"),
        ((3, "greedy"), "mode must be one of token, block"),
    ],
)
def test_bad_input_says_what_to_do(arguments, message):
    with pytest.raises(BadInput, match=message):
        ex.VerifiedWindow(*arguments)
    with pytest.raises(BadInput, match=r"shape \(n, 3\)"):
        ex.VerifiedWindow(3, "token").promised(DRAWS)
