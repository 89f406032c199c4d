"""The ways of drafting, verifying and replacing that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from exactness_samplers.forecast import Forecast
from exactness_samplers.torch.denoisers import MixtureDenoiser
from exactness_samplers.torch.drafters import Ahead, Drafter, Extrapolation, Free, Frozen, Independent
from exactness_samplers.torch.posterior import Posterior, fit
from exactness_samplers.torch.processes import Process
from exactness_samplers.torch.rejections import Maximal, Rejection, gamma, reflection
from exactness_samplers.torch.sequential import Sequential
from exactness_samplers.torch.verification import Verifier, block, token_wise

from .laws import Law, laws

KEPT = Maximal("quantile", "kept")
# Pilots and measured chains have no seed in common.
PILOTS, MEASURED = 1, 2
VERIFIERS: dict[str, Verifier] = {"token": token_wise, "block": block}


@dataclass(frozen=True)
class Method:
    name: str
    drafter: Callable[[Law, Process, int], Drafter]
    verifier: str = "block"
    rejection: Rejection = KEPT


@cache
def pilots(law: str, steps: int, window: int, rank: int) -> Forecast:
    return fit(laws()[law].process(steps), window, rank=rank, seed=PILOTS)


def methods(law: str) -> dict[str, Method]:
    """The methods by name, from the published ones to the best of ours; each name says everything that distinguishes it."""

    def coarse(of: Law, p: Process, window: int) -> Drafter:
        ends = Sequential(p).run(300, torch.Generator().manual_seed(PILOTS), keep_paths=False).paths
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
        from exactness_samplers.torch.networks import digits_ahead, digits_distilled

        found += [
            Method("distilled network, block, kept", lambda of, p, w: Independent(digits_distilled(p.schedule))),
            Method("ahead network, block, kept", lambda of, p, w: Ahead(digits_ahead(p.schedule))),
        ]
    return {m.name: m for m in found}
