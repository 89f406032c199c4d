"""Kernels of blackjax: right ones pass, one that is wrong by a line is refuted, and bad input is explained."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness import batteries
from exactness.adapters import blackjax_kernel, blackjax_kernels
from tests.conftest import module_or_skip

blackjax = module_or_skip("blackjax")
jax = module_or_skip("jax")
jnp = jax.numpy

MEANS, VARIANCES, WEIGHTS = [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2], [0.6, 0.4]
LAW = ex.KernelInvariance(ex.GaussianMixture(WEIGHTS, MEANS, VARIANCES))
PLAN, MOVES = ex.Plan(tolerance=0.25, max_paths=1000), [batteries.Moves()]
ONE = jnp.ones(2)


def log_density(x):
    squared = jnp.sum((x - jnp.array(MEANS)) ** 2, axis=1) / jnp.array(VARIANCES)
    return jax.scipy.special.logsumexp(jnp.log(jnp.array(WEIGHTS)) - jnp.log(jnp.array(VARIANCES)) - 0.5 * squared)


def displaced(key, x):
    return x + 0.8 * jax.random.normal(key, x.shape)


KERNELS = {
    "random walk": lambda: blackjax.rmh(log_density, displaced),
    "MALA": lambda: blackjax.mala(log_density, 0.2),
    "HMC": lambda: blackjax.hmc(log_density, 0.3, ONE, 4),
    "NUTS": lambda: blackjax.nuts(log_density, 0.4, ONE, max_num_doublings=3),
}


@pytest.mark.statistical
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("HMC", "NUTS"))) for name in KERNELS])
def test_right_kernels_are_certified(name, seed):
    """Fails by chance at most once in a million runs."""
    judged = ex.certify(LAW.moved_by(blackjax_kernel(KERNELS[name]())), LAW, plan=PLAN, batteries=MOVES, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.cost["kernel_steps"] == judged.paths == 1000


@pytest.mark.statistical
def test_a_proposal_that_forgets_where_it_was_is_refuted(seed):
    """``rmh`` takes a function that returns the new position. Given a displacement, it proposes near 0 from everywhere."""
    wrong = blackjax.rmh(log_density, blackjax.mcmc.random_walk.normal(0.8 * ONE))
    judged = ex.certify(LAW.moved_by(blackjax_kernel(wrong)), LAW, plan=PLAN, batteries=MOVES, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED


def joint(observations):
    """A normal mean and the logarithm of a scale, in a dict, with the log-density of the first ``observations`` of four."""

    def algorithm(data):
        def log_posterior(position):
            mean, log_scale = position["mean"], position["log_scale"]
            z = (data["y"][:observations] - mean) * jnp.exp(-log_scale)
            return -0.5 * (mean**2 + log_scale**2) - 0.5 * jnp.sum(z**2) - observations * log_scale

        return blackjax.additive_step_random_walk(log_posterior, blackjax.mcmc.random_walk.normal(0.7 * ONE))

    return blackjax_kernel(algorithm, position={"log_scale": jnp.zeros(()), "mean": jnp.zeros(())})


def simulated(theta, seed):
    noise = np.random.default_rng(seed).standard_normal((len(theta), 4))
    return {"y": theta[:, 1:] + np.exp(theta[:, :1]) * noise}


def likelihood(theta, data):
    return -0.5 * (((data["y"] - theta[:, 1:]) * np.exp(-theta[:, :1])) ** 2).sum(1) - 4 * theta[:, 0]


JOINT = ex.JointLaw(
    lambda n, seed: np.random.default_rng(seed).standard_normal((n, 2)),
    simulated,
    quantities={"log-likelihood": likelihood},
    steps=5,
)


@pytest.mark.statistical
@pytest.mark.parametrize(("observations", "verdict"), [(4, "certified"), (2, "refuted")])
def test_a_posterior_of_data_that_a_dict_holds(observations, verdict, seed):
    """Fails by chance at most once in a million runs. Two observations are left out in the wrong one."""
    judged = ex.certify(JOINT.moved_by(joint(observations)), JOINT, plan=PLAN, batteries=MOVES, seed=seed)
    assert judged.verdict.value == verdict, judged.reasons


def test_a_pair_of_functions_is_an_algorithm_and_every_row_has_its_own_noise(monkeypatch):
    monkeypatch.setattr(blackjax_kernels, "_MOST", 1024)
    pair = (lambda x: x, lambda key, x: (x + jax.random.normal(key, (2,)), None))
    kernel = blackjax_kernel(pair, read=lambda state, key: state)
    x = np.zeros((70, 2))
    moved = kernel(x, 3)
    assert moved.shape == (70, 2)
    assert len(np.unique(moved)) == 140
    np.testing.assert_array_equal(moved, kernel(x, 3))
    assert not np.any(moved == kernel(x, 4))
    # Rows beyond the largest part get other noise, and none is lost.
    assert len(np.unique(kernel(np.zeros((1100, 2)), 3), axis=0)) == 1100


def test_what_is_no_kernel_is_explained():
    adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
    x = np.zeros((3, 2))
    sgld = blackjax_kernel(blackjax.sgld(lambda position, batch: position))
    cases = {
        "no kernel: a kernel that adapts keeps no law": lambda: blackjax_kernel(adaptation),
        "with its log-density and parameters": lambda: blackjax_kernel(blackjax.nuts),
        "give a blackjax algorithm": lambda: blackjax_kernel(3),
        "read must be a function": lambda: blackjax_kernel(KERNELS["MALA"](), read="position"),
        "steps must be an integer": lambda: blackjax_kernel(KERNELS["MALA"](), steps=0),
        "nothing else": lambda: sgld(x, 0),
        "for a JointLaw give a function": lambda: blackjax_kernel(KERNELS["MALA"]())(x, x, 0),
        "so its law is a JointLaw": lambda: joint(4)(x, 0),
        "the example position has 2 numbers": lambda: joint(4)(np.zeros((3, 5)), {"y": np.zeros((3, 4))}, 0),
        "the log-density returns one number": lambda: blackjax_kernel(blackjax.mala(lambda x: x, 0.1))(x, 0),
        "the position after the move": lambda: blackjax_kernel(KERNELS["MALA"](), read=lambda state, key: state.position[:1])(x, 0),
    }
    for message, case in cases.items():
        with pytest.raises(ex.BadInput, match=message):
            case()


def test_nan_is_an_invalid_sample():
    broken = blackjax_kernel((lambda x: x, lambda key, x: (x * jnp.nan, None)), read=lambda state, key: state)
    judged = ex.certify(LAW.moved_by(broken), LAW, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "NaN" in judged.reasons[0]
