"""The command line, by its exit codes."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import msgspec
import pytest

import exactness as ex
from exactness import cli
from exactness.certificate import ControlOutcome
from exactness.run import jobs
from exactness.run.executors import Here
from exactness.run.jobs import certificate_path
from exactness.run.runner import exit_code
from exactness.run.sources import file_of, saved_source, split_target
from tests.conftest import module_or_skip

CLAIMS = """
import numpy as np
import exactness as ex

law = ex.GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], [0.2, 0.2])
plan = ex.Plan(tolerance=0.1, max_paths=4_000)

def nan(n, seed):
    x = law.sample(n, seed)
    x[0] = np.nan
    return x

claim = ex.Claim("right", law.sample, law, plan=plan)
wrong = ex.Claim("wrong", lambda n, s: law.sample(n, s) + 0.3, law, plan=plan)
vague = ex.Claim("vague", law.sample, law, plan=ex.Plan(tolerance=0.001, max_paths=1_000))
broken = ex.Claim("broken", nan, law, plan=plan)
control = ex.Claim("control", lambda n, s: law.sample(n, s) + 0.3, law, plan=plan, wrong="Shifted by 0.3.")
blunt = ex.Claim("blunt", law.sample, law, plan=plan, wrong="Nothing.")
several = [claim, wrong]
twice = [claim, ex.Claim(name=claim.name, sample=nan, law=law)]
missed = ex.Claim("missed", law.sample, law, plan=plan, controls=[blunt])
raising = ex.Claim("raising", lambda n, s: np.random.default_rng(s).standard_normal((n, 2, 1)),
                   ex.GaussianChain.from_mean(lambda k, x: 1 / 0, sigma=[1.0], dim=1))
