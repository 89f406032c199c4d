"""Faulty Markov kernels: what must see each of them, at how many draws, and what must not be refuted.

The evidence is that of ``tests/kernel_evidence.py``, which is independent of the product.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from exactness_samplers.faults import Backend
from exactness_samplers.faults.markov import KERNEL_FAULTS, kernel_fault

from tests import kernel_evidence as evidence
from tests.backends import double_precision
from tests.conftest import module_or_skip

WRONG = [fault for fault in KERNEL_FAULTS if not fault.exact]
RIGHT = [fault for fault in KERNEL_FAULTS if fault.exact]
DEAR = 20_000
"""Faults that need more draws than this are left to ``make study``."""
name = lambda fault: fault.name  # noqa: E731


def test_the_list_has_what_it_promises():
    names = [fault.name for fault in KERNEL_FAULTS]
    assert len(set(names)) == len(names)
    assert len(WRONG) >= 30
    assert {fault.seen_by for fault in WRONG} == {"paired", "partner", "joint", "transition", "margin"}
    assert all((fault.falls_by is None) == fault.exact for fault in KERNEL_FAULTS)
    assert all((fault.margin is None) == (fault.kind != "pair") for fault in KERNEL_FAULTS)
    assert all(fault.reversible for fault in WRONG if fault.seen_by == "paired")
    with pytest.raises(KeyError):
        kernel_fault("no such fault")
    with pytest.raises(ValueError, match="not a coupling"):
        kernel_fault("identity").one_chain("torch")


@pytest.mark.parametrize("fault", [f for f in WRONG if f.falls_by < DEAR], ids=name)
def test_a_fault_falls(fault, seed):
    """At four times the draws at which half of the runs see it, where all but one in a million do."""
    assert evidence.p_value(fault, 4 * fault.falls_by, seed) <= evidence.LEVEL


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in WRONG if f.falls_by >= DEAR], ids=name)
def test_a_small_fault_falls(fault, seed):
    """As above."""
    assert evidence.p_value(fault, 4 * fault.falls_by, seed) <= evidence.LEVEL


@pytest.mark.slow
@pytest.mark.parametrize("fault", WRONG, ids=name)
def test_a_fault_falls_at_the_draws_that_its_row_says(fault):
    """The median of ten seeds, with a third more draws than the row says and with a third of them; without the root seed."""
    median = lambda n: np.median([evidence.p_value(fault, n, 100 + seed) for seed in range(10)])  # noqa: E731
    assert median(int(1.34 * fault.falls_by)) <= evidence.LEVEL < median(fault.falls_by // 3)


@pytest.mark.parametrize("fault", RIGHT, ids=name)
def test_what_is_right_is_not_refuted(fault, seed):
    """4,000 draws; each is refuted by chance at most once in a million."""
    assert evidence.p_value(fault, 4_000, seed) > evidence.LEVEL


def test_what_is_invariant_and_of_no_use_is_seen_by_its_moves():
    x = kernel_fault("identity").target.draws(400, 0)
    moved = {n: (evidence.moved(kernel_fault(n), x, 0) != x).mean(0) for n in ("identity", "one-coordinate-never-updated")}
    assert not moved["identity"].any()
    assert moved["one-coordinate-never-updated"][0] > 0.5
    assert moved["one-coordinate-never-updated"][1] == 0.0
    assert (evidence.moved(kernel_fault("step-far-too-large"), x, 0) != x).mean() < 0.02
    far = kernel_fault("never-crosses")
    start = far.target.draws(400, 0)
    assert (np.sign(evidence.moved(far, start, 0)) == np.sign(start)).all()


def after_a_meeting(fault, steps: int = 5):
    """Pairs that start together, and the share of them that is together after each step."""
    x = y = torch.as_tensor(fault.target.draws(400, 0))
    shares = []
    for k in range(steps):
        x, y = fault.kernel("torch")(x, y, k)
        shares.append(float((x == y).all(1).double().mean()))
    return shares


def test_right_pairs_stay_together_and_useless_ones_do_not():
    assert after_a_meeting(kernel_fault("right-walk-pair")) == [1.0] * 5
    assert after_a_meeting(kernel_fault("right-gibbs-pair")) == [1.0] * 5
    assert after_a_meeting(kernel_fault("parted-after-meeting"))[-1] < 0.9
    assert after_a_meeting(kernel_fault("independent-chains"))[-1] < 0.1
    pair = kernel_fault("gibbs-pair-never-meets")
    x, y = (torch.as_tensor(pair.target.draws(400, seed)) for seed in (0, 1))
    for k in range(20):
        x, y = pair.kernel("torch")(x, y, k)
    assert not (x == y).any()
    assert (x - y).abs().mean() < 0.3


def stepped(fault, of: str):
    """One step on fixed noise."""
    backend, kernels = Backend(of), importlib.import_module(f"exactness_samplers.{of}.kernels")
    g, n = np.random.default_rng(0), 40
    noise = g.standard_normal((n, fault.size[0])), g.random((n, fault.size[1]))
    if fault.kind == "joint":
        theta = fault.target.prior(n, 0)
        at = theta, fault.target.simulate(theta, 1)
    else:
        at = tuple(fault.target.draws(n, seed) for seed in range(2 if fault.kind == "pair" else 1))
    put = torch.as_tensor if of == "torch" else module_or_skip("jax").numpy.asarray
    return [np.asarray(part) for part in fault.instead(backend, *map(put, at), kernels.Noise(*map(put, noise)))]


def assert_the_same_in_jax(fault):
    with double_precision(True):
        for a, b in zip(stepped(fault, "torch"), stepped(fault, "jax"), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fault", ["ising-open-edge", "slice-bracket-centred", "likelihood-twice", "proposal-always-shared"])
def test_some_faults_are_the_same_in_jax(fault):
    """``make study`` has them all."""
    assert_the_same_in_jax(kernel_fault(fault))


@pytest.mark.slow
@pytest.mark.parametrize("fault", KERNEL_FAULTS, ids=name)
def test_every_fault_is_the_same_in_jax(fault):
    assert_the_same_in_jax(fault)


def test_faulty_kernels_run_in_jax():
    module_or_skip("jax")
    fault = kernel_fault("likelihood-twice")
    theta = fault.target.prior(30, 0)
    after = np.asarray(fault.kernel("jax")(theta, fault.target.simulate(theta, 1), seed=2))
    assert after.shape == theta.shape
    assert np.isfinite(after).all()
    assert (after != theta.astype(after.dtype)).any()
