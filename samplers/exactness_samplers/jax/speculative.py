"""Speculative sampling: draft a window cheaply, verify it in one batch, keep what the verifier allows, and repeat.

One compiled loop serves every combination of drafter, verifier and rejection rule. It has a fixed number of slots, and each slot
holds a chain that advances by its own accepted length. When a chain has finished, its slot takes a waiting chain. If no chain
waits, the slot is idle: it is computed but not counted, so a ``batch`` much smaller than n wastes least. A deterministic step
(sigma = 0) is never drafted: windows end before it. The host waits for the device once per run.

Source: De Bortoli et al. 2025, Algorithms 1-4; Soen et al. 2026 for blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .couplings import GaussianMasses, displacement, log_ratio
from .drafters import Drafter, Free, Memory, Seen
from .noise import KeyNoise, Noise, RoundNoise
from .processes import Process, Tables
from .rejections import Rejected, Rejection, gamma
from .trace import Run, Trace
from .verification import Masses, Verifier, block

# Squares of this, summed over a million coordinates, are still finite in single precision.
_HUGE = 1e15


class Chains(NamedTuple):
    """The chains in the slots, one row each.

    ``chain`` (m,) is the index among all n, ``steps`` (m,) counts the steps still to go (0 in an idle slot) and ``rounds`` (m,) the
    rounds done. ``x`` (m, d) is the state, and ``memory`` that of the drafter.
    """

    chain: jax.Array
    steps: jax.Array
    rounds: jax.Array
    x: jax.Array
    memory: Memory


class Verified(NamedTuple):
    """A window after its verification.

    ``y`` (m, L + 1, d) are the states, y_0 first. ``mean_p`` (m, L + 1, d) and ``sigma`` (m, L + 1) belong to the step that leaves
    each state, ``axis`` (m, L, d) and ``delta`` (m, L) to the drafts. ``log_weight`` (m,) is the log-weight of the rejection, and
    ``tau`` (m,) of the ``lengths`` (m,) drafted steps are kept.
    """

    y: jax.Array
    mean_p: jax.Array
    sigma: jax.Array
    axis: jax.Array
    delta: jax.Array
    log_weight: jax.Array
    tau: jax.Array
    lengths: jax.Array


def source(noise: Noise) -> Noise:
    """The source of the run's randomness, which is the one that was passed in."""
    return noise


def draw(source: Noise, chains: Chains, window: int, dim: int) -> RoundNoise:
    """Draw the noise of this round."""
    return source.round(chains.rounds, chains.chain, window, dim)


def conditioned(condition: jax.Array, chains: Chains) -> jax.Array:
    """The condition of the chain in each slot."""
    return condition[chains.chain]


def step(mean: jax.Array, sigma: jax.Array, z: jax.Array) -> jax.Array:
    """y_i = m_q(y_{i-1}) + sigma z_i: (m, d), (m,), (m, d) -> (m, d)."""
    return mean + sigma[:, None] * z


