"""Rounds, accepted lengths and what theory promises of them, run by run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from exactness_samplers.torch.posterior import Posterior
from exactness_samplers.torch.speculative import Speculative
from exactness_samplers.torch.verification import Masses, block, block_weights
from torch import Tensor

from .laws import laws
from .methods import KEPT, MEASURED, VERIFIERS, methods, pilots

WINDOWS = (2, 4, 6, 8, 12, 16)
STEPS = (30, 50, 100, 250)


class Recorded:
    """A verifier that also records how far accepted lengths are from their promised means, and what the other verifier promises."""

    def __init__(self, name: str) -> None:
        self.name, self.verify = name, VERIFIERS[name]
        self.windows, self.gap, self.square, self.promised, self.least = 0, 0.0, 0.0, 0.0, math.inf

    def __call__(self, ratios: Tensor, masses: Masses, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tau, weight = self.verify(ratios, masses, uniforms, lengths)
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
    run = config.run(law.chains, torch.Generator().manual_seed(MEASURED), dtype=dtype, keep_paths=False)
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


def refilling(batch: int = 64, chains: int = 2_000) -> dict[str, float]:
    """The cost of a fixed batch: calls of the target times the batch over the chains, with the mean and the largest rounds."""
    process = laws()["digits network"].process(50)
    config = Speculative(process, 8, Posterior(process, pilots("digits network", 50, 8, 0), 8), block, KEPT)
    run = config.run(chains, torch.Generator().manual_seed(MEASURED), dtype=torch.float32, keep_paths=False, batch=batch)
    rounds = run.trace.rounds.double()
    return {
        "chains": chains, "batch": batch, "calls_a_chain": run.trace.calls * batch / chains,
        "mean": float(rounds.mean()), "most": float(rounds.max()),
    }  # fmt: skip


def jobs(only: Iterable[str]) -> list[Job]:
    chosen = [name for name in laws() if not only or name in only]
    return [Job(*job) for law in chosen for job in itertools.product([law], STEPS, WINDOWS, methods(law))]