markup = ex.Claim("a[/b]", law.sample, law, plan=plan)
number = 3
"""


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.py").write_text(CLAIMS)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["exactness", *arguments])
        # In this process: what is replaced here is not replaced in a worker, and starting one takes time.
        monkeypatch.setattr(cli, "Workers", lambda *_: Here())
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("claim", 0),
        ("markup", 0),
        ("wrong", 1),
        ("vague", 3),
        ("broken", 4),
        ("control", 0),
        ("blunt", 5),
        ("several", 1),
        ("missed", 5),
        ("raising", 4),
    ],
)
def test_exit_codes_say_how_it_went(run, claim, code):
    assert run("certify", f"claims.py:{claim}")[0] == code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify"], "say what to certify, for example: exactness certify 'ring/*'"),
        (["certify", "--tour", "--all"], "use one of them"),
        (["certify", "claims.py:claim", "--profile", "slow"], "--profile must be full or quick"),
        (["certify", "claims.py:claim", "--profile", "quick", "--tolerance", "0.02"], "leave --tolerance out"),
        (["certify", "claims.py:claim", "--timeout", "-1"], "--timeout"),
        (["certify", "nothing.py:claim"], "there is no file nothing.py"),
        (["certify", "claims.py:missing"], "no claim called 'missing'; it has claim, wrong"),
        (["certify", "claims.py:number"], "no claim called 'number'"),
        (["certify", "rings/sequential"], "did you mean ring/sequential"),
        (["certify", "claims.py:claim", "--alpha", "2"], "alpha must lie strictly between 0 and 1"),
        (["certify", "claims.py:claim", "--max-paths", "0"], "max_paths"),
        (["certify", "ring/sequential", "--dtype", "float16"], "float32 or float64"),
        (["certify", "ring/sequential", "--device", "cuda:7", "--jobs", "1"], "torch sees no such device"),
        (["certify", "ring/sequential", "--backend", "tensorflow"], "--backend must be torch or jax, not 'tensorflow'"),
        (["certify", "claims.py:twice"], "two claims called 'right', of which one would be lost"),
        (["certify", "claims.py:claim", "claims.py:several"], "two claims would be saved as 'right'"),
        (["certify", "claims.py:claim", "--out", "claims.py"], "claims.py: File exists"),
        (["certify", "claims.py:claim", "--report", "claims.py/page.html"], "claims.py: File exists"),
        (["certify", "claims.py:claim", "--report", "."], "is a folder; name the page"),
        (["certify", "claims.py:claim", "--out", "/proc"], "/proc"),
        (["report", "/proc/nothing/here"], "cannot read"),
        (["list", "nope/*"], "no claim of the catalogue"),
        (["report", "claims.py"], "is not a certificate"),
        (["report", "."], "there is no certificate in ."),
        (["recheck", "none.json"], "cannot read none.json"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_two(run, arguments, message):
    code, said = run(*arguments)
    assert code == 2
    assert message in said.err.replace("\n", " ")
    assert "Traceback" not in said.err


def test_a_claims_file_that_fails_says_where(run, tmp_path):
    (tmp_path / "bad.py").write_text("import nowhere_to_be_found\n")
    code, said = run("certify", "bad.py")
    assert code == 2
    assert "ModuleNotFoundError" in said.err


def test_a_claims_file_that_exits_is_not_a_pass(run, tmp_path):
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)\n")
    assert run("certify", "leaves.py")[0] == 2


def test_a_fault_of_the_judge_does_not_look_like_a_refutation(run, monkeypatch):
    monkeypatch.setattr("exactness.judging.judgement.adjust", lambda *_: 1 / 0)
    code, said = run("certify", "claims.py:claim")
    assert code == 4
    assert "judging raised ZeroDivisionError" in said.out
    assert "nothing was decided" in " ".join(said.out.split())
    code, said = run("certify", "labelled/control/*", "--jobs", "1")
    assert code == 4
    assert "nothing was decided" in said.err


def test_a_law_that_raises_makes_its_own_claim_invalid_and_nothing_else(run, tmp_path):
    code, said = run("certify", "claims.py:raising", "claims.py:claim")
    assert code == 4
    assert "of the law raised ZeroDivisionError" in " ".join(said.out.split())
    found = {path.stem: ex.Certificate.load(path).verdict.value for path in (tmp_path / "certificates").glob("*.json")}
    assert found == {"raising": "invalid", "right": "certified"}


def test_a_certificate_that_is_not_on_disk_is_no_pass(run, tmp_path, monkeypatch):
    """The second certificate of the run removes or replaces the first."""
    for change in (lambda path: path.unlink(), lambda path: path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))):
        real = jobs.certify_claim

        def certify(claim, change=change, real=real, **options):
            if claim.name == "control":
                change(tmp_path / "certificates" / "right.json")
            return real(claim, **options)

        monkeypatch.setattr(jobs, "certify_claim", certify)
        code, said = run("certify", "claims.py:claim", "claims.py:control")
        monkeypatch.setattr(jobs, "certify_claim", real)
        assert code == 4
        assert "no longer holds the certificates that this run wrote of right" in " ".join(said.err.split())


def test_names_and_folders_that_a_file_system_dislikes(run, tmp_path):
    """A name of 300 bytes, one with a colon, a folder with a colon; and how a drive of Windows is read."""
    (tmp_path / "a:b").mkdir()
    names = [100 * "漢", 99 * "漢" + "字", "x:y?"]
    more = f"claims = [ex.Claim(name, law.sample, law, plan=plan) for name in {names}]"
    (tmp_path / "a:b" / "claims.py").write_text(f"{CLAIMS}\n{more}\n")
    assert run("certify", "a:b/claims.py:claims")[0] == 0
    assert {ex.Certificate.load(path).name for path in (tmp_path / "certificates").glob("*.json")} == set(names)
    assert all(len(path.name.encode()) < 240 for path in (tmp_path / "certificates").iterdir())
    assert run("certify", str(tmp_path / "a:b" / "claims.py"))[0] == 0
    assert split_target(r"C:\work\claims.py:mine") == (r"C:\work\claims.py", "mine")
    assert split_target(r"C:\work\claims.py") == (r"C:\work\claims.py", "")
    assert file_of(saved_source(["x.npy"], r"C:\work\law.py")) == r"C:\work\law.py"


def test_recheck_goes_on_where_a_source_is_missing(run, tmp_path):
    assert run("certify", "claims.py:claim")[0] == 0
    assert run("certify", "claims.py:claim", "--resume")[0] == 0
    (tmp_path / "claims.py").unlink()
    code, said = run("recheck", "certificates", "--run")
    assert code == 1
    assert "cannot be run again from here" in said.out.replace("\n", " ")
    code, said = run("recheck", "certificates")
    assert code == 3
    assert "claims.py, which is not here" in said.out.replace("\n", " ")


def test_recheck_runs_nothing_unless_it_is_asked_to(run, tmp_path):
    """A stranger's certificate may name any Python file. Running it must be the user's own decision."""
    assert run("certify", "claims.py:claim")[0] == 0
    spy = "open('ran', 'w').close()\n"
    (tmp_path / "claims.py").write_text(spy + (tmp_path / "claims.py").read_text())
    code, said = run("recheck", "certificates")
    assert code == 0
    assert "nothing was sampled again" in said.out.replace("\n", " ")
    assert not (tmp_path / "ran").exists()
    code, said = run("recheck", "certificates", "--run")
    assert code == 0
    assert "it repeats" in said.out
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "source",
    [None, "nowhere.py:claim", "rings/sequential", "--paths a.npy --law gone.py:law", "--paths gone.npy --law claims.py:law"],
)
def test_arithmetic_alone_is_no_pass_where_a_claim_cannot_be_found(run, tmp_path, source):
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    judged = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.1, max_paths=4_000), source=source)
    judged.save(tmp_path / "certificates" / "a.json")
    code, said = run("recheck", "certificates")
    assert code == 3
    assert "nothing was sampled again" in said.out.replace("\n", " ")


def test_recheck_goes_on_after_a_file_that_is_no_certificate(run, tmp_path):
    assert run("certify", "claims.py:claim")[0] == 0
    (tmp_path / "certificates" / "a.json").write_text("{}")
    code, said = run("recheck", "certificates")
    assert code == 2
    assert "a.json is not a certificate" in said.err.replace("\n", " ")
    assert "its verdict follows" in said.out.replace("\n", " ")


def test_resuming_judges_a_sampler_that_raises_now(run, tmp_path):
    assert run("certify", "claims.py:claim")[0] == 0
    text = (tmp_path / "claims.py").read_text()
    (tmp_path / "claims.py").write_text(text.replace('ex.Claim("right", law.sample,', 'ex.Claim("right", lambda n, s: 1 / 0,'))
    assert run("certify", "claims.py:claim", "--resume")[0] == 4


@pytest.mark.parametrize(
    "changed", ["batteries=[ex.batteries.ProjectedKS()]", "wrong='Nothing.'", "controls=[control]"], ids=lambda c: c.split("=")[0]
)
def test_resuming_keeps_nothing_that_would_be_judged_in_another_way(run, tmp_path, changed):
    assert run("certify", "claims.py:claim")[0] == 0
    path = certificate_path(tmp_path / "certificates", "right")
    before = path.stat().st_mtime_ns
    assert run("certify", "claims.py:claim", "--resume")[0] == 0
    assert path.stat().st_mtime_ns == before
    more = f'import exactness.batteries\nclaim = ex.Claim("right", law.sample, law, plan=plan, {changed})'
    (tmp_path / "claims.py").write_text(f"{(tmp_path / 'claims.py').read_text()}\n{more}\n")
    run("certify", "claims.py:claim", "--resume")
    assert path.stat().st_mtime_ns != before


def test_resuming_notices_a_control_that_was_added(run, tmp_path):
    assert run("certify", "claims.py:claim")[0] == 0
    more = 'claim = ex.Claim("right", law.sample, law, plan=plan, controls=[control])'
    (tmp_path / "claims.py").write_text(f"{(tmp_path / 'claims.py').read_text()}\n{more}\n")
    assert run("certify", "claims.py:claim", "--resume")[0] == 0
    assert [c.name for c in ex.Certificate.load(certificate_path(tmp_path / "certificates", "right")).controls] == ["control"]


def test_resuming_notices_another_dtype_and_a_changed_sampler(run, tmp_path, monkeypatch):
    assert run("certify", "labelled/control/*", "--out", "certs", "--jobs", "1", "--dtype", "float32")[0] == 0
    (path,) = (tmp_path / "certs").glob("*.json")
    before = path.stat().st_mtime_ns
    assert run("certify", "labelled/control/*", "--out", "certs", "--jobs", "1", "--dtype", "float32", "--resume")[0] == 0
    assert path.stat().st_mtime_ns == before
    assert run("certify", "labelled/control/*", "--out", "certs", "--jobs", "1", "--resume")[0] == 0
    assert ex.Certificate.load(path).environment.dtype == "float64"
    before = path.stat().st_mtime_ns
    from exactness_samplers import faults

    half = lambda of, r, d, u, lengths: (lengths // 2, 0 * r[:, 0])  # noqa: E731
    other = tuple(replace(f, instead=half) if f.name == "accept-always" else f for f in faults.FAULTS)
    monkeypatch.setattr(faults, "FAULTS", other)
    assert run("certify", "labelled/control/*", "--out", "certs", "--jobs", "1", "--resume")[0] in (0, 1)
    assert path.stat().st_mtime_ns != before


def test_a_backend_that_is_missing_says_what_to_install(run, monkeypatch):
    from exactness.catalogue.backends import backend

    backend.cache_clear()
    monkeypatch.setitem(sys.modules, "jax", None)
    code, said = run("certify", "labelled/sequential", "--backend", "jax", "--jobs", "1")
    assert code == 2
    assert "the catalogue needs jax: pip install 'exactness[catalogue,jax]'" in said.err.replace("\n", " ")


def test_what_jax_cannot_do_is_said(run):
    module_or_skip("jax")
    code, said = run("certify", "labelled/sequential", "--backend", "jax", "--jobs", "1", "--dtype", "float64")
    assert code == 2
    assert "set JAX_ENABLE_X64=1" in said.err
    code, said = run("certify", "labelled/sequential", "--backend", "jax", "--jobs", "1", "--device", "cuda:7")
    assert code == 2
    assert "JAX sees no such device" in said.err


@pytest.mark.slow
def test_a_certificate_knows_its_backend(run, tmp_path):
    """Judged in JAX, kept by --resume, checked again in JAX, and not taken for one of torch."""
    module_or_skip("jax")
    line = ("certify", "labelled/control/*", "--out", "certs", "--jobs", "1")
    assert run(*line, "--backend", "jax")[0] == 0
    (path,) = (tmp_path / "certs").glob("*.json")
    found, before = ex.Certificate.load(path), path.stat().st_mtime_ns
    assert found.sampler["backend"] == "jax"
    assert (found.environment.array, found.environment.dtype, found.environment.device) == ("jax", "float32", "cpu")
    assert run(*line, "--backend", "jax", "--resume")[0] == 0
    assert path.stat().st_mtime_ns == before
    code, said = run("recheck", "certs", "--run")
    assert code == 0
    assert "it repeats" in said.out.replace("\n", " ")
    assert run(*line, "--resume")[0] == 0
    assert ex.Certificate.load(path).sampler["backend"] == "torch"


def test_usage_errors_are_exit_code_two(run):
    assert run("certify", "--nonsense")[0] == 2
    assert run()[0] == 2


def test_a_reader_that_stops_reading_is_no_failure():
    """As in ``exactness list | head``: what is printed is lost, and the exit code stays what it is."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        terminal = cli._Terminal(file=stream)
        for _ in range(3):
            terminal.print("ring/sequential")
    assert terminal.quiet


