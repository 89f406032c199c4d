"""A user's project: its folder `samplers` hides nothing of ours, and mypy knows our types."""

from __future__ import annotations

import pytest

from tests.conftest import module_or_skip

# The project's own `samplers` is imported first, so that ours would be hidden if it had that name.
SCRIPT = """
import samplers

import numpy as np
from hypothesis import find, given

import exactness as ex
from exactness.adapters import from_denoiser
from exactness.catalogue import Setting
from exactness.catalogue import find as entries
from exactness.strategies import Family, mixtures, schedules

assert samplers.MINE
few = ex.Plan(tolerance=0.4, first_paths=500, max_paths=500)

sigmas, denoise = np.array([3.0, 1.0, 0.0]), lambda x, sigma: x / (1.0 + sigma[:, None] ** 2)

def sample(n, seed):
    draw = np.random.default_rng(seed).standard_normal
    path = [sigmas[0] * draw((n, 1))]
    for now, then in zip(sigmas, sigmas[1:]):
        up = np.sqrt(then**2 * (now**2 - then**2) / now**2)
        down, clean = np.sqrt(then**2 - up**2), denoise(path[-1], np.full(n, now))
        path.append(path[-1] + (path[-1] - clean) / now * (down - now) + up * draw((n, 1)))
    return np.stack(path, axis=1)

judged = ex.certify(sample, from_denoiser(denoise, sigmas, 1), plan=few, controls="standard")
assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
refuted = [c for c in judged.controls if c.verdict is ex.Verdict.REFUTED]
assert refuted, "no standard control was refuted"

family = Family(examples=2, plan=few)

@family.settings
@given(mixture=mixtures())
def every_mixture(mixture):
    family.certify(mixture.sample, mixture)

every_mixture()
assert len(family.certificates) == 2
assert find(schedules(), lambda schedule: schedule.steps == 2).steps == 2

for name in ("ring/sequential", "ring/control/accept-always", "network/block/free-ahead/quantile-kept"):
    (entry,) = entries([name])
    claim = entry.build(Setting())
    assert len(claim.sample(2, 0)[0]) == 2
print("all of it works from", ex.__file__)
"""

RIGHT = """
import numpy as np

import exactness as ex

law = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])

def sample(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 1))

certificate = ex.certify(sample, law, plan=ex.Plan(alpha=1e-6))
print(certificate.verdict.value, certificate.reasons[0].upper(), ex.__version__)
"""

WRONG = """
import exactness as ex
from exactness_samplers.schedules import cosine_betas

law = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
ex.certify("no sampler", law)
ex.Plan(alpha="x")
ex.certify(law.sample, law).verdict.nothing
cosine_betas("fifty")
"""


@pytest.mark.parametrize("environments", ["installed", pytest.param("editable", marks=pytest.mark.slow)])
def test_a_project_with_samplers_of_its_own_can_use_all_of_ours(request, environments, tmp_path):
    for library in ("torch", "sklearn", "safetensors"):
        module_or_skip(library)
    (tmp_path / "samplers").mkdir()
    (tmp_path / "samplers" / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "mine.py").write_text(SCRIPT)
    environment = request.getfixturevalue(environments)
    done = environment.run("mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"all of it works from {environment.source}" in done.stdout


@pytest.mark.slow
def test_mypy_knows_the_types_of_the_installed_wheel(installed, tmp_path):
    """A quarter of a minute, nearly all of it for numpy's stubs."""
    module_or_skip("mypy")
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    strict = ("-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context")
    done = installed.run(*strict, "right.py", "wrong.py", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [line.partition(": error: ") for line in done.stdout.splitlines()]
    lines = WRONG.splitlines()
    at = [lines.index(line) + 1 for line in lines if line.startswith(("ex.", "cosine"))]
    assert [place for place, _, _ in found] == [f"wrong.py:{line}" for line in at]
    for (_, _, message), code in zip(found, ("arg-type", "arg-type", "attr-defined", "arg-type"), strict=True):
        assert message.endswith(f"[{code}]"), message
