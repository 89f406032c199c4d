"""Kernels that keep a law, or a posterior, and kernels that are wrong by one line: alpha is 1e-6 for each certificate."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness import batteries

TARGET = ex.GaussianMixture([0.5, 0.5], [[1.5, 0.0], [-1.5, 0.0]], [0.7, 0.7])
PLAN = ex.Plan(tolerance=0.05, max_paths=40_000, per_call=1_000)


def metropolis(x, proposal, log_ratio, rng):
    return np.where((np.log(rng.random(len(x))) < log_ratio)[:, None], proposal, x)


def walk(x, seed, width=lambda x: 1.0, ratio=1.0):
    rng = np.random.default_rng(seed)
    y = x + width(x) * rng.standard_normal(x.shape)
    return metropolis(x, y, ratio * (TARGET.log_density(y) - TARGET.log_density(x)), rng)


def hastings_forgotten(x, seed):
    return walk(x, seed, width=lambda x: 0.5 + 0.5 * np.abs(x))


def judged(kernel, law=None, plan=PLAN, **settings):
    law = law or ex.KernelInvariance(TARGET, **settings)
    return ex.certify(law.moved_by(kernel), law, plan=plan)


def test_a_right_kernel_is_certified_and_the_certificate_says_what_was_judged():
    found = judged(walk)
    assert found.verdict is ex.Verdict.CERTIFIED
    assert any("moved 0.5" in reason and "convergence is not shown" in reason for reason in found.reasons)
    assert found.law["reversible"] is True


@pytest.mark.parametrize("settings", [{}, {"reversible": False}, {"steps": 5}], ids=str)
def test_a_forgotten_hastings_ratio_is_refuted(settings):
    assert judged(hastings_forgotten, plan=ex.Plan(), **settings).verdict is ex.Verdict.REFUTED


def test_a_tempered_acceptance_is_refuted():
    assert judged(lambda x, seed: walk(x, seed, ratio=0.8)).verdict is ex.Verdict.REFUTED


def test_a_kernel_that_never_moves_is_inconclusive_and_one_that_alternates_passes_with_a_caveat():
    still, mirrored = judged(lambda x, seed: x), judged(lambda x, seed: -x)
    assert still.verdict is ex.Verdict.INCONCLUSIVE
    assert "moved 0.00" in still.reasons[0]
    assert mirrored.verdict is ex.Verdict.CERTIFIED
    assert "convergence is not shown" in " ".join(mirrored.reasons)


def test_a_coordinate_that_never_moves_is_named():
    """The other coordinate moves, so that states do, and every law is kept."""

    def first_only(x, seed):
        after = x.copy()
        after[:, 1] = np.random.default_rng(seed).standard_normal(len(x)) * 0.7**0.5
        return after

    found = judged(first_only)
    assert found.verdict is ex.Verdict.INCONCLUSIVE
    assert found.reasons[0].startswith("moved 0.00 of coordinate 0: ")
    assert any(reason.startswith("moved 0.00 of coordinate 0; moved 1.00 of") for reason in found.reasons)


def test_a_coordinate_that_cannot_move_is_no_objection():
    law = ex.DiscreteLaw([0.5, 0.5], values=[[1, 0], [1, 1]])
    claim = ex.KernelInvariance(law)
    fresh = claim.moved_by(lambda x, seed: np.asarray(law.sample(len(x), seed)).astype(x.dtype))
    assert ex.certify(fresh, claim, plan=PLAN).verdict is ex.Verdict.CERTIFIED


def test_a_claim_of_reversibility_is_tested():
    """A rotation keeps a round law and is not reversible. Claimed as such it passes, and claimed as reversible it is refuted."""
    law, turn = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0]), np.array([[0.6, 0.8], [-0.8, 0.6]])
    claims = {reversible: ex.KernelInvariance(law, reversible=reversible) for reversible in (True, False)}
    found = {key: ex.certify(claim.moved_by(lambda x, seed: x @ turn), claim, plan=PLAN) for key, claim in claims.items()}
    assert found[False].verdict is ex.Verdict.CERTIFIED
    assert found[True].verdict is ex.Verdict.REFUTED
    assert found[True].leading.name.startswith("moves: exchange of both ends")


def leapfrog(x, seed, flip=True):
    """One leapfrog step on N(0, I) in positions and momenta, with a Metropolis decision."""
    rng, e = np.random.default_rng(seed), 0.9
    q, p = x[:, :1], x[:, 1:]
    half = p - 0.5 * e * q
    new = q + e * half
    end = half - 0.5 * e * new
    proposal = np.concatenate([new, -end if flip else end], axis=1)
    log_ratio = 0.5 * (np.square(x).sum(1) - np.square(proposal).sum(1))
    after = metropolis(x, proposal, log_ratio, rng)
    return after * (1.0, -1.0) if flip else after


def test_a_kernel_that_is_reversible_up_to_a_flip():
    """The momentum is flipped before and after, so that a rejection turns it round. Without the flip, rejections keep it: wrong."""
    phase = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
    law = ex.KernelInvariance(phase, flip=(1.0, -1.0))
    assert ex.certify(law.moved_by(leapfrog), law, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(law.moved_by(lambda x, s: leapfrog(x, s, flip=False)), law).verdict is ex.Verdict.REFUTED


def test_rounding_is_no_sign_of_asymmetry():
    """A rotation keeps |x|^2 up to rounding, always with errors of the same kind."""
    law = ex.GaussianMixture([1.0], [[0.0] * 3], [1.0])
    mirror = np.eye(3) - 2.0 * np.ones((3, 3)) / 3.0
    claim = ex.KernelInvariance(law, quantities={"energy": lambda x: np.square(x).sum(1)})
    for dtype in (np.float64, np.float32):
        found = ex.certify(claim.moved_by(lambda x, seed, d=dtype: x.astype(d) @ mirror.astype(d)), claim, plan=PLAN)
        assert found.verdict is ex.Verdict.CERTIFIED


def test_noise_that_is_shared_by_all_chains_is_seen():
    """As with the same key for every chain."""

    def shared(x, seed):
        rng = np.random.default_rng(seed)
        y = x + rng.standard_normal((1, 2))
        return metropolis(x, y, TARGET.log_density(y) - TARGET.log_density(x), rng)

    found = judged(shared, plan=ex.Plan())
    assert found.verdict is ex.Verdict.REFUTED
    assert "depend on each other" in found.reasons[0]


def test_discrete_states():
    """Two spins that attract each other: one is drawn given the other. The wrong field is refuted."""
    law = ex.DiscreteLaw([0.4, 0.1, 0.1, 0.4], values=[[1, 1], [1, -1], [-1, 1], [-1, -1]])

    def heat_bath(x, seed, chance=0.8):
        rng, x = np.random.default_rng(seed), x.copy()
        rows, site = np.arange(len(x)), rng.integers(2, size=len(x))
        agree = rng.random(len(x)) < chance
        x[rows, site] = np.where(agree, 1, -1) * x[rows, 1 - site]
        return x

    claim = ex.KernelInvariance(law)
    assert claim.quantity_names == ["log-probability"]
    assert ex.certify(claim.moved_by(heat_bath), claim, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(claim.moved_by(lambda x, s: heat_bath(x, s, 0.7)), claim).verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (lambda x, seed: x[:, 0], "the kernel got states of shape (16, 2) and returned an array of shape (16,)"),
        (lambda x, seed: (x, 3), "returned tuple"),
        (lambda x, seed: np.full_like(x, np.nan), "the state after the move"),
        (lambda x, seed: x + np.random.standard_normal(x.shape), "ignores its seed"),
        (lambda x: x, "positional argument"),
    ],
)
def test_what_a_kernel_may_not_do_is_said(kernel, said):
    found = judged(kernel)
    assert found.verdict is ex.Verdict.INVALID
    assert said in found.reasons[0]


def test_a_kernel_may_write_into_its_input():
    def in_place(x, seed):
        x += walk(x, seed) - x
        return x

    assert judged(in_place).verdict is ex.Verdict.CERTIFIED


def test_a_kernel_may_write_into_its_data_and_they_are_arrays_of_its_kind():
    def zeroes(theta, data, seed):
        assert type(data["y"]).__module__.startswith("torch")
        data["y"][:] = 0.0
        return theta

    law = ex.JointLaw(prior, lambda t, s: {"y": t})
    rows, _ = law.moved_by(zeroes, arrays="torch")(4, seed=1)
    np.testing.assert_array_equal(rows[:, 2], rows[:, 0])


def test_quantities_and_flips_may_write_into_what_they_are_given():
    def zeroes(x):
        x *= 0.0
        return x[:, 0]

    def turn(x):
        x[:, 1] *= -1.0
        return x

    law = ex.KernelInvariance(TARGET, flip=turn, quantities={"a": zeroes})
    sample = law.moved_by(lambda x, seed: x + 1.0)(5, seed=1)[0]
    kept = sample.copy()
    assert law.ends(sample).moved.all()
    np.testing.assert_array_equal(sample, kept)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ex.KernelInvariance(lambda x: x), "must be an exactness law"),
        (lambda: ex.KernelInvariance(ex.UnivariateLaw(lambda t: 1 / (1 + np.exp(-t)))), "can be drawn"),
        (lambda: ex.KernelInvariance(TARGET, steps=0), "steps must be an integer"),
        (lambda: ex.KernelInvariance(TARGET, reversible="yes"), "True or False"),
        (lambda: ex.KernelInvariance(TARGET, flip=(1.0,)), "2 signs"),
        (lambda: ex.KernelInvariance(TARGET, flip=(1.0, -1.0), reversible=False), "reversible up to it"),
        (lambda: ex.KernelInvariance(TARGET, quantities={"a": 3}), "must map names to functions"),
        (lambda: ex.KernelInvariance(TARGET).moved_by(3), "must be a function"),
        (lambda: ex.KernelInvariance(TARGET).moved_by(walk, arrays="pandas"), "numpy, torch, jax"),
        (lambda: ex.KernelInvariance(TARGET, flip=lambda x: x + 1.0), "undo itself"),
        (lambda: ex.KernelInvariance(TARGET, flip=lambda x: x[:, 0]), "finite states of shape"),
        (lambda: ex.KernelInvariance(TARGET, flip=lambda x: 1 / 0), "flip raised ZeroDivisionError"),
        (lambda: judged(walk, quantities={"a": lambda x: x[:, 0] * np.nan}), "make it finite there"),
        (lambda: ex.JointLaw(prior, simulate, quantities={"a": lambda t, y: t[:, 0] * np.nan}).event_shape, "make it finite there"),
        (lambda: judged(posterior, ex.JointLaw(prior, lambda t, s: np.ones((len(t), 1 + len(t) % 3)))), "give all data one shape"),
        (lambda: ex.JointLaw(prior, lambda t, s: t * np.nan).event_shape, "NaN or infinity at row 0"),
        (lambda: judged(walk, quantities={"a": lambda x: x[:3, 0]}), "return one number per row"),
        (lambda: judged(walk, quantities={"a": lambda x: 1 / 0}), "raised ZeroDivisionError"),
        (lambda: ex.JointLaw(3, prior), "the prior must be a function"),
        (lambda: ex.JointLaw(prior, 3), "simulate must be a function"),
        (lambda: ex.JointLaw(lambda n, s: np.zeros(n), simulate).event_shape, "one row per draw"),
        (lambda: ex.JointLaw(lambda n, s: np.full((n, 1), np.inf), simulate).event_shape, "improper prior"),
        (lambda: ex.JointLaw(prior, lambda t, s: t[:1]).event_shape, "one row per parameter"),
        (lambda: ex.JointLaw(prior, lambda t, s: 1 / 0).event_shape, "simulate raised"),
    ],
)
def test_bad_input_is_refused_with_an_explanation(make, said):
    with pytest.raises(ex.BadInput) as refused:
        make()
    assert said in str(refused.value)


def prior(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 1))


def simulate(theta, seed):
    return theta + np.random.default_rng(seed).standard_normal((len(theta), 5))


def posterior(theta, data, seed, used=5, sd=1.0):
    noise = np.random.default_rng(seed).standard_normal(theta.shape)
    return data[:, :used].sum(1, keepdims=True) / (1 + used) + sd * noise / np.sqrt(1 + used)


JOINT = ex.JointLaw(prior, simulate, quantities={"log-likelihood": lambda t, y: -0.5 * np.square(y - t).sum(1)})


def test_a_right_posterior_sampler_is_certified():
    assert judged(posterior, JOINT).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t, y, s: posterior(t, y, s, used=4),
        lambda t, y, s: posterior(t, y, s, sd=0.8),
        lambda t, y, s: posterior(t, y[::-1], s),
        lambda t, y, s: prior(len(t), s),
    ],
    ids=["an observation left out", "too narrow", "data of other rows", "ignores the data"],
)
def test_wrong_posterior_samplers_are_refuted(wrong):
    assert judged(wrong, JOINT).verdict is ex.Verdict.REFUTED


def test_data_may_be_several_arrays_of_any_kind():
    def several(theta, seed):
        rng = np.random.default_rng(seed)
        return {"y": theta + rng.standard_normal((len(theta), 2)), "count": rng.poisson(np.exp(theta[:, 0]))}

    def gibbs_free(theta, data, seed):
        assert data["count"].dtype.kind == "i"
        assert data["y"].shape == (len(theta), 2)
        return theta + 0.0

    law = ex.JointLaw(prior, several, quantities={"count times theta": lambda t, d: d["count"] * t[:, 0]})
    assert law.event_shape == (5,)
    found = judged(gibbs_free, law, plan=ex.Plan(tolerance=0.1))
    assert found.verdict is ex.Verdict.INCONCLUSIVE


def test_the_battery_can_be_used_alone_and_its_evidence_is_merged():
    law = ex.KernelInvariance(TARGET)
    one, other = (batteries.Moves().start(law, np.random.default_rng(0)) for _ in range(2))
    sampler = law.moved_by(walk)
    one.update(sampler(500, 1)[0])
    other.update(sampler(300, 2)[0])
    one.merge(other)
    assert one.paths == 800
    assert all(0.0 <= result.p_value <= 1.0 for result in one.results())
