"""The page of `studies.overhead`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..page import table, versions, write
from .measure import BATCH, CHAINS, STEPS, WINDOW


def page(data: dict[str, Any], folder: Path) -> Path:
    """Write overhead.md and overhead.json."""
    text = "# What speculation costs in addition to its target\n\n"
    text += f"Command: `python -m studies.overhead`. {versions('torch', 'jax', 'exactness')}; one thread.\n\n"
    text += (
        f"The target is the digits network (about 10 microseconds per state) with K = {STEPS}, {CHAINS} chains in a batch of "
        f"{BATCH}, and window {WINDOW}. The figures are milliseconds per round; the share is that of verification and coupling, "
        "relative to the target's evaluations.\n\n## torch, eager\n\n"
    )
    cells = []
    for row in data["torch"]:
        judged = row["verification"] + row["coupling"]
        rest = row["all"] - row["target"] - judged
        cells.append((
            row["sampler"], f"{row['target']:.2f}", f"{row['verification']:.2f}", f"{row['coupling']:.2f}", f"{rest:.2f}",
            f"{judged / row['target']:.0%}", f"{1e3 * judged / 0.03 / (BATCH * (WINDOW + 1)):.0f}",
        ))  # fmt: skip
    head = ("sampler", "target", "verification", "coupling", "drafting and the rest", "share", "3% from, us per state")
    text += table(head, cells, right=6)
    text += (
        "\nThe aim was 3%, which eager torch does not meet with a target as cheap as this one: each of the few hundred small "
        "operations of the residual's quantile costs microseconds, however few rows it has. The last column says how many "
        "microseconds a state of the target must cost for verification and coupling to be 3% of it; their own cost does not grow "
        "with the target.\n\n"
        "## JAX, one compiled program a run\n\n"
    )
    compiled = [
        (r["sampler"], f"{r['target']:.2f}", f"{r['all']:.2f}", f"{r['all'] / r['target'] - 1:.0%}", f"{r['compiling_s']:.1f}")
        for r in data["jax"]
    ]
    text += table(("sampler", "target alone", "whole round", "everything else", "first run, s"), compiled, right=4)
    r = data["compiled"]
    text += (
        f"\n## `torch.compile`\n\nThe residual's quantile at {BATCH} rows takes {r['eager']:.2f} ms in eager mode, and "
        f"{r['compiled']:.2f} ms compiled, after {r['compiling_s']:.0f} s of compiling. Its special functions are not fused, and "
        "the samplers do not use the compiled version.\n"
    )
    write("overhead.json", json.dumps(data, indent=1) + "\n", folder)
    return write("overhead.md", text, folder)
