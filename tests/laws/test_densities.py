"""A law by its log-density: the integrated distribution function is right, and what cannot be integrated is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import exactness as ex
from tests.registry import quiet_plan

LAWS = {
    "narrow and far out": stats.norm(1234.567, 1e-3),
    "wide": stats.norm(0.0, 1e5),
    "a strong pole": stats.gamma(0.01),
    "two poles": stats.beta(0.5, 0.5),
    "algebraic tails": stats.t(0.5),
    "a kink": stats.laplace(3.0, 0.1),
    "edges": stats.uniform(2.0, 3.0),
    "twenty orders of magnitude": stats.loguniform(1e-10, 1e10),
    "an essential singularity": stats.levy(),
    "skewed": stats.lognorm(3.0),
    "a log-density that is NaN far out": stats.genhyperbolic(0.5, 1.5, -0.5),
}
LEVELS = np.linspace(0.001, 0.999, 21)


@pytest.mark.parametrize("name", LAWS)
def test_the_integrated_distribution_function_is_right(name):
    """Within the error that the law states, and the accuracy of scipy's own."""
    frozen = LAWS[name]
    law = ex.DensityLaw(lambda t: frozen.logpdf(t) + 3.0, support=frozen.support(), name=name)
    points = frozen.ppf(LEVELS)
    assert law.error < 1e-9
    np.testing.assert_allclose(law.cdf(points), frozen.cdf(points), rtol=0.0, atol=law.error + 1e-10)
    assert law.log_total == pytest.approx(3.0, abs=1e-8)


def test_a_law_by_its_density_is_judged(seed):
    """A quartic well. Right at alpha 1e-6; shifted by 0.1 it is refuted."""
    law = ex.DensityLaw(lambda t: -(t**4), name="quartic")

    def draw(n, s):
        """|t|^4 is gamma distributed with shape 1/4."""
        generator = np.random.default_rng(s)
        return generator.gamma(0.25, size=(n, 1)) ** 0.25 * generator.choice([-1.0, 1.0], size=(n, 1))

    plan = quiet_plan(tolerance=0.1, first_paths=8_000, max_paths=8_000)
    right = ex.certify(draw, law, plan=plan, seed=seed)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    assert right.law["kind"] == "DensityLaw"
    assert float(right.law["error"]) < 1e-9
    assert ex.certify(lambda n, s: draw(n, s) + 0.1, law, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


def test_narrow_peaks_are_found():
    """Two peaks of width 1e-6. Where the density underflows between them, unnamed ones show in an integral that is not 1."""
    centres = np.array([0.1234567, 0.7654321])
    rises = lambda t: np.logaddexp(*(stats.norm.logpdf(t, c, 1e-6) for c in centres)) - np.log(2.0)  # noqa: E731
    underflows = lambda t: np.log(sum(stats.norm.pdf(t, c, 1e-6) for c in centres) / 2.0)  # noqa: E731
    for law in (
        ex.DensityLaw(rises, accuracy=1e-8),
        ex.DensityLaw(rises, points=centres, normalised=True, accuracy=1e-8),
        ex.DensityLaw(underflows, points=centres, normalised=True, accuracy=1e-8),
    ):
        np.testing.assert_allclose(law.cdf(np.array([0.0, 0.1234567, 0.5, 1.0])), [0.0, 0.25, 0.5, 1.0], atol=1e-8)
    with pytest.raises(ex.BadInput, match=r"integrates to 0\.5 .* a narrow peak was missed"):
        ex.DensityLaw(underflows, points=centres[:1], normalised=True, accuracy=1e-8)


def test_narrow_peaks_far_from_each_other_are_found():
    """Five peaks that are a million widths apart or more, of which nobody was told."""
    centres = np.array([-77.0, 3.0, 5.5, 1_234.0, 99_999.0])
    law = ex.DensityLaw(lambda t: np.logaddexp.reduce([-0.5 * ((t - c) / 1e-3) ** 2 for c in centres]))
    np.testing.assert_allclose(law.cdf(centres), (np.arange(5) + 0.5) / 5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ex.DensityLaw(3), "must be a function"),
        (lambda: ex.DensityLaw(lambda t: 1 / 0), "raised ZeroDivisionError"),
        (lambda: ex.DensityLaw(lambda t: 0.0), r"must turn \(n,\) numbers into"),
        (lambda: ex.DensityLaw(lambda t: -t * t, support=(1.0, 0.0)), "lower one first"),
        (lambda: ex.DensityLaw(lambda t: -t * t, points=[3.0], support=(0.0, 1.0)), "must lie in the support"),
        (lambda: ex.DensityLaw(lambda t: np.where(t < 1.0, -t * t, np.nan)), "not a number at 1, inside its support"),
        (lambda: ex.DensityLaw(lambda t: np.full_like(t, -np.inf)), "zero wherever it was looked at"),
        (lambda: ex.DensityLaw(lambda t: 0.0 * t), "its mass next to -inf is infinite"),
        (lambda: ex.DensityLaw(lambda t: -np.log(t), support=(0.0, 1.0)), "its mass next to 0 is infinite"),
        (lambda: ex.DensityLaw(lambda t: -t * t + 1e-3 * np.sin(1e9 * np.clip(t, -9, 9))), "noise in the density"),
        (lambda: ex.DensityLaw(stats.beta(0.3, 0.01).logpdf, support=(0.0, 1.0)), "known only to"),
        (lambda: ex.DensityLaw(lambda t: -t * t, normalised=True), r"integrates to 1\.77245 over its support"),
    ],
)
def test_what_cannot_be_integrated_is_said(make, message):
    with pytest.raises(ex.BadInput, match=message):
        make()


def test_the_quantiles_of_a_law_are_found_down_to_the_smallest_numbers():
    """The lowest decile of gamma(0.01) is 1e-100; a pole at 1 that no double resolves is refused."""
    law = ex.UnivariateLaw(stats.gamma(0.01).cdf, support=(0.0, np.inf))
    np.testing.assert_allclose(law.deciles, stats.gamma(0.01).ppf(np.arange(1, 10) / 10), rtol=1e-9)
    with pytest.raises(ex.BadInput, match="jumps at 1"):
        ex.UnivariateLaw(stats.beta(0.01, 0.01).cdf, support=(0.0, 1.0))


@pytest.mark.parametrize(("a", "enough"), [(0.01, False), (0.3, False), (0.5, True), (3.0, True)])
def test_single_precision_is_refused_where_it_holds_too_few_digits(a, enough):
    """Beta(a, a) has so much mass next to 1 that float32 rounds it to 1. The verdict depends on the law alone."""
    frozen = stats.beta(2.0 if a == 0.01 else a, a)
    try:
        law = ex.UnivariateLaw(frozen.cdf, support=(0.0, 1.0))
    except ex.BadInput:  # Not even doubles hold Beta(2, 0.01).
        assert a == 0.01
        return
    plan = quiet_plan(tolerance=0.1, first_paths=8_000, max_paths=8_000)
    draw = lambda n, s: frozen.rvs(size=(n, 1), random_state=np.random.default_rng(s))  # noqa: E731
    judged = ex.certify(lambda n, s: draw(n, s).astype(np.float32), law, plan=plan)
    assert judged.verdict is (ex.Verdict.CERTIFIED if enough else ex.Verdict.INVALID)
    assert enough or "between neighbouring numbers of float32; return float64" in judged.reasons[0]
    assert ex.certify(draw, law, plan=plan).verdict is ex.Verdict.CERTIFIED
