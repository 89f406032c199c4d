"""Evidence adds up in any order, on any kind of array, and sees what it should."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import exactness as ex
from exactness import batteries as B
from exactness.arrays import as_kind, kind_of, to_numpy
from exactness.evidence.dependence import Dependence
from exactness.evidence.nulls import null_of
from exactness.evidence.summaries import Serial, repeats
from exactness.evidence.summaries.neighbours import _on_a_line, ball_masses
from exactness.judging.judgement import adjust, findings_of
from tests.conftest import module_or_skip
from tests.registry import plain_chain, quiet_plan

CHAIN, SAMPLE = plain_chain()
PATHS = SAMPLE(240, 0)
MIXTURE = ex.GaussianMixture([0.4, 0.6], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2])
DRAWS = MIXTURE.sample(240, 0)
TRUSTED = ex.TrustedSampler(MIXTURE.sample)
LABELS = ex.DiscreteLaw([0.5, 0.2, 0.2, 0.1])
OF_MIXTURES = [B.ProjectedKS(), B.Rosenblatt(), B.CharacteristicFunction()]
# These take noise for each batch, of its bits, so their evidence is that of the batches, in whatever order.
WITH_NOISE = [
    (B.MixtureInnovations(), MIXTURE, DRAWS), (B.MeanEmbedding(most=100), MIXTURE, DRAWS),
    (B.Frequencies(), LABELS, LABELS.sample(240, 0)),
    (B.SteinDiscrepancy(), MIXTURE, DRAWS), (B.TwoSample(), TRUSTED, DRAWS), (B.PermutationTwoSample(most=50), TRUSTED, DRAWS),
]  # fmt: skip
CASES = [(B.Innovations(), CHAIN, PATHS), *((battery, MIXTURE, DRAWS) for battery in OF_MIXTURES)]
ids = [battery.name.replace(" ", "-") for battery, *_ in CASES]


def collect(battery, law, parts):
    whole = None
    for part in parts:
        evidence = battery.start(law, np.random.default_rng(7))
        evidence.update(part)
        if whole is None:
            whole = evidence
        else:
            whole.merge(evidence)
    return whole


# Draws are compared with others that came together: other shards, other pairs.
LAG = "dependence at a lag"


def of_pairs(name):
    return name.startswith(("dependence", "close draws", "unusual calls"))


def key(evidence, without=lambda name: False):
    return {
        (r.name, r.null.name, r.where): (r.n, r.paths, *_rounded(r.statistic, r.p_value, r.bound(0.01)))
        for r in evidence.results()
        if not without(r.name)
    }


def _rounded(*numbers):
    return [None if number is None else round(number, 10) for number in numbers]


@pytest.mark.parametrize(("battery", "law", "data"), CASES, ids=ids)
@given(cuts=st.lists(st.integers(1, 239), max_size=4, unique=True), order=st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_shards_in_any_order_give_one_and_the_same_evidence(battery, law, data, cuts, order):
    parts = np.split(data, sorted(cuts))
    order.shuffle(parts)
    assert key(collect(battery, law, parts), of_pairs) == key(collect(battery, law, [data]), of_pairs)


OF_SHARDS = [*WITH_NOISE, (B.Innovations(), CHAIN, PATHS)]


@pytest.mark.parametrize(("battery", "law", "data"), OF_SHARDS, ids=[b.name.replace(" ", "-") for b, *_ in OF_SHARDS])
@given(order=st.permutations(range(4)), split=st.integers(1, 3))
@settings(max_examples=10)
def test_shards_with_noise_merge_in_any_order_and_grouping(battery, law, data, order, split):
    parts = [np.split(data, 4)[i] for i in order]
    left, right = collect(battery, law, parts[:split]), collect(battery, law, parts[split:])
    right.merge(left)
    assert key(right) == key(collect(battery, law, np.split(data, 4)))


@pytest.mark.parametrize(("battery", "law", "data"), [*CASES, *WITH_NOISE], ids=lambda v: getattr(v, "name", ""))
def test_evidence_travels_between_processes(battery, law, data):
    """Pickled without the law and its functions: it is merged where it arrives, and takes no draws in there."""
    whole, parts = collect(battery, law, np.split(data, 2)), [collect(battery, law, [part]) for part in np.split(data, 2)]
    first, second = (pickle.loads(pickle.dumps(part)) for part in parts)
    second.merge(first)
    assert key(second) == key(whole)
    with pytest.raises(ex.BadInput, match="takes no draws in"):
        second.update(data)
    parts[1].merge(first)
    assert key(parts[1]) == key(whole)


@pytest.mark.parametrize(("mine", "theirs"), [("numpy", "torch"), ("torch", "numpy"), ("numpy", "jax"), ("torch", "jax")])
def test_a_prediction_may_be_of_another_kind_than_the_paths(mine, theirs):
    for kind in {mine, theirs} - {"numpy"}:
        module_or_skip("torch" if kind == "torch" else "jax.numpy")
    law = ex.GaussianChain(
        lambda k, x: as_kind(CHAIN.predict(k, to_numpy(x)), theirs), a=CHAIN.a, b=CHAIN.b, sigma=CHAIN.sigma, dim=CHAIN.dim,
        start=CHAIN.start,
    )  # fmt: skip
    paths = as_kind(PATHS, mine)
    for found, expected in zip(law.innovations(paths), CHAIN.innovations(PATHS), strict=True):
        # JAX is in single precision here.
        assert kind_of(found.noise) == mine
        np.testing.assert_allclose(to_numpy(found.noise), expected.noise, atol=1e-4 if theirs == "jax" else 1e-12)


def test_what_is_said_of_repeats_is_of_the_draws_that_were_looked_at(monkeypatch):
    monkeypatch.setattr(repeats, "_KEPT", 100)
    evidence = collect(B.Innovations(), CHAIN, [PATHS])
    (found,) = (r for r in evidence.results() if r.null.name == "distinct")
    assert (found.n, found.paths) == (100, 240)


@pytest.mark.parametrize(("battery", "law", "data"), [*CASES, *WITH_NOISE], ids=lambda v: getattr(v, "name", ""))
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_arrays_give_the_same_evidence(battery, law, data, backend):
    """Judged where they live: torch in double to 1e-10 (two-sample features are single: 1e-4); JAX in single here, whose cells
    may differ by a few counts."""
    if backend == "torch":
        other = module_or_skip("torch").as_tensor(data)
    else:
        other = module_or_skip("jax.numpy").asarray(data)
    if isinstance(law, ex.GaussianChain):
        law = ex.GaussianChain.from_mean(lambda k, x: 0.7 * x + 0.2 * _sin(k * x), sigma=law.sigma, dim=2)
    expected, got = collect(battery, law, [data]), collect(battery, law, [other])
    if backend == "torch" and not isinstance(battery, B.TwoSample):
        assert key(got) == key(expected)
    elif backend == "torch":
        assert [r.statistic for r in got.results()] == pytest.approx([r.statistic for r in expected.results()], rel=1e-4)
    for a, b in zip(expected.results(), got.results(), strict=True):
        # In single precision a draw's bits are others, and with them the judge's noise and reference.
        if isinstance(
            battery,
            B.Innovations | B.ProjectedKS | B.Rosenblatt | B.CharacteristicFunction,
        ):
            assert (a.name, a.null.name, a.n) == (b.name, b.null.name, b.n)
            assert of_pairs(a.name) or abs(a.statistic - b.statistic) < 0.02
        assert np.isfinite(b.statistic)


def _sin(x):
    from exactness.arrays import namespace

    return namespace(x).sin(x)


def test_paths_may_be_turned_into_numpy_for_a_numpy_prediction():
    torch = module_or_skip("torch")
    law = ex.GaussianChain.from_mean(lambda k, x: 0.7 * x + 0.2 * np.sin(k * x), sigma=CHAIN.sigma, dim=2, arrays="numpy")
    assert key(collect(B.Innovations(), law, [torch.as_tensor(PATHS)])) == key(collect(B.Innovations(), CHAIN, [PATHS]))


def spoil_mean(paths, chain, size):
    paths = paths.copy()
    paths[:, -1] += size * chain.sigma[0]
    return paths


def spoil_scale(paths, chain, size):
    paths = paths.copy()
    mean = 0.7 * paths[:, -2] + 0.2 * np.sin(paths[:, -2])
    paths[:, -1] = mean + (1 + size) * (paths[:, -1] - mean)
    return paths


def spoil_lag(paths, chain, size):
    """Adds a multiple of the previous innovation to the last, and keeps its variance: only dependence is wrong."""
    paths = paths.copy()
    steps = list(chain.innovations(paths))
    last = (size * steps[-2].noise + steps[-1].noise) / np.sqrt(1 + size**2)
    paths[:, -1] = 0.7 * paths[:, -2] + 0.2 * np.sin(paths[:, -2]) + chain.sigma[0] * last
    return paths


@pytest.mark.parametrize("size", [-0.15, 0.15], ids=["down", "up"])
@pytest.mark.parametrize("spoil", [spoil_mean, spoil_scale, spoil_lag])
def test_innovations_refute_one_wrong_step_from_both_sides(spoil, size, seed):
    """At alpha 1e-6: 8,000 paths wrong in one step of four are refuted, exact ones are not."""
    plan = quiet_plan(alpha=1e-6, first_paths=8_000, max_paths=8_000)
    wrong = ex.certify(lambda n, s: spoil(SAMPLE(n, s), CHAIN, size), CHAIN, plan=plan, seed=seed, name=spoil.__name__)
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons
    assert "step 1" in {f.where for f in wrong.findings if f.adjusted_p <= plan.alpha}


MEMORYLESS = ex.GaussianChain.from_mean(lambda k, x: 0.0 * x, sigma=np.ones(6), dim=2)
"""States that are their own innovations: what depends on what is in the hands of a test."""


def noise(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 7, 2))


def mixed(z, other, size):
    """Noise that depends on other noise, and has the same law by itself."""
    return size * other + np.sqrt(1.0 - size**2) * z


def refuting(sample, seed, n=10_000):
    plan = quiet_plan(alpha=1e-6, tolerance=0.2, first_paths=n, max_paths=n)
    judged = ex.certify(sample, MEMORYLESS, plan=plan, seed=seed)
    return {f.name.split(", ")[0].removeprefix("innovations: ") for f in judged.findings if f.adjusted_p <= plan.alpha}


@pytest.mark.parametrize("size", [-0.15, 0.15], ids=["down", "up"])
def test_a_dependence_on_what_is_four_steps_back_is_seen_by_its_lag(size, seed):
    """Every step is right given the three before it. Alpha 1e-6; the same without the dependence must pass.

    The size of a whole path is off by a little, which calls may see.
    """

    def sample(n, s, size=size):
        z = noise(n, s)
        z[:, 5] = mixed(z[:, 5], z[:, 1], size)
        return z

    assert {name for name in refuting(sample, seed) if not of_pairs(name)} == {"lags"}
    assert refuting(noise, seed) == set()


@pytest.mark.parametrize("apart", ["next", "half a batch"])
@pytest.mark.parametrize("size", [-0.3, 0.3], ids=["down", "up"])
def test_paths_that_know_of_each_other_are_seen_by_nothing_else(apart, size, seed):
    """Every path by itself is right. Alpha 1e-6."""

    def sample(n, s):
        z, half = noise(n, s), n // 2
        here, there = (slice(1, 2 * half, 2), slice(0, 2 * half, 2)) if apart == "next" else (slice(half, 2 * half), slice(half))
        z[here] = mixed(z[here], z[there], size)
        return z

    found = refuting(sample, seed)
    assert LAG in found
    assert all(of_pairs(name) for name in found)


@pytest.mark.parametrize("lengths", [(400,), (200, *[5] * 40), (1,) * 400], ids=["one call", "long and short", "single draws"])
def test_serial_sums_are_those_of_the_definition(lengths, seed):
    """Products and squares at every lag within calls, and of mirrored places, against loops."""
    z = np.random.default_rng(seed).standard_normal((400, 3))
    summary = Serial(["z"], [3], most=50)
    summary.open(lengths)
    summary.begin()
    summary.add(0, z[:, :2])
    summary.add(0, z[:, 2:], first=2)
    summary.end()
    products, norms, pairs = np.zeros(51), np.zeros(51), np.zeros(51)
    for call in np.split(z, np.cumsum(lengths)[:-1]):
        m = len(call)
        both = [(lag, call[lag:], call[: m - lag]) for lag in range(1, min(m - 1, 50) + 1)]
        for lag, a, b in [*both, (0, call[: m // 2], call[::-1][: m // 2])]:
            products[lag] += (a * b).sum()
            norms[lag] += 0.5 * (a**2 + b**2).sum()
            pairs[lag] += len(a)
    np.testing.assert_allclose(summary.products[0], products, atol=1e-9)
    np.testing.assert_allclose(summary.norms[0], norms, atol=1e-9)
    np.testing.assert_allclose(summary.pairs, pairs)
    np.testing.assert_allclose(summary.totals, z.sum(axis=0), atol=1e-9)


def test_a_wrong_mean_is_not_taken_for_correlation(seed):
    """2,000 draws around 3 are independent, and one call after the other has the same mean. P-values above 1e-9."""
    z = np.random.default_rng(seed).standard_normal((2_000, 2)) + 3.0
    watch = Dependence(2, np.random.default_rng(0))
    for summary in watch.summaries().values():
        summary.open((1_000, *[10] * 100))
    watch.add(z, np.random.default_rng(1))
    for summary in (watch.serial, watch.between, watch.calls, watch.unusual):
        assert min(test.rows * test.null.p_value(test.statistic, test.n) for test in summary.tests()) > 1e-9


def test_the_masses_of_balls_and_intervals_are_right(seed):
    """Against scipy's noncentral chi-square, and a grid."""
    g = np.random.default_rng(seed)
    for dim, squared in ((2, 1e-3), (2, 4.0), (7, 1.0), (16, 9.0)):
        lengths = (g.standard_normal((50, dim)) ** 2).sum(axis=1)
        np.testing.assert_allclose(ball_masses(lengths, squared, dim), stats.ncx2.cdf(squared, dim, lengths), atol=2e-15, rtol=1e-9)
    ours, others = g.standard_normal(500), g.standard_normal(40)
    near, masses = _on_a_line(ours, others, [0.01, 0.1])
    grid = np.linspace(-8.0, 8.0, 40_001)
    for image, centres in enumerate((others, -others)):
        for scale, radius in enumerate((0.01, 0.1)):
            assert near[image, scale] == (np.abs(ours[:, None] - centres).min(axis=1) <= radius).sum()
            inside = np.abs(grid[:, None] - centres).min(axis=1) <= radius
            assert masses[image, scale] == pytest.approx((stats.norm.pdf(grid) * inside).sum() * (grid[1] - grid[0]), abs=1e-3)


