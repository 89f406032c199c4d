"""Speculative sampling: draft a window cheaply, verify it in one batch, keep what the verifier allows, repeat.

One loop serves every combination of drafter, verifier and rejection rule. Every chain advances by its own accepted length;
a finished chain leaves the batch at once, and with ``batch`` a waiting one takes its place. A deterministic step (sigma = 0) is
never drafted: windows end before it. The host waits for the device once a round, to learn how many chains go on.

Source: De Bortoli et al. 2025, Algorithms 1-4; Soen et al. 2026 for blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .couplings import displacement, log_ratio
from .drafters import Drafter, Free, Memory, Seen
from .noise import GeneratorNoise, Noise
from .processes import Process, Tables
from .rejections import Rejected, Rejection, gamma
from .trace import Run, Trace
from .verification import Verifier, block

# Squares of this, summed over a million coordinates, are still finite in single precision.
_HUGE = 1e15


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
        self.drafter.check(self.process, self.window)

    def run(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        noise: Noise | None = None,
        condition: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        keep_paths: bool = True,
        batch: int | None = None,
    ) -> Run:
        """n chains on the generator's device.

        Args:
            generator: the source of all randomness; or ``noise``, which replaces it.
            condition: (n, ...) handed to the prediction, row by row.
            keep_paths: False returns the last states only, (n, d), in constant memory per chain.
            batch: at most so many chains at a time, the others enter as these finish; all at once if left out.
        """
        source = _source(generator, noise, dtype)
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ValueError(f"batch must be a positive integer or None, not {batch!r}: it counts chains that run at a time")
        source.check(n, self.window)
        if condition is not None and len(condition) != n:
            raise ValueError(f"condition has {len(condition)} rows for {n} chains: it needs one a chain")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, not {dtype}; a network may compute in what it likes")
        with torch.no_grad():
            return _run(self, n, source, condition, keep_paths, batch or n)


def _source(generator: torch.Generator | None, noise: Noise | None, dtype: torch.dtype) -> Noise:
    if noise is not None:
        return noise
    if generator is None:
        raise ValueError("pass a torch.Generator (or noise=...): samplers never touch the global generator")
    return GeneratorNoise(generator, dtype)


@dataclass(frozen=True)
class _Chains:
    """The chains of the batch, one row each: ``index`` (m,) among all n, ``steps`` (m,) still to go, ``rounds`` (m,) done, the
    state ``x`` (m, d) and the drafter's ``memory``.
    """

    index: Tensor
    steps: Tensor
    rounds: Tensor
    x: Tensor
    memory: Memory

    def rows(self, order: Tensor) -> _Chains:
        memory = tuple(part[order] for part in self.memory)
        return _Chains(self.index[order], self.steps[order], self.rounds[order], self.x[order], memory)

    def and_then(self, more: _Chains) -> _Chains:
        join = lambda a, b: torch.cat([a, b])  # noqa: E731
        memory = tuple(join(a, b) for a, b in zip(self.memory, more.memory, strict=True))
        return _Chains(
            join(self.index, more.index), join(self.steps, more.steps), join(self.rounds, more.rounds), join(self.x, more.x), memory
        )


def _run(config: Speculative, n: int, source: Noise, condition: Tensor | None, keep_paths: bool, batch: int) -> Run:
    process, total, width = config.process, config.process.steps, config.window
    start = process.first(source.start(n, process.dim), condition)
    tables, device = process.tables(start), start.device
    stochastic = _stochastic_run(process.schedule.sigma)
    runs = torch.as_tensor(stochastic, device=device)
    # What every chain drafts first, known without asking.
    first_length = 0 if config.drafter.cold else int(min(total - 1, width, stochastic[total]))
    trace = Trace.empty(n, total, device)
    paths = torch.empty((n, total + 1, process.dim), dtype=start.dtype, device=device) if keep_paths else None
    final = torch.empty_like(start)
    if paths is not None:
        paths[:, 0] = start

    def entering(first: int, count: int) -> _Chains:
        index = torch.arange(first, first + count, device=device)
        steps, x = torch.full((count,), total, device=device), start[first : first + count]
        return _Chains(index, steps, torch.zeros_like(steps), x, config.drafter.start(tables, x))

    chains, entered, calls, computed = entering(0, min(batch, n)), min(batch, n), 0, 0
    evaluations = (first_length + 1) * entered
    column = torch.arange(width + 1, device=device)
    while len(chains.x):
        given = None if condition is None else condition[chains.index]
        window = _draft_and_verify(config, tables, source, chains, runs, given, evaluations, trace)
        calls, computed = calls + window.calls, computed + evaluations
        if paths is not None:
            # Columns past the emitted state write that state again: no mask, so nothing to wait for.
            kept = torch.minimum(column, window.tau[:, None])
            states = torch.where((column == window.tau[:, None])[..., None], window.x[:, None], window.following)
            states = states.gather(1, kept[..., None].expand_as(states))
            paths[chains.index[:, None], (total - chains.steps + 1)[:, None] + kept] = states
        final[chains.index] = window.x
        chains = replace(chains, steps=chains.steps - window.tau - 1, rounds=chains.rounds + 1, x=window.x, memory=window.memory)
        going = chains.steps > 0
        lengths = _lengths(config, runs, chains)
        count, evaluations = torch.stack([going.sum(), torch.where(going, lengths + 1, 0).sum()]).tolist()
        if count < len(going):
            chains = chains.rows(torch.argsort(~going, stable=True)[:count])
            if entered < n:
                more = entering(entered, min(len(going) - count, n - entered))
                entered += len(more.x)
                evaluations += (first_length + 1) * len(more.x)
                chains = chains.and_then(more)
    return Run(final if paths is None else paths, replace(trace, calls=calls, computed=computed))


@dataclass(frozen=True)
class _Window:
    """``following`` (m, L + 1, d): y_1..y_L, of which ``tau`` (m,) are kept, and one more; ``x`` (m, d): the step after those."""

    following: Tensor
    tau: Tensor
    x: Tensor
    memory: Memory
    calls: int


def _lengths(config: Speculative, runs: Tensor, chains: _Chains) -> Tensor:
    """How many steps each chain drafts, (m,). Its last step is never drafted: the one before it gives its exact mean."""
    lengths = torch.minimum(torch.clamp(chains.steps - 1, 0, config.window), runs[chains.steps])
    return torch.where(chains.rounds == 0, 0, lengths) if config.drafter.cold else lengths


def _draft_and_verify(
    config: Speculative, tables: Tables, source: Noise, chains: _Chains, runs: Tensor, given: Tensor | None,
    evaluations: int, trace: Trace,
) -> _Window:  # fmt: skip
    """One round. ``evaluations``: how many states the lengths of these chains let the target see, known to the host already."""
    process, drafter, width = config.process, config.drafter, config.window
    steps, x, memory = chains.steps, chains.x, chains.memory
    m, d = x.shape
    noise = source.round(chains.rounds, chains.index, width, d)
    lengths = _lengths(config, runs, chains)
    drafted = torch.arange(width, device=x.device)[None, :] < lengths[:, None]

    first = process.evaluate(steps, x, given) if drafter.frozen else None
    if first is not None:
        memory = drafter.remember(tables, memory, Seen(steps, x, first, steps, x, first, steps, x))

    # Draft: y_i = m_q(y_{i-1}) + sigma z_i.
    window_steps = torch.clamp(steps[:, None] - torch.arange(width + 1, device=x.device), min=1)
    sigma = tables.at("sigma", window_steps)
    states, means_q = [x], []
    for i in range(width):
        prediction = drafter.prediction(tables, window_steps[:, i], states[-1], memory, given)
        # A draft may be anything finite: a drafter that overflows costs a rejection, not the chain.
        mean = tables.mean(window_steps[:, i], states[-1], prediction)
        means_q.append(torch.nan_to_num(mean, 0.0, _HUGE, -_HUGE).clamp(-_HUGE, _HUGE))
        states.append(means_q[-1] + sigma[:, i, None] * noise.drafts[:, i])
    y, mean_q = torch.stack(states, 1), torch.stack(means_q, 1)

    # Verify: one batch through the target, only where a mean is needed and not yet known.
    needed = torch.arange(width + 1, device=x.device)[None, :] <= lengths[:, None]
    if first is not None:
        needed[:, 0] = False
        evaluations -= m
    predictions = _evaluate(process, window_steps, y, given, needed, evaluations)
    if first is not None:
        predictions[:, 0] = first
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
    base = torch.minimum(tau + 1, lengths)
    before = torch.clamp(base - 1, min=0)
    at_base, at_before = ((_pick(window_steps, i), _pick(y, i), _pick(predictions, i)) for i in (base, before))
    memory = drafter.remember(tables, memory, Seen(*at_base, *at_before, steps - tau - 1, x_next))

    index = chains.index
    trace.rounds[index] += int(first is not None) + needed.any(1).long()
    trace.evaluations[index] += int(first is not None) + needed.sum(1)
    trace.draft_evaluations[index] += width if drafter.evaluates else 0
    trace.windows[index] += 1
    trace.residual_draws[index] += torch.where(rejected, draws, 0)
    trace.drafted[index, chains.rounds] = lengths.to(torch.int16)
    trace.accepted[index, chains.rounds] = tau.to(torch.int16)
    return _Window(torch.cat([y[:, 1:], y[:, :1]], 1), tau, x_next, memory, int(first is not None) + (evaluations > 0))


def _evaluate(process: Process, steps: Tensor, y: Tensor, given: Tensor | None, needed: Tensor, count: int) -> Tensor:
    """Predictions (m, L + 1, d) at the ``count`` states that are needed, in one call; zeros elsewhere."""
    m, width, d = y.shape
    if count == m * width:
        rows_given = None if given is None else given.repeat_interleave(width, 0)
        return process.evaluate(steps.reshape(-1), y.reshape(-1, d), rows_given).reshape(m, width, d)
    predictions = torch.zeros_like(y)
    if count:
        # The places of the needed ones, without asking the device how many there are.
        place = torch.argsort(~needed.reshape(-1), stable=True)[:count]
        row = place // width
        rows_given = None if given is None else given[row]
        predictions.reshape(-1, d)[place] = process.evaluate(steps.reshape(-1)[place], y.reshape(-1, d)[place], rows_given)
    return predictions


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """values (m, L, ...) at one column per row -> (m, ...)."""
    return values[torch.arange(len(values), device=values.device), index]


def _stochastic_run(sigma: np.ndarray) -> np.ndarray:
    """For k = 0..K: how many steps from k downwards are stochastic before the first deterministic one."""
    run = np.zeros(len(sigma) + 1, dtype=np.int64)
    for k in range(1, len(sigma) + 1):
        run[k] = run[k - 1] + 1 if sigma[k - 1] > 0 else 0
    return run
