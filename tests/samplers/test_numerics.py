"""The scalar functions in both backends and both precisions, over the whole range of their arguments: no sampling here."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exactness.strategies import deltas, log_weights, triples, uniforms, windows
from tests.backends import BACKENDS, Backend, double_precision
from tests.conftest import module_or_skip

# Two-sided: relative to the value, and in units of what the dtype keeps of a number of size 1.
MASS = {np.float64: 2e-11, np.float32: 1e-5}
QUANTILE = {np.float64: 2e-12, np.float32: 2e-6}
# P(rejected) times the error of F(Q(u)): what a draw adds to Kolmogorov's distance.
KOLMOGOROV = {np.float64: 1e-13, np.float32: 2.5e-7}

DELTAS = [1e-6, 1e-3, 0.05, 0.2, 0.3, 0.49, 0.51, 1.0, 1.9, 2.1, 5.0, 12.0, 50.0]
LOG_WEIGHTS = [0.0, -1e-7, -1e-3, -0.7, -6.0, -69.0]
UNIFORMS = [1e-12, 1e-3, 0.1, 0.4, 0.5, 0.6, 0.9, 0.9999, 1 - 2.0**-24]

EXTREME_DELTAS = [0.0, 1e-38, 1e-20, 1e-3, 0.5, 26.0, 1e3, 1e18]
EXTREME_LOG_WEIGHTS = [0.0, -1e-30, -1e-7, -0.5, -745.0, -1e20, -np.inf]

crossed = pytest.mark.parametrize("backend", BACKENDS, ids=str)


def columns(backend: Backend, rows) -> tuple[np.ndarray, ...]:
    """log_weight, delta, u as the dtype holds them; the largest uniform is the largest it has below 1."""
    log_weight, delta, u = np.array(rows, dtype=np.float64).T
    return log_weight.astype(backend.dtype), delta.astype(backend.dtype), below_one(backend, u)


def below_one(backend: Backend, u) -> np.ndarray:
    return np.minimum(np.asarray(u).astype(backend.dtype), backend.dtype(1.0 - backend.eps / 2))


@crossed
@settings(max_examples=30)
@given(rows=st.lists(triples(), min_size=1, max_size=40))
@example(rows=[(w, d, u) for w in (0.0, -1e-12, -69.0) for d in (0.0, 1e-30, 50.0) for u in (0.0, 0.5, 1.0)])
def test_quantile_stays_inside_the_support(backend, rows):
    log_weight, delta, u = columns(backend, rows)
    values = backend.call("couplings", "residual_quantile", u, log_weight, delta)
    assert values.dtype == backend.dtype
    assert np.isfinite(values).all()
    some = delta > 1e-8
    edge = delta[some].astype(float) / 2 + log_weight[some].astype(float) / delta[some]
    # Two roundings of the edge.
    assert (values[some] <= edge + 2 * backend.eps * np.maximum(np.abs(edge), delta[some])).all()


@crossed
@settings(max_examples=30)
@given(log_weight=log_weights(), delta=deltas(), us=st.lists(uniforms(), min_size=2, max_size=40))
@example(log_weight=0.0, delta=1.0, us=[k / 64 for k in range(64)])
@example(log_weight=0.0, delta=50.0, us=[1 - 2.0**-k for k in range(54)])
def test_quantile_is_monotone(backend, log_weight, delta, us):
    u = np.sort(below_one(backend, us))
    values = backend.call("couplings", "residual_quantile", u, np.full_like(u, log_weight), np.full_like(u, delta)).astype(float)
    # Newton's method leaves some units of the last place: of the probability, which the slope of Q turns into steps of s.
    assert (np.diff(values) >= -SLACK[backend.dtype] * (1.0 + np.abs(values[1:]))).all()


SLACK = {np.float64: 1e-11, np.float32: 2e-6}


@crossed
@settings(max_examples=30)
@given(rows=st.lists(triples(), min_size=1, max_size=40), points=st.lists(st.floats(-60.0, 110.0), min_size=40, max_size=40))
def test_masses_thresholds_and_survivals_are_probabilities(backend, rows, points):
    log_weight, delta, _ = columns(backend, rows)
    mass = backend.call("couplings", "residual_mass", log_weight, delta)
    assert ((mass >= 0) & (mass <= np.exp(log_weight) * (1 + 4 * backend.eps))).all()
    survival = backend.call("couplings", "rejected_survival", np.array(points[: len(rows)]), log_weight, delta)
    assert ((survival >= 0) & (survival <= 1)).all()
    weights = np.stack([np.zeros_like(log_weight), log_weight, log_weight], axis=1)
    masses = np.stack([mass, np.zeros_like(mass)], axis=1)
    for length in (1, 2):
        h = backend.call("verification", "block_thresholds", weights, masses, np.full(len(rows), length))
        assert ((h >= 0) & (h <= 1)).all()


@crossed
@settings(max_examples=30)
@given(window=windows(length=4))
def test_windows_of_any_displacement_verify_without_nan(backend, window):
    deltas, z, u = (column[None].astype(backend.dtype) for column in window)
    u, lengths = below_one(backend, u), np.array([4])
    ratios = backend.call("couplings", "log_ratio", deltas, z)
    weights = backend.call("verification", "block_weights", ratios)
    assert (weights <= 0).all()
    assert np.isfinite(weights).all()
    for verifier in ("token_wise", "block"):
        tau, log_weight = backend.verify(verifier, ratios, deltas, u, lengths)
        assert 0 <= tau[0] <= 4
        assert log_weight[0] <= 0


@crossed
def test_ratios_of_zero_and_infinite_displacements_are_survived(backend):
    ratios = np.array([[-np.inf, 1.0, -np.inf], [np.inf, -1.0, 0.5]])
    deltas = np.array([[0.5, 1e18, 0.5], [1e18, 0.0, 1.0]])
    for verifier in ("token_wise", "block"):
        tau, log_weight = backend.verify(verifier, ratios, deltas, np.zeros((2, 3)), np.full(2, 3))
        assert not np.isnan(log_weight).any()
        assert tau[0] == 0


@crossed
def test_extreme_arguments_stay_finite(backend):
    shift, log_weight, u = np.array(list(itertools.product(EXTREME_DELTAS, EXTREME_LOG_WEIGHTS, [0.0, 1e-30, 0.5, 0.9, 1.0]))).T
    for upper in (False, True):
        values = backend.call("couplings", "residual_quantile", below_one(backend, u), log_weight, shift, upper=upper)
        assert np.isfinite(values).all()
    mass = backend.call("couplings", "residual_mass", log_weight, shift)
    survival = backend.call("couplings", "rejected_survival", 5 * u, log_weight, shift)
    for probability in (mass, survival, backend.call("couplings", "acceptance", shift)):
        assert ((probability >= 0) & (probability <= 1)).all()


def _grid(backend: Backend) -> tuple[np.ndarray, ...]:
    return columns(backend, [(w, d, u) for w in LOG_WEIGHTS for d in DELTAS for u in UNIFORMS])


def _law(log_weight: float, delta: float):
    """mpmath's edge, mass, distribution function and density at these two doubles."""
    w, d = mpmath.exp(mpmath.mpf(log_weight)), mpmath.mpf(delta)
    edge = d / 2 + mpmath.mpf(log_weight) / d
    cdf = lambda s: mpmath.erfc(-s / mpmath.sqrt(2)) / 2  # noqa: E731
    below = lambda s: w * cdf(s) - cdf(s - d)  # noqa: E731
    density = lambda s: w * mpmath.npdf(s) - mpmath.npdf(s - d)  # noqa: E731
    return edge, below(edge), below, density


