"""What judging adds to sampling: beyond evaluating the target once a step, as a share of plain sequential sampling.

    python -m studies.judging

The same paths in one run, on one thread: sampled by the plain chain; the target evaluated again at every state, as any judge of
innovations must; and judged whole. The last less the one before is what the batteries cost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import exactness as ex
from exactness.catalogue import Setting, find

from .page import REPORTS, table, versions, write

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
            evidence = ex.Innovations().start(law, np.random.default_rng(0))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [ratios(problem, paths, options.repeats) for problem, paths in PATHS.items()]
    write("judging.json", json.dumps(rows, indent=1) + "\n", options.out)
    print(write("judging.md", page(rows, options.repeats), options.out))


def page(rows: list[dict[str, Any]], repeats: int) -> str:
    text = "# What judging costs\n\n"
    text += f"Command: `python -m studies.judging --repeats {repeats}`. "
    text += f"{versions('numpy', 'torch', 'exactness')}; one thread, CPU.\n\n"
    text += __doc__.split("\n\n")[2].strip() + f" Medians of {repeats} rounds, with the range of the share.\n\n"
    text += table(
        ("law", "paths", "d", "steps", "dtype", "sampling, s", "target alone, s", "judging with target, s", "batteries / sampling"),
        [
            (r["law"], f"{r['paths']:,}", r["dim"], r["steps"], r["dtype"], f"{r['sampling']:.2f}", f"{r['target']:.2f}",
             f"{r['judging']:.2f}", f"{r['share']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})")
            for r in rows
        ],
    )  # fmt: skip
    text += (
        "\nWhat the batteries cost does not depend on the target: the dearer an evaluation, the smaller their share. The digits' "
        "is a sum over a Gaussian a picture, the network a small one; the ring's is a sum of eight exponentials in the plane, "
        "next to nothing to compare with. Ranges of single rounds are the machine's noise.\n\n"
        "What we aim at: less than a quarter for the digits, and less than a tenth for their network, which is not reached.\n"
    )
    return text


if __name__ == "__main__":
    main()