def test_one_path_that_comes_twice_is_enough(seed):
    def sample(n, s):
        z = noise(n, s)
        z[n // 3] = z[n // 2]
        return z

    assert refuting(sample, seed) == {"repeated draws"}


def test_single_draws_have_no_neighbours(seed):
    """30 batches of one draw each: no p-value below 1e-9, and nothing of others in the same batch."""
    found = collect(B.Innovations(), MEMORYLESS, np.split(noise(30, seed), 30)).results()
    assert min(r.p_value for r in found) > 1e-9
    assert not [r for r in found if r.name.startswith("dependence")]


def test_a_draw_of_another_shard_counts_as_a_repetition():
    (found,) = (r for r in collect(B.Innovations(), CHAIN, [PATHS, PATHS[:3]]).results() if r.name == "repeated draws")
    assert found.statistic == 3


def test_a_wrong_deterministic_step_of_either_shard_is_kept():
    chain = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x, sigma=[0.0, 1.0], dim=1)
    right = np.array([[[1.0], [2.0], [1.0]]])
    for shards in ([right, 1.5 * right - 0.25], [1.5 * right - 0.25, right]):
        (step,) = (r for r in collect(B.Innovations(), chain, shards).results() if r.name == "deterministic steps")
        assert step.statistic > 1e-3
        assert step.p_value == 0.0


