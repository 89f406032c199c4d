"""What other programs read: each format holds what the certificates say, whatever strangers called their claims."""

from __future__ import annotations

import json
import re
from functools import cache
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import exactness as ex
from exactness.certificate import ControlOutcome, Verdict
from exactness.errors import BadInput
from exactness.run.runner import exit_code
from exactness.show.formats import FORMATS, files, outcome_of, render
from exactness.show.formats.outcome import repeat
from exactness.show.text import one_line
from tests.run.test_cli import run  # noqa: F401

MISSED = ControlOutcome(name="blind", wrong="Shifted.", must_be_refuted=True, verdict=Verdict.CERTIFIED, paths=9, leading="")
KINDS = {
    "certified": {},
    "refuted": {"verdict": Verdict.REFUTED},
    "inconclusive": {"verdict": Verdict.INCONCLUSIVE},
    "invalid": {"verdict": Verdict.INVALID, "findings": [], "stages": []},
    "control refuted": {"verdict": Verdict.REFUTED, "expected": "wrong"},
    "control missed": {"verdict": Verdict.CERTIFIED, "expected": "wrong"},
    "beside a blind control": {"verdict": Verdict.INCONCLUSIVE, "controls": [MISSED]},
    "refuted beside a blind control": {"verdict": Verdict.REFUTED, "controls": [MISSED]},
    "invalid control": {"verdict": Verdict.INVALID, "expected": "wrong"},
}
EXPECTED = KINDS.keys() - {"beside a blind control", "refuted beside a blind control", "invalid control"}
REPEAT = "exactness certify claims.py:claim --seed 0 --alpha 1e-06 --tolerance 0.2 --max-paths 500"
# Anything a JSON certificate or an exception of a stranger can hold: control characters, lone surrogates, markup.
hostile = st.one_of(
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=40),
    st.text(st.sampled_from("<>&|`*_[](){}\\\"'\n\r\t\x00\x1b#@:$~! aé漢\u2028\U0001f600"), min_size=1, max_size=40),
)


@cache
def real() -> ex.Certificate:
    law = ex.GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], [0.2, 0.2])
    plan = ex.Plan(tolerance=0.2, first_paths=500, max_paths=500)
    return ex.certify(law.sample, law, plan=plan, name="right", source="claims.py:claim")


def one(kind: str = "certified", **changes) -> ex.Certificate:
    return msgspec.structs.replace(real(), **{"name": kind, **KINDS[kind], **changes})


