"""Faults of the law as a whole: small errors, or errors in a small part of the chain."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from .base import DRAFTED, Array, Backend, Masses, row
from .bookkeeping import with_sigma
from .runs import Around, picked
from .unspoiled import good, poor

_PILOT = 8192
_CORRELATION = 0.01


@row(
    "region-never-visited", "whole law",
    "A half-space that holds 1% of the last states is never reached, as if a mode had been dropped.",
    touches="the last steps", replaces="sampler", spoils=good,
)  # fmt: skip
def region_never_visited(of: Backend, right: Any) -> Any:
    """Chains that end beyond the 99th percentile of the first coordinate are thrown away."""

    @cache
    def limit() -> float:
        pilot = right.run(_PILOT, of.own.seeded(1), keep_paths=False)
        return float(np.quantile(np.asarray(pilot.paths[:, 0]), 0.99))

    def run(n: int, randomness: Any, **options: Any) -> Any:
        found = right.run(n + n // 16 + 64, randomness, **options)
        last = found.paths if found.paths.ndim == 2 else found.paths[:, -1]
        return picked(of, found, of.xp.nonzero(last[:, 0] < limit())[0][:n])

    return Around(right, run)


@row(
    "last-step-wider", "whole law", "The last noise has 2% too much standard deviation.",
    touches="the last stochastic step", replaces="process", spoils=good,
)  # fmt: skip
def last_step_wider(of: Backend, process: Any) -> Any:
    return _with_last_sigma(process, 1.02)


@row(
    "last-step-narrower", "whole law", "The last noise has 2% too little standard deviation.",
    touches="the last stochastic step", replaces="process", spoils=good,
)  # fmt: skip
def last_step_narrower(of: Backend, process: Any) -> Any:
    return _with_last_sigma(process, 0.98)


@row(
    "last-step-a-little-wider", "whole law", "The last noise has 1% too much variance.",
    touches="the last stochastic step", replaces="process", spoils=good, expected="beyond",
    seen=("pymc#1763 was three times as wrong",),
)  # fmt: skip
def last_step_a_little_wider(of: Backend, process: Any) -> Any:
    return _with_last_sigma(process, 1.01**0.5)


@row(
    "correlated-noise", "whole law", "The noise of consecutive steps of a window has correlation 0.01.",
    touches=DRAFTED, replaces="round.draw", spoils=good, seen=("the five moments of each step are right",),
)  # fmt: skip
def correlated_noise(of: Backend, source: Any, chains: Any, window: int, dim: int) -> Any:
    """The noise of each step alone is standard normal."""
    noise, own = of.speculative.draw(source, chains, window, dim), (1.0 - _CORRELATION**2) ** 0.5
    columns = [noise.drafts[:, 0]]
    for i in range(1, window):
        columns.append(_CORRELATION * columns[-1] + own * noise.drafts[:, i])
    return replace(noise, drafts=of.xp.stack(columns, axis=1))


@row(
    "exact-until-late", "whole law", "Every draft of a window that begins in the last quarter of the chain is accepted.",
    touches="the last quarter", replaces="round.verify", spoils=poor, seen=("jax#5348",),
)  # fmt: skip
def exact_until_late(
    of: Backend, verifier: Any, log_ratios: Array, masses: Masses, noise: Any, lengths: Array, progress: Array
) -> tuple[Array, Array]:
    tau, weight = verifier(log_ratios, masses, noise.accept, lengths)
    return of.xp.where(progress >= 0.75, lengths, tau), weight


def _with_last_sigma(process: Any, factor: float) -> Any:
    """The standard deviation of the last stochastic step alone is scaled."""
    sigma = process.schedule.sigma.copy()
    sigma[np.flatnonzero(sigma > 0)[0]] *= factor
    return with_sigma(process, sigma)
