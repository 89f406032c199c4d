"""Every distribution of torch and numpyro: how its law is known, that it is the law of ``log_prob``, and which need draws.

No law comes from the draws of its own object. So a right sampler and a wrong one can be told apart.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.adapters import from_numpyro, from_scipy, from_torch, sample_numpyro, sample_scipy, sample_torch
from tests.conftest import module_or_skip
from tests.registry import quiet_plan
from tests.uniforms import ALPHA, smallest_p

SCALE = np.array([[2.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 0.7]])
MIXTURE, LINE, DENSITY, CONDITIONAL, MASSES = "GaussianMixture", "UnivariateLaw", "DensityLaw", "RosenblattLaw", "DiscreteLaw"
PRODUCT, DRAWS = "ProductLaw", "only draws"

# Name: how the law is known, and an example as a function of the module and its arrays.
TORCH = {
    "Bernoulli": (MASSES, lambda d, t: d.Bernoulli(0.3)),
    "Beta": (LINE, lambda d, t: d.Beta(2.0, 3.0)),
    "Binomial": (MASSES, lambda d, t: d.Binomial(10, t(0.3))),
    "Categorical": (MASSES, lambda d, t: d.Categorical(t([0.2, 0.3, 0.5]))),
    "Cauchy": (LINE, lambda d, t: d.Cauchy(0.0, 1.0)),
    "Chi2": (LINE, lambda d, t: d.Chi2(3.0)),
    "ContinuousBernoulli": (LINE, lambda d, t: d.ContinuousBernoulli(t(0.3))),
    "Dirichlet": (CONDITIONAL, lambda d, t: d.Dirichlet(t([0.5, 1.0, 2.0]))),
    "Exponential": (LINE, lambda d, t: d.Exponential(2.0)),
    "FisherSnedecor": (LINE, lambda d, t: d.FisherSnedecor(3.0, 4.0)),
    "Gamma": (LINE, lambda d, t: d.Gamma(2.0, 3.0)),
    "GeneralizedPareto": (LINE, lambda d, t: d.GeneralizedPareto(0.0, 1.0, 0.3)),
    "Geometric": (MASSES, lambda d, t: d.Geometric(0.3)),
    "Gumbel": (LINE, lambda d, t: d.Gumbel(0.0, 1.0)),
    "HalfCauchy": (LINE, lambda d, t: d.HalfCauchy(2.0)),
    "HalfNormal": (LINE, lambda d, t: d.HalfNormal(2.0)),
    "Independent": (PRODUCT, lambda d, t: d.Independent(d.Gamma(t([1.0, 2.0]), t([3.0, 1.0])), 1)),
    "InverseGamma": (LINE, lambda d, t: d.InverseGamma(t(3.0), t(2.0))),
    "Kumaraswamy": (LINE, lambda d, t: d.Kumaraswamy(t(2.0), t(3.0))),
    "LKJCholesky": (CONDITIONAL, lambda d, t: d.LKJCholesky(2, 1.5)),
    "Laplace": (LINE, lambda d, t: d.Laplace(1.0, 2.0)),
    "LogNormal": (LINE, lambda d, t: d.LogNormal(1.0, 0.5)),
    "LogisticNormal": (CONDITIONAL, lambda d, t: d.LogisticNormal(t([0.0, 1.0]), t([1.0, 0.5]))),
    "LowRankMultivariateNormal": (
        MIXTURE, lambda d, t: d.LowRankMultivariateNormal(t([0.0, 1.0]), t([[1.0], [0.5]]), t([1.0, 0.2])),
    ),
    "MixtureSameFamily": (
        LINE, lambda d, t: d.MixtureSameFamily(d.Categorical(t([0.3, 0.7])), d.Gamma(t([2.0, 9.0]), t([1.0, 1.0]))),
    ),
    "Multinomial": (MASSES, lambda d, t: d.Multinomial(5, t([0.2, 0.8]))),
    "MultivariateNormal": (MIXTURE, lambda d, t: d.MultivariateNormal(t([0.0, 1.0, 2.0]), t(SCALE.astype("float32")))),
    "NegativeBinomial": (MASSES, lambda d, t: d.NegativeBinomial(3.0, t(0.3))),
    "Normal": (MIXTURE, lambda d, t: d.Normal(0.0, 1.0)),
    "OneHotCategorical": (MASSES, lambda d, t: d.OneHotCategorical(t([0.2, 0.8]))),
    "OneHotCategoricalStraightThrough": (MASSES, lambda d, t: d.OneHotCategoricalStraightThrough(t([0.2, 0.8]))),
    "Pareto": (LINE, lambda d, t: d.Pareto(1.0, 3.0)),
    "Poisson": (MASSES, lambda d, t: d.Poisson(3.0)),
    "RelaxedBernoulli": (LINE, lambda d, t: d.RelaxedBernoulli(t(1.0), t(0.3))),
    "RelaxedOneHotCategorical": (CONDITIONAL, lambda d, t: d.RelaxedOneHotCategorical(t(1.0), t([0.2, 0.3, 0.5]))),
    "StudentT": (LINE, lambda d, t: d.StudentT(3.0, 1.0, 2.0)),
    "TransformedDistribution": (
        LINE, lambda d, t: d.TransformedDistribution(d.Gamma(2.0, 1.0), [d.AffineTransform(1.0, -2.0)]),
    ),
    "Uniform": (LINE, lambda d, t: d.Uniform(1.0, 3.0)),
    "VonMises": (LINE, lambda d, t: d.VonMises(t(2.5), t(3.0))),
    "Weibull": (LINE, lambda d, t: d.Weibull(2.0, 0.7)),
    "Wishart": (CONDITIONAL, lambda d, t: d.Wishart(t(5.0), t(SCALE.astype("float32")))),
}  # fmt: skip
# The bases of others.
ABSTRACT = {"Distribution", "ExponentialFamily"}


def names_of(module):
    return {n for n, kind in vars(module).items() if inspect.isclass(kind) and issubclass(kind, module.Distribution)} - ABSTRACT


def judge(law, draws):
    return smallest_p(law, law.accept(np.asarray(draws), len(draws)))


def test_the_table_names_every_distribution_of_torch():
    assert names_of(module_or_skip("torch.distributions")) <= set(TORCH)


@pytest.mark.parametrize("name", TORCH)
def test_the_law_of_a_distribution_of_torch_is_that_of_its_draws(name, seed):
    """Draws in single precision, as they are. False alarms: 1e-7. Discrete ones are certified in test_discrete.py."""
    torch = module_or_skip("torch")
    kind, make = TORCH[name]
    if name not in vars(torch.distributions):
        pytest.skip("this version of torch does not have it")
    distribution = make(torch.distributions, torch.as_tensor)
    law = from_torch(distribution)
    assert law.describe()["kind"] == kind
    if kind != MASSES:
        assert judge(law, sample_torch(distribution)(2_000, seed)) > ALPHA


NUMPYRO = {
    "BetaProportion": (LINE, lambda d, a: d.BetaProportion(0.3, 5.0)),
    "CAR": (MIXTURE, lambda d, a: d.CAR(a([0.0, 1.0, 2.0]), 0.3, 2.0, a([[0, 1, 0.0], [1, 0, 1], [0, 1, 0]]))),
    "CirculantNormal": (MIXTURE, lambda d, a: d.CirculantNormal(a([0.0, 1.0, 2.0]), a([2.0, 0.5, 0.5]))),
    "DoublyTruncatedPowerLaw": (DENSITY, lambda d, a: d.DoublyTruncatedPowerLaw(-2.0, 1.0, 5.0)),
    "EulerMaruyama": (
        CONDITIONAL, lambda d, a: d.EulerMaruyama(a([0.0, 0.1, 0.3]), lambda x, s: (-x, 1.0 + 0.1 * x**2), d.Normal(0.0, 1.0)),
    ),
    "ExpandedDistribution": (PRODUCT, lambda d, a: d.Gamma(2.0, 3.0).expand([2]).to_event(1)),
    "FoldedDistribution": (DENSITY, lambda d, a: d.FoldedDistribution(d.Normal(1.0, 1.0))),
    "GaussianRandomWalk": (MIXTURE, lambda d, a: d.GaussianRandomWalk(0.5, 4)),
    "GaussianStateSpace": (
        MIXTURE, lambda d, a: d.GaussianStateSpace(3, a([[0.5, 0.2], [0, 0.9]]), covariance_matrix=a([[1.0, 0.2], [0.2, 0.5]])),
    ),
    "Gompertz": (LINE, lambda d, a: d.Gompertz(1.5, 0.7)),
    "HurdleGamma": (DRAWS, lambda d, a: d.HurdleGamma(0.3, 2.0, 1.0)),
    "InverseWishart": (CONDITIONAL, lambda d, a: d.InverseWishart(5.0, a(SCALE))),
    "InverseWishartCholesky": (CONDITIONAL, lambda d, a: d.InverseWishartCholesky(5.0, a(SCALE))),
    "LKJ": (CONDITIONAL, lambda d, a: d.LKJ(3, 1.5)),
    "LKJCholesky": (CONDITIONAL, lambda d, a: d.LKJCholesky(3, 1.5)),
    "MaskedDistribution": (LINE, lambda d, a: d.Gamma(2.0, 1.0).mask(True)),
    "MatrixNormal": (
        MIXTURE, lambda d, a: d.MatrixNormal(np.zeros((2, 2)), a([[1.0, 0.0], [0.3, 0.5]]), a([[2.0, 0.0], [0.1, 1.0]])),
    ),
    "MixtureGeneral": (
        LINE, lambda d, a: d.MixtureGeneral(d.Categorical(a([0.3, 0.7])), [d.Normal(0.0, 1.0), d.StudentT(3.0, 1.0, 0.5)]),
    ),
    "MultivariateStudentT": (
        CONDITIONAL, lambda d, a: d.MultivariateStudentT(3.0, a([0.0, 1.0, 2.0]), a(np.linalg.cholesky(SCALE))),
    ),
    "ProjectedNormal": (CONDITIONAL, lambda d, a: d.ProjectedNormal(a([1.0, 2.0, -1.0]))),
    "RelaxedBernoulliLogits": (LINE, lambda d, a: d.RelaxedBernoulliLogits(a(1.0), a(0.3))),
    "SineBivariateVonMises": (CONDITIONAL, lambda d, a: d.SineBivariateVonMises(0.5, -2.0, 2.0, 3.0, correlation=1.0)),
    "SineSkewed": (DENSITY, lambda d, a: d.SineSkewed(d.VonMises(0.0, 2.0).expand([1]).to_event(1), a([0.5]))),
    "TransformedDistribution": (
        LINE, lambda d, a: d.TransformedDistribution(d.Gamma(2.0, 1.0), d.transforms.AffineTransform(1.0, -2.0)),
    ),
    "TruncatedPolyaGamma": (DENSITY, lambda d, a: d.TruncatedPolyaGamma()),
    "TwoSidedTruncatedDistribution": (DENSITY, lambda d, a: d.TruncatedNormal(0.0, 1.0, low=-1.0, high=0.5)),
    "Unit": (DRAWS, lambda d, a: d.Unit(0.0)),
    "WishartCholesky": (CONDITIONAL, lambda d, a: d.WishartCholesky(5.0, a(SCALE))),
    "ZeroSumNormal": (CONDITIONAL, lambda d, a: d.ZeroSumNormal(1.5, (3, 2))),
}  # fmt: skip
# JAX compiles each sampler for a second or more; these few stand for the others on every change.
QUICK = {"Gompertz", "ZeroSumNormal", "TwoSidedTruncatedDistribution"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NUMPYRO])
def test_the_law_of_a_distribution_of_numpyro_is_that_of_its_draws(name, seed):
    """False alarms: 1e-7."""
    numpyro, jnp = module_or_skip("numpyro.distributions"), module_or_skip("jax.numpy")
    kind, make = NUMPYRO[name]
    distribution = make(numpyro, jnp.asarray)
    if kind == DRAWS:
        with pytest.raises(ex.BadInput, match=r"TrustedSampler\(sample_numpyro\(distribution\)\)"):
            from_numpyro(distribution)
        return
    law = from_numpyro(distribution)
    assert law.describe()["kind"] == kind
    assert judge(law, sample_numpyro(distribution)(2_000, seed)) > ALPHA


def test_a_wrong_sampler_beside_a_right_log_prob_is_refuted(seed):
    """A sampler that halves the concentration is refuted, known by name or by its log_prob only. Right ones: alpha 1e-6."""
    d = module_or_skip("torch").distributions

    class Wrong(d.Beta):
        """Beta(2, 3) by its density; its draws are Beta(1, 1.5)."""

        def rsample(self, shape=()):
            return d.Beta(0.5 * self.concentration1, 0.5 * self.concentration0).rsample(shape)

    plan, right, wrong = quiet_plan(tolerance=0.1, first_paths=8_000, max_paths=8_000), d.Beta(2.0, 3.0), Wrong(2.0, 3.0)
    by_name, by_density = from_torch(right), from_torch(wrong)
    assert (by_name.describe()["kind"], by_density.describe()["kind"]) == (LINE, DENSITY)
    np.testing.assert_allclose(by_name.deciles, by_density.deciles, rtol=1e-6)
    for law in (by_name, by_density):
        assert ex.certify(sample_torch(right), law, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED
        assert ex.certify(sample_torch(wrong), law, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


def test_torchs_lkj_draws_do_not_follow_its_own_density(seed):
    """Up to torch 2.13 the radius of row i follows beta(i - 1/2, ...) instead of beta(i/2, ...), which matters from 3 rows on."""
    torch = module_or_skip("torch")
    distribution = torch.distributions.LKJCholesky(3, 1.5)
    draws = np.asarray(sample_torch(distribution)(4_000, seed), dtype=np.float64).reshape(-1, 3, 3)
    # The marginal law that the density implies: each correlation r has (1 + r)/2 ~ beta(2, 2).
    implied = stats.kstest((1.0 + (draws @ draws.swapaxes(1, 2))[:, 2, 0]) / 2.0, stats.beta(2.0, 2.0).cdf).pvalue
    if implied > ALPHA:
        pytest.skip("this version of torch draws rightly")
    judged = ex.certify(sample_torch(distribution), from_torch(distribution), plan=quiet_plan(first_paths=4_000, max_paths=4_000))
    assert judged.verdict is ex.Verdict.REFUTED


def test_a_log_prob_that_is_no_density_is_refused():
    d = module_or_skip("torch").distributions

    class Half(d.Gamma):
        def log_prob(self, value):
            return super().log_prob(value) - 1.0

    with pytest.raises(ex.BadInput, match=r"integrates to 0\.367879 over its support .*TrustedSampler\(sample_torch\("):
        from_torch(Half(2.0, 3.0))


def test_where_only_draws_are_known_the_message_names_the_way():
    torch = module_or_skip("torch")
    d = torch.distributions
    folded = d.TransformedDistribution(d.Normal(1.0, 1.0), [d.AbsTransform()])
    line = r"nothing but its draws is known of TransformedDistribution\. .*TrustedSampler\(sample_torch\(distribution\)\)"
    with pytest.raises(ex.BadInput, match=line):
        from_torch(folded)
    law = ex.TrustedSampler(sample_torch(folded), name="torch's own draws")
    normals = lambda n, s: np.abs(np.random.default_rng(s).normal(1.0, 1.0, (n, 1)))  # noqa: E731
    judged = ex.certify(normals, law, plan=quiet_plan(tolerance=0.2, first_paths=8_000, max_paths=8_000))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert "known only by the draws of torch's own draws" in " ".join(judged.reasons)


def test_a_distribution_of_another_library_is_told_whose_it_is():
    torch, numpyro = module_or_skip("torch"), module_or_skip("numpyro")
    ours, theirs = torch.distributions.Gamma(2.0, 1.0), numpyro.distributions.Gamma(2.0)
    for make, distribution, right in (
        (from_scipy, ours, "from_torch"), (from_scipy, theirs, "from_numpyro"), (from_torch, theirs, "from_numpyro"),
        (from_numpyro, ours, "from_torch"), (from_torch, stats.gamma(2.0), "from_scipy"),
    ):  # fmt: skip
        with pytest.raises(ex.BadInput, match=right):
            make(distribution)


def test_batches_of_families_become_products(seed):
    torch = module_or_skip("torch")
    d, t = torch.distributions, torch.as_tensor
    several = d.Independent(d.Dirichlet(t([[1.0, 2.0, 3.0], [0.5, 0.5, 2.0]])), 1)
    logs = d.Independent(d.TransformedDistribution(d.Gamma(t([2.0, 3.0]), 1.0), [d.ExpTransform().inv]), 1)
    inside = d.TransformedDistribution(d.Independent(d.Beta(t([2.0, 3.0]), t([1.0, 1.0])), 1), [d.SigmoidTransform().inv])
    for distribution in (several, logs, inside):
        assert judge(from_torch(distribution), sample_torch(distribution)(2_000, seed)) > ALPHA


SCIPY = {
    "multivariate_t": (CONDITIONAL, stats.multivariate_t([1.0, 2.0, 3.0], SCALE, df=3)),
    "dirichlet": (CONDITIONAL, stats.dirichlet([0.5, 1.0, 2.0])),
    "wishart": (CONDITIONAL, stats.wishart(4.5, SCALE)),
    "wishart on the line": (CONDITIONAL, stats.wishart(4.5, 2.0)),
    "invwishart": (CONDITIONAL, stats.invwishart(4.5, SCALE)),
    "matrix_normal": (MIXTURE, stats.matrix_normal(np.ones((2, 3)), [[1.0, 0.2], [0.2, 0.5]], SCALE)),
    "uniform_direction": (CONDITIONAL, stats.uniform_direction(3)),
    "vonmises_fisher": (CONDITIONAL, stats.vonmises_fisher([0.0, 0.6, 0.8], 3.0)),
    "ortho_group": (CONDITIONAL, stats.ortho_group(3)),
    "special_ortho_group": (CONDITIONAL, stats.special_ortho_group(3)),
    "genhyperbolic": (DENSITY, stats.genhyperbolic(0.5, 1.5, -0.5)),
    "geninvgauss": (DENSITY, stats.geninvgauss(2.3, 1.5)),
    "norminvgauss": (DENSITY, stats.norminvgauss(1.25, 0.5)),
    "gamma": (LINE, stats.gamma(0.01)),
    "vonmises": (LINE, stats.vonmises(3.99, loc=2.5)),
}


@pytest.mark.parametrize("name", SCIPY)
def test_the_law_of_a_distribution_of_scipy_is_that_of_its_draws(name, seed):
    """Distribution functions with rounding errors far out, and frozen multivariate families. False alarms: 1e-7."""
    kind, distribution = SCIPY[name]
    law = from_scipy(distribution)
    assert law.describe()["kind"] == kind
    assert judge(law, sample_scipy(distribution)(2_000, seed)) > ALPHA


@pytest.mark.parametrize("distribution", [stats.random_correlation([0.5, 1.5]), stats.unitary_group(3)], ids=["corr", "unitary"])
def test_what_scipy_only_draws_is_said(distribution):
    with pytest.raises(ex.BadInput, match=r"nothing but its draws is known of .*TrustedSampler\(sample_scipy\(distribution\)\)"):
        from_scipy(distribution)


@pytest.mark.slow
def test_every_continuous_distribution_of_scipy_has_a_law():
    """Those of scipy's own tests, with their parameters."""
    from scipy.stats import _distr_params

    known = {"kstwo", "studentized_range", "levy_stable"}  # minutes each
    for name, parameters in _distr_params.distcont:
        if isinstance(name, str) and name not in known:
            from_scipy(getattr(stats, name)(*parameters))
