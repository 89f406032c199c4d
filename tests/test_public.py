"""The public surface: complete, documented, light to import, and usable without torch."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import exactness as ex
from tests.conftest import missing

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ex.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(ex, name)
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing):
        for attribute, member in vars(thing).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                assert inspect.getdoc(getattr(thing, attribute)), f"{name}.{attribute}"


def test_importing_loads_nothing_heavy():
    heavy = (
        "torch",
        "jax",
        "pandas",
        "matplotlib",
        "sklearn",
        "statsmodels",
        "scipy.stats",
        "scipy.interpolate",
        "exactness_samplers",
        "exactness_digits",
        "jinja2",
    )
    code = f"import exactness, sys; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_samplers_import_nothing_of_the_judge():
    code = (
        "import exactness_samplers.faults._torch, exactness_samplers.torch.denoisers, sys; "
        "print([m for m in sys.modules if m.partition('.')[0] == 'exactness'])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


STRANGER = """
import importlib.util
import numpy as np
import exactness as ex

assert importlib.util.find_spec("torch") is None, "this environment must not have torch"

def mean(k, x):
    return 0.8 * x + 0.1 * np.tanh(k * x)

SIGMA = np.array([0.5, 0.6, 0.7])

def sample(n, seed, factor=1.0):
    generator = np.random.default_rng(seed)
    path = [generator.standard_normal((n, 2))]
    for k in (3, 2, 1):
        path.append(mean(k, path[-1]) + factor * SIGMA[k - 1] * generator.standard_normal((n, 2)))
    return np.stack(path, axis=1)

law = ex.GaussianChain.from_mean(mean, sigma=SIGMA, dim=2)
claim = ex.Claim("numpy alone", sample, law, plan=ex.Plan(tolerance=0.1, max_paths=8_000))
wrong = ex.Claim("two percent too wide", lambda n, seed: sample(n, seed, 1.04), law, plan=ex.Plan(max_paths=32_000))

if __name__ == "__main__":
    assert ex.certify(claim.sample, law, plan=claim.plan).verdict is ex.Verdict.CERTIFIED
    assert ex.certify(wrong.sample, law, plan=wrong.plan).verdict is ex.Verdict.REFUTED
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment with this package and what it requires, nothing else: no torch, no JAX, no matplotlib."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        missing(f"a package index for a fresh environment ({done.stderr.strip().splitlines()[-1:]})")
    (folder / "claims.py").write_text(STRANGER)
    return python, folder


def run(bare, *command):
    python, folder = bare
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([python, *command], capture_output=True, text=True, cwd=folder, env=environment)


def test_a_strangers_numpy_sampler_is_judged_without_torch(bare):
    done = run(bare, "claims.py")
    assert done.returncode == 0, done.stderr


def test_the_command_line_works_without_torch_and_says_what_is_missing(bare):
    right = run(bare, "-m", "exactness.cli", "certify", "claims.py:claim")
    assert right.returncode == 0, right.stdout + right.stderr
    wrong = run(bare, "-m", "exactness.cli", "certify", "claims.py:wrong")
    assert wrong.returncode == 1, wrong.stdout + wrong.stderr
    assert run(bare, "-m", "exactness.cli", "list").returncode == 0
    needs = run(bare, "-m", "exactness.cli", "certify", "ring/sequential")
    assert needs.returncode == 2
    assert "exactness[catalogue]" in needs.stderr
    page = run(bare, "-m", "exactness.cli", "report", "certificates")
    assert page.returncode == 2
    assert "exactness[report]" in page.stderr


def test_every_file_says_what_it_is():
    for path in [*ROOT.glob("exactness/**/*.py"), *ROOT.glob("samplers/exactness_samplers/**/*.py")]:
        assert path.read_text().startswith('"""'), f"{path} has no docstring"


def test_a_battery_of_ones_own_is_written_with_public_names():
    """Twelve lines; it accepts the law (fixed seed: nothing fails by chance) and refutes a shift and a scale."""
    from exactness.batteries import Battery, Evidence, Origin
    from exactness.evidence.summaries import Tally

    class FirstCoordinate(Battery):
        name = "first coordinate"

        def applies(self, law):
            return isinstance(law, ex.GaussianMixture)

        def start(self, law, generator):
            tally = Tally(["all"], "normal", relation="independent")
            return Evidence(Origin(self, law, generator), {"values": tally}, lambda sample, noise: tally.add(0, sample[:, 0]))

    law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    plan = ex.Plan(tolerance=0.1, max_paths=4_000)
    assert ex.certify(law.sample, law, plan=plan, batteries=[FirstCoordinate()]).verdict is ex.Verdict.CERTIFIED
    for wrong in (lambda n, s: law.sample(n, s) + 0.3, lambda n, s: 0.8 * law.sample(n, s)):
        assert ex.certify(wrong, law, plan=plan, batteries=[FirstCoordinate()]).verdict is ex.Verdict.REFUTED
