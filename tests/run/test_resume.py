"""``--resume`` keeps what judging again would give, and nothing else."""

from __future__ import annotations

import sys

import pytest

import exactness as ex
from exactness import cli
from exactness.run.executors import Here

# What the claims read from the environment is in no description and in no source file.
CLAIMS = """
import os
import numpy as np
import exactness as ex

def now(name):
    return float(os.environ.get(name, "0"))

plan = ex.Plan(tolerance=0.2, first_paths=500, max_paths=2_000, suspicion=1e-9)
law = ex.GaussianChain.from_mean(lambda k, x: 0.5 * x + now("PREDICT"), sigma=[1.0, 1.0], dim=1)

def sample(n, seed):
    z = np.random.default_rng(seed).standard_normal((n, 3, 1))
    z[:, 1:] += now("LARGE") * (n >= 100) + now("SMALL")
    for k in (1, 2):
        z[:, k] += 0.5 * z[:, k - 1]
    return z

def unseeded(n, seed):
    return sample(n, None)

shift = ex.Claim("shifted", lambda n, s: sample(n, s) + 0.5 + now("CONTROL"), law, wrong="Shifted by 0.5.")
claim = ex.Claim("mine", sample, law, plan=plan)
beside = ex.Claim("beside", sample, law, plan=plan, controls=[shift])
loose = ex.Claim("loose", unseeded, law, plan=ex.Plan(tolerance=0.2, first_paths=500, max_paths=2_000, seed_must_count=False))
"""


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Judge a claim, change something, resume: whether the certificate was kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.py").write_text(CLAIMS)
    monkeypatch.setattr(cli, "Workers", lambda *_: Here())

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["exactness", "certify", "-q", *options])
        with pytest.raises(SystemExit):
            cli.main()
        (path,) = (tmp_path / "certificates").glob("*.json")
        return path, path.stat().st_mtime_ns

    def call(change, claim="claim"):
        run(f"claims.py:{claim}")
        before = run(f"claims.py:{claim}", "--resume")
        change()
        return run(f"claims.py:{claim}", "--resume") == before

    return call


def nothing():
    pass


@pytest.mark.parametrize(("claim", "change"), [("claim", nothing), ("loose", nothing), ("loose", "SMALL")])
def test_what_is_as_it_was_is_kept_and_an_unseeded_sampler_has_no_second_chance(kept, monkeypatch, claim, change):
    assert kept(change if callable(change) else lambda: monkeypatch.setenv(change, "1.0"), claim)


@pytest.mark.parametrize("name", ["PREDICT", "SMALL", "LARGE"])
def test_a_changed_prediction_or_sampler_is_judged_again(kept, monkeypatch, name):
    """``LARGE`` changes the draws of calls for 100 draws or more: the first small sample is the same."""
    assert not kept(lambda: monkeypatch.setenv(name, "1.0"))


def test_a_changed_control_is_judged_again(kept, monkeypatch):
    assert not kept(lambda: monkeypatch.setenv("CONTROL", "-0.5"), "beside")
    assert not ex.Certificate.load("certificates/beside.json").controls_hold


def test_another_version_is_judged_again(kept, monkeypatch):
    monkeypatch.setattr("exactness.environment.__version__", "0.0.1")
    assert not kept(lambda: monkeypatch.setattr("exactness.environment.__version__", "0.0.2"))


def test_a_changed_source_file_is_judged_again(kept, tmp_path):
    """The certificate names the digest of this file."""
    assert not kept(lambda: (tmp_path / "claims.py").write_text(CLAIMS.replace("0.5 * z[", "0.50 * z[")))


def test_an_edited_certificate_is_judged_again(kept, tmp_path):
    path = tmp_path / "certificates" / "mine.json"
    assert not kept(lambda: path.write_text(path.read_text().replace('"tolerance": 0.2', '"tolerance": 0.3')))
