"""The controls of the catalogue, and what a control that is missed does to a pass."""

from __future__ import annotations

import pytest
import torch
from exactness_samplers.faults import Backend, fault, of_family
from exactness_samplers.faults.unspoiled import stale
from exactness_samplers.torch.verification import token_wise

import exactness as ex
from exactness import batteries as B
from exactness.catalogue import Setting, entries, find
from exactness.catalogue.chain_laws import problem
from exactness.catalogue.chains import CONTROLS, NOT_A_CONTROL, PROBLEM_NAMES
from tests.registry import chain, process, quiet_plan, sampler, speculative

SETTING = Setting()


def judge(name: str, seed: int, **changes) -> ex.Certificate:
    (entry,) = find([name])
    claim = entry.build(SETTING)
    plan = quiet_plan(**({"alpha": 1e-6, "tolerance": 0.08, "first_paths": 5_000, "max_paths": 10_000} | changes))
    return ex.certify(claim.sample, claim.law, plan=plan, seed=seed, name=name, wrong=claim.wrong)


@pytest.mark.parametrize("name", ["ring/sequential", "ring/token/free-noise/quantile-kept", "ring/block/free-sample/quantile-kept"])
def test_right_samplers_are_certified_on_the_ring(name, seed):
    judged = judge(name, seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons


@pytest.mark.parametrize("law", ["two-modes", pytest.param("product", marks=pytest.mark.slow)])
def test_a_biased_chain_fails_on_its_last_states_as_well(law, seed):
    """Where the law of x_0 is known, last states alone refute a sampler that accepts always."""
    (entry,) = find([f"{law}/control/accept-always"])
    claim = entry.build(SETTING)
    plan = ex.Plan(first_paths=2_000, max_paths=2_000).in_few_calls()
    judged = ex.certify(claim.sample, claim.law, plan=plan, seed=seed, batteries=[B.ProjectedKS()])
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons


def test_names_of_the_catalogue_are_those_of_the_samplers():
    assert set(CONTROLS) <= {f.name for f in of_family("chains")}
    assert {problem for problem, _ in NOT_A_CONTROL} <= set(PROBLEM_NAMES)
    names = [e.name for e in entries()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("law", [pytest.param(n, marks=pytest.mark.slow) if n == "product" else n for n in PROBLEM_NAMES])
def test_every_law_of_the_catalogue_builds_and_samples(law):
    for entry in entries():
        if entry.problem == law and (entry.kind != "exact" or entry.name.endswith("block/free-sample/quantile-kept")):
            claim = entry.build(SETTING)
            output, costs = claim.sample(3, 1)
            assert claim.law.accept(output, 3) is output
            assert costs["rounds"] > 0


def test_a_control_that_is_missed_is_said_and_spoils_the_pass(seed):
    """A right sampler called a control: the claim beside it must not be certified, and says which control was missed."""
    right = speculative("ddpm-large", "free-sample", "block", "quantile-kept")
    law = chain(process())
    plan = quiet_plan(tolerance=0.2, first_paths=1_000, max_paths=1_000)
    blunt = ex.Claim("not wrong at all", sampler(right), law, wrong="Nothing.")
    judged = ex.certify(sampler(right), law, plan=plan, seed=seed, controls=[blunt])
    assert judged.verdict is ex.Verdict.INCONCLUSIVE
    assert "not wrong at all" in judged.reasons[-1]
    sharp = ex.Claim("accepts always", sampler(fault("accept-always").spoil(right, "torch")), law, wrong="Accepts every draft.")
    judged = ex.certify(sampler(right), law, plan=plan, seed=seed, controls=[sharp])
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert [c.verdict for c in judged.controls] == [ex.Verdict.REFUTED]


def test_reflection_is_right_token_by_token_and_wrong_only_unweighted_in_a_block():
    """The control differs from the right sampler in the weight alone: with the same noise, weight 1 gives the same path."""
    generator = lambda: torch.Generator().manual_seed(1)  # noqa: E731
    right = speculative("ddpm-large", "free-noise", "token", "quantile-kept")
    same = fault("block-with-reflection").spoil(right, "torch")
    assert torch.equal(right.run(50, generator()).paths, same.run(50, generator()).paths)
    assert right.verifier is token_wise
    block = speculative("ddpm-large", "free-noise", "block", "quantile-kept")
    spoiled = fault("block-with-reflection").spoil(block, "torch")
    assert not torch.equal(block.run(50, generator()).paths, spoiled.run(50, generator()).paths)


@pytest.mark.slow
def test_thresholds_that_are_three_percent_off_are_refuted_where_drafts_are_stale(seed):
    """At alpha 1e-6, with a free drafter and a window of 20, where it takes most of 500,000 paths."""
    plan = ex.Plan(alpha=1e-6, tolerance=1e-3, first_paths=31_250, max_paths=500_000).in_few_calls()
    right = stale(Backend("torch"), problem("ring").process)
    runner = fault("block-thresholds-high").spoil(right, "torch")
    judged = ex.certify(sampler(runner), problem("ring").law, plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.REFUTED, judged.reasons
