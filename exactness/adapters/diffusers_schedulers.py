"""Schedulers, models and pipelines of diffusers: the chain that the steps of a scheduler make, and samplers of whole paths.

The law is read off the scheduler itself, see :mod:`.diffusers_noise`. This uses only ``set_timesteps``, ``timesteps``,
``init_noise_sigma``, ``scale_model_input`` and ``step``; diffusers is not imported.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..arrays import Array, as_kind, kind_of, like, to_numpy
from ..errors import BadInput, InvalidSample
from ..laws import GaussianChain
from .diffusers_noise import deviations, read_off
from .diffusers_steps import Outputs, Steps, moved_with
from .libraries import needs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Loop = Callable[[int, "torch.Generator", Any], object]
"""``loop(n, generator, scheduler)`` draws n images by calling ``scheduler.step`` once per step. Its return value is ignored."""


def from_scheduler(
    scheduler: Any,
    model: Callable[..., Any],
    shape: tuple[int, ...],
    *,
    num_inference_steps: int | None = None,
    eta: float | None = None,
    options: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> GaussianChain:
    """Make the law of the chain of a stochastic scheduler and a model: DDPM, DDIM with ``eta`` > 0, Euler ancestral and others.

    The mean may be any function of the state, so clipped and thresholded predictions are part of the law. A step is deterministic
    if it draws no noise, or less noise than the precision of the states resolves. Paths are flattened: (n, K + 1, prod(shape)).

    Args:
        scheduler: a scheduler, which is copied and never changed.
        model: ``model(x, t)`` for x (n, *shape). It returns a tensor of this shape, or something whose first entry is such a
            tensor (``UNet2DModel``).
        shape: the shape of one image, (C, H, W).
        num_inference_steps: the argument of ``set_timesteps``; None if that has already been called.
        eta: the argument of the ``step`` of DDIM and its relatives: 0 is an ODE, 1 is as random as DDPM.
        options: further arguments of ``step``, such as ``{"variance_noise": None}``.
        dtype: the dtype of the states. The default is that of the model's parameters, or float32 if it has no parameters.

    Raises:
        BadInput: if no step draws noise (an ODE solver); if a step depends on earlier steps (a multistep solver); if the noise
            does not come from torch.randn, or does not enter as a Gaussian with independent pixels (clipped states); if the model
            is random, returns NaN, or mixes the images of a batch; if the states have fewer bits than float32; if the scheduler or
            the model raises an exception.

    A model that predicts variances too (``variance_type="learned_range"``) makes a law whose variances depend on the state. The
    model is then called once more per step if the paths are not torch tensors.

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

    steps = Steps.of(scheduler, model, shape, num_inference_steps, _with_eta(options, eta), dtype)
    # The user's generators stay unchanged, whatever noise a step draws.
    forked = [steps.device] if steps.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=forked):
        sigma, learned = read_off(steps)
    outputs = Outputs(steps)

    def moved(k: int, x: Array, read: Callable[[int, Tensor, Tensor], Tensor]) -> Array:
        """``read(i, states, outputs)`` of the step k at the flat states x, in their kind of array."""
        with torch.no_grad():
            states = as_kind(x, "torch").to(steps.device, steps.dtype).reshape(-1, *steps.shape)
            parts = zip(states.split(steps.rows), outputs.at(steps.count - k, x, states), strict=True)
            result = torch.cat([read(steps.count - k, *part) for part in parts]).reshape(tuple(x.shape))
        return result.to(x.device) if kind_of(x) == "torch" else like(to_numpy(result), x)

    def mean(k: int, x: Array) -> Array:
        return moved(k, x, lambda i, states, output: moved_with(steps, i, states, output, 0.0))

    def spread(k: int, x: Array) -> Array:
        return moved(k, x, lambda i, states, output: deviations(steps, i, states, output) / float(sigma[k - 1]))

    return GaussianChain.from_mean(
        mean,
        sigma=sigma,
        dim=math.prod(steps.shape),
        spread=spread if learned else None,
        start=(0.0, steps.spread),
        name=steps.name,
    )


