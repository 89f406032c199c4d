"""Laws by conditional distribution functions: exact draws become independent uniforms, and wrong ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import exactness as ex
from exactness.laws import families
from exactness.laws.rosenblatt import joined
from tests.registry import quiet_plan
from tests.uniforms import ALPHA, smallest_p

N = 2_000
SCALE = np.array([[2.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 0.7]])
LOGITS = np.log([0.2, 0.3, 0.5])
AXIS = np.array([1.0, 2.0, -1.0])


def rng(*seed):
    return np.random.default_rng(seed)


def roots(matrices):
    return np.linalg.cholesky(matrices)


def concrete(seed, temperature=0.7):
    return special.softmax((LOGITS + rng(seed).gumbel(size=(N, 3))) / temperature, axis=1)


def wishart(seed, df=4.5):
    return stats.wishart(df, SCALE).rvs(N, random_state=seed)


def inverse(seed, df=4.5):
    return stats.invwishart(df, SCALE).rvs(N, random_state=seed)


def correlations(seed, eta):
    """Correlation matrices (3, 3) with density det^(eta - 1), by rejection from the cube of their entries."""
    found = []
    generator = rng(seed)
    while sum(map(len, found)) < N:
        a, b, c = generator.uniform(-1.0, 1.0, (3, 4 * N))
        det = 1.0 + 2.0 * a * b * c - a * a - b * b - c * c
        kept = (det > 0.0) & (generator.random(4 * N) < np.maximum(det, 0.0) ** (eta - 1.0))
        one = np.ones(kept.sum())
        a, b, c = a[kept], b[kept], c[kept]
        found.append(np.stack([one, a, b, a, one, c, b, c, one], axis=1).reshape(-1, 3, 3))
    return np.concatenate(found)[:N]


def projected(seed, shift=0.0):
    x = rng(seed).standard_normal((N, 3)) + AXIS + shift
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def haar(dim, proper=False):
    return lambda seed: (stats.special_ortho_group if proper else stats.ortho_group)(dim).rvs(N, random_state=seed)


def unsigned(dim):
    """Orthogonal matrices as QR decompositions give them, without the signs of R: not the invariant law (Mezzadri 2007)."""
    return lambda seed: np.linalg.qr(rng(seed).standard_normal((N, dim, dim)))[0]


# The law, exact draws of another construction, and wrong draws.
FAMILIES = {
    "Dirichlet": (
        families.dirichlet([0.5, 1.0, 2.0]),
        lambda s: stats.dirichlet([0.5, 1.0, 2.0]).rvs(N, random_state=s),
        lambda s: stats.dirichlet([0.6, 1.0, 2.0]).rvs(N, random_state=s),
    ),
    "concrete": (families.concrete(LOGITS, 0.7), concrete, lambda s: concrete(s, 1.0)),
    "multivariate t": (
        families.student(3.0, AXIS, roots(SCALE)),
        lambda s: stats.multivariate_t(AXIS, SCALE, df=3).rvs(N, random_state=s),
        lambda s: stats.multivariate_t(AXIS, 2.0 * SCALE, df=3).rvs(N, random_state=s),
    ),
    "Wishart": (families.wishart(4.5, SCALE), wishart, lambda s: wishart(s, 5.0)),
    "Wishart, roots": (families.wishart(4.5, SCALE, root=True), lambda s: roots(wishart(s)), lambda s: roots(wishart(s, 5.0))),
    "inverse Wishart": (families.wishart(4.5, SCALE, inverse=True), inverse, lambda s: inverse(s, 5.0)),
    "inverse Wishart, roots": (
        families.wishart(4.5, SCALE, inverse=True, root=True), lambda s: roots(inverse(s)), lambda s: roots(inverse(s, 5.0)),
    ),
    "LKJ": (families.lkj(3, 1.5), lambda s: correlations(s, 1.5), lambda s: correlations(s, 3.0)),
    "LKJ, roots": (families.lkj(3, 1.5, root=True), lambda s: roots(correlations(s, 1.5)), lambda s: roots(correlations(s, 3.0))),
    "directions": (
        families.rotational(AXIS, None, "uniform", {}),
        lambda s: stats.uniform_direction(3).rvs(N, random_state=s),
        lambda s: projected(s, 0.2 - AXIS),
    ),
    "von Mises-Fisher": (
        families.rotational(AXIS, lambda t: 3.0 * t, "vmf", {}),
        lambda s: stats.vonmises_fisher(AXIS / np.linalg.norm(AXIS), 3.0).rvs(N, random_state=s),
        lambda s: stats.vonmises_fisher(AXIS / np.linalg.norm(AXIS), 3.6).rvs(N, random_state=s),
    ),
    "projected normal": (families.projected_normal(AXIS), projected, lambda s: projected(s, 0.4)),
    "orthogonal": (families.orthogonal(3), haar(3), unsigned(3)),
    "rotations": (families.orthogonal(4, proper=True), haar(4, proper=True), haar(4)),
    "copula": (
        families.gaussian_copula(
            [stats.gamma(2.0).cdf, stats.beta(2.0, 3.0).cdf], np.array([[1.0, 0.0], [0.6, 0.8]]), "copula", {}
        ),
        lambda s: copula(s, 0.6),
        lambda s: copula(s, 0.4),
    ),
    "singular normal": (
        families.singular_normal(np.linalg.qr(np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]]))[0], 1.5, "sum zero"),
        lambda s: centred(s, 1.5),
        lambda s: centred(s, 1.9),
    ),
}  # fmt: skip


def copula(seed, correlation):
    z = rng(seed).multivariate_normal([0.0, 0.0], [[1.0, correlation], [correlation, 1.0]], N)
    u = special.ndtr(z)
    return np.stack([stats.gamma(2.0).ppf(u[:, 0]), stats.beta(2.0, 3.0).ppf(u[:, 1])], axis=1)


def centred(seed, scale):
    x = scale * rng(seed).standard_normal((N, 3))
    return x - x.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_draws_become_independent_uniforms_and_wrong_ones_do_not(name, seed):
    """The draws come from constructions that the laws do not use. False alarms: 1e-7 each."""
    law, right, wrong = FAMILIES[name]
    assert smallest_p(law, right(seed)) > ALPHA
    assert smallest_p(law, wrong(seed + 1)) < ALPHA


def exponentials(n, s, first=1.0):
    e = rng(s).exponential(size=(n, 2))
    return np.stack([first * e[:, 0], e[:, 0] * e[:, 1]], axis=1)


def transform(x):
    return -np.expm1(-np.stack([x[:, 0], x[:, 1] / x[:, 0]], axis=1))


PAIR = ex.RosenblattLaw(transform, shape=2, inside=lambda x: (x > 0.0).all(axis=1), name="exponential of exponential")


def test_a_law_of_ones_own_is_certified_and_refuted(seed):
    """Right at alpha 1e-6. Wrong: the first 10% too long, both margins right but independent, one draw in 400 negative."""
    plan = quiet_plan(tolerance=0.15, first_paths=8_000, max_paths=8_000)
    right = ex.certify(exponentials, PAIR, plan=plan, seed=seed)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert right.law["name"] == "exponential of exponential"
    apart = lambda n, s: np.stack([exponentials(n, s)[:, 0], exponentials(n, s + 1)[:, 1]], axis=1)  # noqa: E731
    negative = lambda n, s: exponentials(n, s) * np.where(rng(s, 1).random((n, 1)) < 0.0025, -1.0, 1.0)  # noqa: E731
    for wrong, battery in ((lambda n, s: exponentials(n, s, 1.1), None), (apart, None), (negative, "support")):
        judged = ex.certify(wrong, PAIR, plan=plan, seed=seed)
        assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
        assert battery in (None, judged.leading.battery)


def test_dependence_between_right_uniforms_is_refuted(seed):
    """Two uniforms that are each right and agree: the first is seen by no test of single rows."""
    law = ex.RosenblattLaw(lambda x: x, shape=2, name="square")
    plan = quiet_plan(tolerance=0.2, first_paths=4_000, max_paths=4_000)
    copied = lambda n, s: np.repeat(rng(s).random((n, 1)), 2, axis=1)  # noqa: E731
    assert ex.certify(lambda n, s: rng(s).random((n, 2)), law, plan=plan, seed=seed).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(copied, law, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


def test_independent_laws_are_joined(seed):
    law = joined([families.dirichlet([1.0, 2.0]), ex.UnivariateLaw(stats.expon.cdf, support=(0.0, np.inf)), PAIR], name="three")
    right = np.concatenate(
        [stats.dirichlet([1.0, 2.0]).rvs(N, random_state=seed), rng(seed).exponential(size=(N, 1)), exponentials(N, seed + 1)],
        axis=1,
    )
    assert smallest_p(law, right) > ALPHA
    assert not law.inside(right * [1.0, 1.0, -1.0, 1.0, 1.0]).any()


def test_single_precision_is_refused_where_rounding_moves_the_uniforms():
    """A normal around 1 whose spread is ten units in the last place of float32."""
    certain = ex.RosenblattLaw(lambda x: special.ndtr(1e6 * (x - 1.0)), shape=1, name="narrow")
    near = lambda n, s: (1.0 + 1e-6 * rng(s).standard_normal((n, 1))).astype(np.float32)  # noqa: E731
    judged = ex.certify(near, certain, plan=quiet_plan(tolerance=0.2, max_paths=2_000))
    assert judged.verdict is ex.Verdict.INVALID
    assert "too few digits to judge narrow" in judged.reasons[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ex.RosenblattLaw(3, shape=1), "must be a function"),
        (lambda: ex.RosenblattLaw(transform, shape=0), "shape must be the length of a draw"),
        (lambda: ex.RosenblattLaw(transform, shape=2, dim=0), "at least 1"),
        (lambda: ex.RosenblattLaw(lambda x: 1 / 0, shape=2).rosenblatt(np.zeros((1, 2))), "raised ZeroDivisionError"),
        (lambda: ex.RosenblattLaw(lambda x: x[:, 0], shape=2).rosenblatt(np.zeros((3, 2))), r"must turn \(3, 2\) into \(3, 2\)"),
        (lambda: ex.RosenblattLaw(lambda x: x - 1.0, shape=2).rosenblatt(np.zeros((3, 2))), "probabilities in"),
        (lambda: joined([ex.TrustedSampler(exponentials)], name="x"), "knows no conditional distribution functions"),
    ],
)
def test_what_is_no_transformation_is_said(make, message):
    with pytest.raises(ex.BadInput, match=message):
        make()


@pytest.mark.parametrize("name", ["LKJ, roots", "Wishart, roots", "rotations", "Dirichlet"])
def test_constant_entries_are_no_repeated_draws_and_repeated_draws_are(name):
    """Draws on a surface have entries that are always 0 or 1. Right ones at alpha 1e-6; half of them twice is refuted."""
    law, right, _ = FAMILIES[name]
    draws = right(0).reshape(N, *law.event_shape)
    plan = quiet_plan(tolerance=0.3, max_paths=N)
    assert ex.certify_paths(draws, law, plan=plan).verdict is ex.Verdict.CERTIFIED
    twice = ex.certify_paths(np.concatenate([draws[:1_000], draws[:1_000]]), law, plan=plan)
    assert twice.verdict is not ex.Verdict.CERTIFIED