def test_the_help_says_what_the_exit_codes_mean(run):
    said = " ".join(run("certify", "--help")[1].out.replace("│", " ").split())
    assert "5: a control was missed" in said
    assert "[default: 3600" in said


def test_list_names_every_claim_and_what_it_must_be(run):
    code, said = run("list", "ring/*")
    assert code == 0
    assert "ring/control/accept-always" in said.out
    assert "must be refuted" in said.out


def test_certify_report_recheck_and_resume(run, tmp_path, monkeypatch):
    """The whole line on one law with its controls; then again from what is on disk."""
    code, said = run("certify", "labelled/sequential", "--out", "certs", "--report", "page.html", "--jobs", "1")
    assert code == 0, said
    assert "1 samplers: 1 certified. 1 controls: 1 refuted." in said.out
    path = certificate_path(tmp_path / "certs", "labelled/sequential")
    certificate = ex.Certificate.load(path)
    assert [c.name for c in certificate.controls] == ["labelled/control/accept-always"]
    assert certificate.cost["rounds"] / certificate.cost["paths"] == 20
    page = (tmp_path / "page.html").read_text()
    assert '<span class="name">sequential</span><span class="verdict certified">certified</span>' in page
    assert "Not among the controls here: block-with-reflection" in page
    assert run("recheck", "certs", "--run")[0] == 0
    assert run("report", "certs", "-o", "again.html")[0] == 0

    monkeypatch.setattr("exactness.run.jobs.certify_claim", lambda *_, **__: pytest.fail("judged again"))
    assert run("certify", "labelled/sequential", "--out", "certs", "--jobs", "1", "--resume")[0] == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    edited = msgspec.structs.replace(certificate, verdict=ex.Verdict.INCONCLUSIVE)
    edited.save(path)
    monkeypatch.chdir(tmp_path)
    code, said = run("recheck", "certs")
    assert code == 1
    assert "the verdict is written as inconclusive" in said.out
    path.write_text(path.read_text().replace('"verdict": "inconclusive"', '"verdict": "certified"', 1))
    code, said = run("recheck", "certs")
    assert code == 1
    assert "was changed after it was written" in said.out


