"""Laws of mass functions: their tables, and which draws they take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

import exactness as ex
from exactness.arrays import digest
from exactness.errors import InvalidSample
from exactness.laws.base import Discrete, Drawable
from exactness.strategies import discrete_laws, seeds
from tests.conftest import module_or_skip

LAW = ex.DiscreteLaw([0.2, 0.5, 0.3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ex.DiscreteLaw([0.5, 0.6]), "probabilities sum to 1.1, not to 1"),
        (lambda: ex.DiscreteLaw([1.5, -0.5]), "finite and not negative"),
        (lambda: ex.DiscreteLaw([math.nan, 1.0]), "finite and not negative"),
        (lambda: ex.DiscreteLaw([]), "one entry per value"),
        (lambda: ex.DiscreteLaw("abc"), "probabilities must be numbers"),
        (lambda: ex.DiscreteLaw([[0.5], [0.2, 0.3]]), "probabilities must be numbers"),
        (lambda: ex.DiscreteLaw([0.5, 0.5], values=["heads", "tails"]), "values must be numbers, .* the numbers 0, 1, 2"),
        (lambda: ex.DiscreteLaw([[0.5], [0.5]]), "one entry per value"),
        (lambda: ex.DiscreteLaw([0.5, 0.5], values=[1, 2, 3]), r"one entry per probability, \(2,\)"),
        (lambda: ex.DiscreteLaw([0.5, 0.5], values=[1, 1]), "must all be different"),
        (lambda: ex.DiscreteLaw([0.5, 0.5], values=[1, 2.0**54]), "doubles tell apart"),
        (lambda: ex.DiscreteLaw([0.5, 0.5], elsewhere=1.0), "elsewhere must be a probability below 1"),
        (lambda: ex.DiscreteLaw([0.5, 0.4], elsewhere=0.1, support=(1, 5)), "leaves out some of the values"),
        (lambda: ex.DiscreteLaw([0.5, 0.4], values=[[0, 1], [1, 0]], elsewhere=0.1), "must all be listed"),
        (lambda: ex.DiscreteLaw.from_log_mass(3.0), "must be a function"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: 1 / 0), "raised ZeroDivisionError"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: 0.0, support=(0, 3)), r"\(n,\) values into \(n,\) log-probabilities"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: k * math.nan, support=(0, 3)), "returned nan"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: k * math.nan), "is 0 wherever it was looked at"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: k + 0.5, support=(0, 3)), "returned 0.5"),
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: 0 * k - 3.0, support=(0, 3)), "sums to 0.199148 .* not to 1"),
        (lambda: ex.DiscreteLaw.from_log_mass(stats.poisson(3).logpmf, support=(1, 0)), "lower one first"),
        (lambda: ex.DiscreteLaw.from_log_mass(stats.poisson(1e13).logpmf), "judge groups of values"),
        # Half of the values are not whole numbers away from the least one.
        (lambda: ex.DiscreteLaw.from_log_mass(lambda k: stats.poisson(3).logpmf(2 * k)), "its values are not one apart"),
    ],
)  # fmt: skip
def test_what_is_no_mass_function_is_said(make, message):
    with pytest.raises(ex.BadInput, match=message):
        make()


@pytest.mark.parametrize(
    ("distribution", "elsewhere"),
    [
        (stats.poisson(3.0), 0.0),
        (stats.poisson(1e6), 0.0),
        (stats.poisson(3.0, loc=0.5), 0.0),
        (stats.binom(10**7, 0.3), 0.0),
        (stats.geom(1e-3), 0.0),
        (stats.dlaplace(0.05), 0.0),
        (stats.nbinom(0.1, 0.01), 0.0),
        (stats.zipf(2.0), 2.32e-6),
    ],
    ids=lambda d: d.dist.name if hasattr(d, "dist") else "",
)
def test_a_table_holds_all_but_what_it_says(distribution, elsewhere):
    low, high = distribution.support()
    law = ex.DiscreteLaw.from_log_mass(distribution.logpmf, support=(float(low), float(high)))
    assert law.elsewhere == pytest.approx(elsewhere, rel=0.01, abs=1e-25)
    assert law.masses.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(law.probabilities, distribution.pmf(law.values), rtol=1e-5)
    assert distribution.cdf(law.values[0] - 1) + distribution.sf(law.values[-1]) <= law.elsewhere * 1.01 + 1e-30


def test_a_table_finds_two_modes():
    gate, far = math.log(0.2), stats.poisson(5_000.0)

    def log_mass(k):
        return np.where(k == 0, gate, math.log(0.8) + far.logpmf(k))

    law = ex.DiscreteLaw.from_log_mass(log_mass)
    assert law.values[0] == 0.0
    np.testing.assert_allclose(law.probabilities[[0, 5_000]], [0.2, 0.8 * far.pmf(5_000)], rtol=1e-9)


def test_cells_of_counts_beyond_a_table():
    """Inside the support they share a cell; below it, or between two counts, nothing has a probability."""
    law = ex.DiscreteLaw([0.6, 0.3], elsewhere=0.1, support=(0, math.inf))
    draws = np.array([0, 1, 2, 10**12, -1, 0.5, 1e300])
    assert law.cells(draws[:, None]).tolist() == [0, 1, 2, 2, -1, -1, 2]
    assert [law.cell_name(c) for c in (1, 2)] == ["value 1", "values other than 0 to 1"]
    with pytest.raises(ex.BadInput, match=r"0\.1 of its probability lies on values that are not tabulated"):
        law.sample(3, 0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "bool", "float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["numpy", "torch", "jax"])
def test_integers_of_every_width_are_accepted(kind, dtype):
    labels = np.array([0, 1, 1, 0]) if dtype == "bool" else np.array([2, 0, 1, 1])
    draws = labels.astype(dtype)
    if kind == "torch":
        draws = module_or_skip("torch").as_tensor(draws)
    if kind == "jax":
        draws = module_or_skip("jax.numpy").asarray(draws)
    for sample in (draws, draws[:, None]):
        assert LAW.cells(LAW.accept(sample, 4)).tolist() == labels.tolist()
    assert digest(draws) == digest(np.asarray(draws))


def test_narrow_floats_are_accepted():
    torch, jnp = module_or_skip("torch"), module_or_skip("jax.numpy")
    for draws in (torch.tensor([2, 0, 1]).to(torch.bfloat16), jnp.asarray([2, 0, 1], dtype=jnp.bfloat16)):
        assert LAW.cells(LAW.accept(draws, 3)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_only_values_that_are_no_whole_numbers_may_be_rounded(dtype):
    law = ex.DiscreteLaw([0.5, 0.2, 0.3], values=[0.1, 0.7, 1 / 3])
    rounded = (np.array([0.1, 0.7, 1 / 3]) * 3).astype(dtype) / dtype(3)
    assert law.cells(rounded).tolist() == [0, 2, 1]
    assert law.cells(rounded * dtype(1.05)).tolist() == [-1, -1, -1]
    counts = ex.DiscreteLaw.from_log_mass(lambda k: stats.poisson(3.0).logpmf(np.round(k - 0.1)), support=(0.1, math.inf))
    assert counts.cells((np.arange(5) + 0.1).astype(dtype)).tolist() == [0, 1, 2, 3, 4]
    assert LAW.cells(np.array([1.0, 1.0 + 2.0**-10], dtype=dtype)).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (np.zeros((4, 2), int), r"has shape \(4, 2\); this law needs \(4, 1\)"),
        (np.zeros(3, int), r"has shape \(3,\)"),
        (np.array([0.0, 1.0, math.nan, 1.0]), "1 of 4 draws hold NaN"),
        (np.zeros(4, complex), "complex128"),
    ],
)
def test_what_cannot_be_read_is_invalid(draws, message):
    with pytest.raises(InvalidSample, match=message):
        LAW.accept(draws, 4)


def test_values_may_be_vectors():
    law = ex.DiscreteLaw([0.5, 0.25, 0.25], values=[[0, 0], [1, 0], [1, 1]])
    assert law.event_shape == (2,)
    assert law.cells(np.array([[1, 1], [0, -0.0], [0, 1], [1, 0]])).tolist() == [2, 0, -1, 1]
    assert law.cell_name(2) == "value (1, 1)"
    assert law.sample(5, 0).shape == (5, 2)
    with pytest.raises(InvalidSample, match=r"this law needs \(2, 2\)"):
        law.accept(np.zeros(2, int), 2)


def test_labels_of_probability_0_have_no_cell():
    law = ex.DiscreteLaw([0.5, 0.0, 0.5, 0.0])
    assert law.cells(np.arange(5)).tolist() == [0, -1, 2, -1, -1]
    assert set(law.sample(1_000, 0)[:, 0]) == {0, 2}


def test_single_precision_probabilities_are_scaled():
    p = np.random.default_rng(0).random(50_000).astype(np.float32)
    p /= p.sum()
    assert ex.DiscreteLaw(p).probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ex.BadInput, match="divide them by their sum"):
        ex.DiscreteLaw(p * np.float32(1.01))


def test_laws_that_differ_describe_themselves_differently():
    laws = [
        LAW, ex.DiscreteLaw([0.2, 0.5 + 1e-12, 0.3 - 1e-12]), ex.DiscreteLaw([0.2, 0.5, 0.3], values=[1, 2, 3]),
        ex.DiscreteLaw([0.2, 0.5, 0.3], name="other"),
    ]  # fmt: skip
    assert len({str(law.describe()) for law in laws}) == len(laws)
    assert isinstance(LAW, Discrete)
    assert isinstance(LAW, Drawable)


def test_saved_labels_may_be_a_vector(tmp_path):
    np.save(tmp_path / "labels.npy", LAW.sample(5_000, 1)[:, 0].astype(np.uint8))
    judged = ex.certify_paths(tmp_path / "labels.npy", LAW, plan=ex.Plan(tolerance=0.1))
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


@given(law=discrete_laws(), seed=seeds())
@settings(max_examples=50)
def test_draws_of_a_law_lie_in_its_cells(law, seed):
    cells = law.cells(law.accept(law.sample(20, seed), 20))
    assert np.all(law.masses[cells] > 0)
    assert np.array_equal(law.values[cells], law.sample(20, seed)[:, 0])
    assert law.masses.sum() == pytest.approx(1.0)
