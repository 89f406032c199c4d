"""torch and JAX, written apart: the same names, and with the same noise the same paths, accepted lengths and costs."""

from __future__ import annotations

import ast
import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exactness_samplers import faults
from exactness_samplers.faults import unspoiled
from exactness_samplers.schedules import KINDS, cosine_betas, ddpm, edm, gaussian_reverse, karras_sigmas, rectified_flow
from exactness_samplers.torch import noise as torch_noise
from exactness_samplers.torch import speculative as torch_speculative

import exactness as ex
from exactness.catalogue.chains import CONTROLS
from tests import registry
from tests.backends import double_precision
from tests.conftest import module_or_skip

SAMPLERS = Path(__file__).parents[2] / "samplers" / "exactness_samplers"
MODULES = sorted(
    ".".join(p.relative_to(SAMPLERS / "torch").with_suffix("").parts)
    for p in (SAMPLERS / "torch").rglob("*.py")
    if p.stem != "__init__"
)
WINDOW, STEPS, CHAINS = 3, 10, 24


def with_deterministic_steps():
    sigma = ddpm(cosine_betas(STEPS), "small").sigma.copy()
    sigma[[4, 5]] = 0.0
    return replace(ddpm(cosine_betas(STEPS), "small"), sigma=sigma)


SCHEDULES = {
    "ddpm-large": lambda: ddpm(cosine_betas(STEPS)),
    "ddpm-small": lambda: ddpm(cosine_betas(STEPS), "small"),
    "rectified-flow": lambda: rectified_flow(STEPS, 1.0),
    "edm": lambda: edm(karras_sigmas(STEPS, 0.05, 10.0)),
    "points": with_deterministic_steps,
}

# Every drafter, verifier and rejection rule at least once, every schedule twice; all of them crossed would compile for minutes.
CROSSED = [
    ("independent", "block", "independent-fresh", "ddpm-large"),
    ("frozen-noise", "token", "quantile-kept", "points"),
    ("frozen-sample", "block", "independent-kept", "rectified-flow"),
    ("frozen-velocity", "block", "quantile-fresh", "ddpm-small"),
    ("free-noise", "token", "independent-fresh", "edm"),
    ("free-sample", "block", "quantile-kept", "points"),
    ("free-velocity", "token", "quantile-fresh", "rectified-flow"),
    ("free-velocity-extrapolated", "token", "independent-kept", "ddpm-large"),
    ("free-posterior", "block", "quantile-kept", "ddpm-small"),
    ("frozen-posterior", "block", "independent-fresh", "edm"),
]


@pytest.fixture
def x64():
    """Float64 in JAX; the module is skipped, or fails in CI, where JAX is missing."""
    with double_precision(True):
        yield module_or_skip("jax")


def backend(name: str) -> SimpleNamespace:
    """The modules of a backend by name."""
    module_or_skip(name)
    return SimpleNamespace(**{m: importlib.import_module(f"exactness_samplers.{name}.{m}") for m in MODULES})


def process(of: str, schedule):
    b = backend(of)
    denoiser = b.denoisers.MixtureDenoiser(schedule, registry.WEIGHTS, registry.MEANS, registry.VARIANCES)
    return b.processes.Process(schedule, denoiser, "sample", 2)


def drafter_of(of: str, name: str, p, rank: int = 1):
    b, schedule = backend(of), p.schedule
    if name == "independent":
        one = slice(0, 1)
        return b.drafters.Independent(
            b.denoisers.MixtureDenoiser(schedule, np.ones(1), registry.MEANS[one], registry.VARIANCES[one])
        )
    base, kind, *more = name.split("-")
    if kind == "posterior":
        # One forecast for both, so that only its use differs.
        forecast = importlib.import_module("exactness_samplers.torch.posterior").fit(
            process("torch", schedule), WINDOW, chains=40, rank=rank
        )
        return b.posterior.Posterior(p, forecast, WINDOW, base)
    return b.drafters.Extrapolation(kind, base) if more else b.drafters.Reuse(kind, base)


def speculative(of: str, drafter: str, verifier: str, rejection: str, schedule, window: int = WINDOW):
    b, p = backend(of), process(of, schedule)
    rule = b.rejections.UntilAccepted() if rejection == "until-accepted" else b.rejections.Maximal(*rejection.split("-"))
    verify = {"token": b.verification.token_wise, "block": b.verification.block}[verifier]
    return b.speculative.Speculative(p, window, drafter_of(of, drafter, p), verify, rule)


def arrays(n: int, steps: int = STEPS, window: int = WINDOW, dim: int = 2, seed: int = 3, dtype=np.float64) -> tuple:
    g = np.random.default_rng(seed)
    normal = lambda *shape: g.standard_normal(shape).astype(dtype)  # noqa: E731
    # Float32 uniforms that both backends can hold, and never 1.
    uniform = lambda *shape: (g.integers(0, 1 << 23, shape) / float(1 << 23)).astype(dtype)  # noqa: E731
    drafts, fresh = normal(steps, n, window, dim), normal(steps, n, dim)
    return normal(n, dim), drafts, uniform(steps, n, window), uniform(steps, n), fresh


def in_torch(parts: tuple) -> torch_noise.InjectedNoise:
    return torch_noise.InjectedNoise(*(torch.as_tensor(a) for a in parts))


def in_jax(parts: tuple):
    jax = module_or_skip("jax")
    return backend("jax").noise.InjectedNoise(*(jax.numpy.asarray(a) for a in parts))


def assert_same(a: torch_speculative.Run, b, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(b.paths), a.paths.numpy(), rtol=tolerance, atol=tolerance)
    for name in ("accepted", "drafted", "rounds", "evaluations", "draft_evaluations", "windows", "residual_draws"):
        np.testing.assert_array_equal(np.asarray(getattr(b.trace, name)), getattr(a.trace, name).numpy(), err_msg=name)
    assert b.trace.calls == a.trace.calls
    # What a compiled batch computes beside what is needed is its own affair.
    assert a.trace.computed <= b.trace.computed
    assert b.trace.totals() | {"computed": a.trace.computed} == a.trace.totals()


