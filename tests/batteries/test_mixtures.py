"""Batteries of Gaussian mixtures and of trusted samplers: each accepts the truth, and refutes falsehoods from both sides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness import batteries as B
from exactness.arrays import digest
from exactness.batteries.kernels import moments_of_waves
from exactness.evidence.base import Origin
from exactness.evidence.summaries.permuted import Permuted
from tests.conftest import module_or_skip
from tests.registry import another, plain_chain, quiet_plan

TURN = np.array([[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]])
WEIGHTS, MEANS = [0.5, 0.3, 0.2], np.array([[1.5, 0.0, 0.0], [-1.0, 1.0, 0.5], [0.0, -1.5, 1.0]])
COVARIANCES = np.stack([TURN, 0.5 * TURN, 0.3 * np.eye(3)])
MIXTURE = ex.GaussianMixture(WEIGHTS, MEANS, COVARIANCES)
SHAPES = {
    "isotropic": ex.GaussianMixture(WEIGHTS, MEANS, [0.5, 0.3, 0.2]),
    "diagonal": ex.GaussianMixture(WEIGHTS, MEANS, [[0.5, 0.3, 0.2], [0.2, 0.4, 0.1], [0.3, 0.3, 0.3]]),
    "full": MIXTURE,
}
BATTERIES = {
    "mixture innovations": (B.MixtureInnovations(), 10_000, 1e-6),
    "Rosenblatt": (B.Rosenblatt(), 10_000, 1e-6),
    "projected KS": (B.ProjectedKS(), 10_000, 1e-6),
    "characteristic function": (B.CharacteristicFunction(), 5_000, 1e-6),
    "Stein": (B.SteinDiscrepancy(), 10_000, 1e-6),
    "mean embedding": (B.MeanEmbedding(most=800), 800, 1e-6),
    "two-sample": (B.TwoSample(), 10_000, 1e-6),
    "permutation": (B.PermutationTwoSample(), 500, 0.005),
}
# Twice and more what is seen half of the time: the tests must hold at any seed.
SIZE = {
    "mean embedding": 30.0,
    "Rosenblatt": 3.0,
    "permutation": 30.0,
    "projected KS": 8.0,
    "Stein": 5.0,
    "characteristic function": 7.0,
    "two-sample": 2.5,
}


def shifted(size):
    return lambda n, seed: MIXTURE.sample(n, seed) + 0.1 * size * np.array([1.0, 0.0, 0.0])


def scaled(size):
    factor = (1.0 + 0.15 * abs(size)) ** np.sign(size)
    wrong = ex.GaussianMixture(WEIGHTS, MEANS, COVARIANCES * factor)
    return wrong.sample


def judge(name, sample, seed):
    battery, n, alpha = BATTERIES[name]
    law = ex.TrustedSampler(another(MIXTURE.sample)) if battery.applies(ex.TrustedSampler(MIXTURE.sample)) else MIXTURE
    plan = quiet_plan(alpha=alpha, tolerance=0.5, first_paths=n, max_paths=n, suspicion=1e-9)
    return ex.certify(sample, law, plan=plan, seed=seed, batteries=[battery], name=name)


@pytest.mark.parametrize("name", BATTERIES)
def test_accepts_the_truth_and_refutes_shift_and_scale_from_both_sides(name, seed):
    """False alarms: alpha, 1e-6. By permutation 0.005, its reach: there the truth is that of one fixed seed."""
    right = judge(name, MIXTURE.sample, seed if BATTERIES[name][2] == 1e-6 else 0)
    assert right.verdict in (ex.Verdict.CERTIFIED, ex.Verdict.INCONCLUSIVE), right.reasons
    size = SIZE.get(name, 1.0)
    for wrong in (shifted(size), shifted(-size), scaled(size), scaled(-size)):
        judged = judge(name, wrong, seed)
        assert judged.verdict is ex.Verdict.REFUTED, (name, judged.findings[0])


def test_a_correlation_inside_components_is_seen_where_coordinates_are_right(seed):
    """Every coordinate's law is right: per-coordinate Kolmogorov tests are blind, the innovations are not (alpha 1e-6)."""
    plain = ex.GaussianMixture([0.4, 0.6], [[2.0, 0.0], [-1.0, 1.0]], [1.0, 1.0])
    tilted = ex.GaussianMixture(plain.weights, plain.means, np.array([[[1.0, 0.2], [0.2, 1.0]]] * 2))
    plan = quiet_plan(tolerance=0.2, first_paths=12_000, max_paths=12_000)
    judged = ex.certify(tilted.sample, plain, plan=plan, seed=seed, batteries=[B.MixtureInnovations()])
    assert judged.verdict is ex.Verdict.REFUTED
    assert "product" in judged.leading.name
    blind = ex.certify(tilted.sample, plain, plan=plan, seed=seed, batteries=[B.ProjectedKS(directions=0)])
    assert blind.verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize("more", [0.1, -0.1])