@crossed
def test_mass_and_quantile_against_high_precision(backend):
    """F(Q(u)) against u, by mpmath at the very numbers that went in: the error of the law, and that of the quantile."""
    log_weight, delta, u = _grid(backend)
    quantiles = backend.call("couplings", "residual_quantile", u, log_weight, delta).astype(float)
    masses = backend.call("couplings", "residual_mass", log_weight, delta).astype(float)
    smallest = float(np.finfo(backend.dtype).tiny) * 1e3
    worst = dict.fromkeys(("mass", "law", "quantile"), 0.0)
    with mpmath.workdps(50):
        for w, d, v, s, z in zip(*(x.astype(float).tolist() for x in (log_weight, delta, u)), quantiles, masses, strict=True):
            edge, mass, below, density = _law(w, d)
            if mass > smallest:
                # A weight e^-x is known to eps x, so is a density at the far edge to eps edge^2.
                scale = 1 + min(float(edge), 0.0) ** 2
                worst["mass"] = max(worst["mass"], float(abs(z / mass - 1)) / (scale if backend.single else 1.0))
            s = mpmath.mpf(s)
            error = (below(s) / mass if s < edge else 1) - mpmath.mpf(v)
            worst["law"] = max(worst["law"], float(abs(error) * mass))
            if mass > smallest:
                # The density is a straight line at the edge, where the distribution function is a parabola.
                parabola = mpmath.sqrt(2 * abs(error) * mass / (mpmath.exp(w) * mpmath.npdf(edge) * d))
                off = min(parabola, abs(error * mass / density(s))) if s < edge else s - edge
                worst["quantile"] = max(worst["quantile"], float(off) / (1 + abs(float(s))))
    assert worst["mass"] < MASS[backend.dtype], worst
    assert worst["law"] < KOLMOGOROV[backend.dtype], worst
    assert worst["quantile"] < QUANTILE[backend.dtype], worst


