"""The battery of couplings accepts every exact one, and refutes wrong ones from both sides."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
import torch
from exactness_samplers.torch.couplings import displacement, emit_rejected, log_ratio
from hypothesis import given, settings
from hypothesis import strategies as st

import exactness as ex
from exactness import batteries as B
from exactness.errors import BadInput, InvalidSample
from exactness.evidence import nulls as N
from exactness.run.recheck import check_arithmetic
from tests.conftest import module_or_skip
from tests.evidence.test_evidence import collect, key, of_pairs
from tests.registry import quiet_plan

TARGET, DRAFT, SIGMA = np.array([0.4, -1.1, 0.3]), np.array([0.8, -0.7, 0.9]), 0.7
ENDS = {"gamma": ("independent", "fresh"), "reflection": ("quantile", "kept")}
PLAN = quiet_plan(alpha=1e-6, tolerance=0.15, first_paths=5_000, max_paths=5_000)


def law(kind="maximal", weight=1.0):
    return ex.GaussianCoupling(TARGET, DRAFT, SIGMA, kind, weight)


def couple(
    ends, weight=1.0, *, used=None, power=1.0, share=1.0, across=1.0, target_instead=0.0, draft_shift=0.0, swap=False,
    dtype=torch.float64, means=(TARGET, DRAFT),
):  # fmt: skip
    """A coupling by exactness_samplers.torch; every keyword after ``ends`` and ``weight`` is one way of being wrong.

    ``used``: the weight of the residual that is drawn. ``power``, ``share``: the draft is accepted with probability
    share min(1, r^power). ``across``: scales what is emitted orthogonally. ``target_instead``: so often is a rejected draft
    replaced by a draw of the target. ``draft_shift``: of the draft's mean, along the last axis, in units of sigma.
    ``swap``: orthogonal coordinates of the draft, exchanged, are what is emitted.
    """

    def sample(n, seed):
        generator = torch.Generator().manual_seed(seed)
        p, q = (torch.as_tensor(mean, dtype=dtype).expand(n, -1) for mean in means)
        sigma = torch.full((n,), SIGMA, dtype=dtype)
        delta, axis = displacement(p, q, sigma)
        z, fresh = (torch.randn(*p.shape, generator=generator, dtype=dtype) for _ in range(2))
        u, v, other = (torch.rand(n, generator=generator, dtype=torch.float64) for _ in range(3))
        z[:, -1] += draft_shift
        log_weight, used_weight = (torch.full((n,), math.log(w), dtype=torch.float64) for w in (weight, used or weight))
        along = (axis * z).sum(1)
        accepted = torch.log(u) < math.log(share) + power * torch.clamp(log_weight + log_ratio(delta, along), max=0.0)
        x = emit_rejected(p, sigma, axis, delta, used_weight, z, fresh, v, *ends)
        if swap:
            x = x + SIGMA * _orthogonal(torch.roll(_orthogonal(z, axis), 1, 1) - (x - p) / SIGMA, axis)
        x = torch.where((other < target_instead)[:, None], p + SIGMA * fresh, x)
        x = x + (across - 1.0) * _orthogonal(x - p, axis)
        y = q + SIGMA * z
        return torch.stack([torch.where(accepted[:, None], y, x), y], 1)

    return sample


def _orthogonal(z, axis):
    return z - (axis * z).sum(1, keepdim=True) * axis


def judge(sample, claimed, seed, plan=PLAN):
    return ex.certify(sample, claimed, plan=plan, seed=seed)


def refuted_by(judged):
    return {f.name.removeprefix("couplings: ").split(", ")[0] for f in judged.findings if f.adjusted_p <= PLAN.alpha}


@pytest.mark.parametrize(("weight", "dtype"), [(1.0, torch.float64), (0.6, torch.float64), (0.6, torch.float32)], ids=str)
@pytest.mark.parametrize("kind", ENDS)
def test_exact_couplings_are_certified(kind, weight, dtype, seed):
    """6 certificates, each under its own kind and as merely maximal: 12 at alpha 1e-6."""
    for claimed in (kind, "maximal"):
        judged = judge(couple(ENDS[kind], weight, dtype=dtype), law(claimed, weight), seed)
        assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


@pytest.mark.parametrize("ends", list(itertools.product(("independent", "quantile"), ("fresh", "kept"))), ids="-".join)
def test_every_combination_of_ends_is_maximal(ends, seed):
    """4 certificates at alpha 1e-6."""
    assert judge(couple(ends), law(), seed).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"power": 0.6}, {"power": 1.6}, {"share": 0.9}, {"across": 0.85}, {"across": 1.18}, {"target_instead": 0.4},
        {"draft_shift": -0.22}, {"draft_shift": 0.22}, {"used": 0.6},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_couplings_are_refuted_from_both_sides(kind, wrong, seed):
    """18 falsehoods at alpha 1e-6, 5,000 draws each."""
    judged = judge(couple(ENDS[kind], **wrong), law(kind), seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("used", [0.4, 0.75])
def test_the_residual_of_another_weight_is_refuted_from_both_sides(kind, used, seed):
    """At weight 0.6; alpha 1e-6. Weight 1 is the error that block verification tempts to."""
    for wrong in (used, 1.0):
        judged = judge(couple(ENDS[kind], 0.6, used=wrong), law(kind, 0.6), seed)
        assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


@pytest.mark.parametrize(
    ("ends", "kind", "where"),
    [
        (("quantile", "kept"), "gamma", "products given rejection"),
        (("quantile", "fresh"), "gamma", "products given rejection"),
        (("independent", "kept"), "gamma", "products given rejection"),
        (("independent", "fresh"), "reflection", "reflection"),
        (("independent", "kept"), "reflection", "reflection"),
        (("quantile", "fresh"), "reflection", "reflection"),
    ],
)
@pytest.mark.parametrize("weight", [1.0, 0.6])
def test_one_kind_passed_as_another_is_refuted(ends, kind, where, weight, seed):
    """All of them are maximal; alpha 1e-6, and the test that is about it must be among those that refute."""
    judged = judge(couple(ends, weight), law(kind, weight), seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
    assert where in refuted_by(judged)


def test_orthogonal_coordinates_exchanged_are_seen_by_their_pairs(seed):
    """Each coordinate is independent of its own partner, or nearly; alpha 1e-6."""
    judged = judge(couple(ENDS["gamma"], swap=True), law("gamma"), seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert "vectors of both given rejection" in refuted_by(judged)


def test_a_dependence_of_sizes_alone_is_refuted(seed):
    """Signs independent, sizes equal: scores are uncorrelated, their sizes are not. Alpha 1e-6."""
    right, claimed = couple(ENDS["gamma"]), law("gamma")

    def sample(n, s):
        draws = right(n, s)
        x, y = claimed.noise(draws)
        rejected = ~claimed.accepted(draws)
        a, b = claimed.noise_given_rejection(x[rejected], y[rejected])
        score = (torch.sign(a[:, 0]) * b[:, 0].abs()).numpy()
        grid = np.linspace(-12.0, claimed.edge, 400_001)
        s_x = np.interp(0.5 * (1.0 + np.vectorize(math.erf)(score / math.sqrt(2.0))), claimed.residual_cdf(grid), grid)
        shift = torch.as_tensor(s_x) - x[rejected][:, 0]
        draws[rejected, 0] += SIGMA * shift[:, None] * torch.as_tensor(claimed.axis)
        return draws

    judged = judge(sample, claimed, seed)
    assert judged.verdict is ex.Verdict.REFUTED
    assert refuted_by(judged) == {"products given rejection"}
    assert judged.leading.where == "sizes along"


def test_an_accepted_draft_that_is_computed_again_is_not_accepted():
    """Equality is bitwise: half of the accepted drafts an ulp away are so many rejections too many."""
    right = couple(ENDS["gamma"])

    def sample(n, seed):
        draws = right(n, seed)
        draws[::2, 0] = torch.nextafter(draws[::2, 0], torch.tensor(math.inf).double())
        return draws

    judged = judge(sample, law(), 0)
    assert judged.verdict is ex.Verdict.REFUTED
    assert "accepted drafts" in refuted_by(judged)


@pytest.mark.parametrize(("dim", "weight"), [(1, 1.0), (1, 0.5), (2, 0.5), (16, 0.5)])
def test_any_dimension_is_judged(dim, weight, seed):
    """8 certificates at alpha 1e-6; an orthogonal part that is 30% too wide is refuted."""
    generator = np.random.default_rng(7)
    means = generator.standard_normal(dim), generator.standard_normal(dim)
    means = means[0], means[0] + SIGMA * (means[1] - means[0]) / np.linalg.norm(means[1] - means[0])
    plan = quiet_plan(alpha=1e-6, tolerance=0.15, first_paths=5_000, max_paths=5_000)
    for kind, ends in ENDS.items():
        claimed = ex.GaussianCoupling(*means, SIGMA, kind, weight)
        assert judge(couple(ends, weight, means=means), claimed, seed, plan).verdict is ex.Verdict.CERTIFIED
        if dim > 1:
            wrong = couple(ends, weight, means=means, across=1.3)
            assert judge(wrong, claimed, seed, plan).verdict is ex.Verdict.REFUTED


def test_rows_of_rejected_draws_have_no_bounds():
    """A bound counts all draws; how many of them are rejected is up to the sampler."""
    evidence = collect(B.Couplings(), law("gamma"), [couple(ENDS["gamma"])(2_000, 0)])
    results = evidence.results()
    of_rejected = [r for r in results if "rejection" in r.name]
    assert len(of_rejected) > 6
    assert all(r.bound(0.01) is None for r in of_rejected)
    assert {r.name for r in results if r.bound(0.01) is not None} >= {
        "accepted drafts",
        "target, coordinates",
        "draft, coordinates",
    }
    assert all(r.n < 2_000 * 3 for r in of_rejected)


def test_the_bound_is_that_of_the_row_that_departs_most(seed):
    """In d = 101, the margins have rows of n and of 100 n values. A draft departs by 0.085 along the axis, and less across it.

    The smallest p-value is that of the many values across the axis, and the largest bound that of the few along it. A certificate
    holds both rows, so that its bound can be computed again.
    """
    means = np.zeros(101), np.eye(101)[0]
    claimed = ex.GaussianCoupling(*means, 1.0, "maximal")

    def sample(n, seed):
        z = np.random.default_rng(seed).standard_normal((n, 101))
        z[:, 0] = np.where(np.random.default_rng([seed]).random(n) < 0.17, np.abs(z[:, 0]), z[:, 0])
        z[:, 1:] += 0.06
        return np.stack([means[1] + z, means[1] + z], axis=1)

    plan = quiet_plan(alpha=1e-100, first_paths=3_000, max_paths=3_000)
    judged = ex.certify(sample, claimed, plan=plan, seed=seed, batteries=[B.Couplings()])
    found = next(f for f in judged.findings if f.name == "couplings: draft, coordinates, Kolmogorov, worst row")
    assert (found.where, found.bound_where) == ("orthogonal", "along the means' difference")
    assert found.bound > 0.085 > N.Kolmogorov().bound(found.statistic, found.paths, plan.bound_error(50))
    assert check_arithmetic(judged) == []
    lower = msgspec.structs.replace(found, loosest=None, bound=0.05)
    altered = msgspec.structs.replace(judged, findings=[lower if f is found else f for f in judged.findings])
    assert any("bound is written as 0.05" in fault for fault in check_arithmetic(altered))


DRAWS = couple(ENDS["reflection"], 0.6)(300, 0).numpy()
LAWS = [law("gamma", 0.6), law("reflection", 0.6)]


@pytest.mark.parametrize("claimed", LAWS, ids=lambda c: c.kind)
@given(cuts=st.lists(st.integers(1, 299), max_size=4, unique=True), order=st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_shards_in_any_order_give_one_and_the_same_evidence(claimed, cuts, order):
    parts = np.split(DRAWS, sorted(cuts))
    order.shuffle(parts)
    assert key(collect(B.Couplings(), claimed, parts), of_pairs) == key(collect(B.Couplings(), claimed, [DRAWS]), of_pairs)


@pytest.mark.parametrize("claimed", LAWS, ids=lambda c: c.kind)
def test_torch_gives_the_same_evidence(claimed):
    expected = collect(B.Couplings(), claimed, [DRAWS])
    assert key(collect(B.Couplings(), claimed, [torch.as_tensor(DRAWS)])) == key(expected)


def test_jax_gives_nearly_the_same_evidence():
    """In single precision here, whose cells may differ by a few counts."""
    expected = collect(B.Couplings(), LAWS[1], [DRAWS])
    got = collect(B.Couplings(), LAWS[1], [module_or_skip("jax.numpy").asarray(DRAWS, dtype="float32")])
    for a, b in zip(expected.results(), got.results(), strict=True):
        assert (a.name, a.null.name, a.n) == (b.name, b.null.name, b.n)
        if a.null.name == "neighbours":
            continue  # Which radius is the worst depends on the judge's own noise, and the noise on the draws.
        # The two ends of a reflected draw are the same number with opposite signs, so rounding decides which row is the worst.
        assert abs(abs(a.null.effect(a.statistic)) - abs(b.null.effect(b.statistic))) < 0.02


def test_acceptance_and_distribution_functions_match_golden(golden):
    """The judge's own reading against high-precision values: probabilities at recorded quantiles, to 1e-9 relative."""
    for row in golden("gaussian_accept")["rows"]:
        claimed = ex.GaussianCoupling([0.0], [float(row["delta"])], 1.0) if float(row["delta"]) > 0 else None
        assert claimed is None or claimed.acceptance == pytest.approx(float(row["accept"]), rel=1e-12, abs=0.0)
    checked = 0
    for row in golden("gaussian_residual")["rows"]:
        weight, delta = float(row["w"]), float(row["delta"])
        if float(row["edge"]) < -37.0:
            with pytest.raises(BadInput, match="no mass in double precision"):
                ex.GaussianCoupling([0.0], [delta], 1.0, weight=weight)
            continue
        claimed = ex.GaussianCoupling([0.0], [delta], 1.0, weight=weight)
        assert claimed.acceptance == pytest.approx(weight - float(row["mass"]), abs=1e-14)
        for text, quantile in row.get("quantiles", {}).items():
            s, scale = np.array([float(quantile)]), float(text) if float(text) < 0.5 else 1.0
            assert abs(float(claimed.residual_cdf(s)[0]) - float(text)) < 1e-9 * scale, (row["w"], row["delta"], text)
            assert abs(float(claimed.residual_cdf(torch.as_tensor(s))[0]) - float(text)) < 1e-9 * scale
            checked += 1
    assert checked > 300