def test_a_moved_weight_is_seen(more, seed):
    """Alpha 1e-6: a weight of 0.2 moved by 0.1 at 10,000 draws is 25 standard errors, less what overlapping modes hide."""
    wrong = ex.GaussianMixture([0.5 - more, 0.3, 0.2 + more], MEANS, COVARIANCES)
    judged = judge("mixture innovations", wrong.sample, seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert "share" in {f.test for f in judged.findings if f.adjusted_p <= 1e-6}


def test_a_rare_mode_that_is_missing_is_seen_by_the_share_that_it_has_not(seed):
    """1% of 4,000 draws; what the others gain by it is less than a standard error. Alpha 1e-6."""
    law = ex.GaussianMixture([0.5, 0.49, 0.01], [[-20.0], [20.0], [0.0]], [1.0, 1.0, 1.0])
    rest = ex.GaussianMixture([50 / 99, 49 / 99], [[-20.0], [20.0]], [1.0, 1.0])
    plan = quiet_plan(tolerance=0.3, first_paths=4_000, max_paths=4_000)
    judged = ex.certify(rest.sample, law, plan=plan, seed=seed, batteries=[B.MixtureInnovations()])
    assert {(f.test, f.where) for f in judged.findings if f.adjusted_p <= plan.alpha} == {("share", "component 2")}


def test_permutations_are_exact(seed):
    """Whatever the permutations, p is never 0; all alike, it is 1; and over 300 pairs of samples of one law (alpha 1e-8) p <= k/10
    happens as often as it may.

    20 pairs: of their 10^11 relabellings two are as far apart as the truth, so that one of 19 is with probability 3e-10.
    """
    apart, alike = (Permuted(20, 19, 1.0, seed) for _ in range(2))
    z = np.random.default_rng(seed).standard_normal((20, 1))
    apart.add(np.arange(20.0), z, z + 100.0)
    alike.add(np.arange(20.0), 0.0 * z, 0.0 * z)
    assert {t.null.p_value(t.statistic, t.n) for t in apart.tests()} == {1 / 20}
    assert {t.null.p_value(t.statistic, t.n) for t in alike.tests()} == {1.0}
    found = []
    for i in range(300):
        kept = Permuted(4, 9, 1.0, i)
        kept.add(np.arange(4.0), *np.random.default_rng([seed, i]).standard_normal((2, 4, 1)))
        found.append([t.null.p_value(t.statistic, t.n) for t in kept.tests()])
    for p in np.transpose(found):
        for k in (1, 3, 5):
            assert stats.binomtest(int((p <= k / 10 + 1e-12).sum()), 300, k / 10, alternative="greater").pvalue > 1e-8


@pytest.mark.parametrize("shape", SHAPES)
def test_innovations_and_rosenblatt_transforms_are_what_they_should_be(shape, seed):
    """z and u of 5,000 draws: independent of each other and of the label, at 1e-8 a test (13 of them)."""
    mixture = SHAPES[shape]
    draws = mixture.sample(5_000, seed)
    label, z = mixture.decompose(draws, np.random.default_rng(seed + 1).random(5_000))
    # Putting label and noise together gives the draw again.
    root = np.linalg.cholesky(mixture.full_covariances())
    np.testing.assert_allclose(mixture.means[label] + np.einsum("nij,nj->ni", root[label], z), draws, atol=1e-12)
    for noise in (z, stats.norm.ppf(mixture.rosenblatt(draws))):
        for i in range(3):
            assert stats.kstest(noise[:, i], "norm").pvalue > 1e-8
            assert abs((noise[:, i] * noise[:, i - 1]).mean()) * np.sqrt(5_000) < 5.8
    assert stats.chisquare(np.bincount(label, minlength=3), 5_000 * mixture.weights).pvalue > 1e-8


def test_the_rosenblatt_transform_is_the_conditional_distribution_function():
    """Against numerical integration of the joint density along the second coordinate."""
    mixture = ex.GaussianMixture(
        [0.3, 0.7], [[0.5, -1.0], [-0.5, 1.0]], np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 0.7]]])
    )
    point = np.array([[0.3, 0.4]])

    def mass(low, high):
        line = np.linspace(low, high, 20_001)
        return np.trapezoid(mixture.density(np.stack([np.full_like(line, 0.3), line], axis=1)), line)

    below = mass(-9.0, 0.4) / (mass(-9.0, 0.4) + mass(0.4, 9.0))
    u = mixture.rosenblatt(point)[0]
    assert u[0] == pytest.approx(float(mixture.projected_cdf([1.0, 0.0], np.array([0.3]))[0]), abs=1e-12)
    assert u[1] == pytest.approx(below, abs=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_batch_has_the_same_digest_on_every_kind_of_array(backend, dtype):
    x = np.random.default_rng(0).standard_normal((1_000, 3)).astype(dtype)
    if backend == "torch":
        other = module_or_skip("torch").as_tensor(x)
    else:
        if dtype == "float64":
            pytest.skip("JAX keeps single precision here")
        other = module_or_skip("jax.numpy").asarray(x)
    assert digest(other) == digest(x)


def test_a_digest_depends_on_every_bit_and_on_the_order():
    """Batches that begin alike, that hold the same draws in another order, or that differ in one bit get noise of their own."""
    x = np.random.default_rng(0).standard_normal((500, 2))
    late, swapped, sparse = x.copy(), x.copy(), np.zeros((500, 2))
    late[-1, -1] = np.nextafter(late[-1, -1], 1.0)
    swapped[[3, 4]] = swapped[[4, 3]]
    other = sparse.copy()
    other[300, 1] = 5e-324
    assert len({digest(v) for v in (x, late, swapped, sparse, other, sparse[:499], x[:, :1])}) == 7
    one, two = (Origin(B.Rosenblatt(), MIXTURE, np.random.default_rng(seed)).noise_of for seed in (1, 2))
    assert one(x).random() == one(x.copy()).random() != two(x).random()
    assert one(x).random() != one(late).random()


def test_digests_are_spread_evenly(seed):
    """Low and high bits of 500 batches that differ in one number: uniform, at 1e-8 each."""
    x = np.zeros((500, 4, 1))
    x[:, 2, 0] = np.arange(500) + seed
    found = np.array([digest(v) for v in x], dtype=np.uint64)
    for part in (found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)):
        assert stats.kstest((part + 0.5) / 2.0**32, "uniform").pvalue > 1e-8


