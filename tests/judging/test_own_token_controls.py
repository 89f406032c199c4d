"""``controls="standard"`` on a user's own law of tokens."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness.judging.own_controls import standard_controls
from tests.conftest import module_or_skip

TABLE = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]))
PLAN = ex.Plan(tolerance=0.2, first_paths=1_000, max_paths=1_000, per_call=500)


def target(prefixes):
    assert isinstance(prefixes, np.ndarray)
    n, t = prefixes.shape
    return TABLE[prefixes[:, -1] if t else np.zeros(n, dtype=int)]


def law(**more) -> ex.TokenChain:
    return ex.TokenChain(target, vocabulary=3, length=6, **more)


def names(of: ex.TokenChain) -> set[str]:
    return {claim.name.removeprefix("standard/") for claim in standard_controls(lambda n, seed: of.sample(n, seed), of)}


def test_a_certificate_says_what_would_have_been_caught_on_this_law():
    """Without a draft model, drafts come from a mixture. What refutes them has an error of one in a million."""
    mine = law(prompts=[[0], [1, 1]], end=2, top_p=0.85)
    judged = ex.certify(lambda n, seed: mine.sample(n, seed), mine, plan=PLAN, controls="standard")
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    refuted = {c.name.removeprefix("standard/") for c in judged.controls if c.verdict is ex.Verdict.REFUTED}
    assert {"filters-missing", "token-extra-from-draft", "token-rejection-one-late"} <= refuted
    assert f"{len(refuted)} of {len(judged.controls)} wrong samplers of this law were refuted" in judged.reasons[1]


def test_faults_without_effect_are_left_out():
    """No filters are missing where there are none, and where the draft is the target nothing is ever rejected."""
    assert "filters-missing" not in names(law())
    same = names(law(draft=target))
    assert not same & {"token-residual-from-target", "block-residual-unweighted", "target-mixed-with-draft"}
    assert "draft-is-greedy" in same


def test_arrays_are_handed_to_the_target_as_the_sampler_returns_them():
    torch = module_or_skip("torch")
    mine = ex.TokenChain(lambda prefixes: torch.zeros(prefixes.shape[0], 3), vocabulary=3, length=4)
    claims = standard_controls(lambda n, seed: torch.as_tensor(mine.sample(n, seed)), mine)
    draws, costs = claims[0].sample(2, 0)
    assert isinstance(draws.tokens, torch.Tensor)
    assert costs["rounds"] > 0


def test_a_sampler_that_raises_has_no_controls():
    assert standard_controls(lambda n, seed: 1 / 0, law()) == []


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ex.BadInput, match=r"exactness\[torch\]"):
        standard_controls(lambda n, seed: np.zeros((n, 6), dtype=int), law())


def test_controls_of_a_law_that_claims_a_rule_are_judged_without_it():
    """They verify otherwise, so that they would be invalid."""
    mine = law(draft=lambda prefixes: target(prefixes)[:, ::-1], rule="token-wise")
    claims = {claim.name: claim for claim in standard_controls(lambda n, seed: mine.sample(n, seed), mine)}
    assert ex.certify(*claims["standard/token-extra-from-draft"], plan=PLAN).verdict is ex.Verdict.REFUTED
