"""Distributions of scipy, torch and numpyro become laws, and their own draws are certified against them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.adapters import from_numpyro, from_scipy, from_torch, sample_numpyro, sample_scipy, sample_torch
from tests.conftest import module_or_skip
from tests.registry import another, quiet_plan

PLAN = quiet_plan(tolerance=0.15, first_paths=4_000, max_paths=4_000)
PROBS, LOCS, SCALES = np.array([0.3, 0.7]), np.array([[2.0, 0.5], [-1.0, 0.0]]), np.array([[0.3, 0.5], [0.4, 0.6]])
ROOTS = np.array([[[0.5, 0.0], [0.2, 0.3]], [[0.4, 0.0], [-0.3, 0.5]]])
MIXTURE = ex.GaussianMixture(PROBS, LOCS, SCALES**2)
FULL = ex.GaussianMixture(PROBS, LOCS, ROOTS @ ROOTS.transpose(0, 2, 1))
LINE = ex.GaussianMixture(PROBS, LOCS[:, :1], SCALES[:, :1] ** 2)


def of_scipy(name):
    if name == "mixture" and not hasattr(stats, "Mixture"):
        pytest.skip("scipy before 1.15 has no Mixture")
    return {
        "normal": lambda: (stats.norm(2.0, 0.3), ex.GaussianMixture([1.0], [[2.0]], [0.09])),
        "multivariate": lambda: (stats.multivariate_normal(LOCS[0], FULL.covariances[0]), _first(FULL)),
        "mixture": lambda: (stats.Mixture([stats.Normal(mu=m, sigma=s) for m, s in _line()], weights=PROBS), LINE),
        "gamma": lambda: (stats.gamma(2.0, scale=3.0), None),
        "beta": lambda: (stats.beta(0.5, 2.0), None),
        "heavy": lambda: (stats.cauchy(), None),
        "uniform of 1.15": lambda: (stats.Uniform(a=-1.0, b=2.0), None),
        "histogram": lambda: (stats.rv_histogram((np.array([1, 3, 2]), np.array([0.0, 1.0, 2.0, 4.0])), density=False), None),
    }[name]()


def of_torch(name):
    torch = module_or_skip("torch")
    d, t = torch.distributions, torch.as_tensor
    mixing = d.Categorical(t(PROBS))
    return {
        "normal": lambda: (d.Normal(2.0, 0.3), ex.GaussianMixture([1.0], [[2.0]], [0.09])),
        "multivariate": lambda: (d.MultivariateNormal(t(LOCS[0]), scale_tril=t(ROOTS[0])), _first(FULL)),
        "independent": lambda: (d.Independent(d.Normal(t(LOCS[0]), t(SCALES[0])), 1), _first(MIXTURE)),
        "line": lambda: (d.MixtureSameFamily(mixing, d.Normal(t(LOCS[:, 0]), t(SCALES[:, 0]))), LINE),
        "mixture": lambda: (d.MixtureSameFamily(mixing, d.Independent(d.Normal(t(LOCS), t(SCALES)), 1)), MIXTURE),
        "full": lambda: (d.MixtureSameFamily(mixing, d.MultivariateNormal(t(LOCS), scale_tril=t(ROOTS))), FULL),
        "exponential": lambda: (d.Exponential(2.0), None),
        "gammas": lambda: (d.MixtureSameFamily(mixing, d.Gamma(t([2.0, 9.0]), t([1.0, 1.0]))), None),
        "one in a batch": lambda: (d.Laplace(torch.zeros(1), torch.ones(1)), None),
    }[name]()


def of_numpyro(name):
    d = module_or_skip("numpyro.distributions")
    np32 = module_or_skip("jax.numpy").asarray
    mixing = d.Categorical(probs=np32(PROBS))
    return {
        "normal": lambda: (d.Normal(2.0, 0.3), ex.GaussianMixture([1.0], [[2.0]], [0.09])),
        "multivariate": lambda: (d.MultivariateNormal(np32(LOCS[0]), scale_tril=np32(ROOTS[0])), _first(FULL)),
        "expanded": lambda: (d.Normal(2.0, 0.3).expand([2]).to_event(1), ex.GaussianMixture([1.0], [[2.0, 2.0]], [0.09])),
        "line": lambda: (d.MixtureSameFamily(mixing, d.Normal(np32(LOCS[:, 0]), np32(SCALES[:, 0]))), LINE),
        "mixture": lambda: (d.MixtureSameFamily(mixing, d.Normal(np32(LOCS), np32(SCALES)).to_event(1)), MIXTURE),
        "full": lambda: (d.MixtureSameFamily(mixing, d.MultivariateNormal(np32(LOCS), scale_tril=np32(ROOTS))), FULL),
        "exponential": lambda: (d.Exponential(2.0), None),
        "gumbel": lambda: (d.Gumbel(0.0, 1.0), None),
    }[name]()


def _line():
    return zip(LOCS[:, 0], SCALES[:, 0], strict=True)


def _first(mixture):
    return ex.GaussianMixture([1.0], mixture.means[:1], mixture.covariances[:1])


def as_numpy(sample, unless=False):
    """JAX compiles every operation of a battery for every batch; one distribution each is judged where it lives."""
    return sample if unless else lambda n, s: np.asarray(sample(n, s))


LIBRARIES = {
    "scipy": (
        of_scipy, from_scipy, sample_scipy,
        ("normal", "multivariate", "mixture", "gamma", "beta", "heavy", "uniform of 1.15", "histogram"),
    ),
    "torch": (
        of_torch, from_torch, sample_torch,
        ("normal", "multivariate", "independent", "line", "mixture", "full", "exponential", "gammas", "one in a batch"),
    ),
    "numpyro": (
        of_numpyro, from_numpyro, sample_numpyro,
        ("normal", "multivariate", "expanded", "line", "mixture", "full", "exponential", "gumbel"),
    ),
}  # fmt: skip
CASES = [(library, name) for library, (*_, names) in LIBRARIES.items() for name in names]


@pytest.mark.parametrize(("library", "name"), CASES, ids=["-".join(c) for c in CASES])
def test_a_distributions_own_draws_are_certified_and_shifted_ones_refuted(library, name, seed):
    """False alarms: 2e-6 each (alpha 1e-6, and the bounds fail to be within 0.15 far more rarely). Shift: a third of a spread."""
    make, law_of, sampler_of, _ = LIBRARIES[library]
    distribution, expected = make(name)
    law, sample = law_of(distribution), as_numpy(sampler_of(distribution), unless=name == "exponential")
    if expected is None:
        assert isinstance(law, ex.UnivariateLaw)
    else:
        for part in ("weights", "means"):
            np.testing.assert_allclose(getattr(law, part), getattr(expected, part), rtol=1e-6)
        np.testing.assert_allclose(law.full_covariances(), expected.full_covariances(), rtol=1e-5, atol=1e-7)
    right = ex.certify(sample, law, plan=PLAN, seed=seed)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert right.reproducible
    some = np.asarray(sample(1_000, 0), dtype=np.float64)
    shift = 0.3 * (np.quantile(some, 0.84) - np.quantile(some, 0.16)) / 2
    assert ex.certify(lambda n, s: sample(n, s) + shift, law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


def test_torchs_global_generator_is_left_as_it_was():
    torch = module_or_skip("torch")
    before = torch.random.get_rng_state()
    from_torch(torch.distributions.Exponential(1.0))
    sample_torch(torch.distributions.Dirichlet(torch.ones(3)))(5, 3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_draws_outside_the_support_refute_and_do_not_crash():
    """Libraries raise there, or return anything: half of a normal's draws are negative."""
    torch = module_or_skip("torch")
    laws = (from_torch(torch.distributions.Exponential(1.0)), from_scipy(stats.expon()))
    for law in laws:
        judged = ex.certify(lambda n, s: np.random.default_rng(s).standard_normal((n, 1)), law, plan=PLAN)
        assert judged.verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stats.norm([0.0, 1.0], 1.0), "an array of distributions"),
        (lambda: stats.multivariate_normal([0.0, 1.0], [[1.0, 0.0], [0.0, 0.0]], allow_singular=True), "positive definite"),
        (lambda: "normal", "no cdf and support"),
        (lambda: stats.gamma, r"gamma has parameters, a: give a frozen one, stats\.gamma\(a\) with numbers"),
        (lambda: stats.norm(0, -1), "norm has no support with the parameters 0, -1: they are out of range"),
        (lambda: stats.gamma(2.0, scale=-3), "gamma has no support with the parameters 2.0, scale=-3"),
    ],
)
def test_what_scipy_cannot_give_is_said(make, message):
    with pytest.raises(ex.BadInput, match=message):
        from_scipy(make())


