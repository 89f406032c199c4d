"""One law can be calibrated anew while the others keep their counts."""

from __future__ import annotations

from studies.calibrate.measure import STAGED, together
from studies.calibrate.page import page


def test_a_law_is_calibrated_anew_and_the_others_are_kept():
    def counted(law, count):
        row = {"law": law, "test": "t", "validity": "exact", "reach": 0.0, "uniform": True, "counts": [count, 0, 0]}
        return {
            "rows": [row | {"certificates": 100, "uniformity": 0.5}], "family": [(law, 0.05, count, 100)],
            "strict": {law: (0, count)}, "stages": {law: [1.0, float(count)]} if law in STAGED else {},
        }  # fmt: skip

    before = together(counted("mixture", 4), counted("chain", 5), ["chain"])
    after = together(before, counted("mixture", 60), ["mixture"])
    assert [(r["law"], r["counts"][0]) for r in after["rows"]] == [("chain", 5), ("mixture", 60)]
    assert [f[0] for f in after["family"]] == ["chain", "mixture"]
    assert after["strict"] == {"chain": (0, 5), "mixture": (0, 60)}
    text = page(after, 100)
    assert "1 of 2 tests have the right rates; the last column marks the others." in text
    assert "too many at 0.05" in text
