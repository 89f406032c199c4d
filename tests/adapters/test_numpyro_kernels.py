"""Kernels of numpyro that are right, wrong by one line of the model, stuck, or called in a way that makes no sense.

Alpha is 1e-6 for each certificate. JAX takes seconds to compile a kernel, so a compiled one is used by several tests, and tests
that need another one are slow. `python -m studies.kernels` judges all kernels on larger models.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import exactness as ex
from exactness.adapters import from_numpyro_model, numpyro_kernel
from tests.conftest import module_or_skip

numpyro = module_or_skip("numpyro")
dist = module_or_skip("numpyro.distributions")
infer = module_or_skip("numpyro.infer")
jnp = module_or_skip("jax.numpy")

SIGMA = np.array([1.5, 1.0, 0.8])
FROZEN = {"adapt_step_size": False, "adapt_mass_matrix": False}


def schools(sigma, y=None, *, forgotten=False, reversed_data=False):
    """A small version of eight schools, and two ways of getting it wrong."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    tau = numpyro.sample("tau", dist.LogNormal(0.0, 0.5))
    with numpyro.plate("school", len(sigma)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta[::-1] if reversed_data else theta, sigma), obs=y)
    if forgotten:
        # This undoes the logarithm of the Jacobian, as if the density in the unconstrained space were that of tau.
        numpyro.factor("jacobian", -jnp.log(tau))


def hmc(model, steps=3):
    return infer.HMC(model, step_size=0.3, num_steps=steps, trajectory_length=None, **FROZEN)


# The law and the sampler of a right kernel, which are compiled once.
LAW = functools.cache(lambda **settings: from_numpyro_model(schools, SIGMA, observed="y", **settings))


RIGHT = functools.cache(lambda: LAW().moved_by(numpyro_kernel(hmc(schools))))


def judged(law, kernel, most=4_000):
    return ex.certify(law.moved_by(numpyro_kernel(kernel)), law, plan=ex.Plan(tolerance=0.1, max_paths=most))


@pytest.mark.slow
def test_a_right_kernel_is_certified_and_the_law_names_its_parameters():
    found = ex.certify(RIGHT(), LAW(), plan=ex.Plan(tolerance=0.1))
    assert found.verdict is ex.Verdict.CERTIFIED
    assert LAW().coordinates == ["mu", "tau", "theta[0]", "theta[1]", "theta[2]"]
    assert LAW().quantity_names == ["log joint", "log likelihood"]
    assert found.law["model"] == "schools"


@pytest.mark.slow
def test_a_kernel_that_gets_its_data_in_reverse_is_refuted():
    wrong = LAW().moved_by(lambda theta, data, seed: RIGHT().kernel(theta, {"y": data["y"][:, ::-1]}, seed))
    assert ex.certify(wrong, LAW(), plan=ex.Plan(tolerance=0.1)).verdict is ex.Verdict.REFUTED


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["forgotten", "reversed_data"])
def test_a_wrong_model_is_refuted(fault):
    wrong = functools.partial(schools, **{fault: True})
    assert judged(LAW(), hmc(wrong)).verdict is ex.Verdict.REFUTED


def test_densities_are_those_of_the_model():
    from scipy import stats

    law = LAW()
    theta, (data,) = law.starts(300, 0)
    mu, tau, effects = theta[:, 0], theta[:, 1], theta[:, 2:]
    likelihood = stats.norm.logpdf(data["y"], effects, SIGMA).sum(1)
    joint = likelihood + stats.norm.logpdf(mu) + stats.lognorm.logpdf(tau, 0.5)
    joint += stats.norm.logpdf(effects, mu[:, None], tau[:, None]).sum(1)
    np.testing.assert_allclose(law.log_joint(theta, data), joint, atol=2e-4)
    np.testing.assert_allclose(law.log_likelihood(theta, data), likelihood, atol=2e-4)


def test_rows_do_not_depend_on_how_many_there_are_and_have_noise_of_their_own():
    law = LAW()
    theta, _ = law.starts(20, 3)
    again, _ = law.starts(20, 3)
    np.testing.assert_array_equal(theta, again)
    same = np.repeat(theta[:1], 20, axis=0)
    assert len(np.unique(law.simulate(same, 5)["y"], axis=0)) == 20
    assert not np.array_equal(law.starts(20, 4)[0], theta)


