"""The page is a pure function of certificates: a fixed one gives the golden page, byte for byte but for versions and times."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

import exactness as ex
from exactness.errors import BadInput
from exactness.show.report import page_of, render_report, write_report
from exactness.show.report.figures import speed_figure
from exactness.show.report.render import outline
from exactness.show.report.view import Bars
from tests.registry import plain_chain

GOLDEN = Path(__file__).parents[1] / "golden" / "report.html"
CHAIN, SAMPLE = plain_chain(dim=1, steps=2)
PLAN = ex.Plan(tolerance=0.15, first_paths=1_000, max_paths=1_000)


@pytest.fixture(scope="module")
def certificates():
    right = ex.certify(SAMPLE, CHAIN, plan=PLAN, name="line/right", about={"law": "a <line> & more"}, source="line/right")
    wrong = ex.certify(lambda n, s: 1.2 * SAMPLE(n, s), CHAIN, plan=PLAN, name="line/wrong", wrong="Scaled by 1.2.")
    invalid = ex.certify(lambda n, s: None, CHAIN, plan=PLAN, name="line/invalid")
    return [right, wrong, invalid]


def scrubbed(certificate: ex.Certificate) -> ex.Certificate:
    """Without what depends on the machine, the day and the last digits of its arithmetic."""
    here = msgspec.structs.replace(certificate.environment, exactness="0", python="0", platform="none", packages={"numpy": "0"})
    cost = {k: (0.0 if k.startswith("seconds") else v) for k, v in certificate.cost.items()}
    return msgspec.structs.replace(certificate, environment=here, cost=cost, created="then", probe="0")


def test_the_page_is_the_golden_one(certificates):
    page = render_report([scrubbed(c) for c in certificates])
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(page)
    assert page == GOLDEN.read_text(), "if the change is meant: UPDATE_GOLDEN=1 pytest tests/show/test_report.py, and look at it"


class Balanced(HTMLParser):
    VOID = frozenset({"meta", "br", "path", "rect", "link", "img", "use"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open, tag
            assert self.open.pop() == tag


def test_the_page_is_self_contained_and_well_formed(certificates):
    page = render_report(certificates)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", re.sub(r"xlink:href=\"#[^\"]*\"", "", page))
    assert "<script" not in page
    assert "a &lt;line&gt; &amp; more" in page


def test_it_says_what_was_found(certificates):
    page = page_of(certificates)
    assert page.headline == "1 of 2 samplers certified; 1 of 1 wrong samplers refuted"
    assert not page.holds
    assert page_of(certificates[:2]).holds
    text = render_report(certificates)
    for words in (
        "Scaled by 1.2.",
        "returned NoneType",
        "exactness certify line/right --seed 0",
        "Wrong samplers that must be refuted",
    ):
        assert words in text


def test_speed_stands_next_to_the_verdict(certificates):
    def costed(name, drafter, rounds):
        about = {"drafter": drafter, "verifier": "block"}
        return msgspec.structs.replace(certificates[0], name=name, sampler=about, cost={"paths": 100.0, "rounds": 100.0 * rounds})

    (section,) = page_of([costed("line/a", "free-sample", 3.0), costed("line/b", "independent", 5.0)]).sections
    assert section.speed == [("free-sample", "block", 3.0, True), ("independent", "block", 5.0, True)]
    figure = speed_figure(section)
    assert figure.startswith("<svg")
    assert figure == speed_figure(section), "the same data must give the same bytes"


def test_outline_stays_in_its_frame():
    bars = Bars("x", "pooled", [0.5, 1.0, 1.5], band=0.1, reach=0.55, values=30)
    heights = [float(v) for v in re.findall(r"(?:M0 |V)([\d.]+)", outline(bars))]
    assert len(heights) == 3
    assert heights[0] > heights[1] == 18.0 > heights[2]
    assert all(0 <= h <= 36 for h in heights)


def test_no_certificate_is_no_report(tmp_path):
    with pytest.raises(BadInput, match="no certificate"):
        write_report([], tmp_path / "x.html")