@crossed
def test_mass_and_quantiles_match_golden(backend, golden):
    masses, quantiles = [], []
    with mpmath.workdps(40):
        for row in golden("gaussian_residual")["rows"]:
            log_weight, delta = float(mpmath.log(mpmath.mpf(row["w"]))), float(row["delta"])
            masses.append((log_weight, delta, float(row["mass"])))
            for text, quantile in row.get("quantiles", {}).items():
                upper = float(text) > 0.5
                u = float(1 - mpmath.mpf(text)) if upper else float(text)
                quantiles.append((upper, u, log_weight, delta, float(quantile)))
    log_weight, delta, expected = np.array(masses).T
    known = expected > float(np.finfo(backend.dtype).tiny)
    values = backend.call("couplings", "residual_mass", log_weight, delta)
    np.testing.assert_allclose(values[known], expected[known], rtol=1e-4 if backend.single else 1e-10)
    assert len(quantiles) > 300
    for tail in (False, True):
        _, u, log_weight, delta, expected = np.array([q for q in quantiles if q[0] is tail]).T
        values = backend.call("couplings", "residual_quantile", u, log_weight, delta, upper=tail)
        # The golden weights and displacements are not floats: what their rounding moves is in the tolerance.
        np.testing.assert_allclose(
            values, expected, **({"rtol": 1e-5, "atol": 1e-6} if backend.single else {"rtol": 1e-11, "atol": 5e-13})
        )


@crossed
def test_rejected_survival_against_high_precision(backend):
    log_weight, delta, u = columns(backend, [(w, d, u) for w in LOG_WEIGHTS[:-1] for d in DELTAS for u in (0.02, 0.3, 0.7, 0.98)])
    edge = np.maximum(delta / 2 + log_weight / delta, -40.0)
    s = (np.maximum(edge, delta - 3.0) + 4.0 * u).astype(backend.dtype)
    values = backend.call("couplings", "rejected_survival", s, log_weight, delta).astype(float)
    with mpmath.workdps(50):
        for x, w, d, value in zip(*(a.astype(float).tolist() for a in (s, log_weight, delta)), values, strict=True):
            edge_, mass, below, _ = _law(w, d)
            rejected = 1 - mpmath.exp(w) + mass
            # Above the edge, -below is (draft - w target) up to s less what is below the edge.
            expected = (1 - mpmath.exp(w) + below(mpmath.mpf(x))) / rejected if x > edge_ else mpmath.mpf(1)
            # In s = delta + z the noise z is known to eps delta.
            tolerance = (1e-6 if backend.single else 1e-9) + backend.eps * d
            # Where a rejection is rarer than rounding, so is the error.
            assert abs(float(expected) - value) * float(rejected) < tolerance * float(rejected) + 1e-15, (x, w, d)


