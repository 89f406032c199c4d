"""Laws against scipy, finite differences, golden values and each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.errors import BadInput, InvalidSample
from tests.registry import plain_chain

COVARIANCES = {
    "isotropic": np.array([0.2, 0.5]),
    "diagonal": np.array([[0.2, 0.6], [0.5, 0.1]]),
    "full": np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.5, -0.2], [-0.2, 0.4]]]),
}
MEANS = np.array([[1.0, -1.0], [-2.0, 0.5]])
WEIGHTS = [0.3, 0.7]


@pytest.fixture(params=COVARIANCES)
def mixture(request):
    return ex.GaussianMixture(WEIGHTS, MEANS, COVARIANCES[request.param])


def matrices(mixture):
    c = mixture.covariances
    return c if c.ndim == 3 else np.stack([np.eye(2) * v for v in c])


def test_density_is_that_of_scipy(mixture):
    x = np.random.default_rng(0).standard_normal((20, 2)) * 2
    expected = sum(w * stats.multivariate_normal(m, c).pdf(x) for w, m, c in zip(WEIGHTS, MEANS, matrices(mixture), strict=True))
    np.testing.assert_allclose(mixture.density(x), expected, rtol=1e-10)


def test_score_is_the_gradient_of_the_log_density(mixture):
    x, h = np.random.default_rng(1).standard_normal((9, 2)), 1e-5
    for i in range(2):
        step = np.eye(2)[i] * h
        slope = (mixture.log_density(x + step) - mixture.log_density(x - step)) / (2 * h)
        np.testing.assert_allclose(mixture.score(x)[:, i], slope, rtol=1e-6, atol=1e-7)


def test_draws_follow_the_projections(mixture, seed):
    """KS of 20,000 exact draws along three directions at 1e-6 each; shifts to both sides are refuted at 1e-6."""
    x = mixture.sample(20_000, seed)
    for v in (np.array([1.0, 0.0]), np.array([0.6, -0.8]), np.array([3.0, 1.0])):
        assert stats.kstest(mixture.projected_cdf(v, x @ v), "uniform").pvalue > 1e-6
        for shift in (-0.2, 0.2):
            assert stats.kstest(mixture.projected_cdf(v, x @ v + shift * np.linalg.norm(v)), "uniform").pvalue < 1e-6
    assert np.array_equal(x, mixture.sample(20_000, seed))


def test_characteristic_function_is_the_transform_of_the_projection(mixture):
    omega = np.array([[0.5, 0.2], [-1.0, 0.7]])
    for v, value in zip(omega, mixture.characteristic_function(omega), strict=True):
        t = np.linspace(-15, 15, 20_001)
        cdf = mixture.projected_cdf(v, t)
        middle = (t[1:] + t[:-1]) / 2
        np.testing.assert_allclose(value, (np.exp(1j * middle) * np.diff(cdf)).sum(), atol=1e-6)
    assert mixture.characteristic_function(np.zeros((1, 2)))[0] == pytest.approx(1.0)


def test_responsibilities_sum_to_one_far_out(mixture):
    np.testing.assert_allclose(mixture.responsibilities(np.array([[50.0, -60.0], [0.0, 0.0]])).sum(1), 1.0)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        ([0.5, 0.4], MEANS, [1.0, 1.0], "sum to 0.9"),
        ([1.5, -0.5], MEANS, [1.0, 1.0], "not negative"),
        ([0.5, float("nan")], MEANS, [1.0, 1.0], "finite"),
        ([[0.5, 0.5]], MEANS, [1.0, 1.0], "vector"),
        ([0.5, 0.5], MEANS[:1], [1.0, 1.0], "means must have shape"),
        ([0.5, 0.5], MEANS, [1.0, 0.0], "variances must be positive"),
        ([0.5, 0.5], MEANS, [[1.0, 1.0, 1.0]], "one of the shapes"),
        ([0.5, 0.5], MEANS, [[[1.0, 2.0], [2.0, 1.0]]] * 2, "positive definite"),
        ([0.5, 0.5], MEANS, [[[1.0, 0.5], [0.0, 1.0]]] * 2, "symmetric"),
        ([0.5, 0.5], MEANS * np.inf, [1.0, 1.0], "finite"),
    ],
)
def test_bad_mixtures_say_what_is_wrong(weights, means, covariances, message):
    with pytest.raises(BadInput, match=message):
        ex.GaussianMixture(weights, means, covariances)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": [0.1, -0.2]}, r"negative \(step 2"),
        ({"sigma": [0.0, 0.0]}, "deterministic"),
        ({"sigma": [0.1, float("nan")]}, "finite"),
        ({"sigma": [0.1]}, "one entry per step"),
        ({"sigma": 0.1}, "vector"),
        ({"dim": 0}, "positive integer"),
        ({"predict": 3}, "must be a function"),
        ({"start": (0.0, 0.0)}, "positive standard deviation"),
        ({"arrays": "cupy"}, "as given"),
        ({"final": ex.GaussianMixture([1.0], [[0.0]], [1.0])}, "final law"),
    ],
)
def test_bad_chains_say_what_is_wrong(arguments, message):
    good = {"predict": lambda k, x: x, "a": [1.0, 1.0], "b": [0.0, 0.0], "sigma": [0.1, 0.1], "dim": 2}
    both = good | arguments
    with pytest.raises(BadInput, match=message):
        ex.GaussianChain(both.pop("predict"), **both)


def test_a_prediction_of_the_wrong_shape_is_the_laws_fault():
    chain = ex.GaussianChain(lambda k, x: x[:, 0], a=[1.0], b=[1.0], sigma=[1.0], dim=2)
    with pytest.raises(BadInput, match="must return an array of the shape of x"):
        list(chain.innovations(np.zeros((3, 2, 2))))
    chain = ex.GaussianChain(lambda k, x: x * np.nan, a=[1.0], b=[1.0], sigma=[1.0], dim=2)
    with pytest.raises(InvalidSample, match="NaN or infinite at states of size up to 0"):
        list(chain.innovations(np.zeros((3, 2, 2))))
    chain = ex.GaussianChain(lambda k, x: 1 / 0, a=[1.0], b=[1.0], sigma=[1.0], dim=2)
    with pytest.raises(BadInput, match="of the law raised ZeroDivisionError"):
        list(chain.innovations(np.zeros((3, 2, 2))))


def test_laws_that_differ_describe_themselves_differently():
    line = ex.chain_marginals(lambda k, x: 0.5 * x, [1.0])[-1]
    turned = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert ex.ProductLaw([line, line]).describe() != ex.ProductLaw([line, line], turned).describe()
    assert ex.GaussianMixture([1.0], [[0.0]], [1.0]).describe() != ex.GaussianMixture([1.0], [[0.0]], [1.1]).describe()


def test_innovations_are_the_noise_that_made_the_path():
    chain, _ = plain_chain()
    generator = np.random.default_rng(0)
    z = generator.standard_normal((6, 5, 2))
    path = [z[:, 0]]
    for i, k in enumerate(range(4, 0, -1)):
        path.append(0.7 * path[-1] + 0.2 * np.sin(k * path[-1]) + chain.sigma[k - 1] * z[:, i + 1])
    steps = list(chain.innovations(np.stack(path, 1)))
    assert [s.step for s in steps] == [5, 4, 3, 2, 1]
    np.testing.assert_allclose(np.stack([s.noise for s in steps], 1), z, atol=1e-12)


@pytest.mark.parametrize("case", range(3))
def test_chain_law_matches_golden(golden, case):
    row = golden("chain_law")["cases"][case]
    beta, abar = np.array(row["beta"]), np.cumprod(1 - np.array(row["beta"]))
    w, mu, v = (np.array(row[key]) for key in ("weights", "means", "variances"))

    def mean(k, x):
        variance = abar[k - 1] * v + 1 - abar[k - 1]
        offset = x[:, None] - np.sqrt(abar[k - 1]) * mu
        log_joint = np.log(w) - 0.5 * (offset**2 / variance + np.log(variance))
        share = np.exp(log_joint - log_joint.max(1, keepdims=True))
        score = -(share / share.sum(1, keepdims=True) * offset / variance).sum(1)
        return (x + beta[k - 1] * score) / np.sqrt(1 - beta[k - 1])

    laws = ex.chain_marginals(mean, np.sqrt(beta))
    assert len(laws) == len(beta) + 1
    np.testing.assert_allclose(laws[-1].cdf(np.array(row["points"])), row["cdf"], atol=1e-9, rtol=0)
    for law in laws:
        assert (np.diff(law.cdf(np.linspace(-6, 6, 999))) > -1e-9).all()


def test_grid_propagation_refuses_what_it_cannot_resolve():
    with pytest.raises(BadInput, match="sigma > 0"):
        ex.chain_marginals(lambda k, x: x, [0.1, 0.0])
    with pytest.raises(BadInput, match="does not resolve"):
        ex.chain_marginals(lambda k, x: 0.5 * x, [1e-4])


def test_a_product_tests_the_joint_law_not_only_its_margins(seed):
    """Correlated draws with the right margins: the axes pass at 1e-6, a joint direction refutes at 1e-6."""
    line = ex.chain_marginals(lambda k, x: 0.5 * x, [1.0])[-1]
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    law = ex.ProductLaw([line, line], rotation)
    spread = np.sqrt(1.25)
    generator = np.random.default_rng(seed)
    z = generator.standard_normal((20_000, 2))
    for correlation, refuted in ((0.0, False), (0.3, True)):
        y = z.copy()
        y[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
        x = spread * y @ rotation.T
        looks = law.projections(8, np.random.default_rng(1))
        p = {name: stats.kstest(u, "uniform").pvalue for name, u in zip(looks.names, looks.transform(x), strict=True)}
        assert min(v for k, v in p.items() if k.startswith("axis")) > 1e-6
        assert bool(min(p.values()) < 1e-6) is refuted


def test_products_refuse_what_is_no_rotation():
    line = ex.chain_marginals(lambda k, x: 0.5 * x, [1.0])[-1]
    with pytest.raises(BadInput, match="orthogonal"):
        ex.ProductLaw([line, line], [[1.0, 0.1], [0.0, 1.0]])
    with pytest.raises(BadInput, match="shape"):
        ex.ProductLaw([line], np.eye(2))
    with pytest.raises(BadInput, match="at least one"):
        ex.ProductLaw([])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([[0.0, 0.0]] * 3, "returned list"),
        (np.zeros((2, 2)), r"shape \(2, 2\); this law needs \(3, 2\)"),
        (np.zeros((3, 2), dtype=int), "dtype"),
        (np.array([[0.0, 1.0], [np.nan, 0.0], [np.inf, 1.0]]), "2 of 3 draws hold NaN or infinity, the first at row 1"),
    ],
)
def test_samples_that_cannot_be_judged_say_why(sample, message):
    with pytest.raises(InvalidSample, match=message):
        ex.GaussianMixture(WEIGHTS, MEANS, [1.0, 1.0]).accept(sample, 3)