def test_a_stopped_run_keeps_what_it_finished_and_goes_on(run, tmp_path, monkeypatch):
    real, calls = jobs.certify_claim, []

    def interrupted(claim, **options):
        if calls:
            raise KeyboardInterrupt
        calls.append(claim.name)
        return real(claim, **options)

    monkeypatch.setattr(jobs, "certify_claim", interrupted)
    code, said = run("certify", "labelled/sequential", "--out", "certs", "--jobs", "1")
    assert code == 130
    assert "--resume" in said.err
    kept = list((tmp_path / "certs").glob("*.json"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    monkeypatch.setattr(jobs, "certify_claim", real)
    assert run("certify", "labelled/sequential", "--out", "certs", "--jobs", "1", "--resume")[0] == 0
    assert kept[0].stat().st_mtime_ns == before
    assert len(list((tmp_path / "certs").glob("*.json"))) == 2


def test_two_workers_give_the_certificates_of_one(run, tmp_path):
    assert run("certify", "labelled/sequential", "--out", "one", "--jobs", "1")[0] == 0
    assert run("certify", "labelled/sequential", "--out", "two", "--jobs", "2")[0] == 0
    for path in (tmp_path / "one").glob("*.json"):
        one, two = ex.Certificate.load(path), ex.Certificate.load(tmp_path / "two" / path.name)
        assert one.probe == two.probe
        assert [(f.name, f.where) for f in one.findings] == [(f.name, f.where) for f in two.findings]
        assert all(abs(a.statistic - b.statistic) < 1e-9 for a, b in zip(one.findings, two.findings, strict=True))


def test_the_gravest_outcome_decides():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    plan = ex.Plan(tolerance=0.2, max_paths=1_000)
    good = ex.certify(law.sample, law, plan=plan)
    refuted = ex.certify(lambda n, s: law.sample(n, s) + 1, law, plan=plan)
    invalid = ex.certify(lambda n, s: None, law, plan=plan)
    vague = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.001, max_paths=100))
    assert exit_code([good]) == 0
    assert exit_code([good, vague]) == 3
    assert exit_code([vague, refuted]) == 1
    assert exit_code([refuted, invalid]) == 4
    missed = ControlOutcome(
        name="blunt", wrong="Nothing.", must_be_refuted=True, verdict=vague.verdict, paths=100, leading="", required=True
    )
    blind = msgspec.structs.replace(vague, controls=[missed])
    assert exit_code([good, vague, blind]) == 5
    assert exit_code([blind, msgspec.structs.replace(good, expected="wrong")]) == 5
    assert exit_code([blind, refuted]) == 1
    assert exit_code([]) == 4, "nothing was judged, which is no pass"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "studies.digits` makes them"), (b"no weights", "is not a readable safetensors file")]
)
def test_weights_that_are_missing_or_broken_are_a_sentence(run, tmp_path, monkeypatch, content, message):
    from exactness_samplers import weights

    from exactness.catalogue import chain_laws as problems

    problems.problem.cache_clear()
    target = tmp_path / "digits.safetensors"
    if content is not None:
        target.write_bytes(content)
    monkeypatch.setattr(weights, "path", lambda name: target)
    code, said = run("certify", "network/sequential", "--jobs", "1", "--out", str(tmp_path))
    problems.problem.cache_clear()
    assert code == 2
    assert message in " ".join(said.err.split())


@pytest.mark.parametrize("device", ["foo", "cuda:7", "cpu:bar"])
def test_a_device_that_is_not_there_is_a_sentence(run, tmp_path, device):
    code, said = run("certify", "ring/sequential", "--jobs", "1", "--device", device, "--out", str(tmp_path))
    assert code == 2
    assert f"device {device} was asked for" in said.err


def test_tables_in_a_log_do_not_break_words(run, monkeypatch):
    """At 80 columns, as a terminal without a width has, "relative variance" took three lines."""
    monkeypatch.setattr(cli.console, "_width", cli.width_of(False, {}))
    assert "relative variance" in run("certify", "claims.py:wrong")[1].out.split("most significant")[1]