def target_means(
    tables: Tables, steps: jax.Array, y: jax.Array, predictions: jax.Array, lengths: jax.Array,
    drafted_mean: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:  # fmt: skip
    """The mean m_p of the step that leaves each state, (m, L + 1, d). The drafter's ``drafted_mean(steps, x)`` is not used here."""
    return tables.mean(steps, y, predictions)


def masses(deltas: jax.Array) -> Masses:
    """The masses that the verifier asks for, from the displacements (m, L) of the drafts."""
    return GaussianMasses(deltas)


def verify(
    verifier: Verifier, log_ratios: jax.Array, masses: Masses, noise: RoundNoise, lengths: jax.Array, progress: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """tau and the log-weight. ``progress`` (m,), from 0 to 1, is how far the chain has come; the law does not change with it."""
    return verifier(log_ratios, masses, noise.accept, lengths)


def emit(rejection: Rejection, window: Verified, noise: RoundNoise, source: Noise) -> tuple[jax.Array, jax.Array | int]:
    """The state after the kept ones, (m, d), and the number of draws that the rejection took.

    After a rejection it comes from the residual; after a full window it is one more step of the target.
    """
    tau, at = window.tau, jnp.minimum(window.tau, window.delta.shape[1] - 1)
    mean, sigma, rejected = _pick(window.mean_p, tau), _pick(window.sigma, tau), tau < window.lengths
    step = Rejected(
        mean, sigma, _pick(window.axis, at), _pick(window.delta, at), window.log_weight, _pick(noise.drafts, at), rejected
    )
    emitted, draws = rejection(step, noise, source)
    return jnp.where(rejected[:, None], emitted, mean + sigma[:, None] * noise.fresh), draws


@dataclass(frozen=True)
class Round:
    """The parts of a round, in the order of their use. A fault replaces one of them."""

    source: Callable[[Noise], Noise] = source
    draw: Callable[..., RoundNoise] = draw
    conditioned: Callable[..., jax.Array] = conditioned
    step: Callable[..., jax.Array] = step
    target_means: Callable[..., jax.Array] = target_means
    masses: Callable[[jax.Array], Masses] = masses
    verify: Callable[..., tuple[jax.Array, jax.Array]] = verify
    emit: Callable[..., tuple[jax.Array, jax.Array | int]] = emit


@dataclass(frozen=True)
class Speculative:
    """A speculative sampler of ``process``.

    Args:
        process: the schedule and the target's prediction.
        window: the number of steps drafted at a time, at least 1.
        drafter, verifier, rejection: the parts of the sampler; every combination is exact.
        round: the functions of a round. They are there for the controls; leave them alone.

    The compiled programs belong to this object: one for each n, batch, dtype and shape of condition, made at the first run.

    Raises:
        ValueError: if the window is not positive, every step is deterministic, or the drafter does not fit the process.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> process = Process(ddpm(cosine_betas(6)), lambda steps, x, condition: 0.5 * x, "sample", dim=2)
    >>> Speculative(process, window=3).drafter.name  # .run(5, jax.random.key(0)) draws five paths
    'free-sample'
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
        key: jax.Array | None = None,
        *,
        noise: Noise | None = None,
        condition: jax.Array | None = None,
        dtype: Any = None,
        keep_paths: bool = True,
        batch: int | None = None,
    ) -> Run:
        """Run n chains on the device of the key or of the noise.

        Args:
            n: the number of chains.
            key: the source of all randomness, a typed key; ``noise`` replaces it.
            condition: (n, ...), passed to the prediction row by row.
            dtype: the dtype of the states, float32 or float64. The default is the widest that is enabled.
            keep_paths: False returns only the last states, (n, d), in constant memory per chain.
            batch: the largest number of chains at a time. Others enter as these finish. By default all run at once.

        Raises:
            ValueError: if there is no source of randomness, or an argument does not fit.
            RuntimeError: if a rejection rule gives up.
        """
        source = KeyNoise.of(key, dtype) if noise is None else noise
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ValueError(f"batch must be a positive integer or None, not {batch!r}: it counts chains that run at a time")
        source.check(n, self.window)
        if condition is not None and len(condition) != n:
            raise ValueError(f"condition has {len(condition)} rows for {n} chains: it needs one row per chain")
        run, said = self._compiled(n, min(batch or n, n), source, condition, keep_paths=keep_paths)
        calls, turns, fewest, rounds = (int(count) for count in jax.device_get((run.trace.calls, run.trace.computed, *said)))
        if fewest < 0:
            raise RuntimeError(f"no draw accepted in {-fewest}: the draft is too close to the target for this rule")
        if source.most_rounds is not None and rounds > source.most_rounds:
            raise ValueError(f"the injected noise lasts for {source.most_rounds} rounds and the run needs more: inject K rounds")
        computed = turns * min(batch or n, n) * (self.window + 1)
        return replace(run, trace=replace(run.trace, calls=calls, computed=computed))

    @cached_property
    def _compiled(self) -> Callable[..., tuple[Run, tuple[jax.Array, jax.Array]]]:
        return jax.jit(partial(_run, self), static_argnums=(0, 1), static_argnames="keep_paths")


class _Loop(NamedTuple):
    """What a round passes to the next. ``entered`` counts the chains so far. ``fewest`` is below 0 if a rejection rule gave up."""

    chains: Chains
    entered: jax.Array
    trace: Trace
    paths: jax.Array | None
    final: jax.Array
    fewest: jax.Array


def _run(
    config: Speculative, n: int, slots: int, source: Noise, condition: jax.Array | None, *, keep_paths: bool
) -> tuple[Run, tuple[jax.Array, jax.Array]]:
    """The run, and two numbers that say whether it is valid: ``fewest`` and the largest number of rounds of a chain."""
    process, total, width = config.process, config.process.steps, config.window
    source = config.round.source(source)
    start = process.first(source.start(n, process.dim), condition)
    tables = process.tables(start)
    runs = jnp.asarray(_stochastic_run(process.schedule.sigma))
    column = jnp.arange(width + 1, dtype=jnp.int32)

    def entering(index: jax.Array) -> Chains:
        there = index < n
        index = jnp.where(there, index, 0)
        steps, x = jnp.where(there, total, 0).astype(jnp.int32), start[index]
        return Chains(index, steps, jnp.zeros_like(steps), x, config.drafter.start(tables, x))

    def turn(loop: _Loop) -> _Loop:
        chains = loop.chains
        given = None if condition is None else config.round.conditioned(condition, chains)
        window, trace = _draft_and_verify(config, tables, source, chains, runs, given, loop.trace)
        active = chains.steps > 0
        # Idle slots write past the end, where it has no effect.
        row = jnp.where(active, chains.chain, n)
        paths = loop.paths
        if paths is not None:
            at, tau = (total - chains.steps + 1)[:, None] + column, window.tau[:, None]
            states = jnp.where((column == tau)[..., None], window.x[:, None], window.following)
            paths = paths.at[row[:, None], jnp.where(column <= tau, at, total + 1)].set(states, mode="drop")
        final = loop.final.at[row].set(window.x, mode="drop")
        moved = Chains(
            chains.chain, jnp.where(active, chains.steps - window.tau - 1, 0), chains.rounds + active, window.x, window.memory
        )
        chains, entered = _refilled(moved, entering, loop.entered, n) if slots < n else (moved, loop.entered)
        return _Loop(chains, entered, trace, paths, final, jnp.minimum(loop.fewest, window.fewest))

    loop = _Loop(
        entering(jnp.arange(slots, dtype=jnp.int32)),
        jnp.int32(slots),
        # Here ``computed`` counts turns of the loop, because states would not fit into 32 bits.
        replace(Trace.empty(n, total), calls=jnp.int32(0), computed=jnp.int32(0)),
        jnp.zeros((n, total + 1, process.dim), start.dtype).at[:, 0].set(start) if keep_paths else None,
        jnp.zeros_like(start),
        jnp.int32(0),
    )
    # A rule that gave up left NaN behind, so there is no point in going on.
    loop = lax.while_loop(lambda loop: jnp.any(loop.chains.steps > 0) & (loop.fewest >= 0), turn, loop)
    run = Run(loop.final if loop.paths is None else loop.paths, loop.trace)
    return run, (loop.fewest, loop.trace.windows.max(initial=0))


def _refilled(chains: Chains, entering: Callable[[jax.Array], Chains], entered: jax.Array, n: int) -> tuple[Chains, jax.Array]:
    """Put the next waiting chains into idle slots; also returns how many chains have entered."""
    idle = chains.steps == 0
    place = jnp.cumsum(idle, dtype=jnp.int32)
    fresh = entering(entered + place - 1)

    def either(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(idle.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    # If no chain waits, the entering chain has no steps to go, so the slot stays idle.
    return jax.tree.map(either, fresh, chains), jnp.minimum(entered + place[-1], n)


class _Window(NamedTuple):
    """``following`` (m, L + 1, d) holds y_1..y_L, of which ``tau`` (m,) are kept, and one more. ``x`` (m, d) is the next state."""

    following: jax.Array
    tau: jax.Array
    x: jax.Array
    memory: Memory
    fewest: jax.Array


def _lengths(config: Speculative, runs: jax.Array, chains: Chains) -> jax.Array:
    """How many steps each chain drafts, (m,). Its last step is never drafted, because the step before it gives its exact mean."""
    lengths = jnp.minimum(jnp.clip(chains.steps - 1, 0, config.window), runs[chains.steps])
    return jnp.where(chains.rounds == 0, 0, lengths) if config.drafter.cold else lengths


def _draft_and_verify(
    config: Speculative, tables: Tables, source: Noise, chains: Chains, runs: jax.Array, given: jax.Array | None, trace: Trace
) -> tuple[_Window, Trace]:
    """Do one round of every slot. Idle slots are computed but leave no trace."""
    process, drafter, width, parts = config.process, config.drafter, config.window, config.round
    steps, x, memory = chains.steps, chains.x, chains.memory
    d = process.dim
    active = steps > 0
    noise = parts.draw(source, chains, width, d)
    lengths = _lengths(config, runs, chains)
    column = jnp.arange(width + 1, dtype=jnp.int32)
    drafted = column[:width] < lengths[:, None]
    needed = active[:, None] & (column <= lengths[:, None])

    window_steps = jnp.maximum(steps[:, None] - column, 1)
    first = process.evaluate(window_steps[:, 0], x, given) if drafter.frozen else None
    if first is not None:
        here = (window_steps[:, 0], x, first)
        memory = drafter.remember(tables, memory, Seen(*here, *here, window_steps[:, 0], x))
        needed = needed.at[:, 0].set(False)

    def drafted_mean(at: jax.Array, state: jax.Array) -> jax.Array:
        # A draft may be any finite number. If a drafter overflows, this costs a rejection, not the chain.
        mean = tables.mean(at, state, drafter.prediction(tables, at, state, memory, given))
        return jnp.clip(jnp.nan_to_num(mean, nan=0.0, posinf=_HUGE, neginf=-_HUGE), -_HUGE, _HUGE)

    # A scan, so that long windows compile as fast as short ones.
    def draft(before: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        mean = drafted_mean(at[0], before)
        after = parts.step(mean, *at[1:])
        return after, (after, mean)

    sigma = tables.at("sigma", window_steps)
    by_column = window_steps[:, :width].T, sigma[:, :width].T, jnp.swapaxes(noise.drafts, 0, 1)
    following, mean_q = (jnp.swapaxes(part, 0, 1) for part in lax.scan(draft, x, by_column)[1])
    y = jnp.concatenate([x[:, None], following], 1)

    # Verify: one batch through the target. Predictions that are not needed are dropped.
    if first is None:
        predictions = _evaluate(process, window_steps, y, given)
    else:
        later = _evaluate(process, window_steps[:, 1:], y[:, 1:], given)
        predictions = jnp.concatenate([first[:, None], later], 1)
    predictions = jnp.where((column <= lengths[:, None])[..., None], predictions, 0.0)
    mean_p = parts.target_means(tables, window_steps, y, predictions, lengths, drafted_mean)

    delta, axis = displacement(mean_p[:, :width], mean_q, jnp.where(drafted, sigma[:, :width], 1.0))
    delta = jnp.where(drafted, delta, 0.0)
    ratios = log_ratio(delta, (axis * noise.drafts).sum(-1).astype(delta.dtype))
    progress = 1.0 - steps.astype(float) / process.steps
    tau, log_weight = parts.verify(config.verifier, ratios, parts.masses(delta), noise, lengths, progress)
    window = Verified(y, mean_p, sigma, axis, delta, log_weight, tau, lengths)
    x_next, draws = parts.emit(config.rejection, window, noise, source)
    draws = jnp.where(tau < lengths, draws, 0).astype(jnp.int32)

    # Remember the prediction at the drafted state where the chain now stands: the rejected state, or else the last one.
    base = jnp.minimum(tau + 1, lengths)
    at_base, at_before = ((_pick(window_steps, i), _pick(y, i), _pick(predictions, i)) for i in (base, jnp.maximum(base - 1, 0)))
    memory = drafter.remember(tables, memory, Seen(*at_base, *at_before, steps - tau - 1, x_next))

    row = jnp.where(active, chains.chain, len(trace.rounds))
    extra = int(first is not None)
    add = lambda count, more: count.at[row].add(more, mode="drop")  # noqa: E731
    put = lambda table, value: table.at[row, chains.rounds].set(value.astype(table.dtype), mode="drop")  # noqa: E731
    trace = Trace(
        rounds=add(trace.rounds, extra + needed.any(1).astype(jnp.int32)),
        evaluations=add(trace.evaluations, extra + needed.sum(1, dtype=jnp.int32)),
        draft_evaluations=add(trace.draft_evaluations, width if drafter.evaluates else 0),
        windows=add(trace.windows, 1),
        residual_draws=add(trace.residual_draws, draws),
        drafted=put(trace.drafted, lengths),
        accepted=put(trace.accepted, tau),
        calls=trace.calls + extra + needed.any().astype(jnp.int32),
        computed=trace.computed + 1,
    )
    return _Window(jnp.roll(y, -1, axis=1), tau, x_next, memory, draws.min(initial=0)), trace


def _evaluate(process: Process, steps: jax.Array, y: jax.Array, given: jax.Array | None) -> jax.Array:
    """The predictions at all states (m, C, d), in one call."""
    m, count, d = y.shape
    rows_given = None if given is None else jnp.repeat(given, count, axis=0)
    return process.evaluate(steps.reshape(-1), y.reshape(-1, d), rows_given).reshape(m, count, d)


def _pick(values: jax.Array, index: jax.Array) -> jax.Array:
    """Pick one column per row: values (m, L, ...) -> (m, ...)."""
    return values[jnp.arange(len(values)), index]


def _stochastic_run(sigma: np.ndarray) -> np.ndarray:
    """For k = 0..K: the number of stochastic steps, from k downwards, before the first deterministic one."""
    run = np.zeros(len(sigma) + 1, dtype=np.int32)
    for k in range(1, len(sigma) + 1):
        run[k] = run[k - 1] + 1 if sigma[k - 1] > 0 else 0
    return run
