"""Jobs: the same certificate from any number of processes and shards; what is lost is said; what is finished is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import exactness as ex
from exactness.batteries import ProjectedKS
from exactness.judging.draws import blocks_of
from exactness.run.executors import Here, Lost, Workers
from exactness.run.jobs import Job, Overrides, certificate_path, refuse_shared_files
from exactness.run.runner import absent, found_items, run_claims
from tests.registry import another, plain_chain

CLAIMS = """
import os, signal, time
import numpy as np
import exactness as ex

law = ex.GaussianMixture([0.4, 0.6], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2])
plan = ex.Plan(tolerance=0.1, first_paths=500, max_paths=4_000, suspicion=1e-9)

def costly(n, seed):
    return law.sample(n, seed), {"rounds": 3.0 * n}

def leaves(n, seed):
    os._exit(0)

def crashes(n, seed):
    os.kill(os.getpid(), signal.SIGSEGV)

def stops(n, seed):
    raise KeyboardInterrupt("enough")

def moves(n, seed):
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    return law.sample(n, seed)

def hangs(n, seed):
    time.sleep(600)

def slow(n, seed):
    time.sleep(0.003)
    return law.sample(n, seed)

stages = ex.Plan(tolerance=0.1, first_paths=20_000, max_paths=20_000, suspicion=1e-9)

def leaves_late(n, seed):
    if n > 100:
        os._exit(0)
    return law.sample(n, seed)

in_shards = [
    ex.Claim("leaves", leaves_late, law, plan=stages), ex.Claim("after", law.sample, law, plan=stages),
    ex.Claim("hangs", hangs, law, plan=stages), ex.Claim("last", law.sample, law, plan=stages),
]

class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one}, {two}")

class Breaks(ex.Law):
    event_shape = (1,)
    def describe(self):
        return {}
    def sample(self, n, rng):
        raise Odd("one", "two")

breaks = ex.Claim("breaks", lambda n, seed: np.zeros((n, 1)), Breaks())

