"""The page of `studies.kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..page import table, versions


def page(rows: Sequence[dict[str, Any]]) -> str:
    text = "# Kernels of libraries, judged as they are\n\n"
    text += f"Command: `python -m studies.kernels`. {versions('numpyro', 'jax', 'blackjax', 'pymc', 'numpy', 'exactness')}.\n\n"
    text += (
        "Each kernel is started at exact draws of its target, or of parameters and data that a model makes together, and both ends "
        "of its moves are judged: one step, alpha 1e-6, tolerance 0.1, and at most 10,000 moves. A verdict of *inconclusive* after "
        "10,000 moves means that nothing was found and that the tolerance takes more of them. Seconds are those of the processor, "
        "with compilation. What is judged is invariance; convergence is not shown. Ensembles are judged whole, ten states at a "
        "time; those of SA come back in random order, so all of them count as moved.\n\n"
    )
    text += _findings(rows)
    for library in dict.fromkeys(row["library"] for row in rows):
        text += f"## {library}\n\n"
        own = [row for row in rows if row["library"] == library]
        head = ("target", "kernel", "known before", "verdict", "moved", "never moved", "moves", "seconds")
        text += table(head, [_cells(row) for row in own], right=2) + "\n"
    return text


def _findings(rows: Sequence[dict[str, Any]]) -> str:
    false = [row for row in rows if row["known"] == "right" and row["verdict"] == "refuted"]
    wrong = [row for row in rows if row["known"] != "right"]
    caught = [row for row in wrong if row["verdict"] == "refuted"]
    stuck = [row for row in rows if row["never"]]
    lines = [
        f"{len(rows)} kernels on their targets; {len(wrong)} are known to be wrong, and {len(caught)} of these are refuted.",
        f"Of the {len(rows) - len(wrong)} others, {len(false)} are refuted"
        + (": " + "; ".join(f"{row['kernel']} on {row['target']} ({row['reason']})" for row in false) if false else "")
        + ".",
    ]
    if stuck:
        names = "; ".join(f"{row['kernel']} on {row['target']} never moves {row['never']}" for row in stuck)
        lines.append(f"What only the share that moved shows: {names}.")
    return "".join(f"- {line}\n" for line in lines) + "\n"


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["target"], row["kernel"], row["known"], row["verdict"], f"{row['moved']:.2f}", row["never"] or "", f"{row['n']:,}",
        f"{row['seconds']:.0f}",
    )  # fmt: skip
