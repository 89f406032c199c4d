"""Reference Markov kernels: torch and JAX agree on the same noise, exact laws against golden values, and couplings that meet."""

from __future__ import annotations

import importlib
import math
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from exactness_samplers.torch import couplings, gibbs, kernels, markov, markov_couplings
from scipy import stats

from tests.backends import double_precision
from tests.conftest import module_or_skip

ROWS = 40
BETAS = (1.0, 0.5, 0.2)


def log_density(x):
    """Two normals of different spreads in any dimension, in the operators that torch and JAX share."""
    near, far = -0.5 * (x * x).sum(-1), -2.0 * ((x - 1.5) * (x - 1.5)).sum(-1)
    return near + 0.3 * (far - near) * (1.0 + near / (1.0 - near))


def log_estimate(x, normals):
    return log_density(x) + 0.4 * normals.sum(-1) - 0.5 * 0.16 * normals.shape[1]


GENERAL, POSITIVE, SPINS = "general", "positive", "spins"
STEPS = {
    "random_walk": ("markov", 2, GENERAL, (2, 1), lambda m, x, e: m.random_walk(log_density, x, e, 0.7)),
    "log_walk": ("markov", 2, POSITIVE, (2, 1), lambda m, x, e: m.log_walk(log_density, x, e, 0.7)),
    "autoregressive": ("markov", 2, GENERAL, (2, 1), lambda m, x, e: m.autoregressive(log_density, x, e, 0.8)),
    "ula": ("markov", 2, GENERAL, (2, 0), lambda m, x, e: m.ula(log_density, x, e, 0.2)),
    "mala": ("markov", 2, GENERAL, (2, 1), lambda m, x, e: m.mala(log_density, x, e, 0.5)),
    "hmc": ("markov", 2, GENERAL, (2, 1), lambda m, x, e: m.hmc(log_density, x, e, 0.4, 3)),
    "persistent_hmc": ("markov", 4, GENERAL, (4, 1), lambda m, x, e: m.persistent_hmc(log_density, x, e, 0.6, 2, 0.7)),
    "hmc_or_walk": ("markov", 2, GENERAL, (2, 2), lambda m, x, e: m.hmc_or_walk(log_density, x, e, 0.4, 3, 0.5, 0.4)),
    "pseudo_marginal": ("markov", 3, GENERAL, (5, 1), lambda m, x, e: m.pseudo_marginal(log_estimate, x, e, 0.7)),
    "gibbs": ("gibbs", 2, GENERAL, (2, 0), lambda m, x, e: m.bivariate_gibbs(x, e, 0.6)),
    "random gibbs": ("gibbs", 2, GENERAL, (1, 1), lambda m, x, e: m.bivariate_gibbs(x, e, 0.6, "random")),
    "ising": ("gibbs", 9, SPINS, (0, 2), lambda m, x, e: m.ising_heat_bath(x, e, 0.35)),
    "ising sweep": ("gibbs", 9, SPINS, (0, 9), lambda m, x, e: m.ising_sweep(x, e, 0.35)),
    "coordinate_slice": ("slices", 2, GENERAL, (0, 24), lambda m, x, e: m.coordinate_slice(log_density, x, e, 0.8, 4, 9)),
    "elliptical_slice": ("slices", 2, GENERAL, (2, 9), lambda m, x, e: m.elliptical_slice(log_density, x, e, 0.3, 1.5, 8)),
    "parallel_tempering": ("tempering", 6, GENERAL, (6, 5), lambda m, x, e: m.parallel_tempering(log_density, x, e, BETAS, 0.5)),
    "stretch": ("ensembles", 8, GENERAL, (0, 4), lambda m, x, e: m.stretch(log_density, x, e, 4)),
}
PAIRS = {
    "random_walk": (2, GENERAL, (4, 3), lambda m, x, y, e: m.coupled_random_walk(log_density, x, y, e, 0.7)),
    "independent": (2, GENERAL, (4, 3), lambda m, x, y, e: m.coupled_random_walk(log_density, x, y, e, 0.7, "independent")),
    "ula": (2, GENERAL, (4, 2), lambda m, x, y, e: m.coupled_ula(log_density, x, y, e, 0.2)),
    "mala": (2, GENERAL, (4, 3), lambda m, x, y, e: m.coupled_mala(log_density, x, y, e, 0.5)),
    "hmc": (2, GENERAL, (2, 1), lambda m, x, y, e: m.coupled_hmc(log_density, x, y, e, 0.4, 3)),
    "hmc_or_walk": (2, GENERAL, (4, 4), lambda m, x, y, e: m.coupled_hmc_or_walk(log_density, x, y, e, 0.4, 3, 0.5, 0.4)),
    "gibbs": (2, GENERAL, (4, 4), lambda m, x, y, e: m.coupled_bivariate_gibbs(x, y, e, 0.6)),
    "random gibbs": (2, GENERAL, (2, 3), lambda m, x, y, e: m.coupled_bivariate_gibbs(x, y, e, 0.6, "random")),
    "ising": (9, SPINS, (0, 2), lambda m, x, y, e: m.coupled_ising_heat_bath(x, y, e, 0.35)),
}
SINGLE = {
    "random_walk": STEPS["random_walk"], "independent": STEPS["random_walk"], "ula": STEPS["ula"], "mala": STEPS["mala"],
    "hmc": STEPS["hmc"], "hmc_or_walk": STEPS["hmc_or_walk"], "gibbs": STEPS["gibbs"], "random gibbs": STEPS["random gibbs"],
    "ising": STEPS["ising"],
}  # fmt: skip
"""The kernel that each chain of a pair must follow."""


