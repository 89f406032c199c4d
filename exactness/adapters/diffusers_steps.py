"""The steps of a scheduler of diffusers, one by one: called as diffusers' own loops call them, with noise that can be replaced."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import BadInput, InvalidSample
from .libraries import needs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Models are called with about this many numbers at a time.
_SLICE = 1 << 18


@dataclass(frozen=True)
class Steps:
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
    ) -> Steps:
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
            with theirs(f"set_timesteps({steps}) of {type(scheduler).__name__}"):
                scheduler.set_timesteps(int(steps), device=device)
        check_options(scheduler, options or {})
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
        with theirs(f"scale_model_input() of {self.name}", self._where(i)):
            return scale(x, scheduler.timesteps[i])

    def predict(self, scheduler: Any, i: int, x: Tensor) -> Tensor:
        """The model's output at the i-th step, (n, ...)."""
        import torch

        with theirs(f"the model, called as model(x, t) with x of shape {tuple(x.shape)}", self._where(i)):
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
        with theirs(f"step() of {self.name}", f"{self._where(i)} (from_scheduler calls step(output, t, x, return_dict=False) and "
                     "passes on eta and options)"):  # fmt: skip
            return scheduler.step(output, scheduler.timesteps[i], x, return_dict=False, **options)[0]

    def _where(self, i: int) -> str:
        return f" at step {self.count - i}"


class Outputs:
    """The model's outputs. The last ones are kept, because a law asks for the mean of a step and then for its variance."""

    def __init__(self, steps: Steps) -> None:
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


def moved_with(steps: Steps, i: int, x: Tensor, output: Tensor, noise: Tensor | float) -> Tensor:
    """Take the i-th step with this noise, using a fresh copy of the scheduler."""
    with given(noise):
        return steps.move(steps.at(i), i, x, output)


def check_options(scheduler: Any, options: dict[str, Any]) -> None:
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
def theirs(whose: str, where: str = "") -> Iterator[None]:
    """A context in which an exception of somebody else's code is told as such."""
    try:
        yield
    except (BadInput, InvalidSample):
        raise
    except Exception as error:
        raise BadInput(f"{whose} raised {type(error).__name__}{where}: {error}") from error


@contextlib.contextmanager
def given(noise: Tensor | float) -> Iterator[list[Tensor]]:
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
