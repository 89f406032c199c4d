"""Bounds on the distance of a chain from its target, against distances that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from exactness.evidence.nulls import Unmet

RHO = 0.9
TARGET = ex.GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, RHO], [RHO, 1.0]]])
SCAN = ex.KernelInvariance(TARGET, reversible=False)


def maximal(a, b, sd, rng):
    """Draws of N(a, sd^2) and N(b, sd^2) that are equal as often as they can be."""
    x = a + sd * rng.standard_normal(a.shape)
    same = np.log(rng.random(a.shape)) < 0.5 * ((x - a) ** 2 - (x - b) ** 2) / sd**2
    return x, np.where(same, x, b - (x - a))


def gibbs(x, y, seed, lean=0.0):
    rng, sd = np.random.default_rng(seed), (1 - RHO**2) ** 0.5
    first = maximal(RHO * x[:, 1] + lean * (y[:, 1] - x[:, 1]), RHO * y[:, 1], sd, rng)
    second = maximal(RHO * first[0], RHO * first[1], sd, rng)
    return tuple(np.stack(pair, axis=1) for pair in zip(first, second, strict=True))


def scan(x, seed):
    rng, sd = np.random.default_rng(seed), (1 - RHO**2) ** 0.5
    first = RHO * x[:, 1] + sd * rng.standard_normal(len(x))
    return np.stack([first, RHO * first + sd * rng.standard_normal(len(x))], axis=1)


def distance(t):
    """The total variation distance of the second coordinate after t scans from (5, -5)."""
    mean, sd = RHO ** (2 * t) * -5.0, (1.0 - RHO ** (4 * t)) ** 0.5
    grid = np.linspace(-12.0, 12.0, 200_001)
    gap = np.abs(stats.norm.pdf(grid, mean, sd) - stats.norm.pdf(grid))
    return 0.5 * float(gap.sum() * (grid[1] - grid[0]))


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_the_bound_holds_and_is_close(steps):
    """P2 has .710, .277 and .0377 for bounds and .687, .266 and .0328 for the truth of the joint state."""
    law = ex.Coupled(SCAN, start=[5.0, -5.0], steps=steps)
    found = ex.certify(law.moved_by(gibbs), law, plan=ex.Plan(tolerance=0.05, max_paths=20_000, per_call=1_000))
    share = next(f for f in found.findings if f.test == "pairs that have not met")
    assert distance(steps) < share.bound < 1.25 * distance(steps) + 0.05
    assert found.verdict is (ex.Verdict.CERTIFIED if steps == 20 else ex.Verdict.INCONCLUSIVE)
    assert any("upper bounds on the total variation distance" in reason for reason in found.reasons)
    assert steps == 20 or "not shown to converge" in found.reasons[0]


@pytest.mark.parametrize("kernel", [None, scan], ids=["pair", "kernel"])
def test_a_pair_whose_chain_leans_towards_its_partner_is_refuted(kernel):
    """It meets sooner, and its bound would be wrong."""
    law = ex.Coupled(SCAN, start=[5.0, -5.0], steps=10, kernel=kernel)
    assert ex.certify(law.moved_by(lambda x, y, s: gibbs(x, y, s, 0.3)), law).verdict is ex.Verdict.REFUTED
    right = ex.certify(law.moved_by(gibbs), law, plan=ex.Plan(tolerance=0.05, max_paths=10_000))
    assert right.verdict is ex.Verdict.INCONCLUSIVE


def test_a_partner_that_does_not_keep_the_target_is_refuted():
    law = ex.Coupled(SCAN, start=[5.0, -5.0], steps=20)
    assert ex.certify(law.moved_by(lambda x, y, s: tuple(0.97 * v for v in gibbs(x, y, s))), law).verdict is ex.Verdict.REFUTED


def modes(x, y, seed, step=0.5):
    """A random walk on two far modes, with the same proposal for both chains if they are close, and one coin for both."""
    rng = np.random.default_rng(seed)
    noise, coin = rng.standard_normal(x.shape), np.log(rng.random(len(x)))
    proposals = [v + step * noise for v in (x, y)]
    equal = (x == y).all(1)
    proposals[1] = np.where(equal[:, None], proposals[0], proposals[1])
    after = []
    for v, new in zip((x, y), proposals, strict=True):
        ratio = FAR_MODES.log_density(new) - FAR_MODES.log_density(v)
        after.append(np.where((coin < ratio)[:, None], new, v))
    return tuple(after)


FAR_MODES = ex.GaussianMixture([0.5, 0.5], [[-10.0], [10.0]], [1.0, 1.0])


@pytest.mark.parametrize(("pair", "moves"), [(modes, True), (lambda x, y, s: (x, y), False)], ids=["two far modes", "never moves"])
def test_what_does_not_converge_is_not_shown_to_converge(pair, moves):
    law = ex.Coupled(ex.KernelInvariance(FAR_MODES), start=[10.0], steps=8)
    found = ex.certify(law.moved_by(pair), law, plan=ex.Plan(tolerance=0.05, max_paths=4_000, per_call=1_000))
    assert found.verdict is ex.Verdict.INCONCLUSIVE
    assert "not shown to converge" in found.reasons[0]
    share = next(f for f in found.findings if f.test == "pairs that have not met")
    assert share.bound >= 0.5


def test_bounds_cover_as_often_as_they_say(seed):
    """At confidence 0.99, a bound lies below the truth in at most 21 of 1,000 repetitions (P 1e-3 or less if it is right)."""
    truth, n = 0.0377, 2_000
    hits = np.random.default_rng(seed).binomial(n, truth, 1_000)
    below = sum(Unmet().bound(h / n, n, 0.01) < truth for h in hits)
    assert below <= 21
    assert sum(Unmet().bound(h / n, n, 0.5) < truth for h in hits) > 100


NORMAL = ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0]))


def halves(x, seed):
    return 0.5 * x + 0.75**0.5 * np.random.default_rng(seed).standard_normal(x.shape)


def one_of_both(x, y, seed):
    draw = np.where(np.random.default_rng(seed + 1).random(x.shape) < 0.5, halves(x, seed), halves(y, seed))
    return draw, draw.copy()


@pytest.mark.parametrize("kernel", [None, halves], ids=["pair", "kernel"])
@pytest.mark.parametrize(
    "pair",
    [
        lambda x, y, s: (halves(x, s), halves(x, s)),
        lambda x, y, s: (halves(y, s), halves(y, s)),
        lambda x, y, s: (halves(y, s), halves(x, s + 1)),
        one_of_both,
    ],
    ids=["the partner copies", "the chain copies", "both change places", "both jump to one of the two"],
)
def test_pairs_that_meet_from_afar_because_they_look_at_each_other_are_refuted(pair, kernel):
    """They meet at once, and are never near before. The partner has forgotten it after many steps, and keeps the target."""
    law = ex.Coupled(NORMAL, start=[6.0], steps=15, kernel=kernel)
    assert ex.certify(law.moved_by(pair), law, plan=ex.Plan(tolerance=0.1)).verdict is ex.Verdict.REFUTED


def test_a_pair_gets_copies_of_data_in_arrays_of_its_kind():
    def pair(x, y, data, seed):
        assert type(data["y"]).__module__.startswith("torch")
        draw = x * 0 + data["y"].mean() + seed % 7
        data["y"][:] = 0.0
        return draw, draw.clone()

    law = ex.Coupled(ex.JointLaw(lambda n, s: halves(np.zeros((n, 1)), s), lambda t, s: {"y": t}), start=[3.0], steps=2)
    rows = law.moved_by(pair, arrays="torch")(8, seed=1)[0]
    assert np.abs(rows[:, -1]).min() > 0.0


def test_a_posterior_whose_bound_is_an_average_over_data():
    """Exact posterior draws, made with the same noise for both chains, meet at once."""

    def prior(n, seed):
        return np.random.default_rng(seed).standard_normal((n, 1))

    def simulate(theta, seed):
        return theta + np.random.default_rng(seed).standard_normal((len(theta), 3))

    def pair(x, y, data, seed):
        draw = data.mean(1, keepdims=True) * 0.75 + 0.5 * np.random.default_rng(seed).standard_normal(x.shape)
        return draw, draw.copy()

    law = ex.Coupled(ex.JointLaw(prior, simulate), start=[3.0], steps=1)
    found = ex.certify(law.moved_by(pair), law, plan=ex.Plan(tolerance=0.05))
    assert found.verdict is ex.Verdict.CERTIFIED
    assert found.law["bound"] == "averaged over data drawn from the model"
    assert any("total variation distance averaged over data drawn from the model" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ex.Coupled(TARGET, start=[0.0, 0.0], steps=3), "KernelInvariance or a JointLaw"),
        (lambda: ex.Coupled(SCAN, start=[0.0], steps=3), "2 finite numbers"),
        (lambda: ex.Coupled(SCAN, start="far", steps=3), "got 'far'"),
        (lambda: ex.Coupled(SCAN, start=[0.0, 0.0], steps=3).moved_by(gibbs, arrays="pandas"), "numpy, torch, jax"),
        (lambda: ex.Coupled(SCAN, start=[0.0, 0.0], steps=0), "steps"),
        (lambda: ex.Coupled(SCAN, start=[0.0, 0.0], steps=3).moved_by(3), "pair(x, y, seed)"),
    ],
)
def test_bad_input_is_refused_with_an_explanation(make, said):
    with pytest.raises(ex.BadInput) as refused:
        make()
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("pair", "said"),
    [(lambda x, y, s: x, "must return two arrays"), (lambda x, y, s: (x * np.nan, y), "NaN")],
)
def test_what_a_pair_may_not_return_is_said(pair, said):
    law = ex.Coupled(SCAN, start=[0.0, 0.0], steps=3)
    found = ex.certify(law.moved_by(pair), law)
    assert found.verdict is ex.Verdict.INVALID
    assert said in found.reasons[0]
