"""Text of strangers reaches a terminal, a log and a page only as plain text, and one broken file does not cost the page."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exactness as ex
from exactness.show.console import findings_table, print_certificate, summary_table
from exactness.show.formats import FORMATS, render
from exactness.show.pytest_text import section_of
from exactness.show.report import render_report
from exactness.show.text import PlainConsole, one_line, plain
from exactness.statement import read_statement
from tests.run.test_cli import run  # noqa: F401
from tests.show.test_formats import certificates, hostile, one

ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\u009b2J\u202ereversed\u200bhidden\r overwritten\n::error::a lie\n##[error]another"
texts = st.one_of(
    hostile,
    st.lists(st.sampled_from(["\n", " ", "\t", ":", "::", "error", "::Error ", "::", "##[", "#", "x", "\x1b", "\u2066"])).map(
        "".join
    ),
)


def commands(text: str) -> list[str]:
    """The lines that a build server would obey: GitHub's runner trims a line and looks for ``::``, others look for ``##[``."""
    return [line for line in re.split("[\n\r]", text) if line.lstrip().startswith("::") or "##[" in line]


def hidden(text: str) -> set[str]:
    return {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


@given(text=texts)
@settings(max_examples=100)
def test_plain_text_hides_nothing_and_commands_nobody(text):
    shown = plain(text)
    assert not hidden(shown)
    assert not commands(shown)
    assert plain(shown) == shown
    assert "\n" not in one_line(text)
    assert not commands(one_line(text))


def test_plain_text_that_was_plain_stays_as_it_is():
    for text in ("ring/block", "tests/test_mine.py::TestClass::test_it", "two\n  lines", "\u00e4 \u6f22 \U0001f600 #1 ##"):
        assert plain(text) == text
    assert plain("\x1b[31m \u202e \U000e0041") == r"\x1b[31m \u202e \U000e0041"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_shows_strangers_text_as_plain_text(width):
    """Also where a narrow column folds a name, so that its rest begins a line."""
    found = one(name="a/" + ESCAPES, reasons=[ESCAPES], verdict=ex.Verdict.INVALID)
    findings = [msgspec.structs.replace(f, name=ESCAPES, where=ESCAPES) for f in found.findings]
    found = msgspec.structs.replace(found, findings=findings)
    stream = io.StringIO()
    console = PlainConsole(file=stream, width=width, force_terminal=True, color_system=None)
    print_certificate(console, found)
    console.print(summary_table([found]))
    console.print(findings_table(found))
    shown = stream.getvalue() + section_of(found)
    assert not hidden(shown)
    assert not commands(shown)
    assert r"\x1b]0;owned" in re.sub(r"\s", "", shown)


def test_an_exception_of_a_sampler_reaches_no_terminal_and_no_log_raw(run, tmp_path):  # noqa: F811
    (tmp_path / "claims.py").write_text(
        "import exactness as ex\n"
        "law = ex.GaussianMixture([1.0], [[0.0]], [1.0])\n"
        f"def sample(n, seed):\n    raise ValueError({ESCAPES!r})\n"
        "claim = ex.Claim('mine', sample, law)\n"
    )
    code, said = run("certify", "claims.py", "--format", "junit=j.xml", "--format", "markdown=m.md", "--report", "page.html")
    assert code == 4
    assert not hidden(said.out + said.err)
    assert not commands(said.out + said.err)
    for file in ("j.xml", "m.md", "page.html"):
        text = (tmp_path / file).read_text()
        assert "owned" in text
        assert not hidden(text), file
        assert not commands(text), file


@given(found=certificates(sampler={"drafter": "x", "wrong": ESCAPES, "controls_left_out": {ESCAPES: ESCAPES}}))
@settings(max_examples=5)
def test_no_format_and_no_page_hides_or_commands(found):
    # A statement holds the certificate itself, and lone surrogates have no bytes.
    written = not any(
        0xD800 <= ord(c) < 0xE000 for one in found for text in (one.name, one.source or "", *one.reasons) for c in text
    )
    for name in [name for name in FORMATS if name != "intoto" or written]:
        text = render(name, found)
        assert not hidden(text), name
        assert not commands(text), name
    assert not hidden(render_report(found))


def test_a_formula_in_a_name_is_drawn_as_it_is_written():
    """Figures are drawn by matplotlib, which would set ``$...$`` as mathematics and raise an exception."""
    names = [r"$\frac{x$", "_{^", "\x1b\u202e<b>"]
    found = [
        one(name=f"$\\frac{{law$/{i}", sampler={"drafter": name, "verifier": "block"}, cost={"paths": 1.0, "rounds": 2.0})
        for i, name in enumerate(names)
    ]
    page = render_report(found)
    assert r"$\frac{x$" in page
    assert not hidden(page)


def test_numbers_that_no_figure_can_show_cost_no_page():
    sizes = [{"paths": 5e-324, "rounds": 1e308}, {"paths": 1.0, "rounds": 1e300}, {"paths": 1.0, "rounds": -5.0}]
    found = [
        one(name=f"law/{i}", law={"steps": 10**400}, sampler={"drafter": str(i), "verifier": "block"}, cost=cost)
        for i, cost in enumerate(sizes)
    ]
    assert "law" in render_report(found)


def test_the_page_has_a_policy_that_allows_its_own_style_sheet_and_nothing_else():
    found = [one(name=f"law/{d}", sampler={"drafter": d, "verifier": "block"}, cost={"paths": 1.0, "rounds": 2.0}) for d in "ab"]
    page = render_report(found)
    assert '<div class="speed"><svg' in page
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules["default-src"] == "'none'"
    (style,) = re.findall("<style[^>]*>(.*?)</style>", page, re.DOTALL)
    assert rules["style-src-elem"] == f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert "<script" not in page
    # A policy in a meta element holds for what follows it.
    assert page.index("Content-Security-Policy") < page.index("<style")


def test_one_broken_file_is_named_on_the_page_of_the_others(run, tmp_path):  # noqa: F811
    folder = tmp_path / "certificates"
    one(name="law/right").save(folder / "a.json")
    (folder / "b.json").write_text("[" * 100_000)
    (folder / "c.json").write_text('{"format": "exactness-certificate/2"}')
    code, said = run("report", "certificates", "--output", "page.html", "--format", "badge")
    assert code == 2
    assert "b.json" in said.err
    page = (tmp_path / "page.html").read_text()
    assert "law/right" in page
    assert "2 files could not be read" in page
    assert "<b>b.json</b>" in page
    assert "this version reads" in page
    assert 'class="headline fails"' in page
    # A green badge must not stand for files that nobody could read.
    assert not (tmp_path / "badge.json").exists()
    (folder / "a.json").unlink()
    assert run("report", "certificates", "--output", "other.html")[0] == 2
    assert not (tmp_path / "other.html").exists()


def test_a_statement_hides_nothing_and_keeps_every_character():
    found = one(name=ESCAPES, reasons=[ESCAPES, "\U0001f600 ###[x"])
    text = render("intoto", [found])
    assert not hidden(text)
    assert not commands(text)
    assert text.isascii()
    again, _ = read_statement(text.encode(), "x")
    assert again == found
