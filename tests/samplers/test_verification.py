"""Verification as pure functions: hand-worked windows, golden expectations, and the law of tau."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from exactness_samplers.torch.couplings import log_ratio, residual_mass
from exactness_samplers.torch.verification import block, block_length, block_thresholds, block_weights, token_wise

DRAWS = 250_000


def window(ratios, uniforms, verifier, length=None, deltas=None):
    r = torch.log(torch.tensor([ratios], dtype=torch.float64))
    d = torch.full_like(r, 0.5) if deltas is None else torch.tensor([deltas], dtype=torch.float64)
    length = torch.tensor([length or len(ratios)])
    tau, log_weight = verifier(r, d, torch.tensor([uniforms], dtype=torch.float64), length)
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
        tau, _ = verifier(log_ratio(deltas, z), deltas, uniforms, torch.full((DRAWS,), 2))
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
    tau, _ = block(ratios, deltas, uniforms, torch.full((n,), length))
    for i in range(1, length + 1):
        # Weighted by a function of the drafts, so that the identity is conditional and not only on average.
        gap = ((tau >= i).double() - weights[:, i]) * torch.tanh(z[:, :i].sum(1) + 1.0)
        assert abs(float(gap.mean() / gap.std()) * n**0.5) < 5.0
    stop_at_first = torch.cumprod((uniforms < torch.exp(ratios.clamp(max=0))).long(), 1).sum(1)
    gap = (stop_at_first >= 2).double() - weights[:, 2]
    assert abs(float(gap.mean() / gap.std()) * n**0.5) > 5.0, "token-wise acceptance must not satisfy the block identity"


def test_discrete_windows_match_golden(golden, seed):
    """The same verifiers on token laws, where masses are sums.

    Within 6 standard errors of 250,000 draws (false alarms: 2e-9 each).
    """
    generator = np.random.default_rng(seed)
    for row in golden("discrete")["windows"]:
        length = row["window"]
        vocabulary = len(row["target"]["start"])
        target, draft = (_kernel(row[side], vocabulary) for side in ("target", "draft"))
        tokens, ratios = _draft(target, draft, length, generator)
        uniforms = torch.as_tensor(generator.random((DRAWS, length)))
        lengths = torch.full((DRAWS,), length)
        tau, _ = token_wise(ratios, ratios, uniforms, lengths)
        _within(tau, row["expected_accepted_token"], row["name"])
        log_weights = block_weights(ratios)
        masses = torch.zeros(DRAWS, length, dtype=torch.float64)
        for i in range(1, length):
            p, q = target[tokens[:, i - 1] + 1], draft[tokens[:, i - 1] + 1]
            excess = np.maximum(np.exp(log_weights[:, i, None].numpy()) * p - q, 0.0)
            masses[:, i - 1] = torch.as_tensor(excess.sum(1))
        _within(
            block_length(uniforms, block_thresholds(log_weights, masses, lengths), lengths),
            row["expected_accepted_block"],
            row["name"],
        )


def test_residual_mass_enters_block_at_the_next_step():
    """Z_i uses P_i and delta_{i+1}: exchanging the two steps' displacements changes the thresholds."""
    ratios = torch.log(torch.tensor([[0.5, 0.9]], dtype=torch.float64))
    lengths = torch.tensor([2])
    just_above = residual_mass(torch.log(torch.tensor([0.5])).double(), torch.tensor([1.5]).double())
    h = float(just_above / (just_above + 0.5))
    for u, expected in ((h - 1e-9, 1), (h + 1e-9, 0)):
        uniforms = torch.tensor([[u, 0.999]], dtype=torch.float64)
        assert int(block(ratios, torch.tensor([[0.2, 1.5]], dtype=torch.float64), uniforms, lengths)[0]) == expected


def _kernel(side, vocabulary):
    """Row 0: the start; row 1 + t: after token t."""
    rows = [side["start"], *(side[str(t)] for t in range(vocabulary))]
    return np.array([[float(Fraction(p)) for p in r] for r in rows])


def _draft(target, draft, length, generator):
    tokens = np.zeros((DRAWS, length), dtype=np.int64)
    ratios = np.zeros((DRAWS, length))
    state = np.zeros(DRAWS, dtype=np.int64)
    for i in range(length):
        cumulative = np.cumsum(draft[state], axis=1)
        tokens[:, i] = np.minimum((generator.random((DRAWS, 1)) >= cumulative).sum(1), draft.shape[1] - 1)
        with np.errstate(divide="ignore"):
            ratios[:, i] = np.log(target[state, tokens[:, i]]) - np.log(draft[state, tokens[:, i]])
        state = tokens[:, i] + 1
    return tokens, torch.as_tensor(ratios)


def _within(tau, expected, name):
    values = tau.double()
    error = float(values.std()) / DRAWS**0.5
    assert abs(float(values.mean()) - float(Fraction(expected))) < 6 * error, name