def sample_scheduler(
    scheduler: Any,
    model: Callable[..., Any],
    shape: tuple[int, ...],
    *,
    num_inference_steps: int | None = None,
    eta: float | None = None,
    options: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Callable[[int, int], Tensor]:
    """Make a sampler ``sample(n, seed)`` -> paths (n, K + 1, prod(shape)), with the loop that diffusers documents.

    The arguments are those of :func:`from_scheduler`. Every scheduler works here, including ODE solvers.

    >>> from diffusers import DDIMScheduler
    >>> sample = sample_scheduler(DDIMScheduler(), lambda x, t: 0.1 * x, (1, 2, 2), num_inference_steps=3)
    >>> sample(5, seed=0).shape
    torch.Size([5, 4, 4])
    """
    steps = Steps.of(scheduler, model, shape, num_inference_steps, _with_eta(options, eta), dtype)

    def loop(n: int, generator: torch.Generator, fresh: Any) -> None:
        import torch

        x = steps.spread * torch.randn(n, *steps.shape, generator=generator, dtype=steps.dtype).to(steps.device)
        for i in range(steps.count):
            x = steps.move(fresh, i, x, steps.predict(fresh, i, x), generator)

    return sample_loop(loop, steps.scheduler, batch=steps.rows)


def sample_loop(loop: Loop, scheduler: Any, *, batch: int = 1024) -> Callable[[int, int], Tensor]:
    """Make a sampler ``sample(n, seed)`` -> whole paths (n, K + 1, d), x_K first, from your own loop over ``scheduler.step``.

    The input of every step and the output of the last step are recorded. Whatever the loop does between steps is judged too.

    Args:
        loop: ``loop(n, generator, scheduler)``. It gets a recording copy of the scheduler. The generator carries the seed; it is a
            ``torch.Generator`` on the CPU, which diffusers accepts for any device.
        scheduler: the scheduler to copy.
        batch: the largest number of images at a time.

    >>> import torch
    >>> from diffusers import DDPMScheduler
    >>> scheduler = DDPMScheduler()
    >>> scheduler.set_timesteps(3)
    >>> def loop(n, generator, scheduler):
    ...     x = torch.randn(n, 4, generator=generator)
    ...     for t in scheduler.timesteps:
    ...         x = scheduler.step(0.1 * x, t, x, generator=generator).prev_sample
    >>> sample_loop(loop, scheduler)(5, seed=0).shape
    torch.Size([5, 4, 4])
    """

    if callable(getattr(loop, "step", None)) and callable(scheduler) and not callable(getattr(scheduler, "step", None)):
        raise BadInput("the arguments are in the other order: sample_loop(loop, scheduler)")
    if not callable(loop):
        raise BadInput(f"loop must be a function loop(n, generator, scheduler); got {type(loop).__name__}")
    if not callable(getattr(scheduler, "step", None)) or isinstance(scheduler, type):
        raise BadInput(f"scheduler must be a scheduler with step(); got {scheduler!r:.60}")

    def sample(n: int, seed: int) -> Tensor:
        import torch

        generator, paths = torch.Generator().manual_seed(seed), []
        with torch.no_grad():
            for first in range(0, n, batch):
                recording, states = _recorded(scheduler)
                count = min(batch, n - first)
                loop(count, generator, recording)
                if not states:
                    raise InvalidSample(
                        "the loop never called step() of the scheduler that it was given, so there is no path to judge"
                    )
                paths.append(torch.stack([s.reshape(count, -1) for s in states], dim=1))
        return torch.cat(paths)

    return sample


def sample_pipeline(pipeline: Any, *, batch: int = 64, **options: Any) -> Callable[[int, int], Tensor]:
    """Make a sampler ``sample(n, seed)`` -> whole paths of an unconditional pipeline such as ``DDPMPipeline``.

    ``options``, such as ``num_inference_steps=50``, are passed to every call. Pipelines that do not take ``batch_size`` need
    :func:`sample_loop`.

    >>> from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    >>> unet = UNet2DModel(8, 1, 1, down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"],
    ...                    block_out_channels=[8], layers_per_block=1, norm_num_groups=4)
    >>> pipeline = DDPMPipeline(unet, DDPMScheduler())
    >>> pipeline.set_progress_bar_config(disable=True)
    >>> sample_pipeline(pipeline, num_inference_steps=4)(3, 0).shape
    torch.Size([3, 5, 64])
    """
    if not callable(pipeline) or not callable(getattr(getattr(pipeline, "scheduler", None), "step", None)):
        raise BadInput(
            f"a pipeline can be called and has a scheduler with step(), as DDPMPipeline; {type(pipeline).__name__} has not"
        )

    def loop(n: int, generator: torch.Generator, recording: Any) -> None:
        own = pipeline.scheduler
        pipeline.scheduler = recording
        try:
            pipeline(batch_size=n, generator=generator, **{"output_type": "np", **options})
        finally:
            pipeline.scheduler = own

    return sample_loop(loop, pipeline.scheduler, batch=batch)


def _with_eta(options: dict[str, Any] | None, eta: float | None) -> dict[str, Any]:
    """The arguments of ``step``, with eta if it was given."""
    if eta is not None and options and "eta" in options:
        raise BadInput("eta was given twice: as eta= and in options")
    found = dict(options or {}) if eta is None else {**(options or {}), "eta": eta}
    if (given := found.get("eta")) is not None:
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0.0 <= given <= 1.0:
            raise BadInput(f"eta must be a number from 0, an ODE, to 1, as random as DDPM; got {given!r}")
        found["eta"] = float(given)
    return found


def _recorded(scheduler: Any) -> tuple[Any, list[Tensor]]:
    """A copy of the scheduler, and a list in which it records the states that go through its ``step``."""
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