def discrete(low, high):
    """numpyro#1834 is about low > 0."""

    def model(y=None):
        c = numpyro.sample("c", dist.DiscreteUniform(low, high))
        x = numpyro.sample("x", dist.Normal(c, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    return model


def categorical(y=None):
    """The same as ``discrete(2, 4)``."""
    c = numpyro.sample("c", dist.Categorical(jnp.ones(3) / 3))
    x = numpyro.sample("x", dist.Normal(c + 2.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def gibbs(model):
    return infer.DiscreteHMCGibbs(infer.HMC(model, step_size=0.7, num_steps=3, trajectory_length=None, **FROZEN))


def mixed(model):
    return infer.MixedHMC(infer.HMC(model, step_size=0.7, trajectory_length=2.1, **FROZEN))


def test_the_discrete_kernel_of_numpyro_is_refuted_on_a_support_that_does_not_begin_at_zero():
    model = discrete(1, 3)
    law = from_numpyro_model(model, observed="y", reversible=False)
    found = judged(law, mixed(model))
    assert found.verdict is ex.Verdict.REFUTED
    assert found.paths <= 2_000


@pytest.mark.slow
def test_where_a_parameter_never_moves_the_certificate_says_so():
    """On {2, 3, 4} the kernel keeps the law, because c stays where it is. x moves."""
    model = discrete(2, 4)
    found = judged(from_numpyro_model(model, observed="y", reversible=False), gibbs(model), most=10_000)
    assert found.verdict is ex.Verdict.INCONCLUSIVE
    assert "moved 0.00 of c: " in found.reasons[0]
    assert any(reason.startswith("moved 0.00 of c; moved 1.00 of") for reason in found.reasons)


@pytest.mark.slow
def test_the_same_model_with_a_support_that_begins_at_zero_is_right():
    found = judged(from_numpyro_model(categorical, observed="y", reversible=False), gibbs(categorical), most=10_000)
    assert found.verdict is ex.Verdict.CERTIFIED


@pytest.mark.slow
def test_an_ensemble_keeps_the_law_of_the_whole_ensemble():
    copies = ex.laws.Copies(ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0]), 6)
    law = ex.KernelInvariance(copies, reversible=False)
    found = {}
    for variance in (1.0, 0.5):
        kernel = infer.AIES(potential_fn=lambda x, v=variance: 0.5 * jnp.sum(x**2) / v, moves={infer.AIES.StretchMove(): 1.0})
        plan = ex.Plan(tolerance=0.2, max_paths=4_000)
        found[variance] = ex.certify(law.moved_by(numpyro_kernel(kernel, ensemble=6)), law, plan=plan).verdict.value
    assert found == {1.0: "certified", 0.5: "refuted"}


def test_several_sites_hold_data_and_a_site_is_conditioned_where_the_model_has_no_argument():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        with numpyro.plate("repeats", 2):
            numpyro.sample("first", dist.Normal(x, 1.0))
        numpyro.sample("second", dist.Normal(x, 1.0))

    law = from_numpyro_model(model, observed=["first", "second"], quantities={})
    assert law.describe()["data"] == {"first": [2], "second": []}

    def conjugate(theta, data, seed, seen=1):
        total, count = data["first"].sum(1) + seen * data["second"], 3 + seen
        return (total / count + np.random.default_rng(seed).standard_normal(len(theta)) / count**0.5)[:, None]

    plan = ex.Plan(tolerance=0.1)
    assert ex.certify(law.moved_by(conjugate), law, plan=plan).verdict is ex.Verdict.CERTIFIED
    forgets = law.moved_by(lambda theta, data, seed: conjugate(theta, data, seed, 0))
    assert ex.certify(forgets, law, plan=plan).verdict is ex.Verdict.REFUTED


def improper(y=None):
    x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def factored(y=None):
    x = numpyro.sample("x", dist.Normal())
    numpyro.factor("prior", -(x**2))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def masked(y=None):
    x = numpyro.sample("x", dist.Normal())
    numpyro.sample("y", dist.Normal(x, 1.0).mask(False), obs=y)


def of_any_length(y=None):
    n = numpyro.sample("n", dist.Poisson(3.0))
    numpyro.sample("y", dist.Normal(jnp.zeros(int(n) + 1), 1.0).to_event(1), obs=y)


@pytest.mark.parametrize(
    ("model", "observed", "said"),
    [
        (categorical, None, r"observed= must name the sites of categorical that hold data; it has 'c', 'x', 'y'"),
        (categorical, "Y", r"no site 'Y': observed= must name some of 'c', 'x', 'y'"),
        (categorical, ["y", "z"], r"no site 'z'"),
        (categorical, ["c", "x", "y"], "all sites"),
        (improper, "y", "'x' of improper has an improper prior.*give it a proper one"),
        (factored, "y", r"'prior' of factored is observed.*numpyro\.factor has no distribution"),
        (masked, "y", "'y' of masked is masked"),
        (of_any_length, "y", "give every site a fixed shape"),
        (lambda sigma, y=None: None, "y", "raised TypeError.*missing"),
        ("model", "y", "must be a function"),
    ],
)
def test_models_that_cannot_be_judged_are_refused_with_a_reason(model, observed, said):
    with pytest.raises(ex.BadInput, match=said):
        from_numpyro_model(model, observed=observed).starts(2, 0)


def test_a_model_that_is_given_its_data_is_refused_with_a_reason():
    with pytest.raises(ex.BadInput, match=r"'y' of categorical is given data already.*leave its argument out"):
        from_numpyro_model(categorical, 3.5, observed="y")


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (infer.NUTS(categorical), "NUTS adapts.*adapt_mass_matrix=False.*adapt_step_size=False"),
        (
            infer.DiscreteHMCGibbs(infer.NUTS(categorical, adapt_step_size=False)),
            "DiscreteHMCGibbs adapts.*adapt_mass_matrix=False",
        ),
        (infer.ESS(categorical), "ESS adapts.*tune_mu=False"),
        (infer.AIES(categorical), r"AIES moves an ensemble.*ensemble=m.*Copies"),
        (infer.SA(categorical), "SA moves an ensemble"),
        (categorical, r"needs a kernel of numpyro\.infer, such as NUTS\(model\); got function"),
    ],
)
def test_kernels_that_keep_no_law_of_one_state_are_refused(kernel, said):
    with pytest.raises(ex.BadInput, match=said):
        numpyro_kernel(kernel)


