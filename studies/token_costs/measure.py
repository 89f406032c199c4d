"""Processor time as multiples of one softmax, and the memory of a process."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import exactness as ex
from exactness.arrays import in_numpy
from exactness.batteries import Tokens
from exactness.batteries.tokens import _ratio, _transform
from exactness.laws.token_rules import at
from exactness.laws.tokens import _BLOCK, _CHUNK, log_softmax

ROWS, VOCABULARY, WINDOW = 128, 131_072, 4


def ratios(softmax: Callable[[], Any], actions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median, over repeats, of each action's processor time as a multiple of that of a softmax just before it."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for again in range(repeats + 1):
        for name, action in actions.items():
            one, own = _spent(softmax), _spent(action)
            # The first time, programs are compiled and memory is fetched.
            if again:
                found[name].append(own / one)
    return {name: statistics.median(values) for name, values in found.items()}


def _spent(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def verification(backend: str, repeats: int) -> dict[str, float]:
    """Rules given the probabilities of target and draft: one softmax is that of the target's logits, (128, 5, 131072)."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((ROWS, WINDOW + 1, VOCABULARY), dtype=np.float32)
    draft = z[:, :WINDOW] + 0.5 * rng.standard_normal((ROWS, WINDOW, VOCABULARY), dtype=np.float32)
    drafts = (draft + rng.gumbel(size=(ROWS, WINDOW, 1)).astype(np.float32)).argmax(-1)
    lengths, noise = np.full(ROWS, WINDOW), rng.random((ROWS, WINDOW + 1))
    logits: Any
    given: Any
    if backend == "torch":
        import torch

        logits, given = torch.from_numpy(z), (torch.from_numpy(drafts), torch.from_numpy(lengths), torch.from_numpy(noise))
        p, q = torch.softmax(logits, -1), torch.softmax(torch.from_numpy(draft), -1)
        softmax = lambda: torch.softmax(logits, -1)  # noqa: E731
        wait = lambda found: found  # noqa: E731
    else:
        import jax

        logits, given = jax.numpy.asarray(z), tuple(jax.numpy.asarray(x) for x in (drafts, lengths, noise))
        compiled = jax.jit(lambda x: jax.nn.softmax(x, -1))
        p, q = compiled(logits), compiled(jax.numpy.asarray(draft))
        softmax = lambda: compiled(logits).block_until_ready()  # noqa: E731
        wait = lambda found: jax.block_until_ready(found)  # noqa: E731
    tokens, decisions = (import_module(f"exactness_samplers.{backend}.{name}") for name in ("tokens", "verification"))
    rules = {
        "block, scanning from the right": tokens.block,
        "block, every residual mass": tokens.Chain(decisions.block),
        "token-wise": tokens.token_wise,
        "one-hot": tokens.one_hot,
        "sampled-verify": tokens.sampled_verify,
    }
    return ratios(softmax, {name: partial(lambda rule: wait(rule(p, q, *given)), rule) for name, rule in rules.items()}, repeats)


def judging(backend: str, repeats: int) -> dict[str, float]:
    """The transforms of one token per row, given log-probabilities: one softmax is that of logits (128, 131072)."""
    rng = np.random.default_rng(0)
    z = 2.0 * rng.standard_normal((ROWS, VOCABULARY), dtype=np.float32)
    draft = z + rng.standard_normal((ROWS, VOCABULARY), dtype=np.float32)
    log_p, log_q = (in_numpy(x) for x in (_of(backend, log_softmax(z)), _of(backend, log_softmax(draft))))
    p, logits = np.exp(log_p), _of(backend, z)
    ids = (log_p + rng.gumbel(size=p.shape).astype(np.float32)).argmax(1)
    own, spread = at(p, ids), rng.random(ROWS)
    size = max(1, _BLOCK // VOCABULARY)
    blocks = [slice(i, i + size) for i in range(0, ROWS, size)]
    keys: dict[str, Callable[[slice], np.ndarray | None]] = {
        "by number": lambda _: None,
        "by probability": lambda rows: p[rows],
        "by p/q": lambda rows: _ratio(log_p[rows], log_q[rows]),
    }

    def transform(key: Callable[[slice], np.ndarray | None]) -> None:
        for rows in blocks:
            _transform(p[rows], key(rows), ids[rows], own[rows], spread[rows])

    law = _law(backend, z[0], draft[0])
    sample = law.accept(law.sample(ROWS, 0), ROWS)
    evidence = Tokens().start(law, rng)
    actions: dict[str, Callable[[], Any]] = {f"transform {name}": partial(transform, key) for name, key in keys.items()}
    actions["all tests, the laws of target and draft included"] = lambda: evidence.update(sample)
    return ratios(_softmax(backend, logits), actions, repeats)


def _softmax(backend: str, logits: Any) -> Callable[[], Any]:
    if backend == "torch":
        import torch

        return lambda: torch.softmax(logits, -1)
    import jax

    compiled = jax.jit(lambda x: jax.nn.softmax(x, -1))
    return lambda: compiled(logits).block_until_ready()


def memory(backend: str) -> dict[str, float]:
    """The largest memory of a process while it judges, above what it held before, as multiples of one chunk of logits."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (backend,))


def _memory(backend: str) -> dict[str, float]:
    rng = np.random.default_rng(0)
    law = _law(backend, *(2.0 * rng.standard_normal((2, VOCABULARY), dtype=np.float32)))
    sample = law.accept(_of(backend, rng.integers(0, VOCABULARY, (ROWS, 1))), ROWS)
    evidence = Tokens().start(law, rng)
    # The first time, code is loaded and programs are compiled.
    evidence.update(sample[:1])
    evidence.update(sample)
    rows = min(ROWS, _CHUNK // VOCABULARY)
    ids, chunk = _of(backend, np.zeros((rows, 0), dtype=np.int64)), 4 * rows * VOCABULARY
    target, draft = law.target, law.draft
    assert draft is not None
    alone = _peak(lambda: (target(ids), draft(ids)))
    return {"alone": alone / chunk, "chunks": _peak(lambda: evidence.update(sample)) / chunk, "megabytes of a chunk": chunk / 2**20}


def _peak(action: Callable[[], Any]) -> int:
    """The largest memory meanwhile, in bytes above what is held before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    action()
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _law(backend: str, target: np.ndarray, draft: np.ndarray) -> ex.TokenChain:
    """A law of one token, whose target and draft return new arrays of logits as a network does."""

    def of(row: np.ndarray) -> Callable[[Any], Any]:
        logits = _of(backend, row[None])
        if backend == "torch":
            return lambda ids: logits.repeat(len(ids), 1)
        if backend == "jax":
            import jax

            return lambda ids: jax.numpy.tile(logits, (len(ids), 1))
        return lambda ids: np.tile(logits, (len(ids), 1))

    return ex.TokenChain(of(target), vocabulary=VOCABULARY, length=1, draft=of(draft))


def _of(backend: str, x: np.ndarray) -> Any:
    """A numpy array as one of another library."""
    if backend == "torch":
        import torch

        return torch.from_numpy(x)
    if backend == "jax":
        import jax

        return jax.numpy.asarray(x)
    return x