@given(delta=st.floats(1e-3, 20.0), weight=st.floats(0.01, 1.0))
def test_accepted_and_rejected_drafts_add_up_to_the_draft(delta, weight):
    """Above the edge: P(Y <= s) = P(accepted draft <= s) + P(rejected) F_rej(s), where min(q, w p) integrates in closed form."""
    if 0.5 * delta + math.log(weight) / delta < -37.0:
        return
    claimed = ex.GaussianCoupling([0.0], [delta], 1.0, weight=weight)
    s = np.linspace(claimed.edge, max(claimed.edge, delta) + 5.0, 21)
    phi = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)))
    accepted = phi(claimed.edge - delta) + weight * (phi(-claimed.edge) - phi(-s))
    total = accepted + (1.0 - claimed.acceptance) * claimed.rejected_cdf(s)
    np.testing.assert_allclose(total, phi(s - delta), atol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_mean": [[1.0]]}, "target_mean must be a vector of finite numbers"),
        ({"draft_mean": [math.nan, 0.0, 0.0]}, "draft_mean must be a vector of finite numbers"),
        ({"draft_mean": [1.0]}, "must have the same length"),
        ({"draft_mean": TARGET}, "if they agree, every draft is accepted"),
        ({"sigma": 0.0}, "sigma must be a positive number"),
        ({"sigma": "1"}, "sigma must be a positive number"),
        ({"kind": "optimal"}, "kind must be one of maximal, gamma, reflection"),
        ({"weight": 0.0}, r"weight must lie in \(0, 1\]"),
        ({"weight": 1.5}, r"weight must lie in \(0, 1\]"),
        ({"sigma": 100.0, "weight": 0.1}, "raise the weight or move the means apart"),
    ],
)
def test_bad_input_says_what_to_do(arguments, message):
    with pytest.raises(BadInput, match=message):
        ex.GaussianCoupling(**{"target_mean": TARGET, "draft_mean": DRAFT, "sigma": SIGMA, **arguments})


def test_what_cannot_be_judged_is_invalid_or_refuted_and_never_a_crash():
    draws = DRAWS.copy()
    draws[4, 1, 2] = math.nan
    with pytest.raises(InvalidSample, match="the first at draw 4, draft Y, coordinate 2"):
        law().accept(draws, 300)
    for size in (1e30, 1e160, 1e300):

        def huge(n, seed, size=size):
            found = couple(ENDS["gamma"])(n, seed)
            found[0, 0] *= size
            return found

        assert judge(huge, law("gamma"), 0).verdict in (ex.Verdict.INVALID, ex.Verdict.REFUTED)
