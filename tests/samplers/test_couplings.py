"""The scalar functions under speculation, against high-precision values and against quadrature: no sampling here."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from exactness_samplers.torch import couplings
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from exactness.strategies import deltas, log_weights, uniforms

# The quantile is edge - r: where it crosses zero, what is left is the rounding of those two, and of logs of some tens.
FLOOR = 5e-14


def tensor(*values, dtype=torch.float64):
    return [torch.tensor([float(v)], dtype=dtype) for v in values]


def log(weight: str) -> float:
    with mpmath.workdps(40):
        return float(mpmath.log(mpmath.mpf(weight)))


def test_acceptance_matches_golden(golden):
    for row in golden("gaussian_accept")["rows"]:
        value = float(couplings.acceptance(*tensor(row["delta"])))
        assert value == pytest.approx(float(row["accept"]), rel=1e-12, abs=0.0)


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_residual_mass_matches_golden(golden, dtype, relative):
    for row in golden("gaussian_residual")["rows"]:
        expected = float(row["mass"])
        if expected < torch.finfo(dtype).tiny:
            continue
        # In float32 the logarithm of a weight that is close to 1 is still a float32: pass what float32 can hold.
        weight, delta = tensor(log(row["w"]), row["delta"], dtype=dtype)
        assert float(couplings.residual_mass(weight, delta)) == pytest.approx(expected, rel=relative, abs=0.0), row


@pytest.mark.parametrize(("dtype", "relative", "floor"), [(torch.float64, 1e-9, FLOOR), (torch.float32, 1e-4, 1e-7)])
def test_residual_quantiles_match_golden(golden, dtype, relative, floor):
    checked = 0
    for row in golden("gaussian_residual")["rows"]:
        weight, delta = tensor(log(row["w"]), row["delta"], dtype=dtype)
        for text, quantile in row.get("quantiles", {}).items():
            # A probability next to 1 is known by its complement, which is what `upper` is for.
            upper = float(text) > 0.5
            with mpmath.workdps(40):
                u = float(1 - mpmath.mpf(text)) if upper else float(text)
            value = float(couplings.residual_quantile(*tensor(u, dtype=dtype), weight, delta, upper=upper))
            assert abs(value - float(quantile)) <= relative * abs(float(quantile)) + floor, (row["w"], row["delta"], text)
            checked += 1
    assert checked > 300


@given(log_weight=log_weights(), delta=deltas(), us=st.lists(uniforms(), min_size=2, max_size=6))
def test_quantile_is_monotone_inside_the_support_and_never_nan(log_weight, delta, us):
    us = sorted(us)
    weight, shift = (torch.full((len(us),), value, dtype=torch.float64) for value in (log_weight, delta))
    values = couplings.residual_quantile(torch.tensor(us, dtype=torch.float64), weight, shift)
    assert torch.isfinite(values).all()
    if delta > 1e-8:
        edge = delta / 2 + log_weight / delta
        assert (values <= edge + 1e-12 * max(1.0, abs(edge))).all()
    # Newton's method leaves a few units of the last place, never more.
    assert (values.diff() >= -1e-11 * (1.0 + values[1:].abs())).all()


@given(log_weight=log_weights(), delta=deltas())
def test_mass_is_a_probability_and_agrees_with_quadrature(log_weight, delta):
    mass = float(couplings.residual_mass(*tensor(log_weight, delta)))
    weight = math.exp(log_weight)
    assert 0.0 <= mass <= weight * (1 + 1e-12)
    if delta > 1e-3:
        edge = delta / 2 + log_weight / delta
        low = min(edge, 0.0) - 12.0
        exact, error = integrate.quad(lambda s: weight * norm.pdf(s) - norm.pdf(s - delta), low, edge, limit=200, epsabs=1e-14)
        assert mass == pytest.approx(exact, abs=10 * error + 1e-12)


@pytest.mark.parametrize("delta", [1e-6, 1e-3, 0.1, 0.24, 0.26, 1.0, 3.0, 12.0, 40.0])
def test_accepted_and_residual_parts_add_up_to_the_target(delta):
    """One step is exact: P(accepted draft <= s) + TV F_res(s) = Phi(s) for all s, by the functions themselves."""
    u = torch.linspace(0.001, 0.999, 41, dtype=torch.float64)
    shift, weight = torch.full_like(u, delta), torch.zeros_like(u)
    s = couplings.residual_quantile(u, weight, shift).numpy()
    accepted = norm.cdf(s - delta)  # below the edge the draft's density is the smaller one
    total = accepted + u.numpy() * float(couplings.residual_mass(*tensor(0.0, delta)))
    np.testing.assert_allclose(total, norm.cdf(s), atol=1e-14, rtol=1e-9)


@pytest.mark.parametrize("weight", [1e-6, 0.05, 0.5, 0.97, 1 - 1e-7])
@pytest.mark.parametrize("delta", [1e-3, 0.2, 0.3, 1.0, 5.0])
def test_rejected_survival_agrees_with_quadrature(weight, delta):
    """P(rejected draft > s), of density (phi(s - delta) - w phi(s))_+, through its whole range."""
    log_weight = math.log(weight)
    edge = delta / 2 + log_weight / delta
    mass = 1 - weight + float(couplings.residual_mass(*tensor(log_weight, delta)))
    for q in (0.02, 0.3, 0.7, 0.98):
        s = max(edge + 1e-9, norm.ppf(q) + delta)
        exact, _ = integrate.quad(
            lambda y: norm.pdf(y - delta) - weight * norm.pdf(y), s, max(s, delta) + 12, epsabs=1e-15, limit=300
        )
        value = float(couplings.rejected_survival(*tensor(s, log_weight, delta)))
        assert value == pytest.approx(exact / mass, rel=1e-7, abs=1e-11)


@pytest.mark.parametrize("delta", [1e-4, 0.2, 0.5, 2.0, 8.0])
def test_quantile_coupling_is_the_reflection_at_weight_one(delta):
    """s -> F_res^{-1}(1 - F_rej(s)) computed in full equals delta - s, which `emit_rejected` takes as a short cut."""
    s = torch.linspace(delta / 2 + 1e-3, delta + 4.0, 31, dtype=torch.float64)
    shift, weight = torch.full_like(s, delta), torch.zeros_like(s)
    mapped = couplings.residual_quantile(couplings.rejected_survival(s, weight, shift), weight, shift)
    torch.testing.assert_close(mapped, delta - s, atol=1e-7, rtol=1e-7)


def test_reflection_is_a_householder_reflection_about_the_mean_difference():
    generator = torch.Generator().manual_seed(0)
    z, axis = torch.randn(5, 3, generator=generator).double(), torch.randn(5, 3, generator=generator).double()
    axis = axis / axis.norm(dim=1, keepdim=True)
    delta = torch.full((5,), 0.8).double()
    zeros = torch.zeros(5).double()
    state = couplings.emit_rejected(
        torch.zeros(5, 3).double(),
        torch.ones(5).double(),
        axis,
        delta,
        zeros,
        z,
        torch.full_like(z, math.nan),
        zeros,
        "quantile",
        "kept",
    )
    torch.testing.assert_close(state, z - 2 * (z * axis).sum(1, keepdim=True) * axis)


def test_means_that_agree_never_divide_by_zero():
    delta, axis = couplings.displacement(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2))
    assert delta.tolist() == [0.0, 0.0]
    assert torch.isfinite(axis).all()
    assert axis.norm(dim=1).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("delta", [0.0, 1e-300, 1e300])
@pytest.mark.parametrize("log_weight", [0.0, -1e-300, -math.inf, -745.0])
def test_extreme_arguments_stay_finite(delta, log_weight):
    weight, shift = tensor(log_weight, delta)
    assert torch.isfinite(couplings.residual_mass(weight, shift)).all()
    assert torch.isfinite(couplings.residual_quantile(torch.tensor([0.0]).double(), weight, shift)).all()
    assert torch.isfinite(couplings.rejected_survival(torch.tensor([0.3]).double(), weight, shift)).all()
