"""The page of the controls: what is measured is written, and what was published of the other backend stays."""

from __future__ import annotations

import json

from exactness.controls import Matrix
from studies.controls import __main__ as study
from studies.page import REPORTS


def test_a_backend_that_is_not_measured_stays_as_published(tmp_path):
    """One fault that is seen at once, in torch; JAX's matrix comes from the file, with the day of its measurement."""
    published = json.loads((REPORTS / "controls_jax.json").read_text())
    (tmp_path / "controls_jax.json").write_text(json.dumps(published))
    records, names = str(tmp_path / "records"), ["--names", "seeds-that-repeat"]
    study.main(["--backends", "torch", "--jobs", "1", *names, "--folder", records, "--out", str(tmp_path)])
    page = (tmp_path / "controls.md").read_text()
    assert Matrix.load(tmp_path / "controls.json").score == (1, 1)
    assert "| torch | 1 of 1 | 0 of 0 | 0 |" in page
    assert f"| {published['created'][:10]} |" in page
    caught, wrong = Matrix.load(REPORTS / "controls_jax.json").score
    assert f"| jax | {caught} of {wrong} |" in page
    assert "seeds-that-repeat" in page
