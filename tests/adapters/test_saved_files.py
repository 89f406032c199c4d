"""Several files, folders of shards and chains are one sample, in their order; what is there twice is said."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

import exactness as ex
from exactness import cli
from exactness.run.executors import Here
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

LAW = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
DRAWS = LAW.sample(6_000, 3)
PLAN = quiet_plan(tolerance=0.1)
SHARDS = np.split(DRAWS, 12)


def write(path, values):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, values)
    elif path.suffix == ".csv":
        np.savetxt(path, values, delimiter=",", header="first,second", comments="")
    elif path.suffix == ".pt":
        torch = module_or_skip("torch")
        torch.save({"paths": torch.as_tensor(values), "other": torch.zeros(2)}, path)
    else:
        np.save(path, values)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".pt"])
def test_a_folder_of_shards_is_one_sample_in_the_order_of_the_numbers(suffix, tmp_path):
    """Twelve shards, so that 10 comes after 9. One fixed sample; an exact one is refuted with probability 1e-6."""
    for i, shard in enumerate(SHARDS):
        write(tmp_path / "run" / f"shard-{i}{suffix}", shard)
    (tmp_path / "run" / "notes.txt").write_text("Made on a Tuesday.")
    judged = ex.certify_paths(tmp_path / "run", LAW, plan=PLAN)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.name == "run"
    assert judged.probe == ex.SavedPaths(DRAWS).digest
    assert judged.sampler["saved"]["files"][10] == {"name": f"shard-10{suffix}", "count": 500}
    assert "judged on 6,000 saved paths in 12 parts (run)" in judged.reasons[1]


def test_rows_are_the_same_however_they_are_cut():
    whole, parts = ex.SavedPaths(DRAWS), ex.SavedPaths(SHARDS)
    for start, stop in ((0, 6_000), (499, 501), (500, 1_000), (3, 5_999), (5_999, 7_000)):
        assert np.array_equal(whole.rows(start, stop), parts.rows(start, stop))
    assert parts.calls(400, 1_200) == (100, 500, 200)
    assert ex.SavedPaths([DRAWS[:10], DRAWS[10:]]).copies == 0


def test_chains_are_joined_where_the_user_says_which_axis_they_are():
    chains = DRAWS.reshape(4, 1_500, 2)
    with pytest.raises(ex.BadInput, match=r"its axes are \(chain, draw, ...\), say so with chains=True or --chains"):
        ex.certify_paths(chains, LAW)
    judged = ex.certify_paths(chains, LAW, plan=PLAN, chains=True)
    assert judged.probe == ex.SavedPaths(DRAWS).digest
    assert judged.sampler["saved"]["chains"] == 4
    assert ex.SavedPaths([chains, chains[:1]], chains=True).calls(0, 7_500) == (1_500,) * 5
    with pytest.raises(ex.BadInput, match=r"with chains \(chains, n\)"):
        ex.SavedPaths(DRAWS[:, 0], chains=True)


def test_one_run_saved_twice_is_noticed(tmp_path):
    first, other = write(tmp_path / "a.npy", DRAWS), write(tmp_path / "b.npy", DRAWS)
    with pytest.raises(ex.BadInput, match="named twice: its draws would count twice"):
        ex.SavedPaths([first, tmp_path / "." / "a.npy"])
    judged = ex.certify_paths([first, other], LAW, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "are copies of others" in judged.reasons[0]


def test_a_run_of_a_law_with_atoms_that_was_saved_twice_is_noticed(tmp_path):
    """Equal draws are no news there, but a few hundred of them in the same order are. The second run went on for longer."""
    dice = lambda n, seed: np.random.default_rng(seed).integers(0, 6, (n, 1)).astype(float)  # noqa: E731
    law, plan = ex.TrustedSampler(dice), quiet_plan(tolerance=0.3)
    write(tmp_path / "run-1.npy", dice(2_000, 1))
    write(tmp_path / "run-2.npy", dice(3_000, 1))
    judged = ex.certify_paths(tmp_path, law, plan=plan, name="dice")
    assert judged.verdict is ex.Verdict.INVALID
    assert "run-1.npy and run-2.npy begin with the same draws, bit by bit" in judged.reasons[0]
    write(tmp_path / "run-2.npy", dice(3_000, 2))
    assert ex.certify_paths(tmp_path, law, plan=plan, name="dice").verdict is ex.Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mine-0.npy", "yours-0.npy"], "mine-0.npy and yours-0.npy of .* do not belong to one series"),
        (["run1-shard0.npy", "run1-shard1.npy", "run2-shard0.npy"], "differ in more than one number"),
        (["a-0.npy", "a-0.csv"], "do not belong to one series"),
        (["a.txt"], "there are no draws in the folder"),
    ],
)
def test_two_runs_in_one_folder_are_kept_apart(names, message, tmp_path):
    for name, shard in zip(names, SHARDS, strict=False):
        write(tmp_path / name, shard) if not name.endswith("txt") else (tmp_path / name).write_text("")
    with pytest.raises(ex.BadInput, match=message):
        ex.SavedPaths(tmp_path)


def test_parts_that_are_not_alike_are_refused(tmp_path):
    with pytest.raises(ex.BadInput, match=r"array 2 holds numpy numbers of float32 .* parts of one sample must be alike"):
        ex.SavedPaths([DRAWS, DRAWS.astype(np.float32)])
    with pytest.raises(ex.BadInput, match=r"shape \(n, 1\)"):
        ex.SavedPaths([DRAWS, DRAWS[:, :1]])
    with pytest.raises(ex.BadInput, match="all arrays or all files"):
        ex.SavedPaths([DRAWS, write(tmp_path / "a.npy", DRAWS)])
    with pytest.raises(ex.BadInput, match="an empty list"):
        ex.SavedPaths([])


class Runs:
    """What a hostile pickle does."""

    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def test_a_hostile_tensor_file_is_refused_and_nothing_in_it_runs(tmp_path, monkeypatch):
    torch = module_or_skip("torch")
    monkeypatch.chdir(tmp_path)
    for value, message in (
        (Runs(), "cannot be read"),
        (torch.zeros(1, 1).expand(1 << 40, 2), "larger than the file"),
        (torch.zeros(20, 2, dtype=torch.bfloat16), "save float32 or float64"),
        ([torch.zeros(20, 2)], "holds a list; save a dense tensor"),
    ):
        torch.save(value, "x.pt")
        with pytest.raises(ex.BadInput, match=message):
            ex.SavedPaths("x.pt")
    assert not (tmp_path / "it-ran").exists()


def test_every_file_that_the_command_line_names_is_judged(tmp_path, monkeypatch, capsys):
    """The first of two files is wrong. Both orders are refuted; false alarms of the third run: 1e-6."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "laws.py").write_text("import exactness as ex\nlaw = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])\n")
    for name, values in (("a", DRAWS[:3_000] + 0.5), ("b", DRAWS[3_000:]), ("c", DRAWS[:3_000])):
        write(tmp_path / f"{name}.npy", values)
    monkeypatch.setattr(cli, "Workers", lambda *_: Here())
    for files, code in (("ab", 1), ("ba", 1), ("cb", 0)):
        options = [word for name in files for word in ("--paths", f"{name}.npy")]
        monkeypatch.setattr(sys, "argv", ["exactness", "certify", *options, "--law", "laws.py:law", "--tolerance", "0.1"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert (stop.value.code or 0) == code
    certificate = ex.Certificate.load(tmp_path / "certificates" / "c.npy and 1 more.json")
    assert certificate.source == "--paths c.npy --paths b.npy --law laws.py:law"
    monkeypatch.setattr(sys, "argv", ["exactness", "recheck", "certificates/c.npy and 1 more.json", "--run"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert "it repeats" in capsys.readouterr().out.replace("\n", " ")


def resampled(values):
    return lambda n, seed: values[np.random.default_rng(seed).integers(0, len(values), n)]


def test_two_arrays_that_are_drawn_from_with_replacement_are_no_two_samplers():
    """Both are resampled, so their draws are copies. Whether that is the law, only the user can say."""
    sampler, reference = resampled(LAW.sample(20_000, 1)), resampled(LAW.sample(20_000, 2))
    with pytest.raises(ex.BadInput, match=r"are copies of others, bit by bit.*SavedPaths.*atoms=True"):
        ex.compare(sampler, reference, plan=PLAN)
    for function in (lambda x: x, np.round, lambda x: np.clip(x, 0, 1), lambda x: np.float32(x[:, :1] + 100)):
        ex.TrustedSampler(lambda n, s, of=function: of(LAW.sample(n, s))).sample(4_096, 0)
    ex.TrustedSampler(reference, atoms=True).sample(4_096, 0)
