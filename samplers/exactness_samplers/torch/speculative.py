"""Speculative sampling: draft a window cheaply, verify it in one batch, keep what the verifier allows, and repeat.

One loop serves every combination of drafter, verifier and rejection rule. Every chain advances by its own accepted length. A
finished chain leaves the batch at once, and with ``batch`` a waiting chain takes its place. A deterministic step (sigma = 0) is
never drafted: windows end before it. The host waits for the device once per round, to learn how many chains go on.

Source: De Bortoli et al. 2025, Algorithms 1-4; Soen et al. 2026 for blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .couplings import GaussianMasses, displacement, log_ratio
from .drafters import Drafter, Free, Memory, Seen
from .noise import GeneratorNoise, Noise, RoundNoise
from .processes import Process, Tables
from .rejections import Rejected, Rejection, gamma
from .trace import Run, Trace
from .verification import Masses, Verifier, block

# Squares of this, summed over a million coordinates, are still finite in single precision.
_HUGE = 1e15


@dataclass(frozen=True)
class Chains:
    """The chains of the batch, one row each.

    ``chain`` (m,) is the index among all n, ``steps`` (m,) counts the steps still to go and ``rounds`` (m,) the rounds done. ``x``
    (m, d) is the state, and ``memory`` that of the drafter.
    """

    chain: Tensor
    steps: Tensor
    rounds: Tensor
    x: Tensor
    memory: Memory

    def rows(self, order: Tensor) -> Chains:
        memory = tuple(part[order] for part in self.memory)
        return Chains(self.chain[order], self.steps[order], self.rounds[order], self.x[order], memory)

    def and_then(self, more: Chains) -> Chains:
        join = lambda a, b: torch.cat([a, b])  # noqa: E731
        memory = tuple(join(a, b) for a, b in zip(self.memory, more.memory, strict=True))
        return Chains(
            join(self.chain, more.chain), join(self.steps, more.steps), join(self.rounds, more.rounds), join(self.x, more.x), memory
        )


@dataclass(frozen=True)
class Verified:
    """A window after its verification.

    ``y`` (m, L + 1, d) are the states, y_0 first. ``mean_p`` (m, L + 1, d) and ``sigma`` (m, L + 1) belong to the step that leaves
    each state, ``axis`` (m, L, d) and ``delta`` (m, L) to the drafts. ``log_weight`` (m,) is the log-weight of the rejection, and
    ``tau`` (m,) of the ``lengths`` (m,) drafted steps are kept.
    """

    y: Tensor
    mean_p: Tensor
    sigma: Tensor
    axis: Tensor
    delta: Tensor
    log_weight: Tensor
    tau: Tensor
    lengths: Tensor


def source(noise: Noise) -> Noise:
    """The source of the run's randomness, which is the one that was passed in."""
    return noise


