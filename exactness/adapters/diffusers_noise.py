"""The noise of a scheduler's steps, read off the scheduler itself.

The ``step`` of a scheduler is affine in the noise that it draws. The noise is therefore replaced: with zeros, the step returns its
mean; with a constant, the difference from the mean gives the standard deviation of every pixel. In this way the law is read off the
scheduler itself, whatever its formula is, and variances that the model predicts are part of it.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from .diffusers_steps import Steps, given, moved_with

if TYPE_CHECKING:
    from torch import Tensor

# With noise this large, the mean of a step is lost in rounding, so sigma is read off to the last digits.
_LOUD = 2.0**16
_PROBES = 4
# Noise below this many roundings of the state counts as 0. A variance of 1e-20, as in DDPM's last step, is 0 in float32.
_SILENT = 64.0
# An image in a batch and the same image alone may differ by this share of the output, because sums have another order (half of
# TF32's digits).
_COUPLED = 1e-2


def read_off(steps: Steps, advise: bool = True) -> tuple[np.ndarray, bool]:
    """Read off sigma_1, ..., sigma_K and check that the steps form a Gaussian chain. Also says whether they depend on the state.

    The model is evaluated K + 3 times, on 4 states. Raises ``BadInput``.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (_PROBES, *steps.shape)
    x = steps.spread * torch.randn(shape, generator=generator, dtype=steps.dtype).to(steps.device)
    _check_model(steps, x)
    walker, found, asked, remembers = copy.deepcopy(steps.scheduler), [], 0, None
    for i in range(steps.count):
        output = steps.predict(walker, i, x)
        noise = torch.randn(shape, generator=generator, dtype=steps.dtype).to(steps.device)
        twice = [moved_with(steps, i, x, output, noise) for _ in range(2)]
        if bool(torch.isfinite(twice[0]).all()) and not torch.equal(*twice):
            raise BadInput(
                f"step {steps.count - i} of {steps.name} draws noise, but its noise is not torch.randn's: noise of torch.normal, "
                "normal_(), torch.rand or numpy cannot be read off. Draw it with torch.randn or diffusers' randn_tensor"
            )
        with given(noise) as draws:
            moved = steps.move(walker, i, x, output)
        asked += len(draws)
        if not bool(torch.all(torch.isfinite(moved))):
            raise BadInput(
                f"step() of {steps.name} is NaN or infinite at timestep {float(steps.scheduler.timesteps[i]):g}, step "
                f"{steps.count - i}: look at the model there, and at the scheduler's variance_type and betas"
            )
        if len(draws) > 1:
            raise BadInput(f"step {steps.count - i} of {steps.name} draws noise {len(draws)} times; it may do so once")
        alone, mean, loud = (moved_with(steps, i, x, output, value) for value in (noise, 0.0, _LOUD))
        if remembers is None and not torch.equal(moved, alone):
            remembers = steps.count - i
        if remembers is None:
            found.append(_sigma_of(steps, i, noise, moved, mean, loud))
        x = moved
    if not asked:
        raise BadInput(
            f"{steps.name} draws no noise with these settings: it solves an ODE, and a deterministic path has no randomness to "
            f"certify. {_advice(steps) if advise else ''}"
        )
    if remembers is not None:
        raise BadInput(
            f"step {remembers} of {steps.name} depends on earlier steps, not on its state alone (a solver with a memory), so the "
            f"steps do not form a chain. {_advice(steps) if advise else ''}"
        )
    return np.array([sigma for sigma, _ in found[::-1]]), any(learned for _, learned in found)


def _check_model(steps: Steps, x: Tensor) -> None:
    """Check at the first step that the model is a function of one image at a time. Raises ``BadInput``."""
    import torch

    # If the scheduler itself is broken at the first step, another message says so.
    if not bool(torch.isfinite(steps.scaled(steps.at(0), 0, x)).all()):
        return
    output, again, alone = (steps.predict(steps.at(0), 0, states) for states in (x, x, x[:1]))
    if not bool(torch.isfinite(output).all()):
        raise BadInput(
            "the model returns NaN or infinity at pure noise, the first step's states: look at its weights and its scale"
        )
    if not torch.equal(output, again):
        raise BadInput("two calls of the model with the same states differ: switch dropout off with model.eval()")
    size = float(output.double().square().mean().sqrt())
    if alone.shape[1:] != output.shape[1:] or float((output[:1] - alone).abs().max()) > _COUPLED * size:
        raise BadInput(
            "the model's output for an image depends on the other images of its batch, so paths would not be independent. Look for "
            "means or norms over the batch (BatchNorm: model.eval())"
        )


