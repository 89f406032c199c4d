"""The family of tokens in the catalogue and among the controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exactness_samplers.faults.tokens import TOKEN_FAULTS, token_fault
from exactness_samplers.faults.tokens.base import rule

import exactness as ex
from exactness.catalogue import Setting, entries, find, tour
from exactness.catalogue import tokens as family
from exactness.catalogue.token_laws import LAWS, models
from exactness.controls.judge import judge_fault
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

SETTING = Setting()
MINE = [entry for entry in entries() if entry.problem in LAWS]


def judge(name: str, seed: int, backend: str = "torch", **changes: object) -> ex.Certificate:
    (entry,) = find([name])
    claim = entry.build(Setting(backend=backend))
    plan = quiet_plan(**({"alpha": 1e-6, "tolerance": 0.2, "first_paths": 1_000, "max_paths": 1_000} | changes))
    return ex.certify(claim.sample, claim.law, plan=plan, seed=seed, name=name, wrong=claim.wrong)


def test_every_law_has_plain_sampling_rules_and_controls():
    for law in LAWS:
        kinds = [entry.kind for entry in MINE if entry.problem == law]
        assert kinds.count("sequential") == 1
        assert kinds.count("exact") >= 2
        assert kinds.count("control") >= 3
    controls = {entry.name.rsplit("/", 1)[1] for entry in MINE if entry.kind == "control"}
    assert controls == {fault.name for fault in TOKEN_FAULTS if fault.seen_by in ("law", "rounds")}
    assert {entry.problem for entry in tour() if entry.problem in LAWS} == {"tokens-50"}


@pytest.mark.parametrize("rule", ["sequential", "block", "traversal-without-replacement"])
def test_right_samplers_are_certified(rule, seed):
    """A right sampler is refuted once in a million."""
    judged = judge(f"tokens-4/{rule}", seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.cost["rounds"] > 0


@pytest.mark.parametrize("name", ["token-residual-from-target", "draft-is-greedy", "target-filter-missing", "traversal-law-reset"])
def test_controls_are_refuted(name, seed):
    judged = judge(f"tokens-4/control/{name}", seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


@pytest.mark.slow
@pytest.mark.parametrize("entry", [e for e in MINE if e.problem != "tokens-50000"], ids=lambda e: e.name)
def test_every_entry_is_judged_rightly_in_jax(entry):
    module_or_skip("jax")
    claim = entry.build(Setting(backend="jax"))
    judged = ex.certify(claim.sample, claim.law, plan=claim.plan, name=claim.name, wrong=claim.wrong)
    assert judged.as_claimed, judged.reasons


def test_noise_keyed_by_position_goes_through_compiled_functions_of_jax():
    """The slow tests run whole samplers of JAX; this traces what they need of its noise."""
    jax = module_or_skip("jax")
    from exactness_samplers.faults import Backend
    from exactness_samplers.jax.token_sampling import Asking, KeyNoise

    keyed = token_fault("block-coins-keyed-by-position").keyed
    noise = keyed(Backend("jax"), KeyNoise(jax.random.key(0)))
    coins = jax.jit(lambda noise, *asking: noise.uniforms(Asking(*asking), 2)[1])
    row, zero = jax.numpy.arange(2), jax.numpy.zeros(2, int)
    first, later = coins(noise, zero, row, zero), coins(noise, zero + 1, row, zero + 1)
    # The second coin of the first round judges the position that the first coin of a round after one token judges.
    np.testing.assert_array_equal(first[:, 1], later[:, 0])
    assert not np.array_equal(first[:, 2], later[:, 2])


def test_the_law_of_the_judge_is_that_of_the_samplers():
    """Two functions look the tables up: of prefixes of one length, and of texts with lengths."""
    torch, found = module_or_skip("torch"), models("tokens-4", "torch")
    text = torch.tensor([[3, 1, 2, 0], [0, 2, 1, 1]])
    for t in range(4):
        ours, theirs = found.target(text, torch.tensor([t, t])), found.log_target(text[:, :t].numpy())
        np.testing.assert_allclose(ours.numpy(), np.exp(np.asarray(theirs)), rtol=1e-12)


def test_a_verifier_that_draws_cannot_fault_is_looked_at_without_any():
    """Its arithmetic shows in its exact law, and the right rule is exact there."""
    fault = token_fault("token-ratio-in-bfloat16")
    record, _ = judge_fault(fault, ex.Plan(), 0, SETTING, 1)
    assert record.as_it_should
    assert (record.method, record.paths, record.alone) == ("exact law", 0, {"exact law": 0})
    right = replace(fault, name="right", instead=rule("token_wise"))
    assert not judge_fault(right, ex.Plan(), 0, SETTING, 1)[0].as_it_should


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_forced_coins_show_what_has_probability_0(backend):
    module_or_skip(backend)
    fault = token_fault("token-accepts-at-coin-zero")
    found = family.inspect(fault, Setting(backend=backend))
    assert found.seen, found.found
    assert not family.inspect(replace(fault, name="right", instead=rule("token_wise")), Setting(backend=backend)).seen
