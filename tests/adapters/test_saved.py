"""Paths saved by any program are judged once, all of them; nothing is claimed of a sampler that is not there."""

from __future__ import annotations

import json
import sys
import tracemalloc

import numpy as np
import pytest

import exactness as ex
from exactness import batteries as B
from exactness import cli
from exactness.run.executors import Here
from tests.conftest import module_or_skip
from tests.registry import another, plain_chain, quiet_plan

CHAIN, SAMPLE = plain_chain()
PATHS = SAMPLE(4_000, 5)
PLAN = quiet_plan(tolerance=0.1)
LAW = """
import numpy as np
import exactness as ex

law = ex.GaussianChain.from_mean(lambda k, x: 0.7 * x + 0.2 * np.sin(k * x), sigma=0.3 + 0.1 * np.arange(1, 5), dim=2)
number = 3
"""


def save(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez_compressed(path, paths=values, other=np.zeros(3))
    else:
        module_or_skip("safetensors.numpy").save_file({"paths": values, "other": np.zeros(3)}, path, metadata={"made by": "a test"})
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_is_judged_as_its_array_is(suffix, dtype, tmp_path):
    """One fixed sample; an exact one is refuted with probability 1e-6."""
    values = PATHS.astype(dtype)
    judged = ex.certify_paths(save(tmp_path / f"mine{suffix}", values), CHAIN, plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.name == f"mine{suffix}"
    assert judged.environment.dtype == dtype
    again = ex.certify_paths(values, CHAIN, plan=PLAN, name=judged.name)
    assert again.findings == judged.findings
    assert again.probe == judged.probe


def test_what_is_promised_of_saved_paths_is_written_down():
    judged = ex.certify_paths(PATHS, CHAIN, plan=PLAN)
    assert judged.reproducible is None
    assert not judged.plan.seed_must_count
    assert [stage.paths for stage in judged.stages] == [4_000]
    assert judged.sampler["saved"] == {"name": "saved paths", "count": 4_000, "sha256": judged.probe}
    assert "judged on 4,000 saved paths" in judged.reasons[1]
    some = ex.certify_paths(PATHS, CHAIN, plan=quiet_plan(tolerance=0.2, max_paths=1_000))
    assert some.paths == 1_000
    assert "the first 1,000 of 4,000 saved paths" in some.reasons[1]
    assert ex.certify_paths(PATHS, CHAIN).plan.max_paths == 4_000


def test_wrong_paths_are_refuted_and_controls_are_judged_beside_them():
    """Controls: a sampler, and saved paths that are wrong. Fixed samples; false alarms 1e-6."""
    wrong = 1.1 * PATHS
    assert ex.certify_paths(wrong, CHAIN, plan=PLAN).verdict is ex.Verdict.REFUTED
    controls = [
        ex.Claim("too wide", lambda n, s: 1.1 * SAMPLE(n, s), CHAIN, wrong="Scaled by 1.1."),
        ex.Claim("too wide, saved", ex.SavedPaths(wrong), CHAIN, wrong="Scaled by 1.1."),
    ]
    judged = ex.certify_paths(PATHS, CHAIN, plan=PLAN, controls=controls)
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert [c.verdict for c in judged.controls] == [ex.Verdict.REFUTED] * 2


@pytest.mark.parametrize("count", [1, 3, 200])
def test_too_few_paths_are_inconclusive_and_say_how_many_would_do(count):
    judged = ex.certify_paths(PATHS[:count], CHAIN, plan=PLAN)
    assert judged.verdict is ex.Verdict.INCONCLUSIVE
    assert "draws would be enough" in judged.reasons[0]
    assert "more evidence takes more saved paths" in judged.reasons[1]


def test_nan_and_repetition_are_invalid(monkeypatch):
    monkeypatch.setattr("exactness.judging.draws._BLOCK_VALUES", 10_000)
    holed = PATHS.copy()
    holed[2_345, 1, 0] = np.nan
    judged = ex.certify_paths(holed, CHAIN, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "the first at path 345" in judged.reasons[0]
    assert "counted from 2000 of saved paths" in judged.reasons[0]
    twice = ex.certify_paths(np.concatenate([PATHS[:2_000]] * 2), CHAIN, plan=PLAN)
    assert twice.verdict is ex.Verdict.INVALID
    assert "2000 of 4000 paths of saved paths are copies of others, bit by bit" in twice.reasons[0]


LINE = ex.GaussianMixture([0.4, 0.6], [[0.0], [2.0]], [1.0, 0.5])
PLANE = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
FAR = ex.GaussianMixture([0.5, 0.5], [[900.0, 900.0], [-900.0, -900.0]], [1e-4, 1e-4])
EXPONENTIAL = ex.UnivariateLaw(lambda t: 1.0 - np.exp(-t), support=(0.0, np.inf))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "law", [LINE, PLANE, FAR, EXPONENTIAL, ex.ProductLaw([EXPONENTIAL] * 2)], ids=lambda law: type(law).__name__
)
def test_copies_are_no_evidence_and_what_rounding_makes_equal_is_no_copy(law, dtype):
    """Copies by rounding are a few at most, except of the mixture far from 0 in single precision. False alarms: 1e-6."""
    generator = np.random.default_rng(1)
    fresh = law.sample(6_000, 1) if isinstance(law, ex.GaussianMixture) else generator.exponential(size=(6_000, *law.event_shape))
    fresh = fresh.astype(dtype)
    plan = quiet_plan(tolerance=0.1, max_paths=1 << 20)
    judged = ex.certify_paths(fresh, law, plan=plan)
    if law is FAR and dtype == np.float32:
        # Rounding makes hundreds equal, so more of them could not be told.
        assert judged.verdict is ex.Verdict.INVALID
        assert judged.reasons[0].startswith("too few digits")
        return
    assert judged.verdict is ex.Verdict.CERTIFIED
    for copied in (np.tile(fresh, (4, 1)), np.concatenate([fresh, fresh[:60]])):
        judged = ex.certify_paths(copied, law, plan=plan)
        assert judged.verdict is ex.Verdict.INVALID
        assert "are copies of others, bit by bit" in judged.reasons[0]


def test_single_precision_saved_in_double_and_laws_with_atoms_may_repeat():
    many = np.random.default_rng(0).random((200_000, 1), dtype=np.float32).astype(np.float64)
    uniform = ex.UnivariateLaw(lambda t: t, support=(0.0, 1.0))
    saved = ex.SavedPaths(many)
    assert saved.copies > 500
    assert not saved.more_copies_than_chance
    assert ex.certify_paths(saved, uniform, plan=quiet_plan(tolerance=0.1, max_paths=200_000)).verdict is ex.Verdict.CERTIFIED
    coins = lambda n, seed: np.random.default_rng(seed).integers(0, 2, (n, 1)).astype(float)  # noqa: E731
    judged = ex.certify_paths(coins(5_000, 3), ex.TrustedSampler(coins), plan=quiet_plan(tolerance=0.2, max_paths=5_000))
    assert judged.verdict is ex.Verdict.CERTIFIED
    assert "4,998 of them are copies of others, bit by bit" in judged.reasons[1]


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """240 MB on disk, judged in less than a quarter of that; without the map it would be all of it."""
    monkeypatch.setattr("exactness.judging.draws._BLOCK_VALUES", 1 << 18)
    monkeypatch.setattr(sys.modules["exactness.saved"], "_PIECE", 1 << 18)
    file = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", "<f8", (300_000, 101, 1))
    file[:, 0, 0] = np.arange(300_000)
    del file
    law = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x, sigma=np.ones(100), dim=1)
    tracemalloc.start()
    judged = ex.certify_paths(tmp_path / "large.npy", law, plan=ex.Plan(max_paths=20_000), batteries=[B.Innovations(lags=1)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert judged.verdict is ex.Verdict.REFUTED
    assert peak < (tmp_path / "large.npy").stat().st_size / 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing.npy", "there is no file"),
        (lambda p: _write(p / "paths.txt", b"1,2"), "paths are read from .npy, .npz, .safetensors, .csv, .pt files"),
        (lambda p: _write(p / "paths.csv", b"1,2\n3"), "cannot be read"),
        (lambda p: _write(p / "text.npy", b"not numpy"), "cannot be read"),
        (lambda p: _write(p / "text.npz", b"not numpy"), "cannot be read"),
        (lambda p: _write(p / "text.safetensors", b"not safetensors at all"), "not a safetensors file, or is cut short"),
        (lambda p: _write(p / "short.safetensors", (9).to_bytes(8, "little") + b"{not json"), "cannot be read"),
        (lambda p: _tensors(p / "half.safetensors", 160_000), "damaged or cut short: its header says F64 of shape"),
        (lambda p: _tensors(p / "swapped.safetensors", 0, first=320_000), "damaged or cut short"),
        (lambda p: _tensors(p / "before.safetensors", 319_992, first=-8), "damaged or cut short"),
        (lambda p: _tensors(p / "cut.safetensors", 320_000, kept=1_000), "damaged or cut short"),
        (lambda p: _tensors(p / "huge.safetensors", 320_000, shape=(1 << 62, 5, 2)), "damaged or cut short|cannot be read"),
        (lambda p: _tensors(p / "minus.safetensors", 320_000, shape=(-4_000, -5, 2)), "damaged or cut short"),
        (lambda p: _saved(p / "objects.npy", np.array([[{}]], dtype=object)), "nothing pickled"),
        (lambda p: _write(p / "cut.npy", _saved(p / "whole.npy", PATHS).read_bytes()[:500]), "cannot be read"),
        (lambda p: _saved(p / "empty.npy", np.zeros(())), r"array of shape \(\); draws are rows"),
        (lambda p: _saved(p / "empty.npy", np.zeros((0, 5, 2))), "one or more|cannot be read"),
        (lambda p: _saved(p / "half.npy", PATHS.astype(np.float16)), "save float32 or float64"),
        (lambda p: _saved(p / "whole.npy", np.zeros((5, 5, 2), int)), "save float32 or float64"),
        (lambda p: _saved(p / "other.npy", PATHS[:, :3]), r"shape \(4000, 3, 2\); this law needs \(n, 5, 2\): paths in running"),
        (lambda p: 3, "an array or the name of a file"),
    ],
)
def test_files_that_cannot_be_judged_are_bad_input(make, message, tmp_path):
    with pytest.raises(ex.BadInput, match=message):
        ex.certify_paths(make(tmp_path), CHAIN, plan=PLAN)


def _write(path, data):
    path.write_bytes(data)
    return path


def _tensors(path, last, first=0, shape=(4_000, 5, 2), kept=320_000):
    """A safetensors file of PATHS whose header may lie."""
    header = json.dumps({"paths": {"dtype": "F64", "shape": shape, "data_offsets": [first, last]}}).encode()
    return _write(path, len(header).to_bytes(8, "little") + header + PATHS.tobytes()[:kept])


def _saved(path, values):
    np.save(path, values, allow_pickle=True)
    return path


def test_entries_are_named(tmp_path):
    np.savez(tmp_path / "two.npz", mine=PATHS, yours=PATHS)
    with pytest.raises(ex.BadInput, match="has no array 'paths': name one of mine, yours"):
        ex.certify_paths(tmp_path / "two.npz", CHAIN)
    assert ex.certify_paths(tmp_path / "two.npz", CHAIN, entry="mine", plan=PLAN).verdict is ex.Verdict.CERTIFIED
    with pytest.raises(ex.BadInput, match="holds one array"):
        ex.SavedPaths(_saved(tmp_path / "one.npy", PATHS), entry="mine")


def test_other_byte_orders_and_layouts_are_read(tmp_path):
    for values in (PATHS.astype(">f8"), np.asfortranarray(PATHS)):
        assert ex.certify_paths(_saved(tmp_path / "x.npy", values), CHAIN, plan=PLAN).verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize("kind", ["torch", "jax"])
def test_a_law_says_which_arrays_its_prediction_works_on(kind):
    """A network judges paths from a file, a deterministic step among them. One fixed sample; false alarms 1e-6."""
    library = module_or_skip(kind if kind == "torch" else "jax.numpy")

    def mean(k, x):
        return library.sin(0.5 * x)

    path = [np.random.default_rng(0).standard_normal((500, 2))]
    for sigma in (0.5, 0.0):
        path.append(np.sin(0.5 * path[-1]) + sigma * np.random.default_rng(1).standard_normal((500, 2)))
    paths = np.stack(path, axis=1).astype(np.float32)
    arguments = {"sigma": [0.0, 0.5], "dim": 2}
    judged = ex.certify_paths(paths, ex.GaussianChain.from_mean(mean, arrays=kind, **arguments), plan=quiet_plan(tolerance=0.4))
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    if kind == "torch":
        with pytest.raises(ex.BadInput, match="x was a numpy array; if predict needs another kind, name it with arrays="):
            ex.certify_paths(paths, ex.GaussianChain.from_mean(mean, **arguments))


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "laws.py").write_text(LAW)
    save(tmp_path / "mine.npy", PATHS)
    save(tmp_path / "two.safetensors", PATHS)

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