def public(module: str, of: str) -> list[str]:
    """The names that a module defines at its top level, in order."""
    names = []
    for node in ast.parse((SAMPLERS / of / f"{module.replace('.', '/')}.py").read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [t.id for t in targets if isinstance(t, ast.Name)]
    return [{"GeneratorNoise": "KeyNoise"}.get(n, n) for n in names if not n.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_both_backends_define_the_same_names_in_the_same_order(module):
    assert public(module, "jax") == public(module, "torch")


def test_the_table_covers_what_there_is():
    drafters, verifiers, rejections, schedules = (set(column) for column in zip(*CROSSED, strict=True))
    assert drafters == set(registry.DRAFTERS)
    assert verifiers == set(registry.VERIFIERS)
    assert rejections | {"until-accepted"} == set(registry.REJECTIONS)
    assert schedules == set(SCHEDULES)


@pytest.mark.parametrize(("drafter", "verifier", "rejection", "schedule"), CROSSED)
def test_the_same_noise_gives_the_same_paths_and_costs(x64, drafter, verifier, rejection, schedule):
    plan, parts = SCHEDULES[schedule](), arrays(CHAINS)
    one, two = (speculative(of, drafter, verifier, rejection, plan) for of in ("torch", "jax"))
    assert_same(one.run(CHAINS, noise=in_torch(parts)), two.run(CHAINS, noise=in_jax(parts)))


@pytest.mark.parametrize("drafter", ["frozen-sample", "free-posterior"])
def test_a_small_batch_gives_the_same_paths_and_the_same_calls(x64, drafter):
    plan, parts = SCHEDULES["ddpm-large"](), arrays(CHAINS)
    one, two = (speculative(of, drafter, "block", "quantile-kept", plan) for of in ("torch", "jax"))
    assert_same(one.run(CHAINS, noise=in_torch(parts), batch=7), two.run(CHAINS, noise=in_jax(parts), batch=7))


def test_in_single_precision_the_same_steps_are_accepted():
    """25,000 windows; where delta rounds otherwise, an acceptance may turn, and the chain goes another way."""
    plan, n = ddpm(cosine_betas(12)), 5_000
    parts = arrays(n, 12, 4, dtype=np.float32)
    one, two = (speculative(of, "free-sample", "block", "independent-fresh", plan, 4) for of in ("torch", "jax"))
    with double_precision(False):
        a, b = one.run(n, noise=in_torch(parts)), two.run(n, noise=in_jax(parts))
    assert str(b.paths.dtype) == "float32"
    kept, same = a.trace.accepted.numpy(), np.asarray(b.trace.accepted)
    windows = (kept >= 0) | (same >= 0)
    assert windows.sum() >= 20_000
    assert (kept == same)[windows].mean() >= 0.999


@pytest.mark.parametrize("kind", ["labelled", "product", "diagonal", "full"])
def test_denoisers_agree(x64, kind):
    schedule, g = gaussian_reverse(cosine_betas(STEPS, 0.9), 0.1), np.random.default_rng(0)
    weights, means = np.array([0.2, 0.5, 0.3]), g.standard_normal((3, 2))
    spread = g.uniform(0.1, 0.4, (3, 2))
    root = g.standard_normal((3, 2, 2))
    arguments = {
        "labelled": (means, 0.1),
        "product": (np.full((2, 2), 0.5), means[:2], spread[:2], np.linalg.qr(root[0])[0]),
        "diagonal": (weights, means, spread),
        "full": (weights, means, root @ root.transpose(0, 2, 1) + 0.1 * np.eye(2)),
    }[kind]
    name = {"labelled": "LabelledDenoiser", "product": "ProductDenoiser"}.get(kind, "MixtureDenoiser")
    steps, x, labels = g.integers(1, STEPS + 1, 50), g.standard_normal((50, 2)), g.integers(0, 3, 50)
    one = getattr(backend("torch").denoisers, name)(schedule, *arguments)
    two = getattr(backend("jax").denoisers, name)(schedule, *arguments)
    expected = one(*(torch.as_tensor(a) for a in (steps, x, labels))).numpy()
    np.testing.assert_allclose(np.asarray(two(*(x64.numpy.asarray(a) for a in (steps, x, labels)))), expected, 1e-12, 1e-12)


def test_many_rows_are_denoised_slice_by_slice(x64, monkeypatch):
    d, schedule = backend("jax").denoisers, SCHEDULES["ddpm-large"]()
    denoiser = d.MixtureDenoiser(schedule, registry.WEIGHTS, registry.MEANS, registry.VARIANCES)
    steps, x = x64.numpy.arange(50) % STEPS + 1, x64.numpy.linspace(-2.0, 2.0, 100).reshape(50, 2)
    whole = np.asarray(denoiser(steps, x))
    monkeypatch.setattr(d, "_SLICE_ENTRIES", {})
    monkeypatch.setattr(d, "_SLICE_ELSEWHERE", 24)
    np.testing.assert_allclose(np.asarray(denoiser(steps, x)), whole, 1e-13, 1e-13)


def test_a_forecast_fitted_by_either_is_about_the_same(x64):
    """Other pilots, so other numbers: the same prior mean to a few standard errors, and variances of the same size."""
    schedule = SCHEDULES["ddpm-small"]()
    one, two = (backend(of).posterior.fit(process(of, schedule), WINDOW, chains=400) for of in ("torch", "jax"))
    np.testing.assert_allclose(one.centre, two.centre, atol=0.5)
    late = slice(2, 6)
    assert np.all(two.rest[late] > 0.2 * one.rest[late])
    assert np.all(two.rest[late] < 5.0 * one.rest[late])


def test_labels_follow_their_chains_through_a_small_batch(x64):
    parts, labels = arrays(CHAINS), np.linspace(0.1, 1.0, CHAINS)
    runs = []
    for of, put, noise in (("torch", torch.as_tensor, in_torch), ("jax", x64.numpy.asarray, in_jax)):
        p = process(of, SCHEDULES["ddpm-large"]())
        labelled = replace(p, predict=lambda k, x, c, p=p: p.predict(k, x, None) * c[:, None])
        config = backend(of).speculative.Speculative(labelled, WINDOW)
        runs.append(config.run(CHAINS, noise=noise(parts), condition=put(labels), batch=5))
    assert_same(*runs)


@pytest.mark.parametrize(
    ("drafter", "verifier", "rejection"),
    [("free-sample", "block", "until-accepted"), ("frozen-posterior", "token", "quantile-kept")],
)
def test_runs_repeat_and_do_not_depend_on_the_batch(drafter, verifier, rejection):
    jax = module_or_skip("jax")
    config = speculative("jax", drafter, verifier, rejection, SCHEDULES["ddpm-small"]())
    first, again, other = (config.run(CHAINS, jax.random.key(seed)) for seed in (0, 0, 1))
    assert first.paths.shape == (CHAINS, STEPS + 1, 2)
    assert str(first.paths.dtype) == "float32"
    assert np.isfinite(np.asarray(first.paths)).all()
    np.testing.assert_array_equal(np.asarray(first.paths), np.asarray(again.paths))
    assert not np.array_equal(np.asarray(first.paths), np.asarray(other.paths))
    kept = np.maximum(np.asarray(first.trace.accepted), 0).sum(1)
    assert np.all(kept + np.asarray(first.trace.windows) == STEPS)
    assert first.trace.totals()["residual_draws"] >= (np.asarray(first.trace.accepted) < np.asarray(first.trace.drafted)).sum()
    if rejection != "until-accepted":
        few = config.run(CHAINS, jax.random.key(0), batch=5)
        np.testing.assert_allclose(np.asarray(few.paths), np.asarray(first.paths), rtol=1e-4, atol=1e-4)
        of_the_batch = {"calls": 0, "computed": 0}
        assert few.trace.totals() | of_the_batch == first.trace.totals() | of_the_batch


def test_a_second_run_compiles_nothing():
    jax = module_or_skip("jax")
    p, traced = process("jax", SCHEDULES["ddpm-large"]()), []

    def counting(steps, x, condition):
        traced.append(x.shape)
        return p.predict(steps, x, condition)

    config = backend("jax").speculative.Speculative(replace(p, predict=counting), 2)
    ends = config.run(8, jax.random.key(0), keep_paths=False).paths
    first = len(traced)
    config.run(8, jax.random.key(1), keep_paths=False)
    assert len(traced) == first > 0
    whole = config.run(8, jax.random.key(0)).paths
    assert len(traced) > first
    np.testing.assert_allclose(np.asarray(whole[:, -1]), np.asarray(ends), rtol=1e-5, atol=1e-5)
    plain = backend("jax").sequential.Sequential(config.process)
    states, first = plain.run(8, jax.random.key(0)).paths, len(traced)
    assert states.shape == (8, STEPS + 1, 2)
    assert not np.array_equal(np.asarray(plain.run(8, jax.random.key(1)).paths), np.asarray(states))
    assert len(traced) == first


def test_uniforms_are_strictly_inside_the_unit_interval():
    """Their ends are the first and last middle of 2^23 cells, in the precision that has fewest numbers."""
    jax = module_or_skip("jax")
    with double_precision(False):
        noise = backend("jax").noise.KeyNoise.of(jax.random.key(0))
        rounds = jax.numpy.zeros(1 << 16, "int32")
        u = np.asarray(noise.round(rounds, jax.numpy.arange(1 << 16), 127, 1).accept)
    assert u.dtype == np.float32
    assert u.min() > 0.0
    assert u.max() < 1.0
    assert len(np.unique(u)) > 1 << 22
    assert np.float32(1 - 2.0**-23) + np.float32(2.0**-24) < 1.0


def test_bad_input_says_what_to_do():
    jax = module_or_skip("jax")
    b, p = backend("jax"), process("jax", SCHEDULES["ddpm-large"]())
    right = b.speculative.Speculative(p, WINDOW)
    for window in (0, 2.5, True):
        with pytest.raises(ValueError, match="window must be an integer of at least 1"):
            b.speculative.Speculative(p, window)
    for batch in (0, 2.0, True):
        with pytest.raises(ValueError, match="batch must be a positive integer"):
            right.run(4, jax.random.key(0), batch=batch)
    with pytest.raises(ValueError, match="nothing to speculate on"):
        b.speculative.Speculative(replace(p, schedule=replace(p.schedule, sigma=0 * p.schedule.sigma)))
    with pytest.raises(ValueError, match="pass a key"):
        right.run(3)
    for key in (3, jax.random.PRNGKey(0), jax.random.key(0, impl="rbg"), jax.random.split(jax.random.key(0))):
        with pytest.raises(ValueError, match="one typed threefry2x32 key"):
            right.run(3, key)
    with double_precision(False), pytest.raises(ValueError, match="JAX_ENABLE_X64=1"):
        right.run(3, jax.random.key(0), dtype="float64")
    with pytest.raises(ValueError, match="float32 or float64"):
        right.run(3, jax.random.key(0), dtype="float16")
    for kind in (*KINDS, "drift"):
        with pytest.raises(ValueError, match="noise, sample, velocity") if kind == "drift" else double_precision(False):
            b.drafters.Free(kind)
    with pytest.raises(ValueError, match="along must be"):
        b.rejections.Maximal("reflection")
    with pytest.raises(ValueError, match="3 rows for 9 chains"):
        right.run(9, jax.random.key(0), condition=jax.numpy.zeros(3))
    with pytest.raises(ValueError, match="for 9 chains and windows of 2 steps"):
        right.run(9, noise=in_jax(arrays(9, 10, 2)))
    with pytest.raises(ValueError, match="windows of at most 3 steps"):
        b.speculative.Speculative(p, 5, drafter_of("jax", "free-posterior", p))
    with pytest.raises(ValueError, match="needs its labels"):
        b.denoisers.LabelledDenoiser(p.schedule, registry.MEANS, 0.1)(None, None)


def test_a_network_may_compute_in_another_dtype_and_what_was_computed_is_counted():
    jax = module_or_skip("jax")
    b, p = backend("jax"), process("jax", SCHEDULES["ddpm-large"]())
    half = replace(p, predict=lambda steps, x, condition: p.predict(steps, x.astype("bfloat16"), condition))
    run = b.speculative.Speculative(half, WINDOW, b.drafters.Free()).run(20, jax.random.key(0), batch=5)
    assert run.paths.dtype == jax.numpy.float32
    assert np.isfinite(run.paths).all()
    assert int(run.trace.computed) == int(run.trace.calls) * 5 * (WINDOW + 1)
    assert int(run.trace.computed) > int(run.trace.evaluations.sum())
    assert run.trace.totals()["computed"] == float(run.trace.computed)


def test_what_goes_wrong_inside_the_loop_is_raised_after_it():
    jax = module_or_skip("jax")
    b, p = backend("jax"), process("jax", SCHEDULES["ddpm-large"]())
    with pytest.raises(ValueError, match="lasts for 1 rounds"):
        b.speculative.Speculative(p, 2).run(9, noise=in_jax(arrays(9, 1, 2)))
    endless = speculative("jax", "independent", "token", "until-accepted", p.schedule, 2)
    with pytest.raises(ValueError, match="needs a key"):
        endless.run(9, noise=in_jax(arrays(9, 10, 2)))
    # A weight of no mass: no draw is ever accepted.
    hopeless = lambda ratios, masses, uniforms, lengths: (0 * lengths, 0 * ratios[:, 0] - 200.0)  # noqa: E731
    with pytest.raises(RuntimeError, match="no draw accepted in"):
        replace(endless, verifier=hopeless, rejection=b.rejections.UntilAccepted(most=10_000)).run(9, jax.random.key(0))


def jax_chain(p) -> ex.GaussianChain:
    jax = module_or_skip("jax")
    a, b = p.schedule.coefficients(p.kind)
    compiled = jax.jit(lambda k, x: p.predict(jax.numpy.broadcast_to(k, (len(x),)), x, None))
    # Judged in numpy: the batteries' own functions need not be compiled here.
    predict = lambda k, x: np.asarray(compiled(k, x))  # noqa: E731
    return ex.GaussianChain(predict, a=a, b=b, sigma=p.schedule.sigma, dim=p.dim)


ONE_STAGE = registry.quiet_plan(alpha=1e-6, tolerance=0.2, first_paths=2_000, max_paths=2_000)


def first_of_a_stage(config, put=np.array):
    """Always as many chains, so that one program is compiled; fewer are the first of them."""
    jax = module_or_skip("jax")
    return lambda n, seed: put(config.run(ONE_STAGE.max_paths, jax.random.key(seed)).paths[:n])


@cache
def right(config: str):
    """Kept, so that another seed compiles nothing."""
    p = process("jax", ddpm(cosine_betas(12)))
    if config == "sequential":
        runner = backend("jax").sequential.Sequential(p)
    else:
        runner = speculative("jax", config, "block", "quantile-kept", p.schedule)
    return runner, jax_chain(runner.process)


@pytest.mark.parametrize("config", ["sequential", "free-posterior"])
def test_right_samplers_are_certified(config, seed):
    runner, law = right(config)
    certificate = ex.certify(first_of_a_stage(runner), law, plan=ONE_STAGE, seed=seed)
    assert certificate.verdict is ex.Verdict.CERTIFIED, certificate.reasons


@cache
def of_two_points(control: str):
    """Far apart and narrow: drafts go stale, and a wrong step shows on few paths."""
    schedule, means = ddpm(cosine_betas(32)), np.array([[4.0, 0.0], [-4.0, 0.0]])
    b = backend("jax")
    p = b.processes.Process(schedule, b.denoisers.MixtureDenoiser(schedule, np.full(2, 0.5), means, np.full(2, 0.02)), "sample", 2)
    right = {"stale": unspoiled.stale, "poor": unspoiled.poor}
    runner = right[control](faults.Backend("jax"), p) if control in right else faults.build(control, p, "jax")
    return runner, jax_chain(p)


def judged(control: str, paths: int, seed: int) -> ex.Certificate:
    runner, law = of_two_points(control)
    drawn = runner.run(paths, module_or_skip("jax").random.key(seed), batch=1_000).paths
    return ex.certify_paths(np.asarray(drawn), law, plan=ex.Plan(alpha=1e-6), seed=seed)


@pytest.mark.parametrize(("control", "paths"), list(zip(CONTROLS, [4_000, 10_000, 1_000, 1_000, 10_000], strict=True)))
def test_controls_of_jax_are_refuted(control, paths, seed):
    """Each at alpha 1e-6, beyond it by six standard errors or more on the average of seeds."""
    certificate = judged(control, paths, seed)
    assert certificate.verdict is ex.Verdict.REFUTED, certificate.reasons


@pytest.mark.parametrize("base", ["stale", pytest.param("poor", marks=pytest.mark.slow)])
def test_what_the_controls_spoil_is_not_refuted_there(base):
    """Fixed draws, as many as the controls': an exact sampler is refuted with probability 1e-6."""
    certificate = judged(base, 10_000, 0)
    assert certificate.verdict is not ex.Verdict.REFUTED, certificate.reasons


def test_paths_of_jax_are_judged_by_a_law_in_torch(seed):
    config, _ = right("free-sample")
    law = registry.chain(registry.process(config.process.schedule))
    sample = first_of_a_stage(config, lambda paths: torch.as_tensor(np.array(paths)))
    assert ex.certify(sample, law, plan=ONE_STAGE, seed=seed).verdict is ex.Verdict.CERTIFIED