@st.composite
def certificates(draw, **changes):
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
    return [
        one(kind, name=draw(hostile), reasons=draw(st.lists(hostile, max_size=2)), source=draw(st.none() | hostile), **changes)
        for kind in kinds
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_passes_exactly_where_the_exit_code_is_zero(kind):
    found = outcome_of(one(kind))
    assert found.passed == (exit_code([one(kind)]) == 0)
    assert found.passed == (kind in ("certified", "control refuted"))
    if kind in EXPECTED:
        assert found.kind == kind


def test_a_sampler_beside_a_blind_control_is_told_as_that_and_a_refutation_stays_one():
    assert outcome_of(one("beside a blind control")).kind == "control missed"
    assert outcome_of(one("refuted beside a blind control")).kind == "refuted"
    assert outcome_of(one("invalid control")).kind == "invalid"
    assert "Shifted by 1." in outcome_of(one("control missed", sampler={"wrong": "Shifted by 1."})).why


def test_no_certificate_is_no_document():
    for name in FORMATS:
        with pytest.raises(BadInput, match="nothing was judged"):
            render(name, [])
    with pytest.raises(BadInput, match="one of junit, sarif, markdown, badge, json, intoto, not 'pdf'"):
        render("pdf", [one()])


def test_what_is_detectable_is_the_least_sensitive_of_the_monitored_tests():
    effects = [f.detectable for f in real().findings if f.bound is not None and f.unit == "probability"]
    assert real().detectable == max(effects)
    deaf = [msgspec.structs.replace(f, detectable=None) for f in real().findings[:1]] + real().findings[1:]
    assert one(findings=deaf).detectable is None or deaf[0].bound is None or deaf[0].unit != "probability"
    assert one("invalid").detectable is None


SAVED = "--paths 'my paths.npy' --law models/laws.py:law"


def test_the_command_that_repeats_keeps_the_plan_and_the_words_of_its_source():
    plan = ex.Plan(alpha=1e-4, tolerance=0.05, max_paths=3_000)
    options = "--seed 0 --alpha 0.0001 --tolerance 0.05 --max-paths 3000"
    assert repeat(one(source="my claims.py:claim", plan=plan)) == f"exactness certify 'my claims.py:claim' {options}"
    # Saved paths are options themselves, with quotation marks of their own; what only begins like them is one word.
    assert repeat(one(source=SAVED, plan=plan)) == f"exactness certify {SAVED} {options}"
    assert repeat(one(source="--paths x; rm y", plan=plan)) == f"exactness certify '--paths x; rm y' {options}"
    assert repeat(one(source="--paths 'x", plan=plan)) is not None


def test_a_certificate_made_by_pytest_is_repeated_by_pytest():
    command = "pytest test_it.py::test_mine --exactness-seed 0"
    found = one("refuted", source=None, sampler={"repeat": command})
    assert repeat(found) == command
    for name in ("junit", "sarif", "markdown", "json"):
        assert "exactness-seed 0" in render(name, [found]).replace("\\", ""), name
    assert repeat(one(source=None)) is None
    assert repeat(one(source=None, sampler={"repeat": 3})) is None


# --- JUnit


@settings(max_examples=60)
@given(found=certificates())
def test_junit_holds_every_certificate_under_its_name(found):
    suite = ET.fromstring(render("junit", found).encode()).find("testsuite")
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [one_line(c.name) for c in found]
    for tag, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert sum(case.find(tag) is not None for case in cases) == int(suite.get(total))
    assert int(suite.get("tests")) == len(found)
    for case, certificate in zip(cases, found, strict=True):
        assert (case.find("failure") is None and case.find("error") is None) == certificate.as_claimed


@pytest.mark.parametrize(
    ("kind", "tag"),
    [("refuted", "failure"), ("inconclusive", "failure"), ("control missed", "failure"), ("invalid", "error")],
)
def test_junit_says_what_failed_and_how_to_repeat_it(kind, tag):
    case = ET.fromstring(render("junit", [one(kind)]).encode()).find("testsuite/testcase")
    assert case.find(tag).get("type") == kind
    assert real().reasons[0] in case.find(tag).text
    facts = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert facts["repeat"] == REPEAT
    assert facts["expected"] == ("refuted" if kind == "control missed" else "certified")
    assert facts["alpha"] == "1e-06"
    assert kind == "invalid" or float(facts["largest bound"]) == pytest.approx(real().largest_bound, rel=1e-3)


# --- SARIF


def thing(*required: str, **properties: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def array(items: object) -> dict[str, object]:
    return {"type": "array", "items": items}


STRING, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
TEXT, BAG = thing("text", text=STRING), {"type": "object"}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
URI = {"type": "string", "pattern": r"^[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]*$"}
# The part of OASIS's sarif-schema-2.1.0.json that is written here, stricter: nothing else is allowed, and what GitHub asks for
# (a file and a line of each result) is required. No Python package brings the whole schema.
SARIF = thing(
    "$schema", "version", "runs",
    **{"$schema": URI, "version": {"const": "2.1.0"}},
    runs=array(
        thing(
            "tool", "results",
            tool=thing("driver", driver=thing(
                "name", name=STRING, version=STRING, shortDescription=TEXT,
                rules=array(thing("id", id=STRING, name=STRING, shortDescription=TEXT, defaultConfiguration=thing(level=LEVEL))),
            )),
            invocations=array(thing("executionSuccessful", executionSuccessful={"type": "boolean"}, exitCode={"type": "integer"})),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            properties=BAG,
            results=array(thing(
                "message", "ruleId", "ruleIndex", "locations",
                ruleId=STRING, ruleIndex=COUNT, kind={"const": "fail"}, level=LEVEL, message=TEXT,
                partialFingerprints={"type": "object", "additionalProperties": STRING}, properties=BAG,
                locations={**array(thing(
                    "physicalLocation",
                    physicalLocation=thing("artifactLocation", "region", artifactLocation=thing("uri", uri=URI), region=thing(
                        "startLine", startLine={"type": "integer", "minimum": 1}
                    )),
                    logicalLocations=array(thing(fullyQualifiedName=STRING, kind=STRING)),
                )), "minItems": 1},
            )),
        )
    ),
)  # fmt: skip


def log_of(found):
    log = json.loads(render("sarif", found))
    jsonschema.Draft7Validator(SARIF).validate(log)
    return log["runs"][0]


@settings(max_examples=60)
@given(found=certificates())
def test_sarif_is_valid_and_has_a_result_for_what_did_not_pass(found):
    log = log_of(found)
    wrong = [c for c in found if not c.as_claimed]
    assert len(log["results"]) == len(wrong)
    assert log["invocations"][0]["exitCode"] == exit_code(found)
    rules = log["tool"]["driver"]["rules"]
    for result in log["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]


def test_the_schema_refuses_what_is_no_sarif():
    """The test above can fail: a log with a version, a level, a location or a field that SARIF does not have."""
    good = json.loads(render("sarif", [one("refuted")]))
    validator = jsonschema.Draft7Validator(SARIF)
    assert validator.is_valid(good)
    for spoil in (
        lambda log: log.update(version="2.0.0"),
        lambda log: log["runs"][0].pop("tool"),
        lambda log: log["runs"][0]["results"][0].update(level="fatal"),
        lambda log: log["runs"][0]["results"][0].update(locations=[]),
        lambda log: log["runs"][0]["results"][0].update(verdict="refuted"),
        lambda log: log["runs"][0]["results"][0].update(message="text"),
    ):
        bad = json.loads(json.dumps(good))
        spoil(bad)
        assert not validator.is_valid(bad)


def test_sarif_points_to_the_file_of_the_claim_or_to_the_certificate():
    def uri(**changes):
        (result,) = log_of([one("refuted", **changes)])["results"]
        return result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

    assert uri() == "claims.py"
    assert uri(source="my claims/é.py:two") == "my%20claims/%C3%A9.py"
    assert uri(source="/there/claims.py:one") == "file:///there/claims.py"
    assert uri(source="ring/block", name="ring/block") == "ring--block.json"
    assert uri(source=None, name="mine") == "mine.json"
    assert uri(source=SAVED) == "models/laws.py"
    assert uri(source="--paths good.npy --law 'my laws.py' --entry x") == "my%20laws.py"


def test_fingerprints_stay_when_numbers_change_and_differ_from_claim_to_claim():
    def fingerprint(certificate):
        return log_of([certificate])["results"][0]["partialFingerprints"]

    assert fingerprint(one("refuted")) == fingerprint(one("refuted", reasons=["another p-value"], seed=3))
    assert fingerprint(one("refuted")) != fingerprint(one("refuted", name="other"))
    assert fingerprint(one("refuted")) != fingerprint(one("inconclusive", name="refuted"))


def test_messages_hold_no_placeholders_and_no_links():
    (result,) = log_of([one("refuted", reasons=["effect {0} of [this](0)"])])["results"]
    assert "{{0}}" in result["message"]["text"]
    assert "](" not in result["message"]["text"]


# --- Markdown


def table_of(text: str) -> list[list[str]]:
    """The rows of the only table, as a GitHub-like renderer reads them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert sum(t.type == "table_open" for t in tokens) == 1
    assert not any(t.type in ("html_block", "fence", "code_block", "hr") for t in tokens)
    rows, inside = [], False
    for t in tokens:
        if t.type == "tr_open":
            rows.append([])
        inside = inside or t.type == "table_open"
        if t.type == "table_close":
            inside = False
        if inside and t.type == "inline":
            assert not {c.type for c in t.children or []} & {"html_inline", "link_open", "image", "code_inline", "em_open"}
            rows[-1].append("".join(c.content for c in t.children or []))
    return rows


@settings(max_examples=60)
@given(found=certificates())
def test_markdown_has_a_row_for_each_certificate_under_its_name(found):
    header, *rows = table_of(render("markdown", found))
    assert [row[0] for row in rows] == [one_line(c.name) for c in found]
    assert all(len(row) == len(header) for row in rows)
    assert [row[1].split(" ", 1)[1] for row in rows] == [outcome_of(c).kind for c in found]


@pytest.mark.parametrize(
    "name",
    ["<b>x</b>", "<!-- x -->", "a | b", "[x](y)", "![x](y)", "`x`", "*x*", "__x__", "# x", "- x", "~~x~~", "&lt;", "a\\|b", "1. x"],
)
def test_markup_in_a_name_is_only_a_name(name):
    text = render("markdown", [one("refuted", name=name, reasons=[name])])
    assert table_of(text)[1][0] == name
    assert text.count("\n- ") == 4, "the reason, the remedy, the command and the plan"


def test_markdown_shows_bounds_detectable_effects_and_cost():
    cost = {"paths": 100.0, "rounds": 420.0, "evaluations": 2000.0, "seconds_sampling": 1.0, "seconds_judging": 0.5}
    (header, row) = table_of(render("markdown", [one(cost=cost)]))
    shown = dict(zip(header, row, strict=True))
    assert shown["verdict"] == "✅ certified"
    assert shown["bound"] == f"{real().largest_bound:.3f}"
    assert shown["detectable"] == f"{real().detectable:.3f}"
    assert (shown["rounds"], shown["evaluations"], shown["seconds"]) == ("4.2", "20.0", "1.5")


def test_markdown_gives_reasons_only_for_what_did_not_pass():
    text = render("markdown", [one(reasons=["all is well"]), one("refuted", reasons=["too wide"]), one("control refuted")])
    assert "too wide" in text
    assert "all is well" not in text
    assert f"To repeat: {REPEAT}".replace(":claim", "\\:claim") in text
    assert "refuted with probability at most 1e-06; the tolerance is 0.2" in text


# --- the badge and the summary


@pytest.mark.parametrize(
    ("kinds", "colour", "message"),
    [
        (["certified"], "brightgreen", "1 certified"),
        (["certified", "certified", "control refuted"], "brightgreen", "2 certified"),
        (["control refuted", "control refuted"], "brightgreen", "2 controls refuted"),
        (["certified", "inconclusive"], "yellow", "1 inconclusive, 1 certified"),
        (["certified", "refuted"], "red", "1 refuted, 1 certified"),
        (["certified", "control missed"], "red", "1 control missed, 1 certified"),
        (["invalid"], "lightgrey", "1 invalid"),
        (["invalid", "refuted"], "red", "1 invalid, 1 refuted"),
    ],
)
def test_the_badge_is_green_only_if_all_is_as_claimed(kinds, colour, message):
    badge = json.loads(render("badge", [one(kind) for kind in kinds]))
    assert badge == {"schemaVersion": 1, "label": "exactness", "message": message, "color": colour}
    assert (colour == "brightgreen") == (exit_code([one(kind) for kind in kinds]) == 0)


@settings(max_examples=30)
@given(found=certificates())
def test_the_summary_is_json_with_everything_in_order(found):
    document = json.loads(render("json", found))
    assert document["exit_code"] == exit_code(found)
    assert document["passed"] == (exit_code(found) == 0)
    assert sum(document["counts"].values()) == len(found)
    for told, c in zip(document["certificates"], found, strict=True):
        assert (told["verdict"], told["passed"], told["draws"]) == (c.verdict.value, c.as_claimed, c.paths)
        assert told["largest_bound"] == c.largest_bound


# --- the command line


def test_certify_writes_every_format_and_keeps_its_exit_code(run, tmp_path):  # noqa: F811
    wanted = [part for name, form in FORMATS.items() for part in ("--format", f"{name}=out/{form.file}")]
    assert run("certify", "claims.py:several", *wanted)[0] == 1
    written = {name: (tmp_path / "out" / form.file).read_text() for name, form in FORMATS.items()}
    assert ET.fromstring(written["junit"].encode()).get("failures") == "1"
    assert json.loads(written["badge"])["message"] == "1 refuted, 1 certified"
    assert [row[0] for row in table_of(written["markdown"])[1:]] == ["right", "wrong"]
    assert json.loads(written["json"])["exit_code"] == 1
    assert len(json.loads(written["sarif"])["runs"][0]["results"]) == 1
    assert run("certify", "claims.py:claim", "--format", "junit")[0] == 0
    assert (tmp_path / "junit.xml").exists()


def test_report_writes_formats_from_certificates_and_no_page_that_was_not_asked_for(run, tmp_path):  # noqa: F811
    assert run("certify", "claims.py:several")[0] == 1
    code, said = run("report", "certificates", "--format", "badge", "--format", "sarif=x.sarif")
    assert code == 0
    assert "badge: badge.json" in said.out
    assert not (tmp_path / "report.html").exists()
    assert json.loads((tmp_path / "badge.json").read_text())["color"] == "red"
    assert run("report", "certificates", "--format", "junit", "-o", "page.html")[0] == 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "pdf"], "--format must be one of junit, sarif, markdown, badge, json"),
        (["--format", "sarif="], "names no file"),
        (["--format", "sarif=."], "is a folder"),
        (["--format", "json=-"], "standard output is for the reader"),
        (["--format", "sarif=claims.py/x.sarif"], "claims.py: File exists"),
        (["--format", "sarif=/proc/x.sarif"], "/proc"),
        (["--format", "sarif=a", "--format", "junit=a"], "would write a twice"),
        (["--format", "sarif=a", "--format", "junit=./x/../a"], "twice"),
        (["--format", "badge=certificates/badge.json"], "would lie among the certificates"),
        (["--format", "junit=page.html", "--report", "page.html"], "would write page.html twice, as the page and as junit"),
    ],
)
def test_bad_formats_cost_no_sampling(run, tmp_path, arguments, message):  # noqa: F811
    code, said = run("certify", "claims.py:claim", *arguments)
    assert code == 2
    assert message in re.sub(r"\s+", " ", said.err)
    assert not list(tmp_path.glob("certificates/*.json")), "it was judged all the same"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certificates", "--format", "badge=certificates/badge.json"], "would lie among the certificates"),
        (["certificates", "-o", "certificates/page.json"], "would lie among the certificates"),
        (["certificates/right.json", "--format", "json=certificates/right.json"], "would be overwritten"),
        (["certificates", "-o", "page.html", "--format", "badge=page.html"], "twice, as the page and as badge"),
    ],
)
def test_a_report_refuses_what_it_would_read_next_or_write_twice(run, tmp_path, arguments, message):  # noqa: F811
    folder = tmp_path / "certificates"
    real().save(folder / "right.json")
    before = (folder / "right.json").read_bytes()
    code, said = run("report", *arguments)
    assert (code, message in re.sub(r"\s+", " ", said.err)) == (2, True), said.err
    assert [path.name for path in folder.iterdir()] == ["right.json"]
    assert (folder / "right.json").read_bytes() == before
    assert not (tmp_path / "page.html").exists()


def test_a_file_that_is_read_only_is_noticed_before(tmp_path, monkeypatch):
    target = tmp_path / "old.xml"
    target.write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everything
    with pytest.raises(BadInput, match="read-only"):
        files.targets([f"junit={target}"])