def states(kind: str, dim: int, seed: int, rows: int = ROWS) -> np.ndarray:
    g = np.random.default_rng(seed)
    if kind == SPINS:
        return g.choice([-1.0, 1.0], (rows, dim))
    return np.exp(0.5 * g.standard_normal((rows, dim))) if kind == POSITIVE else 1.3 * g.standard_normal((rows, dim))


def noise(size: tuple[int, int], seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    return g.standard_normal((rows, size[0])), g.random((rows, size[1]))


def in_torch(step, *arrays):
    *at, normals, uniforms = (torch.as_tensor(a) for a in arrays)
    return [part.numpy() for part in step(*at, kernels.Noise(normals, uniforms))]


def in_jax(step, *arrays, compiled=True):
    jax = module_or_skip("jax")
    other = importlib.import_module("exactness_samplers.jax.kernels")
    with double_precision(True):
        *at, normals, uniforms = (jax.numpy.asarray(a) for a in arrays)
        return [np.asarray(part) for part in (jax.jit(step) if compiled else step)(*at, other.Noise(normals, uniforms))]


def modules(name: str):
    module_or_skip("jax")
    return (importlib.import_module(f"exactness_samplers.{of}.{name}") for of in ("torch", "jax"))


# JAX compiles for each of them, so `make test` takes every other one.
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if i % 2 else n for i, n in enumerate(STEPS)])
def test_the_same_noise_gives_the_same_step(name):
    module, dim, kind, size, step = STEPS[name]
    arrays = (states(kind, dim, 1), *noise(size, 2))
    one, two = modules(module)
    ours, theirs = in_torch(lambda x, e: step(one, x, e), *arrays), in_jax(lambda x, e: step(two, x, e), *arrays)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    assert np.isfinite(ours[0]).all()
    if name in ("random_walk", "log_walk", "autoregressive", "mala", "persistent_hmc", "hmc_or_walk", "pseudo_marginal", "stretch"):
        assert 0 < ours[1].sum() < ROWS, "both branches must be reached"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if i % 2 else n for i, n in enumerate(PAIRS)])
