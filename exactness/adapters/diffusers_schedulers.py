"""Schedulers, models and pipelines of diffusers: the chain that the steps of a scheduler make, and samplers of whole paths.

The ``step`` of a scheduler is affine in the noise that it draws. The noise is therefore replaced: with zeros, the step returns its
mean; with a constant, the difference from the mean gives the standard deviation of every pixel. In this way the law is read off the
scheduler itself, whatever its formula is, and variances that the model predicts are part of it. This uses only ``set_timesteps``, ``timesteps``, ``init_noise_sigma``, ``scale_model_input`` and ``step``; diffusers is
not imported.
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
"""``loop(n, generator, scheduler)`` draws n images by calling ``scheduler.step`` once per step. Its return value is ignored."""

# Models are called with about this many numbers at a time.
_SLICE = 1 << 18
# With noise this large, the mean of a step is lost in rounding, so sigma is read off to the last digits.
_LOUD = 2.0**16
_PROBES = 4
# Noise below this many roundings of the state counts as 0. A variance of 1e-20, as in DDPM's last step, is 0 in float32.
_SILENT = 64.0
# An image in a batch and the same image alone may differ by this share of the output, because sums have another order (half of
# TF32's digits).
_COUPLED = 1e-2


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

    steps = _Steps.of(scheduler, model, shape, num_inference_steps, _with_eta(options, eta), dtype)
    # The user's generators stay unchanged, whatever noise a step draws.
    forked = [steps.device] if steps.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=forked):
        sigma, learned = _read(steps)
    outputs = _Outputs(steps)

    def moved(k: int, x: Array, read: Callable[[int, Tensor, Tensor], Tensor]) -> Array:
        """``read(i, states, outputs)`` of the step k at the flat states x, in their kind of array."""
        with torch.no_grad():
            states = as_kind(x, "torch").to(steps.device, steps.dtype).reshape(-1, *steps.shape)
            parts = zip(states.split(steps.rows), outputs.at(steps.count - k, x, states), strict=True)
            result = torch.cat([read(steps.count - k, *part) for part in parts]).reshape(tuple(x.shape))
        return result.to(x.device) if kind_of(x) == "torch" else like(to_numpy(result), x)

    def mean(k: int, x: Array) -> Array:
        return moved(k, x, lambda i, states, output: _moved_with(steps, i, states, output, 0.0))

    def spread(k: int, x: Array) -> Array:
        return moved(k, x, lambda i, states, output: _deviations(steps, i, states, output) / float(sigma[k - 1]))

    return GaussianChain.from_mean(
        mean, sigma=sigma, dim=math.prod(steps.shape), spread=spread if learned else None, start=(0.0, steps.spread), name=steps.name
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
    steps = _Steps.of(scheduler, model, shape, num_inference_steps, _with_eta(options, eta), dtype)

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


@dataclass(frozen=True)
class _Steps:
    """A scheduler with its timesteps set, and the model that its steps call."""

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
            raise BadInput(f"shape must be that of one image, such as (3, 32, 32), without the batch; got {shape!r}")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1):
            raise BadInput(
                f"num_inference_steps must be an integer of at least 1, or None if set_timesteps was called; got {steps!r}"
            )
        one = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
        device = torch.device("cpu") if one is None else one.device
        dtype = dtype or (torch.float32 if one is None else one.dtype)
        if dtype not in (torch.float32, torch.float64):
            raise BadInput(
                f"states in {dtype} do not hold the noise that is to be judged: use the model in single precision, model.float(), "
                "and dtype=torch.float32 or torch.float64"
            )
        scheduler = copy.deepcopy(scheduler)
        if steps is not None:
            with _theirs(f"set_timesteps({steps}) of {type(scheduler).__name__}"):
                scheduler.set_timesteps(int(steps), device=device)
        _check_options(scheduler, options or {})
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
        """A fresh copy of the scheduler that is about to take the i-th step."""
        fresh = copy.deepcopy(self.scheduler)
        if callable(getattr(fresh, "set_begin_index", None)):
            fresh.set_begin_index(i)
        return fresh

    @property
    def spread(self) -> float:
        """The standard deviation of x_K. It is 1 for schedulers that do not state it, such as those of flows."""
        return float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def scaled(self, scheduler: Any, i: int, x: Tensor) -> Tensor:
        """The input of the model at the i-th step."""
        scale = getattr(scheduler, "scale_model_input", None)
        if not callable(scale):
            return x
        with _theirs(f"scale_model_input() of {self.name}", self._where(i)):
            return scale(x, scheduler.timesteps[i])

    def predict(self, scheduler: Any, i: int, x: Tensor) -> Tensor:
        """The model's output at the i-th step, (n, ...)."""
        import torch

        with _theirs(f"the model, called as model(x, t) with x of shape {tuple(x.shape)}", self._where(i)):
            output = self.model(self.scaled(scheduler, i, x), scheduler.timesteps[i])
            output = output if isinstance(output, torch.Tensor) else output[0]
        if not isinstance(output, torch.Tensor):
            raise BadInput(f"the model must return a tensor, or something whose first entry is one; got {type(output).__name__}")
        return output

    def move(self, scheduler: Any, i: int, x: Tensor, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The i-th step from x (n, *shape), given the model's output there."""
        options = dict(self.options)
        if "generator" in inspect.signature(scheduler.step).parameters:
            options["generator"] = generator
        # Some schedulers find their place only when the model's input is scaled, or insist on that.
        self.scaled(scheduler, i, x)
        with _theirs(f"step() of {self.name}", f"{self._where(i)} (from_scheduler calls step(output, t, x, return_dict=False) and "
                     "passes on eta and options)"):  # fmt: skip
            return scheduler.step(output, scheduler.timesteps[i], x, return_dict=False, **options)[0]

    def _where(self, i: int) -> str:
        return f" at step {self.count - i}"


class _Outputs:
    """The model's outputs. The last ones are kept, because a law asks for the mean of a step and then for its variance."""

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps
        self._last: tuple[int, Any, int, list[Tensor]] | None = None

    def at(self, i: int, x: Array, states: Tensor) -> list[Tensor]:
        """The outputs at the i-th step, for ``states`` in parts. ``x`` identifies the states, as long as nobody writes into it."""
        version = getattr(x, "_version", None)
        if self._last is not None and version is not None:
            step, before, then, outputs = self._last
            if step == i and before is x and then == version:
                return outputs
        steps = self.steps
        outputs = [steps.predict(steps.at(i), i, part) for part in states.split(steps.rows)]
        self._last = (i, x, version, outputs) if version is not None else None
        return outputs


def _read(steps: _Steps) -> tuple[np.ndarray, bool]:
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
        twice = [_moved_with(steps, i, x, output, noise) for _ in range(2)]
        if bool(torch.isfinite(twice[0]).all()) and not torch.equal(*twice):
            raise BadInput(
                f"step {steps.count - i} of {steps.name} draws noise, but its noise is not torch.randn's: noise of torch.normal, "
                "normal_(), torch.rand or numpy cannot be read off. Draw it with torch.randn or diffusers' randn_tensor"
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
            raise BadInput(f"step {steps.count - i} of {steps.name} draws noise {len(draws)} times; it may do so once")
        alone, mean, loud = (_moved_with(steps, i, x, output, value) for value in (noise, 0.0, _LOUD))
        if remembers is None and not torch.equal(moved, alone):
            remembers = steps.count - i
        if remembers is None:
            found.append(_sigma_of(steps, i, noise, moved, mean, loud))
        x = moved
    if not asked:
        raise BadInput(
            f"{steps.name} draws no noise with these settings: it solves an ODE, and a deterministic path has no randomness to "
            f"certify. {_to_noise(steps)}Judge its final images instead: with a law of images, or with exactness.compare against "
            "another sampler"
        )
    if remembers is not None:
        raise BadInput(
            f"step {remembers} of {steps.name} depends on earlier steps, not on its state alone ({_solver(steps)}), so the steps "
            "do not form a chain"
        )
    return np.array([sigma for sigma, _ in found[::-1]]), any(learned for _, learned in found)


def _check_model(steps: _Steps, x: Tensor) -> None:
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


def _moved_with(steps: _Steps, i: int, x: Tensor, output: Tensor, noise: Tensor | float) -> Tensor:
    """Take the i-th step with this noise, using a fresh copy of the scheduler."""
    with _given(noise):
        return steps.move(steps.at(i), i, x, output)


def _deviations(steps: _Steps, i: int, x: Tensor, output: Tensor) -> Tensor:
    """The standard deviations of the noise of the i-th step from x (n, *shape), for every number of it."""
    mean, loud = (_moved_with(steps, i, x, output, value).double() for value in (0.0, _LOUD))
    return ((loud - mean) / _LOUD).abs()


def _sigma_of(steps: _Steps, i: int, noise: Tensor, moved: Tensor, mean: Tensor, loud: Tensor) -> tuple[float, bool]:
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


def _to_noise(steps: _Steps) -> str:
    """How this scheduler can be made to draw noise, as a sentence with a space after it. Empty if nothing is known."""
    known = {
        "eta": "With eta > 0 it draws noise: from_scheduler(..., eta=1.0), and the same for the sampler. ",
        "s_churn": 'With churn it draws noise: from_scheduler(..., options={"s_churn": 1.0}), and the same for the sampler. ',
    }
    taken = inspect.signature(steps.scheduler.step).parameters
    found = "".join(said for name, said in known.items() if name in taken and not steps.options.get(name))
    settings = _settings(steps)
    if "sde-dpmsolver++" not in str(settings.get("algorithm_type")) and "algorithm_type" in settings and "solver_order" in settings:
        found += 'With algorithm_type="sde-dpmsolver++" and solver_order=1 it draws noise, if this scheduler has them. '
    if settings.get("stochastic_sampling") is False:
        found += "With stochastic_sampling=True it draws noise. "
    return found


def _solver(steps: _Steps) -> str:
    """What kind of solver remembers earlier steps, and what to do about it."""
    final = "compare final images with exactness.compare"
    settings = _settings(steps)
    if "predictor_order" in settings:
        return f"a multistep predictor and corrector, with or without order 1: {final}"
    if (settings.get("solver_order") or 1) > 1:
        return f"a multistep solver: set solver_order=1, or {final}"
    orders = getattr(steps.scheduler, "order", 1)
    if isinstance(orders, int) and orders > 1:
        return (
            f"a solver that takes {orders} evaluations per step and keeps the first in mind; take a solver of first order, such as "
            f"EulerAncestralDiscreteScheduler, or {final}"
        )
    return f"a solver with a memory: {final}"


def _settings(steps: _Steps) -> dict[str, Any]:
    return dict(getattr(steps.scheduler, "config", None) or {})


def _with_eta(options: dict[str, Any] | None, eta: float | None) -> dict[str, Any]:
    """The arguments of ``step``, with eta if it was given."""
    if eta is None:
        return dict(options or {})
    if isinstance(eta, bool) or not isinstance(eta, (int, float)) or not math.isfinite(eta) or eta < 0:
        raise BadInput(f"eta must be a number of at least 0, not {eta!r}")
    if options and "eta" in options:
        raise BadInput("eta was given twice: as eta= and in options")
    return {**(options or {}), "eta": float(eta)}


def _check_options(scheduler: Any, options: dict[str, Any]) -> None:
    """Check that ``step`` takes these arguments. Raises ``BadInput``."""
    taken = inspect.signature(scheduler.step).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return
    if unknown := [name for name in options if name not in taken]:
        others = [name for name in taken if name not in ("model_output", "timestep", "sample", "generator", "return_dict")]
        raise BadInput(
            f"step() of {type(scheduler).__name__} does not take {', '.join(unknown)}; besides the state and the model's output it "
            f"takes {', '.join(others) or 'nothing'}"
        )


@contextlib.contextmanager
def _theirs(whose: str, where: str = "") -> Iterator[None]:
    """A context in which an exception of somebody else's code is told as such."""
    try:
        yield
    except (BadInput, InvalidSample):
        raise
    except Exception as error:
        raise BadInput(f"{whose} raised {type(error).__name__}{where}: {error}") from error


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


@contextlib.contextmanager
def _given(noise: Tensor | float) -> Iterator[list[Tensor]]:
    """A context in which torch's normals are ``noise``, a tensor or a constant. No generator moves.

    Yields the list of the tensors that were handed out.
    """
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
