"""Schedulers of diffusers are judged, and the page ranks them at equal numbers of evaluations."""

from __future__ import annotations

import json

import pytest

from studies.schedulers import page
from studies.schedulers.__main__ import main
from studies.schedulers.setup import SCHEDULERS
from tests.conftest import module_or_skip


def test_schedulers_are_ranked_at_equal_evaluations_and_no_winner_is_named_among_what_is_exact():
    def row(name, estimate, verdict="certified", steps=10, evaluations=10):
        spot = {"question": "finals", "law": "ring", "spacing": "as shipped", "mmd": 0.0}
        numbers = {"estimate": estimate, "bound": estimate + 0.02, "steps": steps, "evaluations": evaluations}
        return {**spot, **numbers, "scheduler": name, "verdict": verdict}

    def said(*rows):
        floor = {"question": "floor", "law": "ring", "estimate": 0.009, "bound": 0.028}
        return page._finals([floor, *rows], "ring", "as shipped")

    far, near = row("slow", 0.3, "refuted"), row("fast", 0.1, "refuted")
    cheat = row("two calls a step", 0.01, evaluations=19)
    text = said(far, near, cheat)
    assert "At 10: closest to the data: fast." in text
    assert "0.010 < 0.030 (19 evaluations)" in text
    assert "closest to the data: fast; beside." in said(far, near, row("beside", 0.11, "refuted"))
    assert "At 10: not told apart from exact draws: one; other." in said(far, row("one", 0.012), row("other", 0.008))
    assert page._cost({"paths": 0, "finals": 246.0}) == "seconds of one core: finals 246 (not taken: paths)."


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_schedulers_are_judged_and_the_page_says_which_are_ddpms_chain(tmp_path):
    """Fixed seeds; at others DDPM would be refuted with probability 1e-6 a row. SDE-DPM-Solver++ takes other steps."""
    module_or_skip("diffusers")
    main(["--quick", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "schedulers.json").read_text())
    rows = [row for part in report["parts"].values() for row in part]
    paths = {(r["scheduler"], r["steps"]): r["verdict"] for r in rows if r["question"] == "paths"}
    assert all((verdict == "refuted") == (name == "SDE-DPM-Solver++") for (name, _), verdict in paths.items())
    assert {r["scheduler"] for r in rows if r["question"] == "finals"} == set(SCHEDULERS)
    assert all(r["verdict"] != "refuted" for r in rows if r["question"] == "floor")
    assert "## What goes wrong" in (tmp_path / "schedulers.md").read_text()
    assert (tmp_path / "schedulers.svg").read_text().startswith("<?xml")