def test_batches_and_strangers_are_refused():
    torch = module_or_skip("torch")
    with pytest.raises(ex.BadInput, match=r"a batch of 3 distributions, batch_shape \(3,\)"):
        from_torch(torch.distributions.Normal(torch.zeros(3), 1.0))
    with pytest.raises(ex.BadInput, match=r"must be a distribution of torch\.distributions; got rv_continuous_frozen"):
        from_torch(stats.norm())
    with pytest.raises(ex.BadInput, match="draws in bfloat16 are too coarse"):
        from_torch(torch.distributions.Normal(torch.zeros((), dtype=torch.bfloat16), 1.0))


def test_a_batch_of_numpyro_is_joined_as_numpyro_does():
    dist = module_or_skip("numpyro.distributions")
    with pytest.raises(ex.BadInput, match=r"write \.to_event\(1\)"):
        from_numpyro(dist.Normal(np.zeros(3), 1.0))


def test_draws_without_numbers_are_refused():
    nothing = lambda n, seed: np.zeros((n, 0))  # noqa: E731
    with pytest.raises(ex.BadInput, match=r"draws of shape \(0,\) hold no numbers"):
        ex.compare(another(nothing), nothing)


@pytest.mark.parametrize(
    ("cdf", "message"),
    [
        (lambda t: np.where(t < 0, 0.0, 1.0), "jumps at"),
        (lambda t: 0.5 + 0.0 * t, "does not rise from 0 to 1"),
        (lambda t: t, "probabilities in"),
        (lambda t: 0.5, "probabilities in"),
        (lambda t: 1 / 0, "raised ZeroDivisionError"),
        (3, "must be a function"),
    ],
)
def test_what_is_no_distribution_function_is_said(cdf, message):
    with pytest.raises(ex.BadInput, match=message):
        ex.UnivariateLaw(cdf)


def test_a_univariate_law_is_known_by_its_quantiles_and_makes_products():
    """Judged as a product: the joint direction of two independent exponentials. False alarms: 1e-6."""
    law, wide = (ex.UnivariateLaw(stats.expon(scale=s).cdf, support=(0.0, np.inf)) for s in (1.0, 1.001))
    np.testing.assert_allclose(law.deciles, stats.expon.ppf(np.arange(1, 10) / 10), rtol=1e-12)
    assert law.describe() != wide.describe()
    product = ex.ProductLaw([law, law])
    judged = ex.certify(lambda n, s: np.random.default_rng(s).exponential(size=(n, 2)), product, plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED
    with pytest.raises(ex.BadInput, match="lower one first"):
        ex.UnivariateLaw(stats.expon.cdf, support=(1.0, 0.0))
