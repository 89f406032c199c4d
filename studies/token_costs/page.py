"""The page of `studies.token_costs`."""

from __future__ import annotations

from typing import Any

from ..page import table, versions
from .measure import ROWS, VOCABULARY, WINDOW

# The aims: rows of the tables, and how many softmaxes or chunks they may cost.
MOST = {
    "block, scanning from the right": 0.6, "transform by number": 0.05, "transform by probability": 1.2, "transform by p/q": 1.2,
    "chunks": 2.0,
}  # fmt: skip


def page(data: dict[str, Any]) -> str:
    text = "# What verifying and judging tokens costs\n\n"
    text += f"Command: `python -m studies.token_costs`. {versions('numpy', 'torch', 'jax', 'exactness')}; one thread, CPU.\n\n"
    text += (
        f"{ROWS} rows of {VOCABULARY:,} tokens in single precision. Each cost is the processor time as a multiple of one softmax "
        "of the same library that is timed just before it, the median over repeats.\n\n## Verification, given the probabilities\n\n"
        f"{WINDOW} drafts a row. One softmax is that of the target's logits ({ROWS}, {WINDOW + 1}, {VOCABULARY}).\n\n"
    )
    text += _costs(data["verification"])
    text += (
        f"\n## Judging, one token a row\n\nOne softmax is that of logits ({ROWS}, {VOCABULARY}). A transform is the probability of "
        "all tokens that come before the emitted one, in an order of the vocabulary. It is computed from log-probabilities without "
        "sorting, in numpy, whatever the library of the logits. The last row is everything: the laws of target and draft from "
        "logits, three transforms, five bets and the shares.\n\n"
    )
    text += _costs(data["judging"])
    text += (
        "\n## Memory of judging\n\nThe largest memory of the process above what it held before, in chunks of "
        f"{next(iter(data['memory'].values()))['megabytes of a chunk']:.0f} MiB of logits. The target and the draft return one "
        "chunk each, which are held together. What judging adds to them is computed a row at a time.\n\n"
    )
    text += table(
        ("library", "target and draft alone", "judging", "aim"),
        [
            (name, f"{found['alone']:.2f}", f"{found['chunks']:.2f}", _aim("chunks", found["chunks"]))
            for name, found in data["memory"].items()
        ],
        right=3,
    )
    return text


def _costs(found: dict[str, dict[str, float]]) -> str:
    backends = list(found)
    rows = []
    for name in found[backends[0]]:
        values = [found[backend][name] for backend in backends]
        rows.append((name, *(f"{value:.2f}" for value in values), _aim(name, max(values))))
    return table(("what", *backends, "aim"), rows, right=len(backends) + 1)


def _aim(name: str, worst: float) -> str:
    return "" if name not in MOST else f"{MOST[name]:g}" + ("" if worst <= MOST[name] else ", missed")