def test_kernels_that_do_not_fit_the_law_are_refused():
    law = from_numpyro_model(categorical, observed="y")
    at, data = np.zeros((2, 2)), {"y": np.zeros(2)}
    with pytest.raises(ex.BadInput, match="not reversible: say so with"):
        law.moved_by(numpyro_kernel(gibbs(categorical)))
    with pytest.raises(ex.BadInput, match=r"sums out discrete sites.*'c'.*DiscreteHMCGibbs"):
        law.moved_by(numpyro_kernel(hmc(categorical))).kernel(at, data, 0)
    with pytest.raises(ex.BadInput, match=r"latent sites .*they must be the same"):
        law.moved_by(numpyro_kernel(hmc(schools), SIGMA))
    with pytest.raises(ex.BadInput, match="an ensemble, which must start at several"):
        law.moved_by(numpyro_kernel(infer.SA(categorical), ensemble=4))
    with pytest.raises(ex.BadInput, match="potential_fn, which knows no data"):
        law.moved_by(numpyro_kernel(infer.HMC(potential_fn=jnp.sum, **FROZEN)))


def test_a_kernel_whose_model_ignores_its_data_is_told():
    def forgetful(sigma, y=None):
        schools(sigma)

    with pytest.raises(ex.BadInput, match="does not observe 'y', although it is given data"):
        LAW().moved_by(numpyro_kernel(hmc(forgetful))).kernel(np.ones((2, 5)), {"y": np.ones((2, 3))}, 0)


@pytest.mark.parametrize("fault", ["equal keys", "NaN"])
def test_a_users_own_kernel_with_equal_keys_or_nan(fault):
    law = LAW()

    def kernel(theta, data, seed):
        if fault == "NaN":
            return np.full_like(theta, np.nan)
        # Every chain takes the same step, which is accepted by the same coin.
        rng = np.random.default_rng(seed)
        proposal = theta + 0.3 * rng.standard_normal((1, 5))
        ratio = law.log_joint(np.maximum(proposal, [-99, 1e-3, -99, -99, -99]), data) - law.log_joint(theta, data)
        accepted = (np.log(rng.random()) < ratio) & (proposal[:, 1] > 1e-3)
        return np.where(accepted[:, None], proposal, theta)

    found = ex.certify(law.moved_by(kernel), law, plan=ex.Plan(tolerance=0.1, max_paths=2_000))
    if fault == "NaN":
        assert found.verdict is ex.Verdict.INVALID
        assert "mu after the move" in found.reasons[0]
    else:
        assert found.verdict is ex.Verdict.REFUTED