def test_the_same_noise_gives_the_same_pair_of_steps(name):
    dim, kind, size, step = PAIRS[name]
    arrays = (states(kind, dim, 1), states(kind, dim, 3), *noise(size, 2))
    one, two = modules("markov_couplings")
    # What is inside the couplings is compiled already, and would be compiled anew for each of these.
    ours, theirs = in_torch(lambda *a: step(one, *a), *arrays), in_jax(lambda *a: step(two, *a), *arrays, compiled=False)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_the_first_chain_of_a_pair_moves_by_the_kernel_and_equal_chains_stay_equal(name):
    dim, kind, size, step = PAIRS[name]
    x, (normals, uniforms) = states(kind, dim, 1), noise(size, 2)
    a, b = in_torch(lambda *args: step(markov_couplings, *args), x, x, normals, uniforms)
    np.testing.assert_array_equal(a, b)
    module, _, _, (reads, coins), single = SINGLE[name]
    # The columns of a pair's noise that the kernel alone reads, where they are not the first.
    normal_columns = {"gibbs": [0, 2]}.get(name, list(range(reads)))
    uniform_columns = {"random_walk": [2], "independent": [2], "mala": [2], "hmc_or_walk": [2, 3], "random gibbs": [2]}
    own = normals[:, normal_columns], uniforms[:, uniform_columns.get(name, list(range(coins)))]
    alone = in_torch(lambda at, e: single(importlib.import_module(f"exactness_samplers.torch.{module}"), at, e), x, *own)
    np.testing.assert_allclose(a, alone[0], rtol=1e-12, atol=1e-12)


# Golden values.


def numbers(values) -> list[Fraction]:
    return [Fraction(v) for v in values]


def lattice_matrix(step, weights) -> list[list[Fraction]]:
    """The transition matrix of a step on 0..K-1, by enumeration: the cells of both coins have a common denominator."""
    directions, cells = 3, 12
    coins = torch.tensor([[(i + 0.5) / directions, (j + 0.5) / cells] for i in range(directions) for j in range(cells)])
    matrix = []
    for x in range(len(weights)):
        at = torch.full((len(coins), 1), float(x))
        to = step(torch.log(torch.tensor(weights)), at, kernels.Noise(torch.empty(len(coins), 0), coins)).state[:, 0]
        matrix.append([Fraction(int((to == y).sum()), len(coins)) for y in range(len(weights))])
    return matrix


def after_one_step(start: list[Fraction], matrix: list[list[Fraction]]) -> list[Fraction]:
    return [sum(p * row[y] for p, row in zip(start, matrix, strict=True)) for y in range(len(start))]


def without_hastings(log_weights, x, noise):
    """The wrong kernel of the golden values: the ratio of the proposals is left out, which reweights the states by 2^-x."""
    at = torch.arange(len(log_weights)) * math.log(2.0)
    return markov.lattice_walk(log_weights + at, x, noise, 2 / 3)


def test_metropolis_on_five_states_is_exact_in_fractions(golden):
    want = golden("programs")["metropolis_5_states"]
    weights, target = [1.0, 2.0, 4.0, 2.0, 3.0], numbers(want["target"])
    right = lattice_matrix(lambda *a: markov.lattice_walk(*a, 2 / 3), weights)
    assert after_one_step(target, right) == target
    flow = [[p * q for q in row] for p, row in zip(target, right, strict=True)]
    assert all(flow[x][y] == flow[y][x] for x, y in product(range(5), repeat=2)), "detailed balance"
    wrong = lattice_matrix(without_hastings, weights)
    assert after_one_step(target, wrong) == numbers(want["without_ratio_after_one_step"])
    stationary = numbers(want["without_ratio_stationary"])
    assert after_one_step(stationary, wrong) == stationary
    tv = sum(abs(p - q) for p, q in zip(stationary, target, strict=True)) / 2
    assert float(tv) == pytest.approx(float(want["tv_stationary"]), abs=1e-15)


@cache
def ising_states() -> np.ndarray:
    return np.array(list(product([-1.0, 1.0], repeat=9)))


@cache
def ising_law(beta: float) -> tuple[np.ndarray, float]:
    """The law of the 512 states, and Z, from the edges and not from the field of the code."""
    spins = ising_states().reshape(-1, 3, 3)
    edges = (spins * np.roll(spins, 1, 1)).sum((1, 2)) + (spins * np.roll(spins, 1, 2)).sum((1, 2))
    weights = np.exp(beta * edges)
    return weights / weights.sum(), float(weights.sum())


