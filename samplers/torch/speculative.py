"""Speculative sampling: draft a window cheaply, verify it in one batch, keep what the verifier allows, repeat.

One loop serves every combination of drafter, verifier and rejection rule. Every chain of the batch advances by its own
accepted length; finished chains leave the batch. A deterministic step (sigma = 0) is never drafted: windows end before it.

Source: De Bortoli et al. 2025, Algorithms 1-4; Soen et al. 2026 for blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .couplings import displacement, log_ratio
from .drafters import Drafter, Free, Independent
from .noise import GeneratorNoise, Noise
from .processes import Process, Tables
from .rejections import Rejected, Rejection, gamma
from .trace import Run, Trace
from .verification import Verifier, block


@dataclass(frozen=True)
class Speculative:
    """A sampler of ``process``. ``window``: steps drafted at a time, at least 1."""

    process: Process
    window: int = 8
    drafter: Drafter = Free()
    verifier: Verifier = block
    rejection: Rejection = gamma

    def __post_init__(self) -> None:
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            raise ValueError(f"window must be an integer of at least 1, not {self.window!r}: it counts the drafted steps")
        if not np.any(self.process.schedule.sigma > 0):
            raise ValueError("every step of this process is deterministic: there is nothing to speculate on")

    def run(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        noise: Noise | None = None,
        condition: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        keep_paths: bool = True,
    ) -> Run:
        """n chains on the generator's device.

        Args:
            generator: the source of all randomness; or ``noise``, which replaces it.
            condition: (n, ...) handed to the prediction, row by row.
            keep_paths: False returns the last states only, (n, d), in constant memory per chain.
        """
        source = _source(generator, noise, dtype)
        with torch.no_grad():
            return _run(self, n, source, condition, keep_paths)


def _source(generator: torch.Generator | None, noise: Noise | None, dtype: torch.dtype) -> Noise:
    if noise is not None:
        return noise
    if generator is None:
        raise ValueError("pass a torch.Generator (or noise=...): samplers never touch the global generator")
    return GeneratorNoise(generator, dtype)


def _run(config: Speculative, n: int, source: Noise, condition: Tensor | None, keep_paths: bool) -> Run:
    process, steps_total = config.process, config.process.steps
    z = source.start(n, process.dim)
    x = z if process.start is None else process.start(z, condition)
    tables = process.tables(x)
    device = x.device
    runs = _stochastic_run(process.schedule.sigma, device)
    trace = Trace.empty(n, steps_total, device)
    paths = torch.empty((n, steps_total + 1, process.dim), dtype=x.dtype, device=device) if keep_paths else None
    final = torch.empty_like(x)
    if paths is not None:
        paths[:, 0] = x
    chains = torch.arange(n, device=device)
    steps = torch.full((n,), steps_total, dtype=torch.int64, device=device)
    memory = torch.zeros_like(x)
    for index in range(steps_total):
        if len(chains) == 0:
            break
        given = None if condition is None else condition[chains]
        window = _draft_and_verify(config, tables, source, index, chains, steps, runs, x, memory, given, trace)
        if paths is not None:
            kept = torch.arange(config.window + 1, device=device)[None, :] <= window.tau[:, None]
            row, column = kept.nonzero(as_tuple=True)
            states = torch.cat([window.states[:, 1:], window.states[:, :1]], 1).scatter(
                1, window.tau[:, None, None].expand(-1, 1, process.dim), window.x[:, None]
            )
            paths[chains[row], (steps_total - steps + 1)[row] + column] = states[row, column]
        steps = steps - window.tau - 1
        x, memory = window.x, window.memory
        final[chains] = x
        going = steps > 0
        chains, steps, x, memory = chains[going], steps[going], x[going], memory[going]
    return Run(final if paths is None else paths, trace)


@dataclass(frozen=True)
class _Window:
    """``states`` (m, L + 1, d): y_0..y_L; ``tau`` (m,) of them kept after y_0; ``x`` (m, d) the step after those."""

    states: Tensor
    tau: Tensor
    x: Tensor
    memory: Tensor


def _draft_and_verify(
    config: Speculative, tables: Tables, source: Noise, index: int, chains: Tensor, steps: Tensor, runs: Tensor,
    x: Tensor, memory: Tensor, given: Tensor | None, trace: Trace,
) -> _Window:  # fmt: skip
    process, drafter, width = config.process, config.drafter, config.window
    m, d = x.shape
    noise = source.round(index, chains, width, d)
    # The last step of a chain is never drafted either: the verification of the step before gives its exact mean.
    lengths = torch.minimum(torch.clamp(steps - 1, max=width), runs[steps])
    drafted = torch.arange(width, device=x.device)[None, :] < lengths[:, None]

    known = drafter.refresh == "window" or (drafter.refresh == "first" and index == 0)
    first = process.predict(steps, x, given) if known else None
    if first is not None and not isinstance(drafter, Independent):
        memory = drafter.remember(tables, steps, x, first)

    # Draft: y_i = m_q(y_{i-1}) + sigma z_i.
    window_steps = torch.clamp(steps[:, None] - torch.arange(width + 1, device=x.device), min=1)
    sigma = tables.at("sigma", window_steps)
    states, means_q = [x], []
    for i in range(width):
        prediction = drafter.prediction(tables, window_steps[:, i], states[-1], memory, given)
        means_q.append(tables.mean(window_steps[:, i], states[-1], prediction))
        states.append(means_q[-1] + sigma[:, i, None] * noise.drafts[:, i])
    y, mean_q = torch.stack(states, 1), torch.stack(means_q, 1)

    # Verify: one batch through the target, only where a mean is needed and not yet known.
    predictions = torch.zeros_like(y)
    needed = torch.arange(width + 1, device=x.device)[None, :] <= lengths[:, None]
    if first is not None:
        predictions[:, 0] = first
        needed[:, 0] = False
    row, column = needed.nonzero(as_tuple=True)
    if len(row):
        rows_given = None if given is None else given[row]
        predictions[row, column] = process.predict(window_steps[row, column], y[row, column], rows_given)
    mean_p = tables.mean(window_steps.reshape(-1), y.reshape(-1, d), predictions.reshape(-1, d)).reshape(m, width + 1, d)

    safe_sigma = torch.where(drafted, sigma[:, :width], torch.ones_like(sigma[:, :width]))
    delta, axis = displacement(mean_p[:, :width], mean_q, safe_sigma)
    delta = torch.where(drafted, delta, torch.zeros_like(delta))
    ratios = log_ratio(delta, (axis * noise.drafts).sum(-1).double())
    tau, log_weight = config.verifier(ratios, delta, noise.accept, lengths)

    # Emit: the residual after a rejection, one more step of the target after a full window.
    rejected = tau < lengths
    at = torch.clamp(tau, max=width - 1)
    mean_here, sigma_here = _pick(mean_p, tau), _pick(sigma, tau)
    step = Rejected(mean_here, sigma_here, _pick(axis, at), _pick(delta, at), log_weight, _pick(noise.drafts, at), rejected)
    emitted, draws = config.rejection(step, noise, source)
    extra = mean_here + sigma_here[:, None] * noise.fresh
    x_next = torch.where(rejected[:, None], emitted, extra)

    # Remember the prediction at the drafted state that stands where the chain now is: the rejected one, else the last.
    if not isinstance(drafter, Independent):
        base = torch.minimum(tau + 1, lengths)
        memory = drafter.remember(tables, _pick(window_steps, base), _pick(y, base), _pick(predictions, base))

    trace.rounds[chains] += int(known) + needed.any(1).long()
    trace.evaluations[chains] += int(known) + needed.sum(1)
    trace.draft_evaluations[chains] += width if isinstance(drafter, Independent) else 0
    trace.windows[chains] += 1
    trace.residual_draws[chains] += torch.where(rejected, draws, 0)
    trace.drafted[chains, index] = lengths.to(torch.int16)
    trace.accepted[chains, index] = tau.to(torch.int16)
    return _Window(y, tau, x_next, memory)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """values (m, L, ...) at one column per row -> (m, ...)."""
    return values[torch.arange(len(values), device=values.device), index]


def _stochastic_run(sigma: np.ndarray, device: torch.device) -> Tensor:
    """For k = 0..K: how many steps from k downwards are stochastic before the first deterministic one."""
    run = np.zeros(len(sigma) + 1, dtype=np.int64)
    for k in range(1, len(sigma) + 1):
        run[k] = run[k - 1] + 1 if sigma[k - 1] > 0 else 0
    return torch.as_tensor(run, device=device)
