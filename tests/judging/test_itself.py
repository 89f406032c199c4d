"""A sampler is never certified by its own draws, and a certificate says what a law of draws is worth."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import exactness as ex
from exactness.adapters import sample_scipy, sample_torch
from exactness.laws.draws_only import known_by_draws, same_sampler
from tests.conftest import module_or_skip
from tests.registry import another, quiet_plan

PLAN = quiet_plan(tolerance=0.3, first_paths=2_000, max_paths=2_000)


def normals(n, seed, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((n, 1))


def scaled(scale):
    return lambda n, seed: normals(n, seed, scale)


class Network:
    def __init__(self, weights):
        self.weights = np.asarray(weights)

    def __call__(self, n, seed):
        return normals(n, seed) * self.weights

    def draw(self, n, seed):
        return self(n, seed)


class Own(ex.Law):
    """A law of the user's, of which only exact draws are known."""

    event_shape = (1,)

    def __init__(self, scale=1.0):
        self.scale = scale

    def describe(self):
        return {"kind": "Own"}

    def sample(self, n, seed):
        return normals(n, seed, self.scale)


SAME = {
    "the same function": (normals, normals),
    "the same closure": (scaled(2.0), scaled(2.0)),
    "the same partial function": (functools.partial(normals, scale=2.0), functools.partial(normals, scale=2.0)),
    "an equal object": (Network([1.0]), Network([1.0])),
    "a bound method": (Network([1.0]).draw, Network([1.0]).draw),
    "a method of an equal law": (Own().sample, Own().sample),
}
OTHER = {
    "another function": (normals, another(normals)),
    "another closure": (scaled(2.0), scaled(2.1)),
    "another partial function": (functools.partial(normals, scale=2.0), functools.partial(normals, scale=2.1)),
    "other weights": (Network([1.0]), Network([1.1])),
    "another method": (Network([1.0]).draw, Network([1.0])),
    "another law": (Own(1.0).sample, Own(1.1).sample),
    "another default": (lambda n, s, c=1.0: normals(n, s, c), lambda n, s, c=2.0: normals(n, s, c)),
}


@pytest.mark.parametrize("name", SAME)
def test_a_sampler_is_not_certified_by_itself(name):
    one, other = SAME[name]
    assert same_sampler(one, other)
    for judge in (lambda: ex.certify(one, ex.TrustedSampler(other), plan=PLAN), lambda: ex.compare(one, other, plan=PLAN)):
        with pytest.raises(ex.BadInput, match="would be compared with itself"):
            judge()


@pytest.mark.parametrize("name", OTHER)
def test_other_samplers_are_told_apart(name):
    assert not same_sampler(*OTHER[name])


def test_a_distribution_is_the_same_sampler_wherever_it_was_made():
    d = module_or_skip("torch").distributions
    assert same_sampler(sample_torch(d.Gamma(1.0, 2.0)), sample_torch(d.Gamma(1.0, 2.0)))
    assert not same_sampler(sample_torch(d.Gamma(1.0, 2.0)), sample_torch(d.Gamma(1.0, 2.1)))
    assert not same_sampler(sample_torch(d.Gamma(1.0, 2.0)), sample_scipy(d.Gamma(1.0, 2.0)))
    with pytest.raises(ex.BadInput, match="would be compared with itself"):
        ex.certify(sample_torch(d.Gamma(1.0, 2.0)), ex.TrustedSampler(sample_torch(d.Gamma(1.0, 2.0))), plan=PLAN)


def test_a_law_that_knows_more_than_its_draws_may_judge_them():
    mixture, own = ex.GaussianMixture([1.0], [[0.0]], [1.0]), Own()
    assert not known_by_draws(mixture)
    assert known_by_draws(own)
    assert ex.certify(mixture.sample, mixture, plan=PLAN).verdict is ex.Verdict.CERTIFIED
    with pytest.raises(ex.BadInput, match="would be compared with itself"):
        ex.certify(own.sample, own, plan=PLAN)


def test_a_certificate_says_what_a_law_of_draws_is_worth():
    """Two samplers that share an error agree, and this is all that the certificate claims."""
    for law in (ex.TrustedSampler(normals, name="the slow one"), Own()):
        judged = ex.certify(lambda n, seed: normals(n, seed), law, plan=PLAN)
        assert judged.verdict is ex.Verdict.CERTIFIED
        assert any("known only by the draws of" in reason and "is not seen" in reason for reason in judged.reasons)
    mixture = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    assert not any("known only by the draws" in reason for reason in ex.certify(normals, mixture, plan=PLAN).reasons)