right = ex.Claim("right", costly, law, plan=plan)
wrong = ex.Claim("wrong", lambda n, seed: law.sample(n, seed) + 0.3, law, plan=plan)
samplers = [leaves, crashes, stops, moves, hangs]
bad = [*(ex.Claim(f.__name__, f, law, plan=plan) for f in samplers), breaks, right]
many = [ex.Claim(f"slow-{i}", slow, law, plan=plan) for i in range(6)]
"""


@pytest.fixture
def exactness(tmp_path):
    """The command line in a process of its own, in a folder with claims."""
    (tmp_path / "claims.py").write_text(CLAIMS)

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "exactness", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    return start


def same(certificate: ex.Certificate) -> bytes:
    """Everything of a certificate that must not depend on where it was made: all but seconds and the time of making."""
    cost = {k: v for k, v in certificate.cost.items() if not k.startswith("seconds")}
    return msgspec.json.encode(msgspec.structs.replace(certificate, cost=cost, created=""))


def claims():
    mixture = ex.GaussianMixture([0.4, 0.6], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2])
    chain, sample = plain_chain()
    trusted = ex.TrustedSampler(mixture.sample)
    plan = ex.Plan(tolerance=0.2, first_paths=300, max_paths=1_200, suspicion=1e-9)
    yield ex.Claim("mixture", lambda n, s: (mixture.sample(n, s), {"rounds": 0.1 * n}), mixture, plan)
    yield ex.Claim("chain", sample, chain, plan)
    yield ex.Claim("trusted", another(mixture.sample), trusted, plan)
    yield ex.Claim("torch", lambda n, s: torch.as_tensor(mixture.sample(n, s)), mixture, plan)
    yield ex.Claim("shifted", lambda n, s: mixture.sample(n, s) + 0.05, mixture, plan)
    yield ex.Claim("late fault", lambda n, s: mixture.sample(n, s) / (0.0 if n > 300 else 1.0), mixture, ex.Plan(max_paths=100_000))


@pytest.mark.parametrize("claim", list(claims()), ids=lambda claim: claim.name)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_shards_in_any_order_make_the_same_certificate_bit_for_bit(claim):
    alone = ex.certify(claim.sample, claim.law, plan=claim.plan, name=claim.name)
    for count, order in ((1, [0]), (2, [1, 0]), (7, [3, 6, 0, 5, 1, 4, 2])):
        shards = [ex.draw_shard(claim, i, count) for i in order]
        assert same(ex.certify_shards(claim, shards)) == same(alone), count


def test_shards_travel_between_processes():
    import pickle

    claim = next(claims())
    shards = [pickle.loads(pickle.dumps(ex.draw_shard(claim, i, 2))) for i in range(2)]
    assert same(ex.certify_shards(claim, shards)) == same(ex.certify(claim.sample, claim.law, plan=claim.plan, name=claim.name))


def test_shards_that_do_not_belong_together_are_refused():
    claim, other, *_ = claims()
    shards = [ex.draw_shard(claim, i, 3) for i in range(3)]
    with pytest.raises(ex.BadInput, match="no shard"):
        ex.certify_shards(claim, [])
    with pytest.raises(ex.BadInput, match="each once"):
        ex.certify_shards(claim, shards[:2])
    with pytest.raises(ex.BadInput, match="each once"):
        ex.certify_shards(claim, [*shards, shards[0]])
    with pytest.raises(ex.BadInput, match="its seed differs"):
        ex.certify_shards(claim, [*shards[:2], ex.draw_shard(claim, 2, 3, seed=1)])
    with pytest.raises(ex.BadInput, match="its name differs"):
        ex.certify_shards(other, shards)
    for index, count in ((3, 3), (-1, 3), (0, 0), (True, 2), (0, 2.0)):
        with pytest.raises(ex.BadInput, match=r"integer|less than count"):
            ex.draw_shard(claim, index, count)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_one_place_finds_is_said_in_any_order(order):
    claim = next(claims())

    def raises(n, seed):
        raise RuntimeError("no licence here")

    shards = [ex.draw_shard(claim, 0, 2), ex.draw_shard(ex.Claim("mixture", raises, claim.law, claim.plan), 1, 2)]
    judged = ex.certify_shards(claim, [shards[i] for i in order])
    assert judged.verdict is ex.Verdict.INVALID
    assert "no licence here" in judged.reasons[0]


def test_a_sampler_without_seeds_is_the_same_in_shards():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    generator = np.random.default_rng(0)
    plan = ex.Plan(tolerance=0.2, first_paths=1_000, max_paths=1_000, suspicion=1e-9, seed_must_count=False)
    claim = ex.Claim("unseeded", lambda n, seed: generator.standard_normal((n, 1)), law, plan)
    judged = ex.certify_shards(claim, [ex.draw_shard(claim, i, 2) for i in range(2)])
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.reproducible is False


def test_shards_of_other_batteries_or_of_nothing_are_refused():
    claim = next(claims())
    other = ex.Claim(claim.name, claim.sample, claim.law, claim.plan, [ProjectedKS()])
    with pytest.raises(ex.BadInput, match="its list of batteries differs"):
        ex.certify_shards(claim, [ex.draw_shard(claim, 0, 2), ex.draw_shard(other, 1, 2)])
    with pytest.raises(ex.BadInput, match="what draw_shard made; got int"):
        ex.certify_shards(claim, [1])
    assert ex.draw_shard(claim, np.int64(0), 1).count == 1


def test_a_sampler_that_differs_from_place_to_place_is_invalid():
    claim = next(claims())
    elsewhere = ex.Claim("mixture", lambda n, s: claim.law.sample(n, s + 1), claim.law, claim.plan)
    judged = ex.certify_shards(claim, [ex.draw_shard(claim, 0, 2), ex.draw_shard(elsewhere, 1, 2)])
    assert judged.verdict is ex.Verdict.INVALID
    assert "other draws in another place" in judged.reasons[0]


def test_blocks_follow_from_the_plan_alone():
    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    for plan in (ex.Plan(), ex.Plan(first_paths=7, max_paths=50), ex.Plan(first_paths=10**6, max_paths=10**7)):
        stages = blocks_of(plan, law)
        blocks = [block for stage in stages for block in stage]
        assert [sum(block.size for block in stage) for stage in stages] == list(np.diff([0, *plan.stages]))
        assert [block.index for block in blocks] == list(range(len(blocks)))
        assert [block.start for block in blocks] == list(np.cumsum([0, *(block.size for block in blocks)])[:-1])


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judge the claims of a source, as the command line does, in this process and its workers."""
    (tmp_path / "claims.py").write_text(CLAIMS)
    monkeypatch.chdir(tmp_path)

    def call(source, executor, shards=1):
        with executor as workers:
            found = run_claims(found_items([source], workers), folder=tmp_path / "out", workers=workers, shards=shards)
        assert not absent(found, tmp_path / "out")
        return {certificate.name: certificate for certificate in found}

    return call