def test_equal_draws_get_noise_of_their_own(seed):
    """Single precision far from zero: few distinct values, each with many copies. Labels stay right (alpha 1e-6)."""
    mixture = ex.GaussianMixture([0.5, 0.5], [[1e3], [1e3 + 1.0]], [1.0, 1.0])
    plan = quiet_plan(tolerance=0.2, first_paths=8_000, max_paths=8_000)
    judged = ex.certify(lambda n, s: mixture.sample(n, s).astype(np.float32), mixture, plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


def test_a_law_with_atoms_is_no_trouble_for_two_samples(seed):
    """Most draws are 0, so batches begin alike; a few values repeat all the time. Each p-value at 1e-9."""

    def sparse(n, s):
        g = np.random.default_rng(s)
        return (g.random((n, 2)) < 0.002) * g.integers(1, 4, size=(n, 2)).astype(float)

    law, whole = ex.TrustedSampler(sparse), None
    for i in range(20):
        shard = B.TwoSample().start(law, np.random.default_rng(0))
        shard.update(sparse(2_000, 1_000 * seed + i))
        if whole is None:
            whole = shard
        else:
            whole.merge(shard)
    assert min(r.p_value for r in whole.results()) > 1e-9


def test_a_constant_coordinate_may_be_rounded():
    def base(n, s):
        x = np.random.default_rng(s).standard_normal((n, 2))
        x[:, 1] = 0.1
        return x

    plan = quiet_plan(tolerance=0.2, first_paths=2_000, max_paths=2_000)
    judged = ex.certify(lambda n, s: base(n, s).astype(np.float32), ex.TrustedSampler(base), plan=plan)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    moved = ex.certify(lambda n, s: base(n, s) + np.array([0.0, 1e-3]), ex.TrustedSampler(base), plan=plan)
    assert moved.verdict is ex.Verdict.REFUTED


def test_the_last_state_of_a_chain_may_be_that_of_a_trusted_sampler(seed):
    chain, sample = plain_chain()
    final = ex.TrustedSampler(lambda n, s: sample(n, s)[:, -1])
    plan = quiet_plan(tolerance=0.2, first_paths=4_000, max_paths=4_000)
    for shift, verdict in ((0.0, ex.Verdict.CERTIFIED), (0.5, ex.Verdict.REFUTED)):
        other = ex.TrustedSampler(lambda n, s, shift=shift: final.sample(n, s) + shift)
        law = ex.GaussianChain.from_mean(lambda k, x: 0.7 * x + 0.2 * np.sin(k * x), sigma=chain.sigma, dim=2, final=other)
        assert ex.certify(sample, law, plan=plan, seed=seed).verdict is verdict


def test_moments_of_waves_are_those_of_draws(seed):
    """Means within 6 standard errors of 200,000 draws (P 2e-8 for 8 of them), covariances within 0.005."""
    omega = np.random.default_rng(seed).standard_normal((4, 3))
    mean, covariance = moments_of_waves(MIXTURE, omega)
    angle = MIXTURE.sample(200_000, seed) @ omega.T
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / 2.0
    assert np.all(np.abs(waves.mean(0) - mean) < 6.0 * np.sqrt(np.diagonal(covariance) / 200_000))
    assert np.abs(np.cov(waves.T) - covariance).max() < 0.005


def test_the_mean_embedding_is_closed_form(seed):
    """Against 200,000 draws, within 6 standard errors (P 2e-9 each)."""
    draws, point = MIXTURE.sample(200_000, seed), np.array([[0.2, 0.1, -0.3]])
    kernel = np.exp(-((draws - point) ** 2).sum(1) / (2.0 * 0.8**2))
    assert abs(MIXTURE.kernel_at(point, 0.8)[0] - kernel.mean()) < 6.0 * kernel.std() / np.sqrt(200_000)
    pairs = np.exp(-((draws[::2] - draws[1::2]) ** 2).sum(1) / (2.0 * 0.8**2))
    assert abs(MIXTURE.kernel_between(0.8) - pairs.mean()) < 6.0 * pairs.std() / np.sqrt(100_000)


def test_the_score_is_the_gradient_of_the_log_density():
    x = MIXTURE.sample(50, 1)
    for i, step in enumerate(1e-5 * np.eye(3)):
        slope = (MIXTURE.log_density(x + step) - MIXTURE.log_density(x - step)) / 2e-5
        np.testing.assert_allclose(MIXTURE.score(x)[:, i], slope, rtol=1e-6, atol=1e-7)


def test_an_asymptotic_test_never_decides_beyond_its_range(seed):
    """The characteristic function's Mahalanobis test sees a gross error, and still claims no p-value below its reach."""
    battery = B.CharacteristicFunction()
    evidence = battery.start(MIXTURE, np.random.default_rng(seed))
    evidence.update(MIXTURE.sample(20_000, seed) + 1.0)
    limits = [r for r in evidence.results() if r.null.validity == "asymptotic"]
    assert limits
    for r in limits:
        assert r.p_value == r.null.reach == 1e-3
        assert r.null.detectable(r.n, 1e-4, 0.01) == np.inf
    few = battery.start(MIXTURE, np.random.default_rng(seed))
    few.update(MIXTURE.sample(500, seed) + 1.0)
    assert all(r.p_value == 1.0 for r in few.results() if r.null.validity == "asymptotic")


def test_a_trusted_sampler_of_paths_is_judged_as_a_whole(seed):
    """Paths (n, K + 1, d) are compared along random directions: one wrong step of six, alpha 1e-6."""

    def paths(n, s, wrong=0.0):
        noise = np.random.default_rng(s).standard_normal((n, 6, 4))
        noise[:, 3] *= 1.0 + wrong
        return np.cumsum(noise, axis=1)

    law = ex.TrustedSampler(paths)
    plan = quiet_plan(tolerance=0.2, first_paths=10_000, max_paths=10_000)
    assert ex.certify(another(paths), law, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(lambda n, s: paths(n, s, 0.5), law, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


def test_a_trusted_sampler_that_fails_is_the_users_to_mend():
    with pytest.raises(ex.BadInput, match="raised ValueError: no"):
        ex.TrustedSampler(lambda n, s: (_ for _ in ()).throw(ValueError("no"))).event_shape  # noqa: B018
    with pytest.raises(ex.BadInput, match="for n = 2 it gave"):
        ex.TrustedSampler(lambda n, s: np.zeros(3)).event_shape  # noqa: B018
    with pytest.raises(ex.BadInput, match="must be a function"):
        ex.TrustedSampler(3)
    for sample, message in (
        (lambda n, s: np.random.default_rng(0).standard_normal((n, 2)), "the same draws for different seeds"),
        (lambda n, s: 1e200 * np.random.default_rng(s).standard_normal((n, 2)), "too large to be squared"),
    ):
        with pytest.raises(ex.BadInput, match=message):
            B.TwoSample().start(ex.TrustedSampler(sample), np.random.default_rng(0))
    broken = ex.TrustedSampler(lambda n, s: np.full((n, 2), np.nan))
    with pytest.raises(ex.BadInput, match="the trusted sampler itself"):
        ex.certify(lambda n, s: np.random.default_rng(s).standard_normal((n, 2)), broken)