def test_the_command_line_judges_saved_paths_and_rechecks_them(run, tmp_path):
    assert run("certify", "--paths", "mine.npy", "--law", "laws.py:law", "--tolerance", "0.1")[0] == 0
    assert run("certify", "--paths", "two.safetensors", "--law", "laws.py", "--entry", "paths", "--tolerance", "0.1")[0] == 0
    assert run("certify", "--paths", "mine.npy", "--law", "laws.py", "--max-paths", "50", "--out", "few")[0] == 3
    written = json.loads((tmp_path / "certificates" / "mine.npy.json").read_text())
    assert written["source"] == "--paths mine.npy --law laws.py:law"
    code, said = run("recheck", "certificates", "--run")
    assert (code, said.out.count("it repeats")) == (0, 2)
    save(tmp_path / "mine.npy", np.concatenate([PATHS[:1], PATHS[1:][::-1]]))
    code, said = run("recheck", "certificates/mine.npy.json", "--run")
    assert code == 1
    assert "the first draws differ" in said.out
    (tmp_path / "mine.npy").unlink()
    assert "cannot be run again from here" in run("recheck", "certificates/mine.npy.json", "--run")[1].out


@pytest.mark.parametrize(
    ("change", "code"),
    [(lambda x: x, 0), (lambda x: 1.1 * x, 1), (lambda x: x[:, :2], 2), (lambda x: x[:60], 3), (lambda x: x / 0, 4)],
)
def test_exit_codes_of_saved_paths(run, tmp_path, change, code):
    with np.errstate(divide="ignore"):
        save(tmp_path / "other.npy", change(PATHS))
    assert run("certify", "--paths", "other.npy", "--law", "laws.py:law", "--tolerance", "0.1")[0] == code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--paths", "mine.npy"], "saved draws need both --paths FILE and --law file.py:law"),
        (["--law", "laws.py"], "both"),
        (["--entry", "paths"], "both"),
        (["--paths", "mine.npy", "--law", "laws.py:number"], "laws.py has no law called 'number'; it has law"),
        (["--paths", "mine.npy", "--law", "nowhere.py"], "there is no file nowhere.py"),
    ],
)
def test_bad_options_are_sentences(run, arguments, message):
    code, said = run("certify", *arguments)
    assert code == 2
    assert message in said.err.replace("\n", " ")


def test_two_samplers_are_compared(seed):
    """False alarms: 1e-6; refuted: 5% too wide."""
    plan = quiet_plan(tolerance=0.15, first_paths=8_000, max_paths=8_000)
    judged = ex.compare(another(SAMPLE), SAMPLE, plan=plan, seed=seed, reference_name="the slow one")
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.law["name"] == "the slow one"
    assert ex.compare(lambda n, s: 1.05 * SAMPLE(n, s), SAMPLE, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED
