"""Verification as pure functions: hand-worked windows, golden expectations, and the law of tau."""

from __future__ import annotations

import pytest
import torch
from exactness_samplers.torch.couplings import GaussianMasses, log_ratio, residual_mass
from exactness_samplers.torch.verification import block, block_length, block_thresholds, block_weights, token_wise

DRAWS = 250_000


def window(ratios, uniforms, verifier, length=None, deltas=None):
    r = torch.log(torch.tensor([ratios], dtype=torch.float64))
    d = torch.full_like(r, 0.5) if deltas is None else torch.tensor([deltas], dtype=torch.float64)
    length = torch.tensor([length or len(ratios)])
    tau, log_weight = verifier(r, GaussianMasses(d), torch.tensor([uniforms], dtype=torch.float64), length)
    return int(tau), float(log_weight.exp())


def test_token_wise_stops_at_the_first_failure():
    assert window([2.0, 0.5, 2.0], [0.9, 0.6, 0.1], token_wise) == (1, 1.0)
    assert window([2.0, 0.5, 2.0], [0.9, 0.4, 0.1], token_wise) == (3, 1.0)


def test_a_draft_of_probability_zero_is_rejected_even_at_a_uniform_of_zero():
    assert window([0.0], [0.0], token_wise)[0] == 0
    assert window([0.0], [0.0], block)[0] == 0


def test_block_takes_the_last_pass_not_the_first_failure():
    thresholds = torch.tensor([[0.2, 0.9, 0.1]], dtype=torch.float64)
    uniforms = torch.tensor([[0.5, 0.5, 0.5]], dtype=torch.float64)
    assert block_length(uniforms, thresholds, torch.tensor([3])).tolist() == [2]


def test_block_weights_are_capped_running_products():
    weights = block_weights(torch.log(torch.tensor([[0.5, 4.0, 0.25, 0.5]], dtype=torch.float64))).exp()
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.5, 1.0, 0.25, 0.125]], dtype=torch.float64))


def test_columns_past_the_drafted_length_are_ignored():
    for verifier in (token_wise, block):
        assert window([2.0, 9.0, 9.0], [0.5, 0.0, 0.0], verifier, length=1)[0] == 1
        assert window([2.0, 9.0, 9.0], [0.5, 0.0, 0.0], verifier, length=1) == (1, 1.0)


def test_zero_over_zero_counts_as_zero():
    thresholds = block_thresholds(torch.zeros(1, 3), torch.zeros(1, 2), torch.tensor([2]))
    assert thresholds.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("verifier", [token_wise, block], ids=["token", "block"])
def test_expected_accepted_steps_match_golden(golden, verifier, seed):
    """Within 6 standard errors of 250,000 draws (false alarms: 2e-9 a row), and the other verifier's numbers are not."""
    key = "expected_accepted_block" if verifier is block else "expected_accepted_token"
    other = "expected_accepted_token" if verifier is block else "expected_accepted_block"
    generator, elsewhere = torch.Generator().manual_seed(seed), 0
    for row in golden("block_two_steps")["rows"]:
        deltas = torch.tensor([float(d) for d in row["delta"]], dtype=torch.float64).expand(DRAWS, 2)
        z = torch.randn(DRAWS, 2, dtype=torch.float64, generator=generator)
        uniforms = torch.rand(DRAWS, 2, dtype=torch.float64, generator=generator)
        tau, _ = verifier(log_ratio(deltas, z), GaussianMasses(deltas), uniforms, torch.full((DRAWS,), 2))
        error = float(tau.double().std()) / DRAWS**0.5
        assert abs(float(tau.double().mean()) - float(row[key])) < 6 * error, row
        elsewhere += abs(float(tau.double().mean()) - float(row[other])) > 6 * error
    assert elsewhere > 0


def test_weights_are_the_survival_of_tau(seed):
    """P(tau >= i | drafts) = P_i: a martingale identity, checked as mean-zero differences. 3 tests at |z| < 5 (2e-6)."""
    generator = torch.Generator().manual_seed(seed + 1)
    n, length = 400_000, 3
    deltas = torch.tensor([0.6, 0.3, 1.1], dtype=torch.float64).expand(n, length)
    z = torch.randn(n, length, dtype=torch.float64, generator=generator)
    uniforms = torch.rand(n, length, dtype=torch.float64, generator=generator)
    ratios = log_ratio(deltas, z)
    weights = block_weights(ratios).exp()
    tau, _ = block(ratios, GaussianMasses(deltas), uniforms, torch.full((n,), length))
    for i in range(1, length + 1):
        # Weighted by a function of the drafts, so that the identity is conditional and not only on average.
        gap = ((tau >= i).double() - weights[:, i]) * torch.tanh(z[:, :i].sum(1) + 1.0)
        assert abs(float(gap.mean() / gap.std()) * n**0.5) < 5.0
    stop_at_first = torch.cumprod((uniforms < torch.exp(ratios.clamp(max=0))).long(), 1).sum(1)
    gap = (stop_at_first >= 2).double() - weights[:, 2]
    assert abs(float(gap.mean() / gap.std()) * n**0.5) > 5.0, "token-wise acceptance must not satisfy the block identity"


def test_masses_of_another_shape_are_refused():
    """One mass for the first of two steps would stretch over both without a word."""
    with pytest.raises(ValueError, match=r"masses gave shape \(1, 1\) for log-ratios of \(1, 2\).*one mass for each drafted step"):
        block(torch.zeros(1, 2), lambda log_weights: torch.zeros(1, 1), torch.zeros(1, 2), torch.tensor([2]))


def test_residual_mass_enters_block_at_the_next_step():
    """Z_i uses P_i and delta_{i+1}: exchanging the two steps' displacements changes the thresholds."""
    ratios = torch.log(torch.tensor([[0.5, 0.9]], dtype=torch.float64))
    lengths = torch.tensor([2])
    just_above = residual_mass(torch.log(torch.tensor([0.5])).double(), torch.tensor([1.5]).double())
    h = float(just_above / (just_above + 0.5))
    for u, expected in ((h - 1e-9, 1), (h + 1e-9, 0)):
        uniforms = torch.tensor([[u, 0.999]], dtype=torch.float64)
        assert int(block(ratios, GaussianMasses(torch.tensor([[0.2, 1.5]]).double()), uniforms, lengths)[0]) == expected