def draw(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """Draw the noise of this round."""
    return source.round(chains.rounds, chains.chain, window, dim)


def conditioned(condition: Tensor, chains: Chains) -> Tensor:
    """The condition of each chain that is still in the batch."""
    return condition[chains.chain]


def step(mean: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """y_i = m_q(y_{i-1}) + sigma z_i: (m, d), (m,), (m, d) -> (m, d)."""
    return mean + sigma[:, None] * z


def target_means(
    tables: Tables, steps: Tensor, y: Tensor, predictions: Tensor, lengths: Tensor, drafted_mean: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The mean m_p of the step that leaves each state, (m, L + 1, d). The drafter's ``drafted_mean(steps, x)`` is not used here."""
    return tables.mean(steps.reshape(-1), y.reshape(-1, y.shape[-1]), predictions.reshape(-1, y.shape[-1])).reshape(y.shape)


def masses(deltas: Tensor) -> Masses:
    """The masses that the verifier asks for, from the displacements (m, L) of the drafts."""
    return GaussianMasses(deltas)


def verify(
    verifier: Verifier, log_ratios: Tensor, masses: Masses, noise: RoundNoise, lengths: Tensor, progress: Tensor
) -> tuple[Tensor, Tensor]:
    """tau and the log-weight. ``progress`` (m,), from 0 to 1, is how far the chain has come; the law does not change with it."""
    return verifier(log_ratios, masses, noise.accept, lengths)


def emit(rejection: Rejection, window: Verified, noise: RoundNoise, source: Noise) -> tuple[Tensor, Tensor | int]:
    """The state after the kept ones, (m, d), and the number of draws that the rejection took.

    After a rejection it comes from the residual; after a full window it is one more step of the target.
    """
    tau, at = window.tau, torch.clamp(window.tau, max=window.delta.shape[1] - 1)
    mean, sigma, rejected = _pick(window.mean_p, tau), _pick(window.sigma, tau), tau < window.lengths
    step = Rejected(
        mean, sigma, _pick(window.axis, at), _pick(window.delta, at), window.log_weight, _pick(noise.drafts, at), rejected
    )
    emitted, draws = rejection(step, noise, source)
    return torch.where(rejected[:, None], emitted, mean + sigma[:, None] * noise.fresh), draws


@dataclass(frozen=True)
class Round:
    """The parts of a round, in the order of their use. A fault replaces one of them."""

    source: Callable[[Noise], Noise] = source
    draw: Callable[..., RoundNoise] = draw
    conditioned: Callable[..., Tensor] = conditioned
    step: Callable[..., Tensor] = step
    target_means: Callable[..., Tensor] = target_means
    masses: Callable[[Tensor], Masses] = masses
    verify: Callable[..., tuple[Tensor, Tensor]] = verify
    emit: Callable[..., tuple[Tensor, Tensor | int]] = emit


@dataclass(frozen=True)
class Speculative:
    """A speculative sampler of ``process``.

    Args:
        process: the schedule and the target's prediction.
        window: the number of steps drafted at a time, at least 1.
        drafter, verifier, rejection: the parts of the sampler; every combination is exact.
        round: the functions of a round. They are there for the controls; leave them alone.

    Raises:
        ValueError: if the window is not positive, every step is deterministic, or the drafter does not fit the process.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> process = Process(ddpm(cosine_betas(6)), lambda steps, x, condition: 0.5 * x, "sample", dim=2)
    >>> run = Speculative(process, window=3).run(5, torch.Generator().manual_seed(0))
    >>> tuple(run.paths.shape), bool((run.trace.rounds <= 6).all())
    ((5, 7, 2), True)
    """

    process: Process
    window: int = 8
    drafter: Drafter = Free()
    verifier: Verifier = block
    rejection: Rejection = gamma
    round: Round = Round()

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
        """Run n chains on the device of the generator.

        Args:
            n: the number of chains.
            generator: the source of all randomness; ``noise`` replaces it.
            condition: (n, ...), passed to the prediction row by row.
            dtype: the dtype of the states, float32 or float64.
            keep_paths: False returns only the last states, (n, d), in constant memory per chain.
            batch: the largest number of chains at a time. Others enter as these finish. By default all run at once.

        Raises:
            ValueError: if there is no source of randomness, or an argument does not fit.
        """
        source = _source(generator, noise, dtype)
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ValueError(f"batch must be a positive integer or None, not {batch!r}: it counts chains that run at a time")
        source.check(n, self.window)
        if condition is not None and len(condition) != n:
            raise ValueError(f"condition has {len(condition)} rows for {n} chains: it needs one row per chain")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, not {dtype}; the network itself may use any dtype")
        with torch.no_grad():
            return _run(self, n, source, condition, keep_paths, batch or n)


def _source(generator: torch.Generator | None, noise: Noise | None, dtype: torch.dtype) -> Noise:
    if noise is not None:
        return noise
    if generator is None:
        raise ValueError("pass a torch.Generator (or noise=...): samplers never touch the global generator")
    return GeneratorNoise(generator, dtype)


def _run(config: Speculative, n: int, source: Noise, condition: Tensor | None, keep_paths: bool, batch: int) -> Run:
    process, total, width = config.process, config.process.steps, config.window
    source = config.round.source(source)
    start = process.first(source.start(n, process.dim), condition)
    tables, device = process.tables(start), start.device
    stochastic = _stochastic_run(process.schedule.sigma)
    runs = torch.as_tensor(stochastic, device=device)
    # The length of every chain's first window is known without asking the device.
    first_length = 0 if config.drafter.cold else int(min(total - 1, width, stochastic[total]))
    trace = Trace.empty(n, total, device)
    paths = torch.empty((n, total + 1, process.dim), dtype=start.dtype, device=device) if keep_paths else None
    final = torch.empty_like(start)
    if paths is not None:
        paths[:, 0] = start

    def entering(first: int, count: int) -> Chains:
        index = torch.arange(first, first + count, device=device)
        steps, x = torch.full((count,), total, device=device), start[first : first + count]
        return Chains(index, steps, torch.zeros_like(steps), x, config.drafter.start(tables, x))

    chains, entered, calls, computed = entering(0, min(batch, n)), min(batch, n), 0, 0
    evaluations = (first_length + 1) * entered
    column = torch.arange(width + 1, device=device)
    while len(chains.x):
        given = None if condition is None else config.round.conditioned(condition, chains)
        window = _draft_and_verify(config, tables, source, chains, runs, given, evaluations, trace)
        calls, computed = calls + window.calls, computed + evaluations
        if paths is not None:
            # Columns past the emitted state write that state again. This needs no mask, so the host need not wait.
            kept = torch.minimum(column, window.tau[:, None])
            states = torch.where((column == window.tau[:, None])[..., None], window.x[:, None], window.following)
            states = states.gather(1, kept[..., None].expand_as(states))
            paths[chains.chain[:, None], (total - chains.steps + 1)[:, None] + kept] = states
        final[chains.chain] = window.x
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
    """``following`` (m, L + 1, d) holds y_1..y_L, of which ``tau`` (m,) are kept, and one more. ``x`` (m, d) is the next state."""

    following: Tensor
    tau: Tensor
    x: Tensor
    memory: Memory
    calls: int


def _lengths(config: Speculative, runs: Tensor, chains: Chains) -> Tensor:
    """How many steps each chain drafts, (m,). Its last step is never drafted, because the step before it gives its exact mean."""
    lengths = torch.minimum(torch.clamp(chains.steps - 1, 0, config.window), runs[chains.steps])
    return torch.where(chains.rounds == 0, 0, lengths) if config.drafter.cold else lengths


def _draft_and_verify(
    config: Speculative, tables: Tables, source: Noise, chains: Chains, runs: Tensor, given: Tensor | None,
    evaluations: int, trace: Trace,
) -> _Window:  # fmt: skip
    """Do one round. ``evaluations`` is the number of states that the target sees in it, which the host already knows."""
    process, drafter, width, parts = config.process, config.drafter, config.window, config.round
    steps, x, memory = chains.steps, chains.x, chains.memory
    m, d = x.shape
    noise = parts.draw(source, chains, width, d)
    lengths = _lengths(config, runs, chains)
    drafted = torch.arange(width, device=x.device)[None, :] < lengths[:, None]

    first = process.evaluate(steps, x, given) if drafter.frozen else None
    if first is not None:
        memory = drafter.remember(tables, memory, Seen(steps, x, first, steps, x, first, steps, x))

    def drafted_mean(at: Tensor, state: Tensor) -> Tensor:
        # A draft may be any finite number. If a drafter overflows, this costs a rejection, not the chain.
        mean = tables.mean(at, state, drafter.prediction(tables, at, state, memory, given))
        return torch.nan_to_num(mean, 0.0, _HUGE, -_HUGE).clamp(-_HUGE, _HUGE)

    window_steps = torch.clamp(steps[:, None] - torch.arange(width + 1, device=x.device), min=1)
    sigma = tables.at("sigma", window_steps)
    states, means_q = [x], []
    for i in range(width):
        means_q.append(drafted_mean(window_steps[:, i], states[-1]))
        states.append(parts.step(means_q[-1], sigma[:, i], noise.drafts[:, i]))
    y, mean_q = torch.stack(states, 1), torch.stack(means_q, 1)

    # Verify: one batch through the target, only where a mean is needed and not yet known.
    needed = torch.arange(width + 1, device=x.device)[None, :] <= lengths[:, None]
    if first is not None:
        needed[:, 0] = False
        evaluations -= m
    predictions = _evaluate(process, window_steps, y, given, needed, evaluations)
    if first is not None:
        predictions[:, 0] = first
    mean_p = parts.target_means(tables, window_steps, y, predictions, lengths, drafted_mean)

    safe_sigma = torch.where(drafted, sigma[:, :width], torch.ones_like(sigma[:, :width]))
    delta, axis = displacement(mean_p[:, :width], mean_q, safe_sigma)
    delta = torch.where(drafted, delta, torch.zeros_like(delta))
    ratios = log_ratio(delta, (axis * noise.drafts).sum(-1).double())
    progress = 1.0 - steps.double() / process.steps
    tau, log_weight = parts.verify(config.verifier, ratios, parts.masses(delta), noise, lengths, progress)
    window = Verified(y, mean_p, sigma, axis, delta, log_weight, tau, lengths)
    x_next, draws = parts.emit(config.rejection, window, noise, source)

    # Remember the prediction at the drafted state where the chain now stands: the rejected state, or else the last one.
    base = torch.minimum(tau + 1, lengths)
    before = torch.clamp(base - 1, min=0)
    at_base, at_before = ((_pick(window_steps, i), _pick(y, i), _pick(predictions, i)) for i in (base, before))
    memory = drafter.remember(tables, memory, Seen(*at_base, *at_before, steps - tau - 1, x_next))

    index = chains.chain
    trace.rounds[index] += int(first is not None) + needed.any(1).long()
    trace.evaluations[index] += int(first is not None) + needed.sum(1)
    trace.draft_evaluations[index] += width if drafter.evaluates else 0
    trace.windows[index] += 1
    trace.residual_draws[index] += torch.where(tau < lengths, draws, 0)
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
        # The places of the needed states, without asking the device for their number.
        place = torch.argsort(~needed.reshape(-1), stable=True)[:count]
        row = place // width
        rows_given = None if given is None else given[row]
        predictions.reshape(-1, d)[place] = process.evaluate(steps.reshape(-1)[place], y.reshape(-1, d)[place], rows_given)
    return predictions


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Pick one column per row: values (m, L, ...) -> (m, ...)."""
    return values[torch.arange(len(values), device=values.device), index]


def _stochastic_run(sigma: np.ndarray) -> np.ndarray:
    """For k = 0..K: the number of stochastic steps, from k downwards, before the first deterministic one."""
    run = np.zeros(len(sigma) + 1, dtype=np.int64)
    for k in range(1, len(sigma) + 1):
        run[k] = run[k - 1] + 1 if sigma[k - 1] > 0 else 0
    return run