@crossed
def test_acceptance_and_log_ratio(backend, golden):
    rows = golden("gaussian_accept")["rows"]
    delta = np.array([float(row["delta"]) for row in rows])
    values = backend.call("couplings", "acceptance", delta)
    np.testing.assert_allclose(values, [float(row["accept"]) for row in rows], rtol=3e-6 if backend.single else 1e-13)
    z = np.linspace(-3, 3, len(delta))
    ratios = backend.call("couplings", "log_ratio", delta, z)
    np.testing.assert_allclose(ratios, -delta * (0.5 * delta + z), rtol=50 * backend.eps, atol=backend.eps)


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("along", ["independent", "quantile"])
def test_states_of_half_precision_predictions_stay_finite(name, along):
    """Means rounded to bfloat16 agree often and are far apart at times: no NaN in delta, e, the ratio or the emitted state."""
    library = module_or_skip(name)
    module = __import__(f"exactness_samplers.{name}.couplings", fromlist=["couplings"])
    generator = np.random.default_rng(0)
    mean = generator.normal(size=(64, 3)) * np.logspace(-20, 2, 64)[:, None]
    gap = generator.normal(size=(64, 3)) * np.logspace(2, -20, 64)[:, None]
    noise = generator.normal(size=(64, 3)).astype(np.float32)
    if name == "torch":
        single = lambda a: library.as_tensor(np.asarray(a, np.float32))  # noqa: E731
        half = lambda a: single(a).to(library.bfloat16).to(library.float32)  # noqa: E731
    else:
        single = lambda a: library.numpy.asarray(a, "float32")  # noqa: E731
        half = lambda a: single(a).astype("bfloat16").astype("float32")  # noqa: E731
    p, q, z = half(mean), half(mean + gap), single(noise)
    delta, axis = module.displacement(p, q, single(np.full(64, 0.1)))
    ratio = module.log_ratio(delta, (axis * z).sum(-1))
    states = module.emit_rejected(
        p,
        single(np.full(64, 0.1)),
        axis,
        delta,
        single(-np.logspace(-6, 1, 64)),
        z,
        z,
        single(np.linspace(0, 0.99, 64)),
        along,
        "kept",
    )
    for values in (delta, axis, ratio, states):
        assert np.isfinite(np.asarray(values)).all()
    assert str(states.dtype).endswith("float32")


@pytest.mark.parametrize("function", ["residual_mass", "residual_quantile", "rejected_survival"])
def test_bfloat16_arguments_are_computed_in_single_precision(function):
    jax = module_or_skip("jax")
    module = __import__("exactness_samplers.jax.couplings", fromlist=["couplings"])
    log_weight = jax.numpy.asarray([0.0, -0.1, -5.0], jax.numpy.bfloat16)
    delta = jax.numpy.asarray([0.0, 0.25, 3.0], jax.numpy.bfloat16)
    extra = () if function == "residual_mass" else (delta,)
    value = getattr(module, function)(*extra, log_weight, delta)
    assert value.dtype == jax.numpy.bfloat16
    assert np.isfinite(np.asarray(value, dtype=np.float32)).all()


def test_the_functions_trace_and_map_and_leave_no_host_behind():
    jax = module_or_skip("jax")
    module = __import__("exactness_samplers.jax.couplings", fromlist=["couplings"])
    for precision in (False, True):
        with double_precision(precision):
            arguments = [jax.numpy.full((4, 3), value) for value in (0.3, -0.2, 1.1)]
            for function in (module.residual_quantile, jax.vmap(module.residual_quantile)):
                program = str(jax.make_jaxpr(function)(*arguments))
                assert "callback" not in program
                assert ("f64" in program) is precision
                assert jax.eval_shape(function, *arguments).shape == (4, 3)


def test_verification_compiles_with_the_masses_among_its_arguments():
    jax = module_or_skip("jax")
    load = lambda name: __import__(f"exactness_samplers.jax.{name}", fromlist=[name])  # noqa: E731
    block, masses = load("verification").block, load("couplings").GaussianMasses
    ratios, deltas, u = (jax.random.uniform(jax.random.key(i), (64, 3)) - 0.5 * (i == 0) for i in range(3))
    arguments = ratios, masses(deltas), u, jax.numpy.full(64, 3)
    for compiled, plain in zip(jax.jit(block)(*arguments), block(*arguments), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-6)
