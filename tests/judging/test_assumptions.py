"""A certificate says what it takes for granted."""

from __future__ import annotations

import exactness as ex
from exactness import batteries as B
from exactness.judging.draws import blocks_of
from exactness.show.report import write_report

LAW = ex.GaussianMixture([1.0], [[0.0]], [1.0])
PLAN = ex.Plan(tolerance=0.1)


def test_what_is_assumed_is_in_the_certificate_and_on_the_page(tmp_path):
    judged = ex.certify(LAW.sample, LAW, plan=PLAN)
    assert "take the draws to be independent" in judged.assumes[0]
    assert "Draws of different calls are taken to be independent" in judged.assumes[1]
    made = {size for block in blocks_of(judged.plan, LAW)[0] for size in block.calls}
    assert judged.assumes[2].startswith(f"Calls of {min(made)} to {max(made)} draws were made")
    page = write_report([judged], tmp_path / "page.html").read_text()
    assert judged.assumes[1].split(",")[0] in page


def test_a_battery_that_does_not_look_at_dependence_says_so():
    judged = ex.certify(LAW.sample, LAW, plan=PLAN, batteries=[B.CharacteristicFunction()])
    assert "No test looked at this" in judged.assumes[0]
    assert "in their order" in ex.certify_paths(LAW.sample(4_000, 0), LAW, plan=PLAN).assumes[1]
