"""The page of `studies.judging`."""

from __future__ import annotations

from typing import Any

from ..page import table, versions


def page(rows: list[dict[str, Any]], repeats: int) -> str:
    text = "# What judging costs\n\n"
    text += f"Command: `python -m studies.judging --repeats {repeats}`. "
    text += f"{versions('numpy', 'torch', 'exactness')}; one thread, CPU.\n\n"
    text += (
        "The same paths are timed in one run, on one thread: first the plain chain samples them; then the target is evaluated "
        "again at every state, as any judge of innovations must do; then the paths are judged. Judging less the target is the "
        "cost of the batteries, beyond one evaluation of the target per step. The figures are "
        f"medians of {repeats} rounds, with the range of the share.\n\n"
    )
    text += table(
        ("law", "paths", "d", "steps", "dtype", "sampling, s", "target alone, s", "judging with target, s", "batteries / sampling"),
        [
            (r["law"], f"{r['paths']:,}", r["dim"], r["steps"], r["dtype"], f"{r['sampling']:.2f}", f"{r['target']:.2f}",
             f"{r['judging']:.2f}", f"{r['share']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})")
            for r in rows
        ],
    )  # fmt: skip
    text += (
        "\nThe cost of the batteries does not depend on the target, so their share is smaller where an evaluation costs more. The "
        "target of the digits is a sum with one Gaussian per picture, and the network is small. The target of the ring is a sum of "
        "eight exponentials in the plane and costs almost nothing. The ranges of single rounds show the noise of the machine.\n\n"
        "Our aims are less than a quarter for the digits, and less than a tenth for their network, which is not reached.\n"
    )
    return text
