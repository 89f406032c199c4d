"""Every wrong sampler is caught at the draws that the published matrix says, and none that only looks wrong is.

They are judged with the published seed, at alpha 1e-6, in two stages: the draws that the published run took, and twice as many,
because these draws are others.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from exactness_samplers import faults
from exactness_samplers.faults import FAULTS, STANDARD, Backend, build, fault, of_family
from exactness_samplers.faults.unspoiled import good, poor, stale
from exactness_samplers.schedules import cosine_betas, ddpm
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.processes import Process

import exactness as ex
from exactness.catalogue import Setting
from exactness.catalogue.chain_laws import problem
from exactness.controls import Matrix, expected, limits
from exactness.controls.judge import chosen, judge_fault
from exactness.run.faults import run_faults
from tests.conftest import module_or_skip

ROOT = Path(__file__).parents[2]
WRONG = [f.name for f in FAULTS if f.expected == "caught"]
RIGHT = [f.name for f in FAULTS if f.exact]
CHAINS = of_family("chains")


@cache
def published() -> Matrix:
    return Matrix.load(ROOT / "reports" / "controls.json")


_MANY = 4_000


def known(name: str) -> int:
    found = next((r.caught_at for r in published().records if r.name == name), None)
    assert found is not None, f"{name}: python -m studies.controls --names {name}"
    return found


def judge(name: str, first: int, last: int, backend: str = "torch"):
    plan = ex.Plan(alpha=1e-6, tolerance=0.2, first_paths=first, max_paths=last)
    return judge_fault(chosen([name])[0], plan, 0, Setting(backend=backend), 1)[0]


def by_size(names):
    """The faults, of which those that take very many draws are left to ``make study``; the published matrix has them all."""
    # Looking at a verifier without any draw takes longer than drawing; `test_token_controls.py` does.
    return [pytest.param(name, marks=pytest.mark.slow) if known(name) > _MANY or not known(name) else name for name in names]


@pytest.mark.parametrize("name", by_size(WRONG))
def test_each_wrong_sampler_is_caught(name):
    draws = known(name) or 1_000
    assert judge(name, draws, min(2 * draws, published().plan.max_paths)).caught_at is not None


@pytest.mark.parametrize("name", RIGHT)
def test_no_right_sampler_is_refuted(name):
    """False alarms: at most 1e-6 each."""
    record = judge(name, 2_000, 2_000)
    assert record.caught_at is None, record.leading


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_sampler_of_jax_is_caught(name):
    """``make test`` judges the same functions in torch (:func:`test_each_wrong_sampler_is_caught`), builds each in JAX, refutes
    some of JAX end to end, and compares the samplers that they spoil (`tests/samplers/test_backends.py`).
    """
    module_or_skip("jax")
    draws = known(name) or 1_000
    assert judge(name, draws, 2 * draws, "jax").caught_at is not None


def test_what_was_published_is_of_these_faults_and_as_it_should_be():
    matrix = published()
    assert [r.name for r in matrix.records] == [f.name for f in FAULTS]
    assert all(r.as_it_should for r in matrix.records)
    assert matrix.score == (len(WRONG), len(WRONG))
    assert matrix.false_alarms == (0, len(RIGHT))
    assert matrix.plan.alpha == 1e-6
    assert matrix.plan.max_paths == 200_000
    # Of JAX's samplers only whether they are caught: they are looked at no further.
    other = Matrix.load(ROOT / "reports" / "controls_jax.json")
    both = [r.name for r in other.records]
    assert both == [f.name for f in FAULTS if f.name in both]
    assert {f.name for f in CHAINS} <= set(both), "JAX's verifiers of tokens are judged in the slow tests as well"
    assert other.score[0] == other.score[1]
    assert other.false_alarms[0] == 0


def test_the_catalogue_of_faults_is_whole():
    names = [f.name for f in FAULTS]
    assert len(names) == len(set(names))
    assert len(WRONG) >= 40
    assert set(STANDARD) <= set(WRONG)
    assert all(f.what.endswith(".") and f.touches for f in FAULTS)
    assert {f.group for f in CHAINS} == {
        "coupling", "acceptance", "block", "bookkeeping", "randomness", "whole law", "right",
    }  # fmt: skip


def test_the_judge_says_of_each_fault_that_must_be_caught_which_tests_must_see_it():
    assert set(expected.MUST_SEE) == set(WRONG)
    assert all(expected.MUST_SEE.values())
    assert {test for tests in expected.MUST_SEE.values() for test in tests} <= set(published().tests)


def test_both_libraries_say_the_same_things_in_their_own_way():
    ours, theirs = (module_or_skip(f"exactness_samplers.faults._{name}") for name in ("torch", "jax"))
    assert ours.__all__ == theirs.__all__


@pytest.mark.parametrize("name", [f.name for f in CHAINS])
def test_every_fault_is_built_in_jax_as_well(name):
    module_or_skip("jax")
    found = problem("labelled" if fault(name).labelled else "ring", "jax")
    runner = build(name, found.process, "jax")
    assert runner.window >= 1
    assert runner.run


def test_faults_are_listed_without_torch_and_jax_and_built_with_one_of_them():
    code = (
        "import exactness_samplers.faults as f, sys; "
        "loaded = lambda: sorted({'torch', 'jax'} & set(sys.modules)); "
        "assert len(f.FAULTS) == %d and loaded() == [], loaded(); "
        "f.Backend('torch').xp; assert loaded() == ['torch'], loaded()"
    )
    subprocess.run([sys.executable, "-c", code % len(FAULTS)], check=True)
    with pytest.raises(ValueError, match="torch or jax, not 'numpy'"):
        build("accept-always", None, "numpy")


SCRATCH = """
from exactness_samplers.faults.base import row
from exactness_samplers.faults.unspoiled import poor


