"""A setting for which the figures of a public sampler are stated: churned rectified flow on random mixtures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from exactness_samplers.schedules import rectified_flow
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.drafters import Extrapolation, Free, Frozen
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import reflection
from exactness_samplers.torch.sequential import Sequential
from exactness_samplers.torch.speculative import Speculative
from exactness_samplers.torch.verification import block, token_wise

from .laws import Law
from .methods import KEPT, MEASURED, PILOTS, VERIFIERS, Method

# The rounds that a public sampler states for a window of 8, by dimension and base of the draft.
STATED = {2: {"free": 7.4, "frozen": 7.1}, 512: {"free": 13.6, "frozen": 12.4}}
METHODS = {
    "free velocity, token-wise, reflection": Method("", lambda of, p, w: Free("velocity"), "token", reflection),
    "frozen velocity, token-wise, reflection": Method("", lambda of, p, w: Frozen("velocity"), "token", reflection),
    "free velocity, block, kept": Method("", lambda of, p, w: Free("velocity")),
    "free sample, block, kept": Method("", lambda of, p, w: Free("sample")),
    "free velocity extrapolated, block, kept": Method("", lambda of, p, w: Extrapolation("velocity")),
    "posterior, block, kept": Method("", lambda of, p, w: Posterior(p, fit(p, w, chains=200, seed=PILOTS), w, secant=False)),
}


def public_process(dim: int, draw: int) -> Process:
    """Time runs from 1 to 0.001 in 30 equal steps, then to 0. The first and the last step are deterministic. Five components."""
    g = np.random.default_rng(draw)
    means, deviations = g.uniform(-2.0, 2.0, (5, dim)), g.uniform(0.10, 0.25, 5)
    times = np.concatenate([[0.0], np.linspace(0.001, 1.0, 30)])
    schedule = rectified_flow(30, 0.06, times=times, deterministic=(1, 30))
    return Process(schedule, MixtureDenoiser(schedule, np.full(5, 0.2), means, deviations**2), "sample", dim)


def every_job(draws: int = 10) -> Iterator[tuple[int, str, int]]:
    """Dimension, method and number of the random mixture."""
    return itertools.product(STATED, METHODS, range(draws))


def measure_public(job: tuple[int, str, int]) -> dict[str, object]:
    torch.set_num_threads(1)
    dim, name, draw = job
    process, method = public_process(dim, draw), METHODS[name]
    law = Law(lambda steps: process, None)
    config = Speculative(process, 8, method.drafter(law, process, 8), VERIFIERS[method.verifier], method.rejection)
    run = config.run(200, torch.Generator().manual_seed(MEASURED), dtype=torch.float32, keep_paths=False)
    # Only verifications count, because the stated figures leave out the free drafter's first call, the frozen drafter's extra call
    # per round, and the call of the deterministic first step.
    calls = run.trace.rounds - 1 if "frozen" not in name else run.trace.windows - 1
    return {"dim": dim, "method": name, "draw": draw, "rounds": float(calls.double().mean())}


def speed() -> list[dict[str, object]]:
    """Chains per second at d = 2, window 4, in batches of 1,000 chains, in one process with all cores."""
    process = public_process(2, 0)

    def run(config: Sequential | Speculative, n: int, **options: Any) -> Callable[[int], object]:
        generator = torch.Generator()
        return lambda seed: config.run(n, generator.manual_seed(seed), dtype=torch.float32, keep_paths=False, **options)

    token = Speculative(process, 4, Free("velocity"), token_wise, reflection)
    rows = {
        "plain": run(Sequential(process), 1_000),
        "free velocity, token-wise, reflection": run(token, 1_000),
        "free velocity, block, kept": run(Speculative(process, 4, Free("velocity"), block, KEPT), 1_000),
        "the same token-wise, 20,000 chains refilling a batch of 1,000": run(token, 20_000, batch=1_000),
    }
    found = []
    for name, go in rows.items():
        chains, times = (20_000 if "refilling" in name else 1_000), []
        for seed in range(8):
            started = time.perf_counter()
            go(seed)
            times.append(time.perf_counter() - started)
        found.append({"sampler": name, "chains_a_second": chains / float(np.median(times[1:]))})
    return found
