"""Controls for a user's own chain: deliberately broken torch samplers that use the prediction and schedule of the law.

They show what the same batteries would have caught on this model with this budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, as_kind, device_of, digest, kind_of
from ..claim import Claim, Sample
from ..errors import BadInput
from ..laws.base import Decoding, Law, Stepped
from ..plan import Plan
from ..saved import SavedPaths
from .own_tokens import token_controls

if TYPE_CHECKING:
    from torch import Tensor

# A shorter chain has nothing to draft, because the last step of a chain is never drafted.
_LEAST_STEPS = 2
_STARTS = 1 << 16
_PILOT = 256
_ROUNDING = 1e-6


def standard_controls(sample: Sample | SavedPaths, law: Law) -> list[Claim]:
    """Claims that are known to be wrong, about the chain or the law of tokens ``law``.

    ``sample`` shows which kind of array to return, and where paths start if the law does not say. The list is empty if the sampler
    fails; its own certificate will say why. Raises ``BadInput`` if the law is of another kind, if a chain is too short to speculate
    on, or if torch is missing. For tokens, see :mod:`.own_tokens`.
    """
    if isinstance(law, Decoding):
        return token_controls(sample, law)
    if not isinstance(law, Stepped):
        raise BadInput(
            f"standard controls are wrong samplers of a chain or of tokens, and the law is a {type(law).__name__}: pass your own"
            ", each a Claim(name, sampler, law, wrong='what is wrong with it')"
            + (", whose sampler is law.moved_by(a wrong kernel)" if hasattr(law, "moved_by") else "")
        )
    if law.spread is not None:
        raise BadInput(
            "standard controls draft steps whose variance is known before the state, and the variances of this chain depend on the "
            "state: pass controls of your own"
        )
    if law.steps < _LEAST_STEPS:
        raise BadInput(f"standard controls draft steps, and this chain has {law.steps}: pass controls of your own")
    try:
        from exactness_samplers.faults import STANDARD, Backend, build, fault
        from exactness_samplers.faults.unspoiled import good, poor, stale

        torch = Backend("torch")
    except ModuleNotFoundError as error:
        raise BadInput(f"standard controls are torch samplers and need {error.name}: pip install 'exactness[torch]'") from None
    if isinstance(sample, SavedPaths):
        # A file cannot be sampled, but its paths show the starts.
        starts = sample.rows(0, min(sample.count, _STARTS))
        sample = lambda n, seed: starts[np.random.default_rng(seed).integers(0, len(starts), n)]  # noqa: E731
    arrays = _arrays_of(sample)
    if arrays is None:
        return []
    process = _process(sample, law, arrays)
    runners = {name: build(name, process, "torch") for name in STANDARD if law.dim >= fault(name).least_dim}
    # On some chains a fault has no effect: the sigma of a neighbouring step where all are equal, or a stale draft where the drift
    # never changes. A fault that draws the same paths as a right sampler is left out.
    right = [_pilot(base(torch, process), arrays) for base in (stale, poor, good)]
    return [
        Claim(f"standard/{name}", _sample(runner, arrays), law, FEW_CALLS, wrong=fault(name).what, required=False)
        for name, runner in runners.items()
        if not _same(_pilot(runner, arrays), right)
    ]


# These faults are the same for every seed, so many calls would cost time and show nothing.
FEW_CALLS = Plan().in_few_calls()


@dataclass(frozen=True)
class _Arrays:
    """The ``kind`` of array that a sampler returns, and its ``dtype`` and ``device`` in torch's terms."""

    kind: str
    dtype: Any
    device: str

    def theirs(self, x: Tensor) -> Array:
        return as_kind(x, self.kind)

    def ours(self, x: Array) -> Tensor:
        return as_kind(x, "torch").to(dtype=self.dtype, device=self.device)


def _arrays_of(sample: Sample) -> _Arrays | None:
    import torch

    try:
        output = sample(2, 0)
        output = output[0] if isinstance(output, tuple) else output
        kind = kind_of(output)
        wide = str(output.dtype).endswith("float64")
        return _Arrays(kind, torch.float64 if wide else torch.float32, device_of(output) if kind == "torch" else "cpu")
    except Exception:  # If the sampler raises an exception, its own certificate says so.
        return None


def _process(sample: Sample, law: Stepped, arrays: _Arrays) -> Any:
    """The law as a process whose prediction is the drift m_k(x) - x. A stale draft can reuse it, whatever the schedule is."""
    from exactness_samplers.schedules import Schedule
    from exactness_samplers.torch.processes import Process

    one, unknown = np.ones(law.steps), np.full(law.steps + 1, np.nan)
    schedule = Schedule(law.name, "gradient", one, one, law.sigma, unknown, unknown, unknown, unknown)
    return Process(schedule, _drift(law, arrays), "gradient", law.dim, _start(sample, law, arrays))


def _drift(law: Stepped, arrays: _Arrays) -> Callable[..., Tensor]:
    import torch

    # The prediction takes the kind of array that the sampler returns, unless the law says otherwise.
    kind = arrays.kind if law.arrays == "as given" else law.arrays

    def drift(steps: Tensor, x: Tensor, condition: Tensor | None) -> Tensor:
        found = torch.empty_like(x)
        for k in steps.unique().tolist():
            here = (steps == k).nonzero()[:, 0]
            state = x[here]
            rows = _padded(len(state)) if kind == "jax" else len(state)
            padded = torch.cat([state, state[:1].expand(rows - len(state), -1)])
            mean = arrays.ours(law.mean(k, as_kind(padded, kind)))
            found[here] = mean[: len(state)] - state
        return found

    return drift


def _padded(rows: int) -> int:
    """The next of few sizes (64, 512, 4,096, ...), because JAX compiles a prediction anew for every number of rows."""
    return next(size for power in range(20) if (size := 64 * 8**power) >= rows)


def _start(sample: Sample, law: Stepped, arrays: _Arrays) -> Callable[[Tensor, Tensor | None], Tensor]:
    def start(z: Tensor, condition: Tensor | None) -> Tensor:
        if law.start is not None:
            return law.start[0] + law.start[1] * z
        # If the law says nothing about the start, the sampler's own starts are used. Their seed is a digest of the noise.
        output = sample(len(z), digest(z) % (1 << 31))
        return arrays.ours((output[0] if isinstance(output, tuple) else output)[:, 0])

    return start


def _pilot(runner: Any, arrays: _Arrays) -> Tensor | None:
    """A few paths of a runner. None if the prediction fails; the certificate of the control will then say so."""
    import torch

    try:
        return runner.run(_PILOT, torch.Generator(device=arrays.device).manual_seed(0), dtype=arrays.dtype).paths
    except Exception:  # A wrong sampler may call the user's prediction at states where it fails.
        return None


def _same(paths: Tensor | None, others: Sequence[Tensor | None]) -> bool:
    """Whether the paths equal others up to rounding. A single different rejection moves a path by about one sigma of its step."""
    return paths is not None and any(
        other is not None and paths.allclose(other, rtol=_ROUNDING, atol=_ROUNDING) for other in others
    )


def _sample(runner: Any, arrays: _Arrays) -> Sample:
    import torch

    def wrong(n: int, seed: int) -> tuple[Array, dict[str, float]]:
        generator = torch.Generator(device=arrays.device).manual_seed(seed)
        run = runner.run(n, generator, dtype=arrays.dtype)
        return arrays.theirs(run.paths), run.trace.totals()

    return wrong