def test_a_users_claim_is_the_same_from_any_number_of_shards_and_workers(judged):
    runs = [judged("claims.py:right", Here()), judged("claims.py:right", Workers(2), 2), judged("claims.py:right", Workers(1), 7)]
    one, two, three = (same(found["right"]) for found in runs)
    assert one == two == three


def test_what_ends_crashes_moves_or_hangs_is_invalid_and_the_others_are_judged(exactness, tmp_path):
    """One worker, which is replaced four times. Each exit code but 0 would be an accident: the processes end with 0 and -11."""
    (tmp_path / "leaves.py").write_text("import os; os._exit(0)")
    run = exactness("certify", "claims.py:bad", "--out", "out", "--jobs", "1", "--timeout", "3")
    said, errors = run.communicate()
    assert run.returncode == 4, errors
    found = {path.stem: ex.Certificate.load(path) for path in (tmp_path / "out").iterdir()}
    verdicts = {name: certificate.verdict.value for name, certificate in found.items()}
    assert verdicts == dict.fromkeys(("leaves", "crashes", "stops", "hangs", "breaks"), "invalid") | {
        "moves": "certified", "right": "certified",
    }  # fmt: skip
    reasons = {name: found[name].reasons[0] for name in found}
    assert "ended with exit code 0 before the claim was judged" in reasons["leaves"]
    assert "was ended by SIGSEGV" in reasons["crashes"]
    assert "raised KeyboardInterrupt: enough" in reasons["stops"]
    assert "made no progress for 3 seconds" in reasons["hangs"]
    assert "raised Odd: one, two" in reasons["breaks"]
    assert found["leaves"].law == found["right"].law
    assert "2 certified, 5 invalid" in said
    # A file that ends the process that runs it is no pass either.
    run = exactness("certify", "leaves.py", "--out", "out")
    assert "leaves.py could not be loaded: the process" in " ".join(run.communicate()[1].split())
    assert run.returncode == 2


def test_a_lost_shard_takes_nothing_with_it(judged):
    """Several blocks per stage: when one part is lost, what still runs must not be taken for the next certificate."""
    found = judged("claims.py:in_shards", Workers(2, timeout=5.0), shards=4)
    assert found["after"].verdict is found["last"].verdict is ex.Verdict.CERTIFIED
    assert "ended with exit code 0" in found["leaves"].reasons[0]
    assert "made no progress for 5 seconds" in found["hangs"].reasons[0]


def test_a_killed_run_keeps_what_it_finished_and_resumes(exactness, tmp_path):
    """Users' claims, whole process group killed: what lies in the folder is not made again."""
    out = tmp_path / "out"
    run = exactness("certify", "claims.py:many", "--out", "out", "--jobs", "2")
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert 2 <= len(kept) < 6, "killed too late, or nothing was finished"
    assert all(ex.Certificate.load(path).verdict is ex.Verdict.CERTIFIED for path in kept)
    again = exactness("certify", "claims.py:many", "--out", "out", "--jobs", "2", "--resume")
    assert again.wait() == 0, again.stderr.read()
    assert len(list(out.glob("*.json"))) == 6
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())


