"""A certificate keeps what a page may draw, in kilobytes: the same in shards and in one place, and right about the draws."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import exactness as ex
from exactness.evidence.pictures import MOST_ROWS, Picture, heat_maps
from exactness.judging.looking import Kept, Looking, pictures_of
from tests.registry import plain_chain

CHAIN, SAMPLE = plain_chain()
MIXTURE = ex.GaussianMixture([0.3, 0.7], [[2.0, 0.0], [-1.0, 1.0]], [0.2, 0.2])
PLAN = ex.Plan(tolerance=0.2, first_paths=2_000, max_paths=2_000)


def by_kind(certificate: ex.Certificate, kind: str) -> list[Picture]:
    return [picture for picture in certificate.pictures if picture.kind == kind]


@pytest.fixture(scope="module")
def mixture() -> ex.Certificate:
    return ex.certify(MIXTURE.sample, MIXTURE, plan=PLAN)


def test_densities_of_draws_stand_next_to_those_of_the_law(mixture):
    """Of a right sampler, 40 cells and 400: chi-square beyond 8 standard deviations of its own has probability below 1e-9."""
    for picture in by_kind(mixture, "density") + by_kind(mixture, "plane"):
        counts, law = np.array(picture.values, dtype=float), np.array(picture.law, dtype=float)
        assert counts.shape == law.shape
        assert picture.n == 2_000
        assert 0.97 * picture.n < counts.sum() <= picture.n
        seen = law >= 5.0
        variance = law[seen] * (1.0 + picture.n / picture.law_draws)
        chi2 = ((counts[seen] - law[seen]) ** 2 / variance).sum()
        assert chi2 < seen.sum() + 8.0 * np.sqrt(2.0 * seen.sum())
    first, second = by_kind(mixture, "density")
    assert (first.name, second.name) == ("coordinate 0", "coordinate 1")
    ((low, high),) = first.spans
    assert low < -1.5 < 2.5 < high


def test_the_pictures_of_a_wrong_sampler_show_it():
    shifted = ex.certify(lambda n, s: MIXTURE.sample(n, s) + 0.5, MIXTURE, plan=PLAN)
    picture = by_kind(shifted, "density")[0]
    counts, law = np.array(picture.values[0], dtype=float), np.array(picture.law[0], dtype=float)
    assert np.abs(np.cumsum(counts - law)).max() > 0.2 * picture.n
    wide = ex.certify(lambda n, s: np.cumsum(1.1 * np.diff(SAMPLE(n, s), axis=1, prepend=0.0), axis=1), CHAIN, plan=PLAN)
    (maps,) = [p for p in by_kind(wide, "z-scores") if p.name == "variance" and "coordinates" in p.columns]
    assert maps.rows == ["start", "step 4", "step 3", "step 2", "step 1"] or maps.rows[0].startswith("step")
    column = maps.columns.index("coordinates")
    assert max(row[column] for row in maps.values) > 5.0


def test_shards_make_the_same_pictures(mixture):
    claim = ex.Claim("sampler", MIXTURE.sample, MIXTURE, PLAN)
    shards = [ex.draw_shard(claim, i, 3) for i in (2, 0, 1)]
    together = ex.certify_shards(claim, shards)
    assert together.pictures == mixture.pictures
    assert together.evidence == mixture.evidence


def test_memory_and_size_do_not_grow_with_the_draws():
    kept = Kept()
    for seed in range(20):
        generator = np.random.default_rng(seed)
        kept.add(generator.random(2_000), generator.standard_normal((2_000, 64)))
    assert kept.columns.rows[0].shape == (4_096, 2)
    assert kept.whole.rows[0].shape == (6, 64)


def test_pictures_cost_kilobytes():
    """Of a chain of 200 steps, which has more rows than a picture."""
    law = ex.GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.ones(200), dim=16)
    judged = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.3, first_paths=50, max_paths=50))
    pictures = len(msgspec.json.encode(judged.pictures))
    assert pictures < 20_000, pictures
    assert all(len(p.rows) <= MOST_ROWS for p in judged.pictures)


def test_neighbours_share_a_row_that_shows_the_most_extreme():
    z = np.zeros(1_000)
    z[777] = -9.0
    (picture,) = heat_maps("b", {"c": {"mean": ([f"step {k}" for k in range(1_000, 0, -1)], z)}})
    assert len(picture.rows) == MOST_ROWS
    assert picture.rows[0] == "step 1000 to step 985"
    assert sorted(v for (v,) in picture.values)[:2] == [-9, 0]


@pytest.mark.parametrize("draws", [np.zeros((9, 2)), np.full((9, 1), 1e100), np.arange(9.0)[:, None], np.full((9, 3), 1e-300)])
def test_draws_of_any_size_have_pictures(draws):
    class Any(ex.Law):
        event_shape = draws.shape[1:]

        def describe(self):
            return {}

    evidence = Looking().start(Any(), np.random.default_rng(0))
    evidence.update(draws)
    pictures = pictures_of([evidence], Any())
    assert [picture.kind for picture in pictures] == ["density"] * min(2, draws.shape[1]) + ["plane"] * (draws.shape[1] > 1)
    for picture in pictures:
        assert msgspec.json.decode(msgspec.json.encode(picture), type=Picture) == picture
        assert sum(sum(row) for row in picture.values) >= 7
