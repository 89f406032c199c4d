"""Ranks of a finished run: uniform ones pass, others are refuted, and the usual mistakes are named."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.adapters import from_sbc_ranks

PLAN = ex.Plan(tolerance=0.1, max_paths=4000)


def uniform(seed, columns=2, n=4000, most=19):
    return np.random.default_rng(seed).integers(0, most + 1, (n, columns))


@pytest.mark.statistical
def test_uniform_ranks_pass_though_columns_depend_on_each_other(seed):
    """Fails by chance at most once in a million runs. The two columns are equal, which no law of the ranks forbids."""
    ranks = uniform(seed, 1)[:, 0]
    judged = ex.certify(*from_sbc_ranks({"mu": ranks, "tau": ranks}, draws=19), plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert any("successive states of a chain" in reason and "ignores the data" in reason for reason in judged.reasons)


@pytest.mark.statistical
@pytest.mark.parametrize("how", ["wide", "shifted", "the last rank never"])
def test_other_ranks_are_refuted_and_the_column_is_named(how, seed):
    """Fails by chance at most once in a million runs."""
    ranks = uniform(seed)
    rng = np.random.default_rng([seed, 1])
    wrong = {
        "wide": np.where(rng.random(4000) < 0.25, rng.choice([0, 19], 4000), ranks[:, 1]),
        "shifted": np.maximum(ranks[:, 1], rng.integers(0, 20, 4000)),
        "the last rank never": rng.integers(0, 19, 4000),
    }[how]
    judged = ex.certify(*from_sbc_ranks({"mu": ranks[:, 0], "tau": wrong}, draws=19), plan=PLAN)
    assert judged.verdict is ex.Verdict.REFUTED
    assert "tau" in judged.reasons[0]


def test_equal_rows_are_seen_to_depend_on_each_other():
    ranks = np.repeat(uniform(0, n=2000), 2, axis=0)
    assert ex.certify(*from_sbc_ranks(ranks, draws=19), plan=PLAN).verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize(
    ("ranks", "draws", "message"),
    [
        (np.array([0.0, 1.5]), 19, "Break ties at random"),
        (np.array([0.0, 0.3]), 19, "not shares"),
        (np.array([1, 20, 7]), 19, "subtract 1"),
        (np.array([0, 40]), 19, "between 0 and 19"),
        (np.array([-1, 4]), 19, "between 0 and 19"),
        (np.array([0.0, np.nan]), 19, "must not be left out"),
        (np.array(["a"]), 19, "must be integers"),
        (np.zeros((2, 2, 2), dtype=int), 19, "one row per simulation"),
        ({"mu": np.zeros((2, 2), dtype=int)}, 19, "one rank per simulation"),
        (np.array([0, 1]), 0, "number of posterior draws"),
    ],
)
def test_the_usual_mistakes_are_named(ranks, draws, message):
    with pytest.raises(ex.BadInput, match=message):
        from_sbc_ranks(ranks, draws)


def test_a_sampler_of_midpoints_is_invalid():
    judged = ex.certify(lambda n, seed: uniform(seed, 1, n) + 0.5, ex.laws.SbcRanks(draws=20), plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "break ties at random" in judged.reasons[0]


def test_names_of_columns_are_checked():
    for quantities in ("mu", [], ["mu", "mu"], 0):
        with pytest.raises(ex.BadInput, match="quantities"):
            ex.laws.SbcRanks(draws=9, quantities=quantities)
