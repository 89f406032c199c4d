"""The trained networks: torch and JAX agree, a row is a row's business, and the weights do what their page says."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from exactness_samplers import weights
from exactness_samplers.schedules import cosine_betas, ddpm, rectified_flow
from exactness_samplers.torch import networks

from studies.digits.data import band_losses, pictures, pilots, said, trained
from studies.digits.measure import drafted, drafts
from studies.digits.recipes import Recipe
from studies.digits.train import train
from tests.conftest import module_or_skip

SCHEDULES = {
    **{f"ddpm-{k}": ddpm(cosine_betas(k), "small") for k in (30, 250)},
    "rectified-flow": rectified_flow(50, 1.0),
}
LOADERS = ("digits_network", "digits_distilled", "digits_ahead")


def states(schedule, n: int = 24, lag: int = 5):
    """Noised pictures at steps of every size, and a noisier state of each: steps, x, base steps, base x, clean."""
    generator = np.random.default_rng(3)
    clean = pictures()[1].numpy().astype(np.float64)[:n]
    steps = np.linspace(1, schedule.steps, n).astype(np.int64)
    base = np.minimum(steps + lag, schedule.steps)
    x, base_x = (
        schedule.signal[k][:, None] * clean + schedule.noise[k][:, None] * generator.standard_normal(clean.shape)
        for k in (steps, base)
    )
    return steps, x, base, base_x, clean


def call(loader: str, schedule, dtype=torch.float64, rows=slice(None)):
    steps, x, base, base_x, clean = (a[rows] for a in states(schedule))
    network = getattr(networks, loader)(schedule)
    put = lambda a: torch.as_tensor(a, dtype=dtype)  # noqa: E731
    if loader == "digits_ahead":
        return network(torch.as_tensor(steps), put(x), torch.as_tensor(base), put(base_x), put(clean))
    return network(torch.as_tensor(steps), put(x))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_torch_and_jax_agree(loader, schedule, dtype, tolerance):
    jax = module_or_skip("jax")
    mirrored = module_or_skip("exactness_samplers.jax.networks")
    of = SCHEDULES[schedule]
    steps, x, base, base_x, clean = states(of)
    expected = call(loader, of, getattr(torch, dtype)).numpy()
    with jax.enable_x64(dtype == "float64"):
        network = getattr(mirrored, loader)(of)
        arguments = (steps, x.astype(dtype))
        if loader == "digits_ahead":
            arguments = (*arguments, base, base_x.astype(dtype), clean.astype(dtype))
        arguments = tuple(jax.numpy.asarray(a) for a in arguments)
        compiled, eager = jax.jit(network.__call__)(*arguments), network(*arguments)
        assert compiled.dtype == expected.dtype == dtype
        np.testing.assert_allclose(np.asarray(compiled), expected, atol=tolerance)
        np.testing.assert_allclose(np.asarray(eager), expected, atol=tolerance)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_row_does_not_depend_on_its_batch(loader):
    """Alone, in part of the batch, or with rows at other steps: the same but for the rounding of a matrix product."""
    schedule = SCHEDULES["ddpm-250"]
    whole = call(loader, schedule)
    assert whole.shape == (24, 64)
    torch.testing.assert_close(call(loader, schedule, rows=slice(7, 8)), whole[7:8], rtol=0, atol=1e-13)
    torch.testing.assert_close(call(loader, schedule, rows=slice(3, 20)), whole[3:20], rtol=0, atol=1e-13)
    single = call(loader, schedule, torch.float32)
    torch.testing.assert_close(call(loader, schedule, torch.float32, rows=slice(7, 8)), single[7:8], rtol=0, atol=5e-6)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("steps", [30, 1000])
def test_predictions_are_finite_and_tame_at_the_extremes(loader, steps):
    """The first and the last step, states where chains are and far from there; the empty batch."""
    schedule = ddpm(cosine_betas(steps))
    network = getattr(networks, loader)(schedule)
    x = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.0, 1.0, 10.0]).repeat(2)[:, None]
    k = torch.tensor([1, 1, 1, steps, steps, steps])
    for base in (k, torch.full((6,), steps)):
        found = network(k, x, base, x, torch.zeros(6, 64)) if loader == "digits_ahead" else network(k, x)
        assert torch.isfinite(found).all()
        assert found.abs().max() < 1_000.0
    none = k[:0], x[:0]
    empty = network(*none, *none, x[:0]) if loader == "digits_ahead" else network(*none)
    assert empty.shape == (0, 64)


def test_one_set_of_weights_serves_every_schedule():
    """Two schedules with the same ratio of noise to signal are the same question."""
    diffusion, flow = SCHEDULES["ddpm-250"], SCHEDULES["rectified-flow"]
    y = pictures()[1][:51].double()
    by_flow = networks.digits_network(flow)(torch.arange(1, 51), y[:50] * torch.as_tensor(flow.signal[1:])[:, None])
    arrays = {name: torch.as_tensor(a).double() for name, a in weights.load(weights.path("digits")).arrays.items()}
    direct = said(arrays, torch.as_tensor(np.log(flow.noise[1:] / flow.signal[1:])), y[:50])
    torch.testing.assert_close(by_flow, direct, rtol=0, atol=1e-12)
    last = networks.digits_network(diffusion)(torch.tensor([250]), torch.zeros(1, 64).double())
    torch.testing.assert_close(last[0], arrays["mean"], rtol=0, atol=0.05)


def test_nothing_is_added_at_lag_zero():
    schedule = SCHEDULES["ddpm-30"]
    steps, x, _, _, clean = (torch.as_tensor(a) for a in states(schedule))
    assert torch.equal(networks.digits_ahead(schedule)(steps, x, steps, x, clean), clean)


def test_sizes():
    loaded = {name: weights.load(weights.path(name)) for name in weights.NAMES}
    counts = {name: trained(of.arrays) for name, of in loaded.items()}
    assert counts == {name: int(of.metadata["parameters"]) for name, of in loaded.items()}
    assert counts["digits"] <= 300_000
    assert counts["digits_distilled"] <= 30_000
    assert counts["digits_ahead"] <= 50_000
    assert sum(weights.path(name).stat().st_size for name in weights.NAMES) <= 2_000_000
    for of in loaded.values():
        assert "UCI" in of.metadata["data"]
        assert of.metadata["command"] == "python -m studies.digits"


def test_the_recorded_losses_are_those_of_the_weights():
    of = weights.load(weights.path("digits"))
    p = {name: torch.as_tensor(a) for name, a in of.arrays.items()}
    found = band_losses(lambda level, y: said(p, level, y), pictures()[1], repeats=4, seed=5)
    np.testing.assert_allclose(found, json.loads(of.metadata["losses"])["held_out"], rtol=0.1)


def test_drafters_are_better_than_plain_reuse_on_chains_that_trained_nobody():
    """Fixed seeds. The margins are about half of what the page reports; the distilled network pays at long lags only."""
    arrays = {name: weights.load(weights.path(name)).arrays for name in weights.NAMES}
    for of in pilots(arrays["digits"], 8, seed=11, counts=(30, 100)):
        candidates = drafts(of, arrays["digits_distilled"], arrays["digits_ahead"])
        for lag in (1, 4, 16):
            error, accepted = zip(*(drafted(of, candidates[name], lag) for name in ("reuse", "ahead", "distilled")), strict=True)
            assert error[1] < 0.6 * error[0]
            assert accepted[1] > accepted[0]
            assert lag < 16 or error[2] < 0.3 * error[0]
        assert error[2] < 0.02


def test_training_runs_and_repeats(tmp_path):
    """A dozen updates of tiny networks: files that load, and the same numbers from the same seeds."""
    tiny = Recipe(steps=12, batch=32, width=8, blocks=1, dropout=0.1)
    for folder in ("once", "again"):
        train(tmp_path / folder, (tiny, tiny, tiny), pilot_chains=2)
    for name in weights.NAMES:
        once, again = (weights.load(tmp_path / folder / weights.path(name).name).arrays for folder in ("once", "again"))
        assert all(np.isfinite(once[key]).all() and np.array_equal(once[key], again[key]) for key in once)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_bad_files_say_what_to_do(backend, tmp_path, monkeypatch):
    module_or_skip(backend)
    of, schedule = module_or_skip(f"exactness_samplers.{backend}.networks"), SCHEDULES["ddpm-30"]
    with pytest.raises(FileNotFoundError, match=r"studies\.digits"):
        of.digits_network(schedule, tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.path("digits").read_bytes()[:5_000])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        of.digits_distilled(schedule, broken)
    with pytest.raises(ValueError, match="not the weights of this network"):
        of.digits_ahead(schedule, weights.path("digits"))
    with pytest.raises(ValueError, match="shape"):
        of.digits_network(schedule, weights.path("digits_ahead"))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        of.digits_network(schedule)


def test_unknown_weights():
    with pytest.raises(ValueError, match="choose among digits"):
        weights.path("letters")


def test_without_the_package_of_weights_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "exactness_digits", None)
    with pytest.raises(FileNotFoundError, match=r"exactness-digits, which is not installed: pip install"):
        weights.path("digits")
