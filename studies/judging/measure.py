"""Times of sampling, of the target alone, and of judging, on the same paths."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import exactness as ex
from exactness.batteries import Innovations
from exactness.catalogue import Setting, find

PATHS = {"digits": 2_000, "network": 2_000, "product": 5_000, "ring": 20_000}


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def ratios(problem: str, paths: int, repeats: int) -> dict[str, Any]:
    """Medians over interleaved repeats."""
    (entry,) = find([f"{problem}/sequential"])
    claim = entry.build(Setting())
    law = claim.law
    assert isinstance(law, ex.GaussianChain)
    found: dict[str, list[float]] = {"sampling": [], "target": [], "judging": []}
    for i in range(repeats + 1):
        output = claim.sample(paths, i)
        draws = output[0] if isinstance(output, tuple) else output

        def target(draws=draws) -> None:  # type: ignore[no-untyped-def]
            for row, k in enumerate(range(law.steps, 0, -1)):
                law.predict(k, draws[:, row])

        def judge(draws=draws) -> None:  # type: ignore[no-untyped-def]
            evidence = Innovations().start(law, np.random.default_rng(0))
            evidence.update(draws)
            evidence.results()

        with torch.no_grad():
            times = {"sampling": 0.0, "target": seconds(target), "judging": seconds(judge)}
        started = time.perf_counter()
        claim.sample(paths, i)
        times["sampling"] = time.perf_counter() - started
        if i:  # the first round warms up
            for key, value in times.items():
                found[key].append(value)
    share = [(j - t) / s for s, t, j in zip(found["sampling"], found["target"], found["judging"], strict=True)]
    return {
        "law": problem, "paths": paths, "dim": law.dim, "steps": law.steps, "dtype": str(draws.dtype).removeprefix("torch."),
        **{k: statistics.median(v) for k, v in found.items()},
        "share": statistics.median(share), "lowest": min(share), "highest": max(share),
    }  # fmt: skip
