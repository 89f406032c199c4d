"""``exactness watch``: each line is counted once, whatever happens to the file or to the process."""

from __future__ import annotations

import io
import json
import math
import os
import sys

import numpy as np
import pytest

import exactness as ex
from exactness import cli
from exactness.errors import BadInput
from exactness.run.watch import Watch
from exactness.show.watch_page import watch_page
from tests.conftest import module_or_skip

P, Q = np.array([0.6, 0.3, 0.1]), np.array([0.3, 0.3, 0.4])
OVERLAP = float(np.minimum(P, Q).sum())


def lines(law, n, seed):
    """Records of n tokens that an engine draws from a law, as Python's json writes them."""
    tokens = np.random.default_rng(seed).choice(3, size=n, p=law)
    return [
        json.dumps({"log_p": math.log(P[x]), "log_q": math.log(Q[x]), "supported": True, "overlap": OVERLAP, "round": i}) + "\n"
        for i, x in enumerate(tokens)
    ]


RIGHT, WRONG = lines(P, 400, 0), lines(Q, 400, 1)


def run(*arguments):
    """The exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        cli.app([str(argument) for argument in ("watch", *arguments)])
    return stopped.value.code or 0


def test_the_exit_code_says_whether_the_alarm_was_raised(tmp_path, capsys):
    """A right engine raises it with probability 1e-6."""
    (tmp_path / "right.jsonl").write_text("".join(RIGHT))
    (tmp_path / "wrong.jsonl").write_text("".join(WRONG))
    assert run(tmp_path / "right.jsonl", "--metrics", tmp_path / "metrics.prom") == 0
    assert "no alarm in 400 tokens" in capsys.readouterr().out
    assert "exactness_tokens_total 400\n" in (tmp_path / "metrics.prom").read_text()
    assert run(tmp_path / "wrong.jsonl", "--metrics", tmp_path / "metrics.prom", "--report", tmp_path / "page.html") == 1
    assert "draft's law" in capsys.readouterr().out
    assert "exactness_alarm 1\n" in (tmp_path / "metrics.prom").read_text()
    assert "Alarm at token" in (tmp_path / "page.html").read_text()


def test_a_fault_that_is_switched_on_is_seen_within_as_many_tokens_as_one_from_the_start(tmp_path):
    """How late the alarm comes after 400 right tokens costs their logarithm, not their number."""
    (tmp_path / "late.jsonl").write_text("".join(RIGHT + WRONG))
    late = Watch(str(tmp_path / "late.jsonl")).run()
    early = ex.Monitor()
    early.add_all(json.loads(line) for line in WRONG)
    assert 400 < late.alarm < 400 + 2 * early.alarm


def test_no_line_is_counted_twice_however_often_it_is_stopped(tmp_path):
    whole = ex.Monitor()
    whole.add_all(json.loads(line) for line in RIGHT)
    file, state = tmp_path / "tokens.jsonl", tmp_path / "state.json"
    text = "".join(RIGHT).encode()
    for end in (0, 1, 500, 501, 7_000, len(text) - 1, len(text)):  # Most of these tear a line.
        file.write_bytes(text[:end])
        watched = Watch(str(file), state=state).run()
        assert watched.tokens <= text[:end].count(b"\n") + 1
    assert (watched.tokens, watched.log_wealth) == (400, whole.log_wealth)
    assert Watch(str(file), state=state).run().tokens == 400
    # The state is that of a monitor, too.
    assert ex.Monitor.load(state).log_wealth == whole.log_wealth


def test_a_kill_between_two_savings_loses_nothing(tmp_path, monkeypatch):
    """The state on disk holds the position of exactly the lines that its monitor knows."""
    monkeypatch.setattr("exactness.run.watch._EVERY_LINES", 30)
    file, state = tmp_path / "tokens.jsonl", tmp_path / "state.json"
    file.write_text("".join(RIGHT))
    killed = Watch(str(file), state=state)
    monkeypatch.setattr(killed, "_take", stops_after(killed._take, 100))
    monkeypatch.setattr(killed, "save", stops_after(killed.save, 3))
    with pytest.raises(Killed):
        killed.run()
    assert ex.Monitor.load(state).tokens == 90
    assert Watch(str(file), state=state).run().tokens == 400


class Killed(BaseException):
    pass


def stops_after(function, calls):
    def called(*arguments):
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise Killed
        return function(*arguments)

    return called


def test_following_waits_for_torn_lines_and_for_the_file_that_takes_its_place(tmp_path):
    file = tmp_path / "tokens.jsonl"
    torn = RIGHT[1][:20]

    def append(text):
        with file.open("a") as stream:
            stream.write(text)

    def rotate():
        append(RIGHT[3])  # The last line before the file is replaced is read, too.
        file.rename(tmp_path / "tokens.jsonl.1")
        file.write_text(RIGHT[4])

    def stop():
        raise KeyboardInterrupt

    steps = iter([
        lambda: file.write_text(RIGHT[0] + torn), lambda: None, lambda: append(RIGHT[1][20:] + RIGHT[2]), rotate, lambda: None,
        lambda: None, lambda: append("\n" + RIGHT[5]), lambda: file.write_text(""), lambda: None, lambda: append(RIGHT[6]),
        lambda: None, stop,
    ])  # fmt: skip
    watched = Watch(str(file), follow=True, wait=lambda seconds: next(steps)()).run()
    assert watched.tokens == 7
    expected = ex.Monitor()
    expected.add_all(json.loads(line) for line in RIGHT[:7])
    assert watched.log_wealth == expected.log_wealth


def test_following_ends_at_the_alarm_which_stays_raised(tmp_path):
    file, state = tmp_path / "tokens.jsonl", tmp_path / "state.json"
    file.write_text("".join(WRONG))
    assert run(file, "--follow", "--state", state) == 1
    file.write_text("".join(RIGHT))
    assert run(file, "--state", state) == 1


def test_the_standard_input_is_read_to_its_end(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(RIGHT[:50]).rstrip("\n").encode())))
    assert run("-") == 0
    assert "no alarm in 50 tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]\n", "line 2: it needs an entry log_p"),
        ("{}\n", "line 2: it needs an entry log_p"),
        ('{"log_p": null}\n', "line 2: log_p must be a log-probability"),
        ('{"log_p": true}\n', "line 2: log_p must be a log-probability"),
        ('{"log_p": -1' + "0" * 400 + "}\n", "line 2: log_p must be a log-probability"),
        ('{"log_p": -1, "supported": "no"}\n', "line 2: supported must be True or False"),
        ('{"log_p": NaN}\n', "line 2: log_p must be a log-probability"),
        ("{log_p}\n", "line 2: it is no JSON"),
        ("[" * 100_000 + "\n", "line 2: it is no JSON"),
        ("x" * (1 << 20) + "\n", "line 2: it is longer than 1 MiB"),
        (b"\xff\xfe\n", "line 2: it is no JSON"),
        ('{"log_p": -0.5', "line 2: it is cut short"),
    ],
)
def test_bad_lines_are_named_and_those_before_are_kept(text, said, tmp_path, capsys, monkeypatch):
    file, metrics = tmp_path / "tokens.jsonl", tmp_path / "metrics.prom"
    file.write_bytes(RIGHT[0].encode() + (text if isinstance(text, bytes) else text.encode()))
    if not said.endswith(("MiB", "short")):
        file.write_bytes(file.read_bytes() + RIGHT[1].encode())
    with pytest.raises(BadInput, match=said):
        Watch(str(file), files={metrics: ex.Monitor.metrics}).run()
    assert "exactness_tokens_total 1\n" in metrics.read_text()
    monkeypatch.setattr(sys, "argv", ["exactness", "watch", str(file)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_states_and_files_that_do_not_fit_are_refused(tmp_path):
    file, state = tmp_path / "tokens.jsonl", tmp_path / "state.json"
    file.write_text("".join(RIGHT[:20]))
    Watch(str(file), state=state, alpha=1e-3).run()
    with pytest.raises(BadInput, match=r"was begun with alpha = 0\.001, not 0\.01"):
        Watch(str(file), state=state, alpha=0.01)
    os.truncate(file, 1_500)
    with pytest.raises(BadInput, match="it was cut"):
        Watch(str(file), state=state).run()
    state.write_text("{}")
    with pytest.raises(BadInput, match="is not the state of a monitor"):
        Watch(str(file), state=state)
    with pytest.raises(BadInput, match="cannot read"):
        Watch(str(tmp_path / "nothing.jsonl")).run()
    with pytest.raises(BadInput, match="alpha must lie strictly"):
        Watch(str(file), alpha=2.0)


def test_the_page_shows_every_bet_and_hides_nothing_of_strangers():
    monitor = ex.Monitor()
    monitor.add_all(json.loads(line) for line in WRONG * 20)
    page = watch_page(monitor, "<b>tokens</b>.jsonl")
    assert "&lt;b&gt;" in page
    assert page.count("<svg") == 3
    assert "10<sup>" in page  # The wealth has more than 300 digits.
    assert max(monitor.log_wealths.values()) > 700
    # The whole is the mean of its bets.
    assert monitor.log_wealth == pytest.approx(np.logaddexp.reduce(list(monitor.log_wealths.values())) - math.log(3))


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("token-rejection-one-late", 400), ("token-extra-from-draft", 1_000), ("token-residual-from-target", 4_000)],
)
def test_a_fault_of_our_own_engine_is_seen_after_it_is_switched_on_between_two_runs(name, tokens, tmp_path):
    """The engine speculates; the watch is restarted while the fault is switched on. Five seeds took 51 to 93, 200 to 564 and 1,977
    to 3,419 tokens until the alarm; this is one of them."""
    torch = module_or_skip("torch")
    from exactness_samplers.faults.tokens import token_fault
    from exactness_samplers.torch import tokens as rules
    from exactness_samplers.torch.token_drafters import LawDrafter
    from exactness_samplers.torch.token_sampling import TokenSampler

    generator = np.random.default_rng(5)
    p, other = (generator.dirichlet(np.full(12, 0.5), size=12) for _ in range(2))
    q = 0.5 * p + 0.5 * other

    def law(rows):
        return lambda ids, lengths: rows[ids[torch.arange(len(ids)), lengths - 1]]

    def emitted(rule, n, seed):
        engine = TokenSampler(law(torch.tensor(p)), 8, LawDrafter(law(torch.tensor(q)), (0, 1, 2)), rule, prompts=[[0]])
        ids = engine.sample(n, seed).tokens.numpy()
        before = np.concatenate([np.zeros((n, 1), dtype=int), ids[:, :-1]], axis=1)
        held = zip(
            np.log(p[before, ids]).ravel(), np.log(q[before, ids]).ravel(), np.minimum(p, q).sum(1)[before].ravel(), strict=True
        )
        return "".join(json.dumps({"log_p": a, "log_q": b, "overlap": c}) + "\n" for a, b, c in held)

    file, state, metrics = tmp_path / "tokens.jsonl", tmp_path / "state.json", tmp_path / "metrics.prom"
    file.write_text(emitted(rules.token_wise, 250, 0))
    assert Watch(str(file), state=state).run().alarm is None
    with file.open("a") as stream:
        stream.write(emitted(token_fault(name).verifier("torch"), 600, 1))
    watched = Watch(str(file), state=state, files={metrics: ex.Monitor.metrics}).run()
    assert watched.alarm is not None
    assert 0 < watched.alarm - 2_000 < tokens
    assert "exactness_alarm 1\n" in metrics.read_text()
