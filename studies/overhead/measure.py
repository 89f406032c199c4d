"""Milliseconds of the parts of a round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from exactness_samplers.schedules import cosine_betas, ddpm
from exactness_samplers.torch import speculative as module
from exactness_samplers.torch.couplings import residual_quantile
from exactness_samplers.torch.drafters import Drafter, Free
from exactness_samplers.torch.networks import digits_network
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal, Rejection, gamma, reflection
from exactness_samplers.torch.speculative import Speculative
from exactness_samplers.torch.verification import Verifier, block, token_wise

BATCH, WINDOW, CHAINS, STEPS = 64, 8, 640, 50
KEPT = Maximal("quantile", "kept")


class Clock:
    """Seconds spent in the parts that it wraps."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def part(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = action(*arguments, **options)
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started
            return result

        return timed


def in_torch(repeats: int) -> list[dict[str, Any]]:
    schedule = ddpm(cosine_betas(STEPS), "small")
    process = Process(schedule, digits_network(schedule), "sample", 64)
    posterior = Posterior(process, fit(process, WINDOW), WINDOW)
    settings: list[tuple[str, Drafter, Verifier, Rejection]] = [
        ("free sample, token-wise, reflection", Free("sample"), token_wise, reflection),
        ("free sample, block, Gamma-maximal", Free("sample"), block, gamma),
        ("free sample, block, kept", Free("sample"), block, KEPT),
        ("posterior, block, kept", posterior, block, KEPT),
    ]
    rows = []
    displacement = module.displacement
    for name, drafter, verifier, rejection in settings:
        found: list[dict[str, float]] = []
        for seed in range(repeats + 1):
            clock = Clock()
            module.displacement = clock.part("verification", displacement)
            config = Speculative(
                replace(process, predict=clock.part("target", process.predict)), WINDOW, drafter,
                clock.part("verification", verifier), clock.part("coupling", rejection),
            )  # fmt: skip
            started = time.perf_counter()
            run = config.run(CHAINS, torch.Generator().manual_seed(seed), dtype=torch.float32, keep_paths=False, batch=BATCH)
            clock.spent["all"] = time.perf_counter() - started
            found.append({part: 1e3 * spent / run.trace.calls for part, spent in clock.spent.items()})
        module.displacement = displacement
        rows.append({"sampler": name, **{part: statistics.median(f[part] for f in found[1:]) for part in found[0]}})
    return rows


def in_jax(repeats: int) -> list[dict[str, Any]]:
    """The loop is one compiled program, so the target is timed by itself, and everything else is the difference."""
    import jax
    import jax.numpy as jnp
    from exactness_samplers.jax import drafters, networks, posterior, rejections, speculative, verification
    from exactness_samplers.jax.processes import Process as JaxProcess

    schedule = ddpm(cosine_betas(STEPS), "small")
    network = networks.digits_network(schedule)
    process = JaxProcess(schedule, network, "sample", 64)
    forecast = posterior.fit(process, WINDOW)
    kept, until = rejections.Maximal("quantile", "kept"), rejections.reflection
    rows = []
    for name, drafter, verifier, rejection in (
        ("free sample, token-wise, reflection", drafters.Free("sample"), verification.token_wise, until),
        ("free sample, block, Gamma-maximal", drafters.Free("sample"), verification.block, rejections.gamma),
        ("free sample, block, kept", drafters.Free("sample"), verification.block, kept),
        ("posterior, block, kept", posterior.Posterior(process, forecast, WINDOW), verification.block, kept),
    ):
        config = speculative.Speculative(process, WINDOW, drafter, verifier, rejection)
        started = time.perf_counter()
        config.run(CHAINS, jax.random.key(0), keep_paths=False, batch=BATCH)
        compiling = time.perf_counter() - started
        evaluate = jax.jit(lambda x: network(jnp.full(len(x), 20), x, None))
        states = jnp.zeros((BATCH * (WINDOW + 1), 64), jnp.float32)
        evaluate(states).block_until_ready()
        found = []
        for seed in range(repeats):
            started = time.perf_counter()
            run = config.run(CHAINS, jax.random.key(seed), keep_paths=False, batch=BATCH)
            np.asarray(run.paths)
            whole = 1e3 * (time.perf_counter() - started) / float(run.trace.calls)
            started = time.perf_counter()
            for _ in range(20):
                evaluate(states).block_until_ready()
            found.append((whole, 1e3 * (time.perf_counter() - started) / 20))
        rows.append({
            "sampler": name, "all": statistics.median(f[0] for f in found), "target": statistics.median(f[1] for f in found),
            "compiling_s": compiling,
        })  # fmt: skip
    return rows


def compiled_residual(repeats: int) -> dict[str, float]:
    """Milliseconds of the residual's quantile, the costliest pure function, at 64 rows: eager and under `torch.compile`."""
    generator = torch.Generator().manual_seed(0)
    delta = 2.0 * torch.rand(BATCH, generator=generator, dtype=torch.float64) + 0.3
    u, weight = (torch.rand(BATCH, generator=generator, dtype=torch.float64) for _ in range(2))
    arguments = u, torch.log(weight), delta
    found: dict[str, float] = {}
    started = time.perf_counter()
    program = torch.compile(residual_quantile, dynamic=True)
    program(*arguments)
    found["compiling_s"] = time.perf_counter() - started
    for name, action in (("eager", residual_quantile), ("compiled", program)):
        times = []
        for _ in range(repeats * 20):
            started = time.perf_counter()
            action(*arguments)
            times.append(time.perf_counter() - started)
        found[name] = 1e3 * statistics.median(times)
    return found
