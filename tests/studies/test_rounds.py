"""Rounds are counted, and the sampler is compared with theory."""

from __future__ import annotations

import torch
from exactness_samplers.torch.drafters import Free
from exactness_samplers.torch.speculative import Speculative

from studies.rounds import measure, public
from studies.rounds.laws import laws
from studies.rounds.methods import methods
from studies.rounds.page import page


def test_rounds_are_measured_and_held_against_theory(tmp_path):
    """One fixed seed a method; at another one each z would exceed 5 with probability 6e-7."""
    rows = [measure.measure(measure.Job("two modes", 30, 4, name)) for name in methods("two modes")]
    assert {row["method"] for row in rows} == set(methods("two modes"))
    for row in rows:
        assert 30 / 5 <= row["rounds"] < 30
        assert abs(row["z"]) < 5
        assert row["block_less_token"] > -1e-9
    peer = [public.measure_public((2, name, draw)) for name in public.METHODS for draw in (0, 1)]
    speed = [{"sampler": "plain", "chains_a_second": 1.0}]
    refilled = {"chains": 1, "batch": 1, "calls_a_chain": 1.0, "mean": 1.0, "most": 1.0}
    peer += [{**row, "dim": 512} for row in peer]
    page({"rows": rows, "peer": peer, "speed": speed, "refilling": refilled}, tmp_path)
    text = (tmp_path / "rounds.md").read_text()
    assert "0 are beyond 4" in text
    assert "as stated for a public sampler" in text
    assert (tmp_path / "rounds.svg").read_text().startswith("<?xml")


def test_theory_would_notice_a_verifier_that_keeps_too_much():
    """Thresholds 1.1 times too large, at one fixed seed: beyond 6 standard errors, where the page's mark is 4."""
    recorded = measure.Recorded("block")
    right = recorded.verify
    recorded.verify = lambda ratios, masses, uniforms, lengths: right(ratios, masses, uniforms / 1.1, lengths)
    law = laws()["ring"]
    config = Speculative(law.process(30), 4, Free("noise"), recorded)
    config.run(2_000, torch.Generator().manual_seed(0))
    assert recorded.gap / recorded.square**0.5 > 6
