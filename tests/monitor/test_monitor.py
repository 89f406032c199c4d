"""The monitor of a serving engine."""

from __future__ import annotations

import math

import numpy as np
import pytest

import exactness as ex
from exactness.errors import BadInput

RNG = np.random.default_rng(7)
P = RNG.dirichlet(np.full(12, 0.5))
Q = 0.5 * P + 0.5 * RNG.dirichlet(np.full(12, 0.5))
OVERLAP = float(np.minimum(P, Q).sum())


def records(law, n, seed):
    tokens = np.random.default_rng(seed).choice(len(P), p=law, size=n)
    return [{"log_p": math.log(P[x]), "log_q": math.log(Q[x]), "overlap": OVERLAP, "round": 3} for x in tokens]


def residual_without_weights():
    """What token-wise verification emits if it draws from the target where it should draw from the residual."""
    return np.minimum(P, Q) + (1.0 - OVERLAP) * P


def test_an_exact_engine_raises_no_alarm():
    # By Ville's inequality at most one in ten of these would, and they are fixed: 40 at alpha = 0.1 raise at most 11, except with
    # a probability of 0.0007.
    raised = sum(ex.Monitor(alpha=0.1).add_all(records(P, 2_000, seed)) for seed in range(40))
    assert raised <= 11
    assert not ex.Monitor(alpha=1e-6).add_all(records(P, 20_000, 0))


@pytest.mark.parametrize(("law", "reason"), [(Q, "draft's law"), (residual_without_weights(), "in common")])
@pytest.mark.parametrize("sound", [0, 10_000])
def test_a_fault_that_is_switched_on_raises_the_alarm_soon(law, reason, sound):
    monitor = ex.Monitor(alpha=1e-6)
    assert not monitor.add_all(records(P, sound, 1))
    assert monitor.add_all(records(law, 4_000, 2))
    assert monitor.alarm - sound < 2_000
    assert reason in monitor.reason


@pytest.mark.parametrize("token", [{"log_p": -math.inf}, {"log_p": -1.0, "supported": False}, {"log_p": "-Infinity"}])
def test_an_impossible_token_raises_the_alarm_at_once(token):
    monitor = ex.Monitor()
    monitor.add_all([{"log_p": -1.0}, token])
    assert monitor.alarm == 2
    assert "never draws" in monitor.reason


def test_a_restarted_monitor_goes_on_where_it_stopped(tmp_path):
    seen = records(Q, 300, 3)
    whole, half = ex.Monitor(alpha=1e-12), ex.Monitor(alpha=1e-12)
    whole.add_all(seen)
    half.add_all(seen[:5])
    half.save(tmp_path / "state.json")
    again = ex.Monitor.load(tmp_path / "state.json")
    again.add_all(seen[5:])
    assert (again.log_wealth, again.tokens, again.alarm, again.reason) == (whole.log_wealth, 300, whole.alarm, whole.reason)


def test_rounding_adds_up_to_nothing():
    monitor, careless = ex.Monitor(alpha=1e-6), ex.Monitor(alpha=1e-6, slack=0.0)
    for one in (monitor, careless):
        for _ in range(3_000):  # Odds that are too good by 1e-5, every time, as if a float32 overlap were always rounded down.
            one.add(math.log(0.5), math.log(0.5 * (1 + 1e-5)))
    assert monitor.log_wealth <= 0.0 < careless.log_wealth + 1e-3
    assert careless.log_wealth > monitor.log_wealth


def test_the_state_can_be_scraped():
    monitor = ex.Monitor(alpha=1e-3)
    monitor.add_all(records(Q, 500, 0))
    values = dict(line.split() for line in monitor.metrics().splitlines() if not line.startswith("#"))
    assert values["exactness_tokens_total"] == "500"
    assert values["exactness_alarm"] == "1"
    assert float(values["exactness_log_wealth_limit"]) == pytest.approx(math.log(1_000), rel=1e-5)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"log_q": -1.0}, "record 2: it needs an entry log_p"),
        ({"log_p": 0.5}, "log_p must be a log-probability"),
        ({"log_p": math.nan}, "log_p must be a log-probability"),
        ({"log_p": "often"}, "log_p must be a log-probability"),
        ({"log_p": -1.0, "log_q": math.nan}, "log_q must be a log-probability"),
        ({"log_p": -1.0, "log_q": -1.0, "overlap": 2.0}, "overlap must lie between 0 and 1"),
        (None, "it needs an entry log_p"),
    ],
)
def test_bad_records_are_named_and_lose_nothing(record, message):
    monitor = ex.Monitor()
    with pytest.raises(BadInput, match=message):
        monitor.add_all([{"log_p": -1.0}, record])
    assert monitor.tokens == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "x", "alpha": 2}', "[" * 9_000])
def test_states_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(BadInput, match="is not the state of a monitor"):
        ex.Monitor.load(tmp_path / "state.json")
    with pytest.raises(BadInput, match="cannot read"):
        ex.Monitor.load(tmp_path / "nothing.json")
