"""Schedulers, models and pipelines of diffusers: the chain that a scheduler's steps make, and samplers that give whole paths.

A scheduler's ``step`` is affine in the noise that it draws. What torch would draw is replaced: by nothing, and the step is its
mean; by a constant, and the difference is sigma. So the law is read off the scheduler itself, whatever its formula is, through
``set_timesteps``, ``timesteps``, ``init_noise_sigma``, ``scale_model_input`` and ``step`` alone, and diffusers is not imported.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, as_kind, kind_of, like, to_numpy
from ..errors import BadInput, InvalidSample
from ..laws import GaussianChain
from .libraries import needs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Loop = Callable[[int, "torch.Generator", Any], object]
"""``loop(n, generator, scheduler)``: draws n images by calling ``scheduler.step`` once a step; what it returns is not looked at."""

# Models see about so many numbers at a time.
_SLICE = 1 << 18
# Noise so large that a step's mean is lost in its rounding: sigma is then read off to the last digits.
_LOUD = 2.0**16
_PROBES = 4
# Noise below so many roundings of the state is none: a step of variance 1e-20, as DDPM's last, is deterministic in float32.
_SILENT = 64.0
# An image in a batch and alone may differ by so much of the output's size, the order of sums: half of TF32's digits.
_COUPLED = 1e-2


def from_scheduler(
    scheduler: Any,
    model: Callable[..., Any],
    shape: tuple[int, ...],
    *,
    num_inference_steps: int | None = None,
    options: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> GaussianChain:
    """The chain that a stochastic scheduler makes of a model: DDPM, DDIM with ``eta`` > 0, Euler ancestral, ..

    The mean may be any function of the state, so clipped and thresholded predictions are part of the law. Steps that draw no
    noise, or less than the states' precision holds, are deterministic. States are flattened, (n, K + 1, prod(shape)).

    Args:
        scheduler: is copied, never changed.
        model: ``model(x, t)``, x (n, *shape) -> tensor of that shape, or anything whose first entry it is (``UNet2DModel``).
        shape: of one image, (C, H, W).
        num_inference_steps: for ``set_timesteps``; None if that has been called.
        options: further arguments of ``step``, as ``{"eta": 1.0}``.
        dtype: of the states; that of the model's parameters if left out, float32 if it has none.

    Raises:
        BadInput: if no step draws noise (an ODE solver), if a step needs what earlier steps left behind (a multistep solver), if
            its noise is not torch.randn's, or not one Gaussian of a fixed variance (learned variances, clipped states); if the
            model is random, gives NaN, or mixes the images of a batch; if the states have fewer bits than float32.

    >>> import exactness as ex, torch
    >>> from diffusers import DDPMScheduler, UNet2DModel
    >>> unet = UNet2DModel(8, 1, 1, down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"],
    ...                    block_out_channels=[8], layers_per_block=1, norm_num_groups=4)
    >>> here = DDPMScheduler(), unet, (1, 8, 8)
    >>> law = from_scheduler(*here, num_inference_steps=4)
    >>> sample = sample_scheduler(*here, num_inference_steps=4)
    >>> ex.certify(sample, law, plan=ex.Plan(tolerance=0.25, max_paths=1_000)).verdict.value
    'certified'
    """
    with needs("diffusers"):
        import torch

    steps = _Steps.of(scheduler, model, shape, num_inference_steps, options, dtype)
    # Whatever noise a step draws, the user's generators stay as they are.
    forked = [steps.device] if steps.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=forked):
        sigma = _read(steps)

    def mean(k: int, x: Array) -> Array:
        with torch.no_grad():
            states = as_kind(x, "torch").to(steps.device, steps.dtype).reshape(-1, *steps.shape)
            result = torch.cat([_mean(steps, steps.count - k, part) for part in states.split(steps.rows)]).reshape(tuple(x.shape))
        return result.to(x.device) if kind_of(x) == "torch" else like(to_numpy(result), x)

    return GaussianChain.from_mean(mean, sigma=sigma, dim=math.prod(steps.shape), start=(0.0, steps.spread), name=steps.name)


def sample_scheduler(
    scheduler: Any,
    model: Callable[..., Any],
    shape: tuple[int, ...],
    *,
    num_inference_steps: int | None = None,
    options: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Callable[[int, int], Tensor]:
    """``sample(n, seed)`` -> paths (n, K + 1, prod(shape)), by the loop that diffusers documents. Arguments as above.

    Any scheduler will do, ODE solvers included.
    """
    steps = _Steps.of(scheduler, model, shape, num_inference_steps, options, dtype)

    def loop(n: int, generator: torch.Generator, fresh: Any) -> None:
        import torch

        x = steps.spread * torch.randn(n, *steps.shape, generator=generator, dtype=steps.dtype).to(steps.device)
        for i in range(steps.count):
            x = steps.move(fresh, i, x, steps.predict(fresh, i, x), generator)

    return sample_loop(loop, steps.scheduler, batch=steps.rows)


def sample_loop(loop: Loop, scheduler: Any, *, batch: int = 1024) -> Callable[[int, int], Tensor]:
    """``sample(n, seed)`` -> whole paths (n, K + 1, d), x_K first, of a loop of your own that calls ``scheduler.step``.

    What goes into every step is recorded, and what comes out of the last: so what the loop does between steps is judged too.

    Args:
        loop: ``loop(n, generator, scheduler)``, with a recording copy of the scheduler; the seed is in the generator, a
            ``torch.Generator`` on the CPU, which diffusers takes for any device.
        batch: most images at a time.
    """

    def sample(n: int, seed: int) -> Tensor:
        import torch

        generator, paths = torch.Generator().manual_seed(seed), []
        with torch.no_grad():
            for first in range(0, n, batch):
                recording, states = _recorded(scheduler)
                count = min(batch, n - first)
                loop(count, generator, recording)
                if not states:
                    raise InvalidSample("the loop never called step() of the scheduler it was given: there is no path to judge")
                paths.append(torch.stack([s.reshape(count, -1) for s in states], dim=1))
        return torch.cat(paths)

    return sample


def sample_pipeline(pipeline: Any, *, batch: int = 64, **options: Any) -> Callable[[int, int], Tensor]:
    """``sample(n, seed)`` -> whole paths of an unconditional pipeline, as ``DDPMPipeline``.

    ``options`` go to every call, as ``num_inference_steps=50``; pipelines that take no ``batch_size`` need :func:`sample_loop`.

    >>> from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    >>> unet = UNet2DModel(8, 1, 1, down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"],
    ...                    block_out_channels=[8], layers_per_block=1, norm_num_groups=4)
    >>> pipeline = DDPMPipeline(unet, DDPMScheduler())
    >>> pipeline.set_progress_bar_config(disable=True)
    >>> sample_pipeline(pipeline, num_inference_steps=4)(3, 0).shape
    torch.Size([3, 5, 64])
    """
    if not callable(pipeline) or not callable(getattr(getattr(pipeline, "scheduler", None), "step", None)):
        raise BadInput(f"a pipeline is called, and has a scheduler with step(), as DDPMPipeline; {type(pipeline).__name__} has not")

    def loop(n: int, generator: torch.Generator, recording: Any) -> None:
        own = pipeline.scheduler
        pipeline.scheduler = recording
        try:
            pipeline(batch_size=n, generator=generator, **{"output_type": "np", **options})
        finally:
            pipeline.scheduler = own

    return sample_loop(loop, pipeline.scheduler, batch=batch)


@dataclass(frozen=True)
class _Steps:
    """A scheduler whose timesteps are set, with the model that its steps call."""

    scheduler: Any
    model: Callable[..., Any]
    shape: tuple[int, ...]
    options: dict[str, Any]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(
        cls, scheduler: Any, model: Callable, shape: tuple, steps: int | None, options: dict | None, dtype: torch.dtype | None
    ) -> _Steps:
        with needs("diffusers"):
            import torch

        if isinstance(scheduler, type):
            raise BadInput(f"give a scheduler, not its class: {scheduler.__name__}() instead of {scheduler.__name__}")
        if not callable(getattr(scheduler, "step", None)) or not callable(getattr(scheduler, "set_timesteps", None)):
            raise BadInput(f"a scheduler has step() and set_timesteps(); {type(scheduler).__name__} has not")
        if not callable(model):
            raise BadInput(f"the model must be callable as model(x, t); got {type(model).__name__}")
        if not isinstance(shape, (tuple, list)) or not shape or not all(isinstance(s, int) and s > 0 for s in shape):
            raise BadInput(f"shape must be that of one image, as (3, 32, 32), without the batch; got {shape!r}")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1):
            raise BadInput(
                f"num_inference_steps must be an integer of at least 1, or None if set_timesteps was called; got {steps!r}"
            )
        one = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
        device = torch.device("cpu") if one is None else one.device
        dtype = dtype or (torch.float32 if one is None else one.dtype)
        if dtype not in (torch.float32, torch.float64):
            raise BadInput(
                f"states in {dtype} do not hold the noise that is to be judged: take the model in single precision, model.float(), "
                "and dtype=torch.float32 or torch.float64"
            )
        scheduler = copy.deepcopy(scheduler)
        if steps is not None:
            try:
                scheduler.set_timesteps(int(steps), device=device)
            except ValueError as error:
                raise BadInput(f"set_timesteps({steps}) of {type(scheduler).__name__}: {error}") from error
        return cls(scheduler, model, tuple(shape), options or {}, dtype, device)

    @property
    def name(self) -> str:
        return type(self.scheduler).__name__

    @property
    def count(self) -> int:
        return len(self.scheduler.timesteps)

    @property
    def rows(self) -> int:
        return max(1, _SLICE // math.prod(self.shape))

    def at(self, i: int) -> Any:
        """A copy that has taken no step yet, about to take the i-th."""
        fresh = copy.deepcopy(self.scheduler)
        if callable(getattr(fresh, "set_begin_index", None)):
            fresh.set_begin_index(i)
        return fresh

    @property
    def spread(self) -> float:
        """The standard deviation of x_K; schedulers of flows do not say that it is 1."""
        return float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def scaled(self, scheduler: Any, i: int, x: Tensor) -> Tensor:
        """What the model sees of the state at the i-th step."""
        scale = getattr(scheduler, "scale_model_input", None)
        return scale(x, scheduler.timesteps[i]) if callable(scale) else x

    def predict(self, scheduler: Any, i: int, x: Tensor) -> Tensor:
        """The model's output at the i-th step, (n, ...)."""
        import torch

        output = self.model(self.scaled(scheduler, i, x), scheduler.timesteps[i])
        return output if isinstance(output, torch.Tensor) else output[0]

    def move(self, scheduler: Any, i: int, x: Tensor, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The i-th step from x (n, *shape), given the model's output there."""
        options = dict(self.options)
        if "generator" in inspect.signature(scheduler.step).parameters:
            options["generator"] = generator
        # Some schedulers find their place, or insist, when the model's input is scaled.
        self.scaled(scheduler, i, x)
        return scheduler.step(output, scheduler.timesteps[i], x, return_dict=False, **options)[0]


def _mean(steps: _Steps, i: int, x: Tensor) -> Tensor:
    """The i-th step without its noise."""
    return _moved_with(steps, i, x, steps.predict(steps.at(i), i, x), 0.0)


def _read(steps: _Steps) -> np.ndarray:
    """sigma_1 .. sigma_K, and that the steps are those of a Gaussian chain. The model is evaluated K + 3 times, on 4 states."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (_PROBES, *steps.shape)
    x = steps.spread * torch.randn(shape, generator=generator, dtype=steps.dtype).to(steps.device)
    _check_model(steps, x)
    walker, sigma, asked, remembers = copy.deepcopy(steps.scheduler), [], 0, None
    for i in range(steps.count):
        output = steps.predict(walker, i, x)
        noise = torch.randn(shape, generator=generator, dtype=steps.dtype).to(steps.device)
        twice = [_moved_with(steps, i, x, output, noise) for _ in range(2)]
        if bool(torch.isfinite(twice[0]).all()) and not torch.equal(*twice):
            raise BadInput(
                f"step {steps.count - i} of {steps.name} draws noise, but its noise is not torch.randn's: what torch.normal, "
                "normal_(), torch.rand or numpy draws cannot be read off. Draw it with torch.randn or diffusers' randn_tensor"
            )
        with _given(noise) as draws:
            moved = steps.move(walker, i, x, output)
        asked += len(draws)
        if not bool(torch.all(torch.isfinite(moved))):
            raise BadInput(
                f"step() of {steps.name} is NaN or infinite at timestep {float(steps.scheduler.timesteps[i]):g}, step "
                f"{steps.count - i}: look at the model there, and at the scheduler's variance_type and betas"
            )
        if len(draws) > 1:
            raise BadInput(f"step {steps.count - i} of {steps.name} draws noise {len(draws)} times; one a step can be read off")
        alone, mean, loud = (_moved_with(steps, i, x, output, value) for value in (noise, 0.0, _LOUD))
        if remembers is None and not torch.equal(moved, alone):
            remembers = steps.count - i
        if remembers is None:
            sigma.append(_sigma_of(steps, i, noise, moved, mean, loud))
        x = moved
    if not asked:
        raise BadInput(
            f"{steps.name} draws no noise with these settings: it solves an ODE, and a deterministic path has no randomness to "
            "certify. Judge its final images, against a law of them or, with exactness.compare, another sampler's"
        )
    if remembers is not None:
        raise BadInput(
            f"step {remembers} of {steps.name} depends on earlier steps, not on its state alone (a multistep solver): it makes no "
            "chain. Take solver_order=1 where there is one, or compare final images with exactness.compare"
        )
    return np.array(sigma[::-1])


def _check_model(steps: _Steps, x: Tensor) -> None:
    """That the model is a function of one image at a time, at the first step. Raises ``BadInput``."""
    import torch

    # Schedulers may be broken at the first step already: theirs is another message.
    if not bool(torch.isfinite(steps.scaled(steps.at(0), 0, x)).all()):
        return
    output, again, alone = (steps.predict(steps.at(0), 0, states) for states in (x, x, x[:1]))
    if not bool(torch.isfinite(output).all()):
        raise BadInput("the model gives NaN or infinity at pure noise, the first step's states: look at its weights and its scale")
    if not torch.equal(output, again):
        raise BadInput("two calls of the model at the same states differ: switch dropout off with model.eval()")
    size = float(output.double().square().mean().sqrt())
    if not alone.shape[1:] == output.shape[1:] or float((output[:1] - alone).abs().max()) > _COUPLED * size:
        raise BadInput(
            "the model's output for an image depends on the other images of its batch: paths would not be independent. Look for "
            "means or norms over the batch (BatchNorm: model.eval())"
        )


def _moved_with(steps: _Steps, i: int, x: Tensor, output: Tensor, noise: Tensor | float) -> Tensor:
    """The i-th step by a copy that has taken none before, with this noise."""
    with _given(noise):
        return steps.move(steps.at(i), i, x, output)


def _sigma_of(steps: _Steps, i: int, noise: Tensor, moved: Tensor, mean: Tensor, loud: Tensor) -> float:
    """The standard deviation of the i-th step's noise, which the step with ``noise`` must confirm. Raises ``BadInput`` if not."""
    import torch

    noise, moved, mean, loud = (v.double() for v in (noise, moved, mean, loud))
    sigma = float((loud - mean).mean()) / _LOUD
    size = float(mean.square().mean().sqrt()) + abs(sigma)
    if not math.isfinite(sigma):
        raise BadInput(
            f"the noise of step {steps.count - i} of {steps.name} is not finite, or overflows {steps.dtype} when it is large"
        )
    rounding = _SILENT * torch.finfo(steps.dtype).eps * size
    gap = float((moved - mean - sigma * noise).abs().max())
    if gap > 1e-3 * abs(sigma) + rounding:
        raise BadInput(
            f"the noise of step {steps.count - i} of {steps.name} is not one Gaussian of a fixed variance (off by {gap:.3g} at "
            f"sigma {sigma:.3g}): learned variances and clipped states are no Gaussian chain"
        )
    return abs(sigma) if abs(sigma) > rounding else 0.0


def _recorded(scheduler: Any) -> tuple[Any, list[Tensor]]:
    """A copy of the scheduler, and the states that go through its ``step``."""
    recording = copy.deepcopy(scheduler)
    states: list[Tensor] = []
    original = recording.step

    @functools.wraps(original)
    def step(model_output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **options: Any) -> Any:
        states[len(states) - 1 :] = [sample.detach().clone()]
        result = original(model_output, timestep, sample, *rest, **options)
        states.append(result[0].detach().clone())
        return result

    recording.step = step
    return recording, states


@contextlib.contextmanager
def _given(noise: Tensor | float) -> Iterator[list[Tensor]]:
    """Here torch's normals are ``noise``, a tensor or a constant; yields a list of what was handed out. No generator moves."""
    import torch
    from torch.overrides import TorchFunctionMode

    handed: list[Tensor] = []

    class Replaced(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            zeros: Any = {torch.randn: torch.zeros, torch.randn_like: torch.zeros_like}.get(func)
            if zeros is None:
                return func(*args, **kwargs)
            kwargs.pop("generator", None)
            handed.append(zeros(*args, **kwargs) + noise)
            return handed[-1]

    with Replaced():
        yield handed
