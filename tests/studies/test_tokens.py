"""The study of tokens: wrong verifiers show, right ones do not, prototypes do what they say, and the page is its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from studies.tokens import counts, peers
from studies.tokens.laws import zipf
from studies.tokens.measure import LENGTH, Task, needed
from studies.tokens.page import markdown
from studies.tokens.references import References, places
from studies.tokens.sampling import KEYED, Verifier, right, wrong

REPORT = Path(__file__).parents[2] / "reports" / "tokens.json"


def test_a_gross_fault_is_refuted_and_its_number_counted():
    """A missing filter emits tokens of probability 0 in every run of 100 sequences."""
    found = needed(zipf(4), "target-filter-missing", seed=1, cap=200, batch=100)
    assert found["support"] == found["single test"] == found["certificate"] == 100


def test_right_rules_are_refuted_by_no_prototype(seed):
    """The shares have normal limits, so far out they are a little too small: 1e-15 fails by chance less than once in a million."""
    law = zipf(4)
    for name in right():
        references = References(law, None, seed)
        references.add(*Verifier(name, law).run(200, seed, LENGTH))
        assert min(references.p_values(200 * LENGTH).values()) > 1e-15, name


def test_transforms_of_a_prototype_are_uniform_in_every_order():
    """Below + own probability is the distribution function: the last token of every order ends at 1."""
    law = zipf(50)
    references = References(law, None, 0)
    for below in references.below.values():
        np.testing.assert_allclose((below + law.target).max(axis=1), 1.0, atol=1e-12)
        assert (below.min(axis=1) == 0).all()


def test_places_and_earlier_counts():
    place, before = places(np.array([[0, 0, 0, 1, 2, 2]]))
    assert place.tolist() == [[0, 1, 2, 0, 0, 1]]
    assert before.tolist() == [[9, 9, 9, 2, 0, 0]]


@pytest.mark.parametrize("name", wrong() + right())
def test_every_verifier_writes_a_window(name, seed):
    tokens = Verifier(name, zipf(4)).window(16, seed)
    assert ((tokens >= -1) & (tokens < 4)).all()
    assert (tokens[:, 0] >= 0).all()


@pytest.mark.parametrize("test", ["first token", "transformers"])
def test_a_test_of_the_field_tells_right_from_wrong(test):
    assert not peers.TESTS[test].refutes("token-wise", 0)
    assert peers.TESTS[test].refutes("token-residual-from-target", 0)


def test_medians_ratios_and_intervals():
    found = {
        "n/V = 4/token-extra-from-draft/0": {"single test": 200, "certificate": 500, "bet on q": 100},
        "n/V = 4/token-extra-from-draft/1": {"single test": 100, "bet on q": 100, "support": 100},
        "n/V = 4/token-extra-from-draft/2": {"single test": 200, "certificate": 200, "bet on q": 100},
    }
    rows = counts.needed({"found": found}, "V = 4")
    row = rows["token-extra-from-draft"]
    assert (row["single test"], row["certificate"], row["support"], counts.best(row)) == (200, 500, np.inf, ("bet on q", 100))
    assert counts.ratios(rows) == {"token-extra-from-draft": 2.0}
    # No event of 30: 1 - 0.025^(1/30).
    assert counts.interval(0, 30) == (0.0, pytest.approx(1 - 0.025 ** (1 / 30)))


def test_tasks_have_keys_of_their_own():
    assert Task("n", "V = 4", KEYED, 0).key != Task("n", "V = 50", KEYED, 0).key


def test_the_published_page_is_that_of_the_published_numbers():
    assert REPORT.with_suffix(".md").read_text() == markdown(json.loads(REPORT.read_text()))
