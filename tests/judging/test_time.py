"""The judge's work for a batch of draws, as counts of compilations, features and copies: these do not depend on the machine."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B
from exactness.batteries import standard
from exactness.judging.draws import Block, Drawing
from exactness.laws.base import unit_directions
from tests.conftest import module_or_skip

MIXTURE = ex.GaussianMixture([0.3, 0.7], [[2.0, 0.0], [-1.0, 0.0]], [0.1, 0.2])
CHAIN = ex.GaussianChain(lambda k, x: x, a=[0.0] * 3, b=[0.9] * 3, sigma=[1.0] * 3, dim=2)
COUPLING = ex.GaussianCoupling([1.0, 0.0], [0.0, 0.0], 1.0)
WINDOW = ex.VerifiedWindow(2, "token")


def paired(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 2, 2))


def windows(n, seed):
    ratios = np.random.default_rng(seed).standard_normal((n, 2))
    return np.column_stack([ratios, np.cumprod(ratios > 0.0, axis=1).sum(axis=1)])


LAWS = {
    "mixture": (MIXTURE, MIXTURE.sample),
    "chain": (CHAIN, CHAIN.sample),
    "trusted": (ex.TrustedSampler(MIXTURE.sample), MIXTURE.sample),
    "coupling": (COUPLING, paired),
    "window": (WINDOW, windows),
}


@pytest.mark.parametrize("name", LAWS)
def test_jax_compiles_the_judge_for_no_number_of_draws(name):
    """A new number of draws costs a few compilations of the sampler's and the law's own functions, and none per test or step."""
    jax = module_or_skip("jax")
    law, sample = LAWS[name]
    compiled = []

    def listen(event, seconds, **about):
        if event.endswith("backend_compile_duration"):
            compiled.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for n in (301, 307):
            compiled.clear()
            plan = ex.Plan(first_paths=n, max_paths=n, per_call=n)
            judged = ex.certify(lambda n, seed: jax.numpy.asarray(sample(n, seed), dtype="float32"), law, plan=plan)
            assert (judged.environment.array, judged.environment.dtype) == ("jax", "float32")
            assert judged.findings
            assert len(compiled) <= 12
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_the_prediction_of_a_chain_gets_the_kind_of_array_that_the_sampler_returned():
    jax, seen = module_or_skip("jax"), set()

    def predict(k, x):
        seen.add(isinstance(x, jax.Array))
        return x.at[:].multiply(0.9)

    law = ex.GaussianChain.from_mean(predict, sigma=[1.0, 1.0], dim=2)
    right = ex.GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=[1.0, 1.0], dim=2)
    judged = ex.certify(lambda n, seed: jax.numpy.asarray(right.sample(n, seed)), law, plan=ex.Plan(tolerance=0.15))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert seen == {True}


def test_a_law_of_ones_own_gets_the_arrays_of_the_sampler_unless_it_is_portable():
    jax, seen = module_or_skip("jax"), []

    class Uniform(ex.Law):
        event_shape = (1,)

        def describe(self):
            return {"kind": "Uniform"}

        def projections(self, random, generator):
            return ex.laws.base.Projections(["u"], lambda x: (seen.append(isinstance(x, jax.Array)), [x[:, 0]])[1])

    class Portable(Uniform):
        portable = True

    for law in (Uniform(), Portable()):
        evidence = B.ProjectedKS().start(law, np.random.default_rng(0))
        evidence.update(jax.numpy.asarray(np.random.default_rng(1).random((100, 1))))
    assert seen == [True, False]


@pytest.mark.parametrize(("dim", "features", "coordinates"), [(2, 8, 2), (64, 256, 64), (300, 256, 256)])
def test_the_number_of_features_is_bounded_however_many_dimensions_there_are(dim, features, coordinates):
    law = ex.GaussianMixture([1.0], np.zeros((1, dim)), [1.0])
    stein, inside = (battery.start(law, np.random.default_rng(0)) for battery in (B.SteinDiscrepancy(), B.MixtureInnovations()))
    for evidence in (stein, inside):
        evidence.update(law.sample(5, 0), np.random.default_rng(1))
    assert stein.summaries["features"].dim == features
    assert inside.summaries["vectors"].dim == coordinates


def test_in_many_dimensions_the_features_that_are_kept_see_a_wrong_scale_and_a_shift(seed):
    """From 4,000 draws in d = 300, a shift in any direction and draws that are too wide; the truth is refuted once in a million."""
    law = ex.GaussianMixture([1.0], np.zeros((1, 300)), [1.0])
    shift = 0.4 * unit_directions(1, 300, np.random.default_rng(seed))
    for scale, offset in ((1.0, 0.0), (1.2, 0.0), (1.0, shift)):
        evidence = B.SteinDiscrepancy().start(law, np.random.default_rng(0))
        evidence.update(scale * law.sample(4_000, seed) + offset, np.random.default_rng(seed))
        assert (evidence.results()[0].p_value > 1e-6) == (scale == 1.0 and offset is not shift)


@pytest.mark.parametrize("name", LAWS)
def test_a_block_copies_nothing_that_never_changes(name, monkeypatch):
    """Per summary and block, at most one object is copied deeply (a reservoir, or a dict of sums): no names, tests or laws."""
    law, sample = LAWS[name]
    evidence = [b.start(law, np.random.default_rng(0)) for b in standard() if b.applies(law)]
    drawing = Drawing(ex.Claim("x", sample, law), ex.Plan(), 0, evidence)
    copied = []
    right = copy.deepcopy

    def counted(value, memo=None):
        copied.append(type(value).__name__)
        return right(value, memo)

    monkeypatch.setattr("exactness.evidence.base.copy.deepcopy", counted)
    assert drawing.take(Block(0, 0, 0, (100,))).fault is None
    assert set(copied) <= {"Reservoir", "dict"}
    assert len([kind for kind in copied if kind != "Reservoir"]) <= 2


def test_the_steps_of_a_chain_are_the_same_added_one_by_one_or_together(monkeypatch):
    results = []
    for held in (0, 1_000, 1 << 20):
        monkeypatch.setattr("exactness.batteries.chains._HELD", held)
        evidence = B.Innovations().start(CHAIN, np.random.default_rng(0))
        evidence.update(CHAIN.sample(200, 0), np.random.default_rng(1))
        results.append([(r.null, r.where, r.statistic, r.n) for r in evidence.results()])
    assert results[0] == results[1] == results[2]