def deviations(steps: Steps, i: int, x: Tensor, output: Tensor) -> Tensor:
    """The standard deviations of the noise of the i-th step from x (n, *shape), for every number of it."""
    mean, loud = (moved_with(steps, i, x, output, value).double() for value in (0.0, _LOUD))
    return ((loud - mean) / _LOUD).abs()


def _sigma_of(steps: Steps, i: int, noise: Tensor, moved: Tensor, mean: Tensor, loud: Tensor) -> tuple[float, bool]:
    """The standard deviation of the noise of the i-th step, and whether it depends on the state; its mean is returned then.

    Raises ``BadInput`` if the step with ``noise`` does not confirm it.
    """
    import torch

    noise, moved, mean, loud = (v.double() for v in (noise, moved, mean, loud))
    each = (loud - mean) / _LOUD
    sigma = float(each.mean())
    size = float(mean.square().mean().sqrt()) + abs(sigma)
    if not math.isfinite(sigma):
        raise BadInput(
            f"the noise of step {steps.count - i} of {steps.name} is not finite, or overflows {steps.dtype} when it is large"
        )
    rounding = _SILENT * torch.finfo(steps.dtype).eps * size
    allowed = 1e-3 * abs(sigma) + rounding
    if float((moved - mean - sigma * noise).abs().max()) <= allowed:
        return (abs(sigma) if abs(sigma) > rounding else 0.0), False
    gap = float((moved - mean - each * noise).abs().max())
    if gap > allowed or bool((each <= rounding).any()):
        raise BadInput(
            f"the noise of step {steps.count - i} of {steps.name} is not Gaussian with independent pixels (off by {gap:.3g} at "
            f"sigma {sigma:.3g}): clipped states do not make a Gaussian chain"
        )
    return sigma, True


def _advice(steps: Steps) -> str:
    """Which other settings make a Gaussian chain of this scheduler, tried out; and else what can be done. A sentence."""
    for words, other in _alternatives(steps):
        # A scheduler may accept a setting and ignore it, or refuse it with any exception.
        with contextlib.suppress(Exception):
            read_off(other, advise=False)
            return f"With {words} its steps make a chain: set it for the law and for the sampler"
    order = getattr(steps.scheduler, "order", 1)
    simpler = ""
    if isinstance(order, int) and order > 1:
        simpler = f"It takes {order} evaluations per step; take a solver of first order that draws noise, or j"
    return (simpler or "J") + "udge its final images: with a law of images, or with exactness.compare against another sampler"


def _alternatives(steps: Steps) -> Iterator[tuple[str, Steps]]:
    """Settings with which a scheduler of this kind may draw noise or forget earlier steps, in words and done."""
    taken = inspect.signature(steps.scheduler.step).parameters
    for name, words in (("eta", "eta=1.0"), ("s_churn", 'options={"s_churn": 1.0}')):
        if name in taken and not steps.options.get(name):
            yield words, replace(steps, options={**steps.options, name: 1.0})
    settings, kind = dict(getattr(steps.scheduler, "config", None) or {}), type(steps.scheduler)
    for changes in ({"solver_order": 1}, {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}, {"stochastic_sampling": True}):
        if set(changes) <= set(settings) and any(settings[name] != value for name, value in changes.items()):
            with contextlib.suppress(Exception):
                other = kind.from_config(settings, **changes)
                other.set_timesteps(steps.count, device=steps.device)
                words = ", ".join(f"{name}={value!r}" for name, value in changes.items())
                yield f"{kind.__name__}({words})", replace(steps, scheduler=other)
