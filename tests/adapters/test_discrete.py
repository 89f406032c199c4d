"""Discrete distributions of scipy, torch and numpyro become laws by their mass functions, and never by their draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.adapters import from_numpyro, from_scipy, from_torch, sample_numpyro, sample_scipy, sample_torch
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

PLAN = quiet_plan(tolerance=0.1, first_paths=8_000, max_paths=8_000)
P = [0.5, 0.3, 0.2]
SCIPY = {
    "binomial": stats.binom(10, 0.3),
    "shifted": stats.poisson(3.0, loc=2),
    "dice": stats.randint(1, 7),
    "heavy": stats.zipf(2.0),
    "listed": stats.rv_discrete(values=([1, 2, 5], P)),
}
OF_TORCH = {
    "Bernoulli": (lambda d, t: d.Bernoulli(t(0.3)), stats.bernoulli(0.3)),
    "Binomial": (lambda d, t: d.Binomial(10, t(0.3)), stats.binom(10, 0.3)),
    "Categorical": (lambda d, t: d.Categorical(t(P)), stats.rv_discrete(values=([0, 1, 2], P))),
    "Poisson": (lambda d, t: d.Poisson(t([3.0])), stats.poisson(3.0)),
    "Geometric": (lambda d, t: d.Geometric(t(0.3)), stats.geom(0.3, loc=-1)),
    "NegativeBinomial": (lambda d, t: d.NegativeBinomial(2.0, t(0.25)), stats.nbinom(2, 0.75)),
}
ZERO_INFLATED = stats.rv_discrete(
    values=(np.arange(60), 0.25 * (np.arange(60) == 0) + 0.75 * stats.poisson(3.0).pmf(np.arange(60))), name="zero-inflated"
)
OF_NUMPYRO = {
    "Bernoulli": (lambda d, a: d.Bernoulli(0.3), stats.bernoulli(0.3)),
    "Categorical": (lambda d, a: d.Categorical(probs=a(P)), stats.rv_discrete(values=([0, 1, 2], P))),
    "DiscreteUniform": (lambda d, a: d.DiscreteUniform(1, 6), stats.randint(1, 7)),
    "ZeroInflatedPoisson": (lambda d, a: d.ZeroInflatedPoisson(0.25, 3.0), ZERO_INFLATED),
}
VECTORS = {
    "Multinomial": lambda d, t: d.Multinomial(3, t(P)),
    "OneHotCategorical": lambda d, t: d.OneHotCategorical(t(P)),
    "independent": lambda d, t: d.Independent(d.Bernoulli(t(P)), 1),
}


def same(law, expected):
    """The law has the probabilities of another library, to the rounding of parameters in single precision."""
    np.testing.assert_allclose(law.probabilities, expected.pmf(law.values), rtol=1e-4, atol=1e-12)


def certified_and_refuted(sample, law, seed):
    """False alarms: 1e-6 each. Every 7th draw is the smallest value, whose share grows by 0.07 or more."""
    judged = ex.certify(sample, law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons

    def sticky(n, s):
        draws = np.array(np.asarray(sample(n, s)))
        draws[::7] = np.asarray(law.values[0]).astype(draws.dtype)
        return draws

    assert ex.certify(sticky, law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize("name", SCIPY)
def test_frozen_distributions_of_scipy(name, seed):
    distribution = SCIPY[name]
    law = from_scipy(distribution)
    assert isinstance(law, ex.DiscreteLaw)
    if name != "listed":
        same(law, distribution)
    certified_and_refuted(sample_scipy(distribution), law, seed)


def test_random_variables_of_scipy(seed):
    """A reviewer's: right draws of ``stats.Binomial(n=10, p=.3)`` were refuted with p = 9e-53."""
    if not hasattr(stats, "Binomial"):
        pytest.skip("scipy before 1.15 has no Binomial")
    for distribution, expected in (
        (stats.Binomial(n=10, p=0.3), stats.binom(10, 0.3)), (stats.make_distribution(stats.poisson)(mu=3.0), stats.poisson(3.0)),
    ):  # fmt: skip
        law = from_scipy(distribution)
        same(law, expected)
        certified_and_refuted(sample_scipy(distribution), law, seed)


