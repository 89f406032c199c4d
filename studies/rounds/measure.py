"""How many rounds a chain takes: every way of drafting, verifying and replacing, over laws, chain lengths and windows.

    python -m studies.rounds

Rounds are sequential calls of the target, a batched verification counting as one; plain sampling takes K. Every run also holds the
sampler against theory: the accepted length of a window, given its drafts, has mean sum_i P_i, and that of a block is never less
than token by token.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exactness_samplers.forecast import Forecast
from exactness_samplers.schedules import cosine_betas, ddpm, rectified_flow
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.drafters import Drafter, Extrapolation, Free, Frozen, Independent
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal, Rejection, gamma, reflection
from exactness_samplers.torch.sequential import Sequential
from exactness_samplers.torch.speculative import Speculative
from exactness_samplers.torch.verification import Verifier, block, block_weights, token_wise
from torch import Tensor

from .page import REPORTS
from .rounds_page import page

WINDOWS = (2, 4, 6, 8, 12, 16)
STEPS = (30, 50, 100, 250)
KEPT = Maximal("quantile", "kept")
# Pilots and measured chains have nothing in common.
_PILOTS, _MEASURED = 1, 2


@dataclass(frozen=True)
class Law:
    """``process`` by number of steps; ``variance`` is that inside a mode, if there is one."""

    process: Callable[[int], Process]
    variance: float | None
    chains: int = 200
    network: bool = False


@dataclass(frozen=True)
class Method:
    name: str
    drafter: Callable[[Law, Process, int], Drafter]
    verifier: str = "block"
    rejection: Rejection = KEPT


def _mixture(means: np.ndarray, variances: np.ndarray, flow: float = 0.0) -> Callable[[int], Process]:
    weights = np.full(len(means), 1.0 / len(means))

    def process(steps: int) -> Process:
        schedule = rectified_flow(steps, flow) if flow else ddpm(cosine_betas(steps), "small")
        return Process(schedule, MixtureDenoiser(schedule, weights, means, variances), "sample", means.shape[1])

    return process


@cache
def laws() -> dict[str, Law]:
    from exactness_samplers.torch.networks import digits_network
    from sklearn.datasets import load_digits

    angle, axis = np.arange(8) * np.pi / 4, np.linspace(-2.0, 2.0, 5)
    ring = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(25, 2)
    two, pictures = np.array([[2.0, 0.0], [-1.0, 0.0]]), load_digits().data / 8.0 - 1.0
    flat = lambda means, variance: np.full(len(means), variance)  # noqa: E731

    def network(steps: int) -> Process:
        schedule = ddpm(cosine_betas(steps), "small")
        return Process(schedule, digits_network(schedule), "sample", 64)

    return {
        "two modes": Law(_mixture(two, flat(two, 0.15)), 0.15),
        "ring": Law(_mixture(ring, flat(ring, 0.02)), 0.02),
        "grid, churn 0.3": Law(_mixture(grid, flat(grid, 0.04), flow=0.3), 0.04),
        "grid, churn 1": Law(_mixture(grid, flat(grid, 0.04), flow=1.0), 0.04),
        "grid, churn 2": Law(_mixture(grid, flat(grid, 0.04), flow=2.0), 0.04),
        "digits mixture": Law(_mixture(pictures, flat(pictures, 0.05)), 0.05, chains=100),
        "digits network": Law(network, None, chains=100, network=True),
    }


@cache
def pilots(law: str, steps: int, window: int, rank: int) -> Forecast:
    return fit(laws()[law].process(steps), window, rank=rank, seed=_PILOTS)


def methods(law: str) -> dict[str, Method]:
    """From what is published to the best of ours; each name says all there is."""

    def coarse(of: Law, p: Process, window: int) -> Drafter:
        ends = Sequential(p).run(300, torch.Generator().manual_seed(_PILOTS), keep_paths=False).paths
        moments = ends.mean(0)[None].numpy(), ends.var(0).mean()[None].numpy()
        return Independent(MixtureDenoiser(p.schedule, np.ones(1), *moments))

    def posterior(rank: int, **options: object) -> Callable[[Law, Process, int], Drafter]:
        return lambda of, p, window: Posterior(p, pilots(law, p.steps, window, rank), window, **options)  # type: ignore[arg-type]

    found = [
        Method("frozen noise, token-wise, reflection", lambda of, p, w: Frozen("noise"), "token", reflection),
        Method("free noise, token-wise, reflection", lambda of, p, w: Free("noise"), "token", reflection),
        Method("free noise, block, Gamma-maximal", lambda of, p, w: Free("noise"), "block", gamma),
        Method("free noise, block, kept", lambda of, p, w: Free("noise")),
        Method("free velocity, block, kept", lambda of, p, w: Free("velocity")),
        Method("free sample, block, kept", lambda of, p, w: Free("sample")),
        Method("free velocity extrapolated, block, kept", lambda of, p, w: Extrapolation("velocity")),
        Method("posterior without secant, block, kept", posterior(0, secant=False)),
        Method("posterior, block, kept", posterior(0)),
        Method("posterior, block, Gamma-maximal", posterior(0), "block", gamma),
        Method("posterior, token-wise, reflection", posterior(0), "token", reflection),
        Method("frozen posterior, block, kept", posterior(0, base="frozen")),
        Method("independent Gaussian, block, kept", coarse),
    ]
    known = laws()[law]
    if known.process(2).dim > 2:
        found.insert(9, Method("posterior of rank 48, block, kept", posterior(48)))
    if known.variance is not None:
        variance = known.variance

        def oracle(of: Law, p: Process, window: int) -> Drafter:
            return Posterior(p, Forecast.within(p.schedule, variance, pilots(law, p.steps, 2, 0).centre), window)

        found.insert(9, Method("posterior of known variance, block, kept", oracle))
    if known.network:
        from exactness_samplers.torch.drafters import Ahead
        from exactness_samplers.torch.networks import digits_ahead, digits_distilled

        found += [
            Method("distilled network, block, kept", lambda of, p, w: Independent(digits_distilled(p.schedule))),
            Method("ahead network, block, kept", lambda of, p, w: Ahead(digits_ahead(p.schedule))),
        ]
    return {m.name: m for m in found}


class Recorded:
    """A verifier that also keeps how far accepted lengths are from what was promised, and what the other one promises."""

    def __init__(self, name: str) -> None:
        verifiers: dict[str, Verifier] = {"token": token_wise, "block": block}
        self.name, self.verify = name, verifiers[name]
        self.windows, self.gap, self.square, self.promised, self.least = 0, 0.0, 0.0, 0.0, math.inf

    def __call__(self, ratios: Tensor, deltas: Tensor, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tau, weight = self.verify(ratios, deltas, uniforms, lengths)
        drafted = torch.arange(ratios.shape[1]) < lengths[:, None]
        of_block = torch.where(drafted, torch.exp(block_weights(ratios)[:, 1:]), 0.0).sum(1)
        of_token = torch.where(drafted, torch.exp(torch.cumsum(torch.clamp(ratios, max=0.0), 1)), 0.0).sum(1)
        promised = of_block if self.name == "block" else of_token
        gap = tau - promised
        self.windows += int((lengths > 0).sum())
        self.gap, self.square = self.gap + float(gap.sum()), self.square + float(gap.square().sum())
        self.promised += float(promised.sum())
        self.least = min(self.least, float((of_block - of_token).min()))
        return tau, weight


@dataclass(frozen=True)
class Job:
    law: str
    steps: int
    window: int
    method: str


def measure(job: Job) -> dict[str, object]:
    torch.set_num_threads(1)
    law = laws()[job.law]
    process, method = law.process(job.steps), methods(job.law)[job.method]
    verifier = Recorded(method.verifier)
    config = Speculative(process, job.window, method.drafter(law, process, job.window), verifier, method.rejection)
    dtype = torch.float32 if process.dim > 8 else torch.float64
    run = config.run(law.chains, torch.Generator().manual_seed(_MEASURED), dtype=dtype, keep_paths=False)
    rounds = run.trace.rounds.double()
    return {
        "law": job.law, "steps": job.steps, "window": job.window, "method": job.method, "chains": law.chains,
        "rounds": float(rounds.mean()), "error": float(rounds.std()) / math.sqrt(law.chains),
        "evaluations": float(run.trace.evaluations.double().mean()),
        "draft_evaluations": float(run.trace.draft_evaluations.double().mean()),
        "accepted": float(run.trace.accepted.clamp(min=0).sum()) / max(1, verifier.windows),
        "promised": verifier.promised / max(1, verifier.windows),
        "z": verifier.gap / math.sqrt(verifier.square) if verifier.square > 0 else 0.0,
        "block_less_token": verifier.least,
    }  # fmt: skip


# A public sampler of churned rectified flow, and the figures stated for it: rounds with a window of 8.
PEER = {2: {"free": 7.4, "frozen": 7.1}, 512: {"free": 13.6, "frozen": 12.4}}
PEER_METHODS = {
    "free velocity, token-wise, reflection": Method("", lambda of, p, w: Free("velocity"), "token", reflection),
    "frozen velocity, token-wise, reflection": Method("", lambda of, p, w: Frozen("velocity"), "token", reflection),
    "free velocity, block, kept": Method("", lambda of, p, w: Free("velocity")),
    "free sample, block, kept": Method("", lambda of, p, w: Free("sample")),
    "free velocity extrapolated, block, kept": Method("", lambda of, p, w: Extrapolation("velocity")),
    "posterior, block, kept": Method("", lambda of, p, w: Posterior(p, fit(p, w, chains=200, seed=_PILOTS), w, secant=False)),
}


def peer_process(dim: int, draw: int) -> Process:
    """t from 1 to 0.001 in 30 equal steps, then 0; the first and the last step deterministic; five components."""
    g = np.random.default_rng(draw)
    means, deviations = g.uniform(-2.0, 2.0, (5, dim)), g.uniform(0.10, 0.25, 5)
    times = np.concatenate([[0.0], np.linspace(0.001, 1.0, 30)])
    schedule = rectified_flow(30, 0.06, times=times, deterministic=(1, 30))
    return Process(schedule, MixtureDenoiser(schedule, np.full(5, 0.2), means, deviations**2), "sample", dim)


def measure_peer(job: tuple[int, str, int]) -> dict[str, object]:
    torch.set_num_threads(1)
    dim, name, draw = job
    process, method = peer_process(dim, draw), PEER_METHODS[name]
    law = Law(lambda steps: process, None)
    verifiers: dict[str, Verifier] = {"token": token_wise, "block": block}
    config = Speculative(process, 8, method.drafter(law, process, 8), verifiers[method.verifier], method.rejection)
    run = config.run(200, torch.Generator().manual_seed(_MEASURED), dtype=torch.float32, keep_paths=False)
    # Counted alike: verifications alone. The free drafter's first call, the frozen one's extra call a round and the call of the
    # deterministic first step are left out there.
    calls = run.trace.rounds - 1 if "frozen" not in name else run.trace.windows - 1
    return {"dim": dim, "method": name, "draw": draw, "rounds": float(calls.double().mean())}


def speed() -> list[dict[str, object]]:
    """Chains a second at d = 2, window 4, batches of 1,000 chains, all of it in one process with all cores."""
    process = peer_process(2, 0)

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


def refilling(batch: int = 64, chains: int = 2_000) -> dict[str, float]:
    """What a fixed batch costs: calls of the target times the batch over the chains, beside the mean and the most rounds."""
    process = laws()["digits network"].process(50)
    config = Speculative(process, 8, Posterior(process, pilots("digits network", 50, 8, 0), 8), block, KEPT)
    run = config.run(chains, torch.Generator().manual_seed(_MEASURED), dtype=torch.float32, keep_paths=False, batch=batch)
    rounds = run.trace.rounds.double()
    return {
        "chains": chains, "batch": batch, "calls_a_chain": run.trace.calls * batch / chains,
        "mean": float(rounds.mean()), "most": float(rounds.max()),
    }  # fmt: skip


def jobs(only: Iterable[str]) -> list[Job]:
    chosen = [name for name in laws() if not only or name in only]
    return [Job(*job) for law in chosen for job in itertools.product([law], STEPS, WINDOWS, methods(law))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--law", action="append", default=[], help="only this law (repeatable); the others keep what was measured")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    kept = options.out / "rounds.json"
    data = json.loads(kept.read_text()) if kept.exists() else {"rows": [], "peer": [], "speed": [], "refilling": {}}
    todo = jobs(options.law)
    renewed = {job.law for job in todo}
    data["rows"] = [row for row in data["rows"] if row["law"] not in renewed and row["law"] in laws()]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for i, row in enumerate(pool.map(measure, todo, chunksize=8)):
            data["rows"].append(row)
            if i % 100 == 99:
                print(f"{i + 1} of {len(todo)}", flush=True)
                page(data, options.out)
        if not options.law:
            data["peer"] = list(pool.map(measure_peer, itertools.product(PEER, PEER_METHODS, range(10))))
    if not options.law:
        data["speed"], data["refilling"] = speed(), refilling()
    page(data, options.out)


if __name__ == "__main__":
    main()
