"""``controls="standard"``: what the same batteries would have caught on the law that one certifies."""

from __future__ import annotations

import sys

import msgspec
import numpy as np
import pytest
import torch
from exactness_samplers.faults import STANDARD, fault

import exactness as ex
from exactness.certificate import missed
from exactness.judging.judgement import beside_controls
from exactness.judging.own_controls import standard_controls
from exactness.run.recheck import check_arithmetic, repeat
from tests.conftest import module_or_skip

STEPS, DIM = 8, 2
SIGMA = np.linspace(0.2, 0.5, STEPS)
PLAN = ex.Plan(tolerance=0.3, first_paths=1_000, max_paths=1_000)


def pull(k, x):
    """A prediction written for any kind of array."""
    return x - 0.3 * x / (0.2 + x * x)


def chain(**changes) -> ex.GaussianChain:
    return ex.GaussianChain(pull, **({"a": np.full(STEPS, 0.1), "b": np.full(STEPS, 0.8), "sigma": SIGMA, "dim": DIM} | changes))


def sample(n: int, seed: int, start: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    x = start + generator.standard_normal((n, DIM))
    path = [x]
    for k in range(STEPS, 0, -1):
        x = 0.1 * x + 0.8 * pull(k, x) + SIGMA[k - 1] * generator.standard_normal((n, DIM))
        path.append(x)
    return np.stack(path, axis=1)


CLAIM = ex.Claim("mine", sample, chain(), plan=PLAN, controls="standard")


@pytest.fixture(scope="module")
def certificate() -> ex.Certificate:
    return ex.certify(sample, CLAIM.law, plan=PLAN, controls=CLAIM.controls, name="mine", source="file.py:claim")


def test_a_certificate_says_what_would_have_been_caught_on_this_very_chain(certificate):
    assert certificate.verdict is ex.Verdict.CERTIFIED, certificate.reasons
    assert [c.name for c in certificate.controls] == [f"standard/{name}" for name in STANDARD]
    assert all(c.wrong == fault(c.name.split("/")[1]).what and not c.required for c in certificate.controls)
    refuted = [c for c in certificate.controls if c.verdict is ex.Verdict.REFUTED]
    assert len(refuted) >= 14
    assert f"{len(refuted)} of 18 wrong samplers of this law were refuted" in certificate.reasons[1]
    assert certificate.controls_hold
    assert certificate.as_claimed
    assert not check_arithmetic(certificate)


@pytest.mark.parametrize("kind", ["torch", "torch32", pytest.param("jax", marks=pytest.mark.slow)])
def test_every_kind_of_array_is_handed_to_the_prediction_as_the_sampler_returns_it(kind):
    if kind == "jax":
        jax = module_or_skip("jax")
        make = jax.numpy.asarray
    else:
        dtype = torch.float32 if kind == "torch32" else torch.float64
        make = lambda x: torch.as_tensor(x, dtype=dtype)  # noqa: E731
    wanted = type(make(np.zeros(1)))

    def predict(k, x):
        assert isinstance(x, wanted)
        return pull(k, x)

    law = ex.GaussianChain(predict, a=np.full(STEPS, 0.1), b=np.full(STEPS, 0.8), sigma=SIGMA, dim=DIM)
    claims = [c for c in standard_controls(lambda n, s: make(sample(n, s)), law) if c.name.endswith(("accept-always", "repeat"))]
    assert len(claims) == 2
    for claim in claims:
        assert isinstance(claim.sample(2, 0)[0], wanted)
        judged = ex.certify(claim.sample, law, plan=PLAN, name=claim.name, wrong=claim.wrong)
        assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


def test_a_start_that_the_law_leaves_open_is_the_samplers_own():
    claims = standard_controls(lambda n, s: sample(n, s, start=30.0), chain(start=None))
    paths, _ = claims[0].sample(50, 1)
    assert abs(paths[:, 0].mean() - 30.0) < 1.0


def test_it_is_read_as_it_was_written_and_repeats(certificate, tmp_path):
    assert ex.Certificate.load(certificate.save(tmp_path / "mine.json")) == certificate
    assert not repeat(certificate, [CLAIM]).faults


def test_batteries_that_see_none_of_them_spoil_the_pass_and_one_that_is_missed_does_not(certificate):
    unseen = [msgspec.structs.replace(c, verdict=ex.Verdict.CERTIFIED) for c in certificate.controls]
    assert missed(unseen) == unseen
    assert beside_controls(ex.Verdict.CERTIFIED, unseen) is ex.Verdict.INCONCLUSIVE
    assert not msgspec.structs.replace(certificate, controls=unseen).as_claimed
    mixed = [certificate.controls[0], *unseen[1:]]
    assert missed(mixed) == []
    assert beside_controls(ex.Verdict.CERTIFIED, mixed) is ex.Verdict.CERTIFIED
    # One's own controls are all required.
    own = [msgspec.structs.replace(c, required=True) for c in mixed]
    assert missed(own) == own[1:]


def test_what_is_no_fault_on_a_chain_is_left_out():
    """Where the drift and sigma never change, stale drafts are right ones and a neighbour's sigma is one's own."""
    flat = ex.GaussianChain(lambda k, x: x + 0.1, a=np.zeros(STEPS), b=np.ones(STEPS), sigma=np.full(STEPS, 0.3), dim=DIM)
    names = {c.name.removeprefix("standard/") for c in standard_controls(sample, flat)}
    right = {
        "block-with-reflection", "block-with-unweighted-residual", "block-weight-of-next", "verified-with-stale-mean",
        "sigma-of-neighbouring-step",
    }  # fmt: skip
    assert not names & right
    assert {"accept-always", "rejected-from-target", "antithetic-pairs"} <= names


def test_a_prediction_that_cannot_follow_a_wrong_sampler_spoils_that_control_alone():
    def predict(k, x):
        if np.abs(x).max() > 12.0:
            raise ValueError("out of range")
        return pull(k, x)

    law = ex.GaussianChain(predict, a=np.full(STEPS, 0.1), b=np.full(STEPS, 0.8), sigma=SIGMA, dim=DIM)
    # Antithetic pairs stay in range; a start far out does not.
    assert len(standard_controls(sample, law)) >= 14
    far = ex.GaussianChain(
        predict, a=np.full(STEPS, 0.1), b=np.full(STEPS, 0.8), sigma=SIGMA, dim=DIM, start=(50.0, 1.0)
    )  # fmt: skip
    assert len(standard_controls(sample, far)) == len(STANDARD)


def test_a_sampler_that_raises_is_invalid_and_has_no_controls():
    certificate = ex.certify(lambda n, s: 1 / 0, chain(), plan=PLAN, controls="standard")
    assert certificate.verdict is ex.Verdict.INVALID
    assert certificate.controls == []


def test_where_there_are_none():
    mixture = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    kernels = ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0]))
    with pytest.raises(ex.BadInput, match=r"whose sampler is law.moved_by\(a wrong kernel\)"):
        ex.certify(kernels.moved_by(lambda x, seed: x), kernels, controls="standard")
    with pytest.raises(ex.BadInput, match="the law is a GaussianMixture: pass your own"):
        ex.certify(mixture.sample, mixture, controls="standard")
    short = ex.GaussianChain(pull, a=[0.1], b=[0.8], sigma=[1.0], dim=1)
    with pytest.raises(ex.BadInput, match="this chain has 1"):
        ex.certify(sample, short, controls="standard")
    with pytest.raises(ex.BadInput, match="must be a list of claims, or 'standard'"):
        ex.certify(sample, chain(), controls="all")
    with pytest.raises(ex.BadInput, match="must be a list of claims, or 'standard'"):
        ex.Claim("mine", sample, chain(), controls="all")


def test_without_torch_it_says_what_to_install(monkeypatch):
    for name in [m for m in sys.modules if m.startswith("exactness_samplers.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ex.BadInput, match=r"exactness\[torch\]"):
        standard_controls(sample, chain())


def test_in_one_dimension_what_needs_two_is_left_out():
    law = ex.GaussianChain(pull, a=np.full(STEPS, 0.1), b=np.full(STEPS, 0.8), sigma=SIGMA, dim=1)
    names = [c.name for c in standard_controls(lambda n, s: sample(n, s)[:, :, :1], law)]
    assert "standard/orthogonal-zeroed" not in names
    assert len(names) == sum(fault(name).least_dim == 1 for name in STANDARD)
