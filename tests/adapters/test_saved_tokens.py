"""Tokens that a serving engine has saved, with what it knows of each: judged as its sampler would be."""

from __future__ import annotations

import numpy as np
import pytest

import exactness as ex
from exactness import cli
from exactness.errors import BadInput

TABLE = np.array([[0.6, 0.25, 0.1, 0.05], [0.1, 0.6, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1]])
LAW = """
import numpy as np
import exactness as ex

TABLE = np.array({table})
law = ex.TokenChain(
    lambda prefixes: np.log(TABLE[prefixes[:, -1]]), vocabulary=4, length=6, prompts=[[0], [1, 2], [3, 3, 1]], end=3
)
"""
PLAN = ex.Plan(alpha=1e-6, tolerance=0.1)


def law(**changes):
    given = {"vocabulary": 4, "length": 6, "prompts": [[0], [1, 2], [3, 3, 1]], "end": 3} | changes
    return ex.TokenChain(lambda prefixes: np.log(TABLE[prefixes[:, -1]]), **given)


def saved(path, tokens, **more):
    """A file of tokens, padded with -1 after the end, and the lengths."""
    ended = np.cumsum(tokens == 3, axis=1) - (tokens == 3) > 0
    np.savez(path, tokens=np.where(ended, -1, tokens), lengths=6 - ended.sum(1), **more)
    return path


def test_saved_tokens_are_judged_with_their_lengths_and_their_prompts(tmp_path):
    """4,999 sequences take several blocks that begin at any prompt. One fixed sample; alpha is 1e-6."""
    tokens = law().sample(4_999, 1)
    whole = ex.certify_paths(saved(tmp_path / "tokens.npz", tokens), law(), plan=PLAN)
    assert whole.verdict is ex.Verdict.CERTIFIED, whole.reasons
    other = law(prompts=[[0], [3, 3, 1], [1, 2]])
    assert ex.certify_paths(tmp_path / "tokens.npz", other, plan=PLAN).verdict is ex.Verdict.REFUTED
    # In another order, with the numbers of the prompts.
    order = np.random.default_rng(0).permutation(4_999)
    shuffled = saved(tmp_path / "shuffled.npz", tokens[order], prompts=order % 3)
    assert ex.certify_paths(shuffled, law(), plan=PLAN).verdict is ex.Verdict.CERTIFIED
    assert ex.certify_paths(saved(tmp_path / "lost.npz", tokens[order]), law(), plan=PLAN).verdict is ex.Verdict.REFUTED


def test_rounds_without_an_accepted_draft_are_inconclusive_and_change_the_digest(tmp_path):
    tokens = law().sample(3_000, 1)
    plain = ex.certify_paths(saved(tmp_path / "plain.npz", tokens), law(), plan=PLAN)
    alone = saved(tmp_path / "tokens.npz", tokens, rounds=np.tile(np.arange(6), (3_000, 1)))
    judged = ex.certify_paths(alone, law(), plan=PLAN)
    assert (plain.verdict, judged.verdict) == (ex.Verdict.CERTIFIED, ex.Verdict.INCONCLUSIVE)
    assert plain.probe != judged.probe


def test_the_command_line_takes_several_files_of_tokens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.py").write_text(LAW.format(table=TABLE.tolist()))
    tokens = law().sample(5_001, 2)
    saved("a-1.npz", tokens[:2_001])
    saved("a-2.npz", tokens[2_001:])
    with pytest.raises(SystemExit) as stopped:
        cli.app(
            [
                "certify",
                "--paths",
                "a-1.npz",
                "--paths",
                "a-2.npz",
                "--law",
                "file.py:law",
                "--tolerance",
                "0.1",
                "-q",
                "--jobs",
                "1",
            ]
        )
    assert stopped.value.code == 0, capsys.readouterr().out
    assert "1 certified" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"rounds": np.zeros((3, 6))}, "rounds holds float64"),
        ({"drafts": np.zeros((2, 6), dtype=int)}, "one row for each of the 3 rows"),
    ],
)
def test_what_does_not_fit_the_tokens_is_refused(more, said, tmp_path):
    np.savez(tmp_path / "tokens.npz", tokens=np.zeros((3, 6), dtype=int), **more)
    with pytest.raises(BadInput, match=said):
        ex.SavedPaths(tmp_path / "tokens.npz")
    np.savez(tmp_path / "a-1.npz", tokens=np.zeros((3, 6), dtype=int), lengths=np.full(3, 6))
    np.savez(tmp_path / "a-2.npz", tokens=np.zeros((3, 6), dtype=int))
    with pytest.raises(BadInput, match="must hold the same arrays"):
        ex.SavedPaths([tmp_path / "a-1.npz", tmp_path / "a-2.npz"])


def test_numbers_of_prompts_must_be_one_for_each_sequence():
    sample = lambda n, seed: ex.TokenDraws(law().sample(n, seed), prompts=np.zeros(n + 1, dtype=int))  # noqa: E731
    judged = ex.certify(sample, law(), plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "the number of the prompt of each sequence" in judged.reasons[0]