class Fails(msgspec.Struct, frozen=True):
    """A job that raises."""

    def run(self, progress):
        raise ex.BadInput("as expected")


class Tells(msgspec.Struct, frozen=True):
    """A job that says how far it is."""

    def run(self, progress):
        for i in range(3):
            progress("telling", i, 3)
            time.sleep(0.4)
        return os.getpid()


def test_workers_pass_on_results_errors_and_progress():
    told = []
    with Workers(2, progress=lambda *said: told.append(said)) as workers:
        ((_, pid),) = workers.run([Tells()])
        with pytest.raises(ex.BadInput, match="as expected"):
            list(workers.run([Fails()]))
    assert pid != os.getpid()
    assert ("telling", 1, 3) in told or ("telling", 2, 3) in told
    with Workers(1) as workers:
        assert [result for _, result in workers.run([])] == []
    with pytest.raises(ex.BadInput, match="positive number of seconds"):
        Workers(1, timeout=0)


def test_a_worker_returns_to_the_folder_that_the_claims_file_enters(tmp_path, monkeypatch):
    """A worker runs the file once, and its samplers may read files from there. Where a sampler goes matters to no other."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "scale").write_text("1.0")
    more = """
os.chdir("there")
def read(n, seed):
    draws = law.sample(n, seed) * float(open("scale").read())
    os.chdir("/")
    return draws
both = [ex.Claim(name, lambda n, s: read(n, s) if os.getcwd() != "/" else law.sample(n, s), law, plan=plan) for name in ("a", "b")]
"""
    (tmp_path / "claims.py").write_text(CLAIMS + more)
    monkeypatch.chdir(tmp_path)
    jobs = [Job(source="claims.py:both", name=name, seed=0, folder=str(tmp_path / "out")) for name in ("a", "b")]
    with Workers(1) as workers:
        found = [result for _, result in workers.run(jobs)]
    assert [certificate.verdict for certificate in found] == [ex.Verdict.CERTIFIED] * 2, found[1].reasons


def test_a_lost_job_leaves_an_invalid_certificate(tmp_path, monkeypatch):
    (tmp_path / "claims.py").write_text(CLAIMS)
    monkeypatch.chdir(tmp_path)
    job = Job(source="claims.py:right", name="right", seed=0, folder="out", overrides=Overrides(alpha=1e-9))
    lost = job.lost(Lost("it was struck by lightning").why)
    assert ex.Certificate.load(job.target) == lost
    assert lost.verdict is ex.Verdict.INVALID
    assert lost.reasons == ["it was struck by lightning"]
    assert lost.plan.alpha == 1e-9
    gone = msgspec.structs.replace(job, name="other").run()
    assert gone.verdict is ex.Verdict.INVALID
    assert "no longer has a claim called 'other'" in gone.reasons[0]
    assert gone.plan.alpha == 1e-9
    assert ex.Certificate.load(certificate_path(tmp_path / "out", "other")) == gone


def test_a_job_can_be_pickled():
    import pickle

    job = Job(source="ring/sequential", name="ring/sequential", seed=0, folder=str(Path("out")))
    assert pickle.loads(pickle.dumps(job)) == job


def test_names_that_differ_by_case_or_spelling_alone_are_refused():
    """On Windows and macOS the second certificate would overwrite the first."""
    refuse_shared_files(["ring/a", "ring/b", "ring"])
    for one, other in (("Ring", "ring"), ("stra\u00dfe", "STRASSE"), ("caf\u00e9", "cafe\u0301")):
        with pytest.raises(ex.BadInput, match="many file systems take for one name: give each claim a different name"):
            refuse_shared_files([one, "other", other])