def ising_after_one_step(law: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The law after one random site was drawn with P(+1) = ``up`` (512, 9)."""
    codes = ((ising_states() + 1) / 2 @ 2 ** np.arange(8, -1, -1)).astype(int)
    after = np.zeros_like(law)
    for site in range(9):
        bit = 1 << (8 - site)
        np.add.at(after, codes | bit, law * up[:, site] / 9)
        np.add.at(after, codes & ~bit, law * (1 - up[:, site]) / 9)
    return after


def test_the_heat_bath_leaves_the_ising_model_invariant(golden):
    want, spins, beta = golden("programs")["ising_3x3_beta_0.35"], ising_states(), 0.35
    law, z = ising_law(beta)
    assert z == pytest.approx(float(want["Z"]), rel=1e-14)
    assert law @ np.square(spins.sum(1)) == pytest.approx(float(want["mean_square_magnetisation"]), rel=1e-13)
    up = gibbs.ising_up(torch.as_tensor(spins), beta).numpy()
    after = ising_after_one_step(law, up)
    assert np.abs(after - law).sum() / 2 < 1e-15
    # With exp(bh)/(exp(bh) + 1), which is the conditional at half the temperature's inverse.
    half = ising_after_one_step(law, gibbs.ising_up(torch.as_tensor(spins), beta / 2).numpy())
    assert np.abs(half - law).sum() / 2 == pytest.approx(float(want["tv_after_one_step_factor_1"]), rel=1e-12)
    # The step draws the site and the spin that these probabilities say.
    sites, level = np.repeat(np.arange(9), 2), np.tile([-1e-9, 1e-9], 9)
    for row in (0, 77, 300):
        coins = np.stack([(sites + 0.5) / 9, up[row, sites] + level], 1)
        moved = in_torch(lambda x, e: gibbs.ising_heat_bath(x, e, beta), np.tile(spins[row], (18, 1)), np.empty((18, 0)), coins)[0]
        drawn = np.tile(spins[row], (18, 1))
        drawn[np.arange(18), sites] = np.where(level < 0, 1.0, -1.0)
        np.testing.assert_array_equal(moved, drawn)


def affine(step, dim: int, normals: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrices A and B of a step x' = A x + B z."""
    nothing = np.zeros((1, dim)), np.zeros((1, normals)), np.empty((1, 0))
    assert not in_torch(step, *nothing)[0].any()
    a = in_torch(step, np.eye(dim), np.zeros((dim, normals)), np.empty((dim, 0)))[0].T
    b = in_torch(step, np.zeros((normals, dim)), np.eye(normals), np.empty((normals, 0)))[0].T
    return a, b


def normal_tv(mean: float, sd: float) -> float:
    """The total variation of N(mean, sd^2), sd < 1, and N(0, 1): between the two points where their densities cross."""
    a, b, c = 1.0 - 1.0 / sd**2, 2.0 * mean / sd**2, -(mean**2) / sd**2 - 2.0 * math.log(sd)
    low, high = sorted(np.roots([a, b, c]).real)
    inside = lambda law: law.cdf(high) - law.cdf(low)  # noqa: E731
    return inside(stats.norm(mean, sd)) - inside(stats.norm())


def test_gibbs_converges_as_fast_as_it_must(golden):
    want = golden("programs")["gibbs_rho_0.9_from_5_-5_tv_second_coordinate"]
    a, b = affine(lambda x, e: gibbs.bivariate_gibbs(x, e, 0.9), 2, 2)
    mean, cov, found = np.array([5.0, -5.0]), np.zeros((2, 2)), {}
    for t in range(1, 41):
        mean, cov = a @ mean, a @ cov @ a.T + b @ b.T
        found[str(t)] = normal_tv(mean[1], math.sqrt(cov[1, 1]))
    for t, value in want.items():
        assert found[t] == pytest.approx(float(value), abs=1e-13)


def test_unadjusted_langevin_has_too_large_a_variance(golden):
    for h, value in golden("programs")["ula_stationary_variance"].items():
        a, b = affine(lambda x, e, h=h: markov.ula(lambda x: -0.5 * x.square().sum(-1), x, e, float(h)), 1, 1)
        assert b[0, 0] ** 2 / (1.0 - a[0, 0] ** 2) == pytest.approx(float(value), rel=1e-14)


@pytest.mark.parametrize("coupling", ["reflection", "independent"])
def test_coupled_normals_meet_as_often_as_can_be(golden, coupling):
    """The midpoints of 200 by 200 cells of the normal and the coin; their error is of the order of the cells."""
    cells = (np.arange(200) + 0.5) / 200
    z, coin = (grid.ravel() for grid in np.meshgrid(stats.norm.ppf(cells), cells))
    normals, uniforms = np.stack([z, np.zeros_like(z)], 1), np.stack([coin, np.full_like(coin, 0.37)], 1)
    values = golden("programs")["meeting_probability"]
    for m, value in values.items() if coupling == "reflection" else [("1", values["1"])]:
        assert float(couplings.acceptance(torch.tensor(float(m), dtype=torch.float64))) == pytest.approx(float(value), rel=1e-12)
        x = np.zeros((len(z), 1))
        a, b = in_torch(
            lambda x, y, e: markov_couplings.coupled_normals(x, y, 1.0, e, coupling), x, x + float(m), normals, uniforms
        )
        assert (a == b).mean() == pytest.approx(float(value), abs=4e-3)
        if coupling == "reflection":
            assert stats.kstest(np.sort(b[:, 0]) - float(m), "norm").statistic < 1e-2, "the second margin"


@pytest.mark.parametrize("coupling", ["reflection", "independent"])
def test_the_second_margin_of_coupled_normals_is_normal(coupling, seed):
    """40,000 draws; each fails by chance once in a million."""
    n, g = 40_000, np.random.default_rng(seed)
    x, y = np.zeros((n, 2)), np.tile([0.8, -0.5], (n, 1))
    step = lambda a, b, e: markov_couplings.coupled_normals(a, b, 0.7, e, coupling)  # noqa: E731
    drawn = in_torch(step, x, y, g.standard_normal((n, 4)), g.random((n, 2)))[1]
    z = (drawn - y) / 0.7
    for values in (*z.T, (z[:, 0] + z[:, 1]) / math.sqrt(2), (z[:, 0] - z[:, 1]) / math.sqrt(2)):
        assert stats.kstest(values, "norm").pvalue > 1e-6 / 4


def test_gibbs_chains_meet_no_sooner_than_the_total_variation_allows(golden, seed):
    """P(tau > t) bounds the total variation of the joint state, which P2 gives; 4,000 pairs, five standard errors."""
    n, g = 4_000, np.random.default_rng(seed)
    pair = markov_couplings.bivariate_gibbs_pair(0.9)
    x, y = np.tile([5.0, -5.0], (n, 1)), g.standard_normal((n, 2))
    y[:, 1] = 0.9 * y[:, 0] + math.sqrt(0.19) * y[:, 1]
    apart, x, y = {}, torch.as_tensor(x), torch.as_tensor(y)
    for t in range(1, 41):
        x, y = pair(x, y, seed=seed + t)
        apart[t] = float((x != y).any(1).double().mean())
    for t, truth, bound in ((5, 0.687, 0.710), (10, 0.266, 0.277), (20, 0.0328, 0.0377), (40, 0.00048, 0.0011)):
        error = 5 * math.sqrt(bound * (1 - bound) / n)
        assert truth - error < apart[t] < bound + error
    assert all(apart[t] >= apart[t + 1] for t in range(1, 40)), "once met, equal ever after"


def test_a_kernel_repeats_with_its_seed_and_takes_what_others_draw():
    kernel = markov.random_walk_kernel(log_density, 0.5, steps=3)
    x = states(GENERAL, 2, 0)
    first, again, other = (kernel(x, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    trace = kernel.trace(x, 0)
    assert trace.accepted.shape == (3, ROWS)
    assert torch.equal(trace.state[-1], first)
    with pytest.raises(ValueError, match="one chain per row"):
        kernel(x[0], 0)


def test_the_kernels_of_jax_run():
    module_or_skip("jax")
    one, two = (importlib.import_module(f"exactness_samplers.jax.{name}") for name in ("markov", "markov_couplings"))
    kernel, x = one.random_walk_kernel(log_density, 0.5, steps=3), states(GENERAL, 2, 0)
    first, again, other = (np.asarray(kernel(x, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    spins = states(SPINS, 9, 0)
    met = two.ising_pair(0.1, steps=400)(spins, -spins, 0)
    np.testing.assert_array_equal(*map(np.asarray, met))
