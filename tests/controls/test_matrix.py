"""The matrix as a record, its scores, the command and the page."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from exactness_samplers import faults

import exactness as ex
from exactness import cli
from exactness.catalogue import Setting
from exactness.controls import Matrix, Record
from exactness.controls.judge import chosen
from exactness.environment import environment
from exactness.run.executors import Here
from exactness.run.faults import run_faults
from exactness.show.report import render_report

SMALL = ex.Plan(alpha=1e-6, tolerance=0.2, first_paths=500, max_paths=1_000)


def record(name: str, expected: str = "caught", caught_at: int | None = 1_000, must: tuple[str, ...] = (), **alone: int | None):
    return Record(
        name=name, group="block", what="What.", touches="some steps", seen=[], expected=expected, must_be_seen_by=list(must),
        law="ring", caught_at=caught_at, paths=8_000, adjusted_p=0.0, leading="", alone=alone, seconds=1.0,
    )  # fmt: skip


def matrix(*records: Record) -> Matrix:
    where = environment("numpy", "float64", "cpu")
    return Matrix(records=list(records), plan=ex.Plan(), seed=0, backend="torch", environment=where, created="then")


def test_the_score_counts_what_must_be_caught_and_nothing_else():
    found = matrix(
        record("a", a=1_000, b=None), record("b", caught_at=None, a=None, b=None), record("c", "beyond", None, a=None, b=None),
        record("d", "exact", None, a=None, b=None),
    )  # fmt: skip
    assert found.score == (1, 2)
    assert found.false_alarms == (0, 1)
    assert found.score_of("a") == (1, 2)
    assert not found.holds
    assert matrix(record("a", a=1_000)).holds


def test_a_right_sampler_that_is_refuted_is_misjudged_and_so_is_a_test_that_is_blind():
    assert not record("a", "exact", 1_000, a=1_000).as_it_should
    assert not record("a", must=("b",), a=1_000, b=None).as_it_should
    assert record("a", must=("a",), a=1_000, b=None).as_it_should


def test_the_smallest_set_covers_all_and_prefers_what_sees_soon():
    found = matrix(
        record("one", fast=1_000, slow=4_000, odd=None), record("two", fast=1_000, slow=4_000, odd=None),
        record("three", fast=None, slow=None, odd=2_000), record("unseen", caught_at=None, fast=None, slow=None, odd=None),
    )  # fmt: skip
    assert sorted(found.smallest_set()) == ["fast", "odd"]
    assert matrix(record("unseen", caught_at=None, a=None)).smallest_set() == []


def test_a_matrix_is_read_as_it_was_written_and_nothing_else_is(tmp_path):
    found = matrix(record("a", a=1_000, b=None))
    assert Matrix.load(found.save(tmp_path / "controls.json")) == found
    for text, what in (("{", "not a matrix"), (msgspec.json.encode({"format": "x"}).decode(), "not a matrix")):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ex.BadInput, match=what):
            Matrix.load(tmp_path / "other.json")
    with pytest.raises(ex.BadInput, match="cannot read"):
        Matrix.load(tmp_path / "missing.json")
    (tmp_path / "old.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(found, format="exactness-controls/0")))
    with pytest.raises(ex.BadInput, match="this version reads"):
        Matrix.load(tmp_path / "old.json")


def test_the_page_shows_every_sampler_and_escapes_what_it_is_told():
    page = render_report([], matrix(record("<a>", a=1_000, b=None), record("d", "exact", None, a=None, b=None)))
    assert "&lt;a&gt;" in page
    assert "<a>" not in page
    assert "1 of 1 wrong samplers caught, 0 of 1 right ones refuted" in page
    with pytest.raises(ex.BadInput, match="no certificate"):
        render_report([])


def test_a_killed_run_keeps_what_it_finished(tmp_path):
    names = ["accept-always", "never-accepts"]

    def stop(_: Record) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_faults(names, plan=SMALL, folder=tmp_path, done=stop)
    assert len(list(tmp_path.glob("*.json"))) == 1
    finished: list[str] = []
    found = run_faults(names, plan=SMALL, folder=tmp_path, resume=True, done=lambda r: finished.append(r.name))
    assert finished == names
    assert [r.name for r in found.records] == names
    assert found.holds
    # Another seed is another run; broken files are judged again.
    before = (tmp_path / "torch--accept-always.json").read_bytes()
    run_faults(names[:1], plan=SMALL, seed=1, folder=tmp_path, resume=True)
    assert (tmp_path / "torch--accept-always.json").read_bytes() != before


def test_alone_a_test_refutes_what_it_sees_and_only_that():
    (found,) = run_faults(["seeds-that-repeat"], plan=SMALL, setting=Setting()).records
    assert found.alone["repeated draws"] == 500
    assert found.alone["coordinates"] is None
    assert found.alone["usable output"] is None


def test_output_that_cannot_be_judged_is_caught_as_that():
    (found,) = run_faults(["half-uniforms-that-can-be-one"], plan=SMALL).records
    assert found.alone["usable output"] == found.caught_at == 500
    assert found.as_it_should


@pytest.mark.parametrize(("name", "expected"), [("drafter-that-fails", "exact"), ("accept-always", "caught")])
def test_a_sampler_that_breaks_is_never_as_it_should_be(name, expected, monkeypatch):
    """A right one that emits NaN is refuted; a wrong one that raises is a broken control, not one that was caught."""
    breaks = faults.fault("half-uniforms-that-can-be-one")
    broken = replace(faults.fault(name), replaces=breaks.replaces, spoils=breaks.spoils, instead=breaks.instead)
    monkeypatch.setattr(faults, "FAULTS", (broken,))
    (found,) = run_faults([name], plan=SMALL).records
    assert found.expected == expected
    assert (found.caught_at is not None) == (expected == "exact")
    assert not found.as_it_should


def test_names_that_are_said_twice_are_judged_once():
    assert [f.name for f in chosen(["accept-always", "accept-always"])] == ["accept-always"]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(cli, "Workers", lambda *_: Here())
        monkeypatch.setattr("sys.argv", ["exactness", *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code

    small = ["--max-paths", "1000", "--jobs", "1"]
    assert run("controls", "accept-always", "never-accepts", *small, "--report", "page.html") == 0
    said = capsys.readouterr().out
    assert "1 of 1 wrong samplers caught; 0 of 1 right samplers refuted" in said
    assert "never-accepts" in (tmp_path / "page.html").read_text()
    (tmp_path / "controls" / "controls.json").rename(tmp_path / "any-name.json")
    assert run("report", "any-name.json", "-o", "again.html") in (0, None)
    assert "accept-always" in (tmp_path / "again.html").read_text()
    # One that takes more draws than it is given is missed, and the exit code says so.
    assert run("controls", "accept-tempered-up", *small, "-q") == 5
    assert run("controls", "no-such-thing") == 2
    assert run("controls", "accept-always", "--backend", "numpy") == 2