COUNTS = {
    "multinomial": stats.multinomial(4, P),
    "hypergeometric": stats.multivariate_hypergeom([3, 4, 5], 6),
    "Dirichlet": stats.dirichlet_multinomial([1.0, 2.0, 3.0], 4),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_scipy_with_a_fixed_total(name, seed):
    """scipy does not draw Dirichlet multinomials. Their mass is checked against the mean."""
    distribution = COUNTS[name]
    law = from_scipy(distribution)
    assert isinstance(law, ex.DiscreteLaw)
    np.testing.assert_allclose(law.probabilities @ law.values, np.ravel(distribution.mean()))
    if name != "Dirichlet":
        certified_and_refuted(sample_scipy(distribution), law, seed)


def test_counts_with_too_many_values_are_no_law():
    with pytest.raises(ex.BadInput, match="nothing but its draws is known"):
        from_scipy(stats.multinomial(100, np.full(20, 0.05)))


@pytest.mark.parametrize("name", OF_TORCH)
def test_distributions_of_torch(name, seed):
    torch = module_or_skip("torch")
    make, expected = OF_TORCH[name]
    distribution = make(torch.distributions, torch.tensor)
    law = from_torch(distribution)
    assert isinstance(law, ex.DiscreteLaw)
    same(law, expected)
    certified_and_refuted(sample_torch(distribution), law, seed)


@pytest.mark.parametrize("name", OF_NUMPYRO)
def test_distributions_of_numpyro(name, seed):
    d, jnp = module_or_skip("numpyro.distributions"), module_or_skip("jax.numpy")
    make, expected = OF_NUMPYRO[name]
    distribution = make(d, jnp.asarray)
    law = from_numpyro(distribution)
    assert isinstance(law, ex.DiscreteLaw)
    same(law, expected)
    # To compile numpyro's samplers takes seconds each.
    if name == "Categorical":
        certified_and_refuted(lambda n, s: np.asarray(sample_numpyro(distribution)(n, s)), law, seed)


def test_mixtures_of_counts(seed):
    torch = module_or_skip("torch")
    d = torch.distributions
    distribution = d.MixtureSameFamily(d.Categorical(torch.tensor([0.3, 0.7])), d.Poisson(torch.tensor([1.0, 9.0])))
    law = from_torch(distribution)
    expected = 0.3 * stats.poisson(1.0).pmf(law.values) + 0.7 * stats.poisson(9.0).pmf(law.values)
    np.testing.assert_allclose(law.probabilities, expected, rtol=1e-6, atol=1e-30)
    certified_and_refuted(sample_torch(distribution), law, seed)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_with_few_values(name, seed):
    """All values are listed, so dependence between the coordinates is part of the law."""
    torch = module_or_skip("torch")
    distribution = VECTORS[name](torch.distributions, torch.tensor)
    law = from_torch(distribution)
    assert isinstance(law, ex.DiscreteLaw)
    assert law.event_shape == (3,)
    certified_and_refuted(sample_torch(distribution), law, seed)


@pytest.mark.parametrize("library", ["torch", "numpyro"])
def test_a_wrong_sampler_beside_a_right_mass_function_is_refuted(library, seed):
    """The law does not ask the object for its draws (numpyro#1628): an object whose sampler alone is wrong is refuted."""
    d = module_or_skip(f"{library}.distributions")
    wrong = d.Categorical(probs=module_or_skip("torch" if library == "torch" else "jax.numpy").asarray(P))
    right = wrong.sample
    wrong.sample = lambda *a, **k: (right(*a, **k) + 1) % 3
    law, sample = (from_torch(wrong), sample_torch(wrong)) if library == "torch" else (from_numpyro(wrong), sample_numpyro(wrong))
    assert ex.certify(lambda n, s: np.asarray(sample(n, s)), law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


def test_a_library_that_draws_what_its_own_mass_function_excludes_is_refuted():
    """scipy's Poisson with a shift of 1/2: its mass function lives on k + 1/2, and its draws are whole numbers."""
    halves = stats.poisson(3.0, loc=0.5)
    judged = ex.certify(sample_scipy(halves), from_scipy(halves), plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize("argument", ["probs", "logits"])
def test_labels_of_probability_0_are_impossible(argument):
    """torch's own log_prob gives such a label 1.2e-7."""
    torch = module_or_skip("torch")
    p = torch.tensor([0.5, 0.0, 0.5])
    law = from_torch(torch.distributions.Categorical(**{argument: p if argument == "probs" else torch.log(p)}))
    assert law.probabilities.tolist() == [0.5, 0.0, 0.5]


def test_parameters_are_taken_as_they_are():
    """In double precision: 1e5 is a mean at which torch's single precision leaves two digits of the mass function."""
    torch = module_or_skip("torch")
    law = from_torch(torch.distributions.Poisson(torch.tensor(1e5)))
    same(law, stats.poisson(1e5))


def test_draws_keep_the_integers_of_their_library():
    torch = module_or_skip("torch")
    d = torch.distributions
    assert sample_torch(d.Categorical(torch.tensor(P)))(3, 0).dtype == torch.int64
    assert sample_torch(d.Poisson(torch.tensor(3.0)))(3, 0).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stats.poisson, r"poisson has parameters, mu: give a frozen one, stats\.poisson\(mu\)"),
        (lambda: stats.poisson([1.0, 2.0]), "an array of distributions"),
        (lambda: stats.poisson(-1.0), "out of range"),
    ],
)
def test_what_is_no_discrete_distribution_is_said(make, message):
    with pytest.raises(ex.BadInput, match=message):
        from_scipy(make())