@row(
    "accept-three-in-four", "acceptance", "A draft is accepted with probability 3/4, whatever its ratio.",
    touches="every drafted step", replaces="verifier", spoils=poor,
)
def accept_three_in_four(of, log_ratios, masses, uniforms, lengths):
    return of.verification.token_wise(of.xp.full_like(log_ratios, -0.2877), masses, uniforms, lengths)
"""


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_one_more_fault_is_one_file_one_line_in_the_list_and_one_of_what_must_see_it(tmp_path, monkeypatch, backend):
    """Fails by chance once in a million, at a fixed seed."""
    module_or_skip(backend)
    (tmp_path / "scratch.py").write_text(SCRATCH)
    monkeypatch.setattr(faults, "__path__", [*faults.__path__, str(tmp_path)])
    monkeypatch.setattr(faults, "FAULTS", faults.faults_of((*faults.FILES, "scratch")))
    del sys.modules["exactness_samplers.faults.scratch"], faults.scratch
    monkeypatch.setitem(expected.MUST_SEE, "accept-three-in-four", ("along state",))
    plan = ex.Plan(alpha=1e-6, tolerance=0.2, first_paths=1_000, max_paths=1_000)
    matrix = run_faults(["accept-three-in-four"], plan=plan, setting=Setting(backend=backend))
    assert matrix.score == (1, 1)
    assert matrix.records[0].must_be_seen_by == ["along state"]
    assert matrix.holds


@pytest.mark.parametrize("name", [f.name for f in CHAINS if not f.labelled and f.least_dim == 1])
def test_every_fault_runs_on_a_deterministic_last_step_in_one_dimension_and_in_single_precision(name):
    schedule = ddpm(cosine_betas(6), "small")
    denoiser = MixtureDenoiser(schedule, np.array([0.3, 0.7]), np.array([[2.0], [-1.0]]), np.array([0.1, 0.2]))
    runner = build(name, Process(schedule, denoiser, "sample", 1), "torch")
    run = runner.run(20, torch.Generator().manual_seed(0), dtype=torch.float32)
    assert run.paths.shape == (20, 7, 1)
    assert run.paths.dtype == torch.float32
    assert run.trace.totals()["rounds"] > 0


def test_a_fault_changes_the_path_of_the_right_sampler_with_the_same_noise():
    """None is a sampler of its own: at equal noise most agree with the sampler that they spoil until the error strikes."""
    p, of = problem("ring").process, Backend("torch")
    bases = [base(of, p).run(200, torch.Generator().manual_seed(3)).paths for base in (stale, poor, good)]
    agreeing = Counter()
    for f in CHAINS:
        if f.labelled:
            continue
        paths = build(f.name, p, "torch").run(200, torch.Generator().manual_seed(3)).paths
        assert not any(torch.equal(paths, base) for base in bases) or f.expected != "caught", f.name
        agreeing[f.group] += any(bool((paths[:, :3] == base[:, :3]).all(2).all(1).any()) for base in bases)
    assert agreeing["block"] == 13
    assert agreeing["coupling"] >= 8


def test_bounds_on_power_are_those_of_two_coins():
    """No evidence gives the power alpha; more gives more; as much as separates two coins gives that power back."""
    assert limits.most_power(0.0, 1e-6) == pytest.approx(1e-6)
    for beta in (0.01, 0.5, 0.9):
        nats = beta * np.log(beta / 1e-6) + (1 - beta) * (np.log(1 - beta) - np.log(1 - 1e-6))
        assert limits.most_power(nats, 1e-6) == pytest.approx(beta, rel=1e-6)
    assert limits.most_power(1e3, 1e-6) > 0.999


def test_rounding_of_the_ratio_diverges_as_its_quadrature_says(monkeypatch):
    """Fewer bits, more divergence, fourfold a bit; without rounding none."""
    eight = limits.rounded_divergence(1.0)
    assert 1e-8 < eight < 1e-5
    monkeypatch.setattr(limits, "_to_bfloat16", lambda x: np.ldexp(np.round(np.frexp(x)[0] * 128.0) / 128.0, np.frexp(x)[1]))
    assert limits.rounded_divergence(1.0) == pytest.approx(4 * eight, rel=0.1)
    monkeypatch.setattr(limits, "_to_bfloat16", lambda x: x)
    assert limits.rounded_divergence(1.0) < 1e-12


def test_power_of_the_likelihood_ratio_for_a_last_step_that_is_too_wide(seed):
    """Against simulation of the sum of squares; fails by chance once in 10^8 runs."""
    law, plan = problem("ring").law, ex.Plan(alpha=0.01, max_paths=2_000)
    power = limits.of(fault("last-step-a-little-wider"), plan, law).power
    squares = np.random.default_rng(seed).chisquare(plan.max_paths * law.dim, 20_000)
    critical = np.quantile(np.random.default_rng(seed + 1).chisquare(plan.max_paths * law.dim, 2_000_000), 0.99)
    assert abs((1.01 * squares > critical).mean() - power) < 6 * (power * (1 - power) / 20_000) ** 0.5 + 5e-4


def test_names_that_there_are_not():
    with pytest.raises(ex.BadInput, match="there is no control 'nothing'"):
        chosen(["nothing"])