@pytest.mark.parametrize("size", [-0.15, 0.15], ids=["down", "up"])
def test_projected_ks_refutes_a_shift_from_both_sides(size, seed):
    """Alpha 1e-6."""
    plan = quiet_plan(alpha=1e-6, tolerance=0.1, first_paths=10_000, max_paths=10_000)
    right, wrong = (
        ex.certify(lambda n, s, e=e: MIXTURE.sample(n, s) + e, MIXTURE, plan=plan, seed=seed, batteries=[B.ProjectedKS()])
        for e in (0.0, size)
    )
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons


def test_the_start_is_part_of_the_claim_unless_it_is_left_out(seed):
    def shifted(n, s):
        paths = SAMPLE(n, s)
        noise = np.stack([e.noise for e in CHAIN.innovations(paths)], axis=1)
        states = [paths[:, 0] + 0.2]
        for i, k in enumerate(range(4, 0, -1)):
            states.append(0.7 * states[-1] + 0.2 * np.sin(k * states[-1]) + CHAIN.sigma[k - 1] * noise[:, i + 1])
        return np.stack(states, axis=1)

    plan = quiet_plan(tolerance=0.1, first_paths=10_000, max_paths=10_000)
    wrong = ex.certify(shifted, CHAIN, plan=plan, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert wrong.leading.where in ("start", "pooled")
    mean = lambda k, x: 0.7 * x + 0.2 * np.sin(k * x)  # noqa: E731
    free = ex.GaussianChain.from_mean(mean, sigma=CHAIN.sigma, dim=2, start=None)
    assert ex.certify(shifted, free, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED


def halves(n, s):
    first = SAMPLE(-(-n // 2), s)
    mean = lambda k, x: 0.7 * x + 0.2 * np.sin(k * x)  # noqa: E731
    x, other = -first[:, 0], [-first[:, 0]]
    for step, k in zip(list(CHAIN.innovations(first))[1:], range(4, 0, -1), strict=True):
        x = mean(k, x) - CHAIN.sigma[k - 1] * step.noise
        other.append(x)
    return np.concatenate([first, np.stack(other, axis=1)])[:n]


@pytest.mark.parametrize("order", ["halves", "alternating"])
def test_antithetic_paths_are_refuted_however_they_are_ordered(order, seed):
    """Each path is right, and the second half has the negative noise of the first; at alpha 1e-6."""

    def sample(n, s):
        paths = halves(n + n % 2, s)
        return (paths if order == "halves" else paths.reshape(2, -1, *paths.shape[1:]).swapaxes(0, 1).reshape(paths.shape))[:n]

    plan = quiet_plan(tolerance=0.2, first_paths=2_000, max_paths=2_000, per_call=None)
    wrong = ex.certify(sample, CHAIN, plan=plan, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert wrong.reasons[0].startswith("draws depend on each other")
    assert {"halves": "calls", "alternating": "lag 1"}[order] in " ".join(f.where for f in wrong.findings if f.p_value == 0.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_path_that_comes_twice_refutes(dtype):
    plan = quiet_plan(tolerance=0.2, first_paths=2_000, max_paths=2_000, per_call=None)

    def sample(n, s, twice=True):
        paths = SAMPLE(n, s).astype(dtype)
        if twice and n > 1000:
            paths[-1] = paths[3]
        return paths

    assert ex.certify(lambda n, s: sample(n, s, False), CHAIN, plan=plan).verdict is ex.Verdict.CERTIFIED
    wrong = ex.certify(sample, CHAIN, plan=plan)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert wrong.leading.test == "distinct"
    assert wrong.leading.effect == 1


def test_repetitions_are_found_over_batches_and_in_what_is_kept_of_many():
    """Beyond what is kept, a path and its repetition are both kept or both not: an eighth repeated still shows."""
    data = np.random.default_rng(0).standard_normal((100_000, 5, 2))
    data[90_000:] = data[:10_000]
    evidence, other = (B.Innovations().start(CHAIN, np.random.default_rng(0)).summaries["repeated draws"] for _ in range(2))
    evidence.add(data[:50_000])
    (clean,) = evidence.tests()
    assert clean.statistic == 0
    other.add(data[50_000:])
    evidence.merge(other)
    (found,) = evidence.tests()
    assert 5_000 < found.statistic < 10_000
    assert len(evidence.kept) == 1 << 16


@pytest.mark.parametrize("order", ["halves", "alternating"])
def test_pairs_that_share_noise_at_different_steps_are_refuted(order, seed):
    """The second of a pair has the first's noise a step later; at alpha 1e-6, only the steps together show it."""

    def sample(n, s):
        first = SAMPLE(-(-n // 2), s)
        noise = [step.noise for step in CHAIN.innovations(first)]
        x = np.random.default_rng(s + 1).standard_normal(first[:, 0].shape)
        other = [x]
        for i, k in enumerate(range(4, 0, -1)):
            x = 0.7 * x + 0.2 * np.sin(k * x) + CHAIN.sigma[k - 1] * noise[i]
            other.append(x)
        paths = np.concatenate([first, np.stack(other, axis=1)])
        return (paths if order == "halves" else paths.reshape(2, -1, *paths.shape[1:]).swapaxes(0, 1).reshape(paths.shape))[:n]

    plan = quiet_plan(tolerance=0.2, first_paths=2_000, max_paths=2_000)
    wrong = ex.certify(sample, CHAIN, plan=plan, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert LAG in wrong.leading.name
    assert wrong.leading.where.endswith("sum over steps")
    assert order == "halves" or wrong.leading.where.startswith("lag 1,")


def test_a_single_path_is_beside_nobody():
    evidence = B.Innovations().start(CHAIN, np.random.default_rng(0))
    evidence.update(SAMPLE(1, 0))
    assert not [r.name for r in evidence.results() if of_pairs(r.name)]


def test_draws_may_be_equal_by_rounding_but_not_more_often():
    """A number of single precision: of 64,000 normals a few are equal by chance. A thousand more are not."""
    short = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x, sigma=[1.0], dim=1, start=None)
    data = np.random.default_rng(0).standard_normal((64_000, 2, 1)).astype(np.float32)
    for copies, refuted in ((0, False), (1_000, True)):
        evidence = B.Innovations().start(short, np.random.default_rng(0))
        data[:copies] = data[copies : 2 * copies]
        evidence.summaries["repeated draws"].add(data)
        (found,) = evidence.summaries["repeated draws"].tests()
        assert found.statistic > 10
        assert (found.null.p_value(found.statistic, found.n) < 1e-9) == refuted


def test_a_deterministic_step_that_does_not_hold_refutes():
    chain = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x, sigma=[0.0, 1.0], dim=1)

    def sample(n, seed, error=0.0):
        z = np.random.default_rng(seed).standard_normal((n, 2, 1))
        middle = 0.5 * z[:, 0] + z[:, 1]
        return np.stack([z[:, 0], middle, 0.5 * middle + error], axis=1)

    plan = quiet_plan(tolerance=0.2, first_paths=2_000, max_paths=2_000)
    assert ex.certify(sample, chain, plan=plan).verdict is ex.Verdict.CERTIFIED
    wrong = ex.certify(lambda n, s: sample(n, s, 1e-6), chain, plan=plan)
    assert wrong.verdict is ex.Verdict.REFUTED
    assert "equality" in wrong.reasons[0]


def test_findings_count_every_row_that_was_looked_at():
    evidence = collect(B.Innovations(), CHAIN, [PATHS])
    plan = ex.Plan()
    findings = findings_of([evidence], plan)
    worst = [f for f in findings if f.rows > 1]
    # 2 steps have a drift two steps back, 3 one step back, 4 an innovation before them, and with the start there are 5.
    assert {2, 3, 4, 5} <= {f.rows for f in worst}
    # All 239 lags of one call of 240 draws and its mirrored places, in five rows: all steps, sizes, sum, start and last step.
    assert {f.rows for f in worst if f.test == "serial correlation"} == {5 * 240}
    for f in findings:
        assert f.p_value == min(1.0, f.rows * null_of(f.test, f.parameters).p_value(f.statistic, f.n))
        assert f.adjusted_p >= f.p_value
        assert f.bound is None or f.bound >= f.effect
        assert f.detectable > 0


@settings(max_examples=25)
@given(p=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_holm_is_that_of_statsmodels(p):
    from statsmodels.stats.multitest import multipletests

    # It collects garbage, for a quarter of a second in a process that has imported much: there shall be none to look at.
    gc.freeze()
    try:
        expected = multipletests(p, method="holm")[1]
    finally:
        gc.unfreeze()
    one_stage, three_stages = quiet_plan(first_paths=100, max_paths=100), quiet_plan(first_paths=100, max_paths=400)
    np.testing.assert_allclose(adjust(p, one_stage), expected, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(adjust(p, three_stages), np.minimum(1.0, 3 * expected), rtol=1e-12, atol=1e-300)


def test_judging_a_network_keeps_no_graph():
    """A prediction with parameters that require gradients is evaluated without recording any."""
    torch = module_or_skip("torch")
    slope = torch.tensor(0.7, requires_grad=True)
    recorded = []

    def mean(k, x):
        out = slope * x
        recorded.append(out.requires_grad)
        return out

    def sample(n, seed):
        generator = torch.Generator().manual_seed(seed)
        path = [torch.randn(n, 2, generator=generator)]
        for _ in range(2):
            path.append(0.7 * path[-1] + torch.randn(n, 2, generator=generator))
        return torch.stack(path, 1).requires_grad_()

    law = ex.GaussianChain.from_mean(mean, sigma=[1.0, 1.0], dim=2)
    judged = ex.certify(sample, law, plan=quiet_plan(tolerance=0.2, first_paths=1_000, max_paths=2_000))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert recorded
    assert not any(recorded)
