"""Plain sequential sampling: K rounds with one evaluation of the target each. Every other sampler must have the same law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .noise import GeneratorNoise
from .processes import Process
from .trace import Run, Trace


@dataclass(frozen=True)
class Sequential:
    """The plain sampler of ``process``, one step after the other.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> process = Process(ddpm(cosine_betas(6)), lambda steps, x, condition: 0.5 * x, "sample", dim=2)
    >>> tuple(Sequential(process).run(5, torch.Generator().manual_seed(0)).paths.shape)
    (5, 7, 2)
    """

    process: Process

    def run(
        self,
        n: int,
        generator: torch.Generator,
        *,
        condition: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        keep_paths: bool = True,
    ) -> Run:
        """Run n chains on the generator's device. Arguments: :meth:`exactness_samplers.torch.speculative.Speculative.run`."""
        process, total = self.process, self.process.steps
        source = GeneratorNoise(generator, dtype)
        with torch.no_grad():
            x = process.first(source.start(n, process.dim), condition)
            tables = process.tables(x)
            states = [x]
            for k in range(total, 0, -1):
                steps = torch.full((n,), k, dtype=torch.int64, device=x.device)
                mean = tables.mean(steps, x, process.evaluate(steps, x, condition))
                x = mean + tables.at("sigma", steps)[:, None] * source.start(n, process.dim)
                states = [*states, x] if keep_paths else [x]
        trace = replace(Trace.empty(n, 0, x.device), calls=total, computed=n * total)
        trace.rounds[:] = total
        trace.evaluations[:] = total
        return Run(torch.stack(states, 1) if keep_paths else x, trace)
