"""The page and the figure of `studies.memory`."""

from __future__ import annotations

from pathlib import Path

from ..page import pyplot, save, table, versions


def page(points: list[dict]) -> str:
    text = "# Memory and time of a certificate\n\n"
    text += f"Command: `python -m studies.memory`. {versions('numpy', 'scipy', 'exactness')}; 2 cores.\n\n"
    text += (
        "Each point is a process of its own: a chain in d = 2 with 40 steps (82 innovations per path, the start included), sampled "
        "and judged in numpy. The last point judges 10^9 innovations. Peak memory is that of the process, and includes the "
        "interpreter and its libraries.\n\n"
    )
    head = ("paths", "innovations", "verdict", "sampling, s", "judging, s", "peak memory, MiB")
    rows = [
        (
            f"{p['paths']:,}", f"{p['innovations']:,}", p["verdict"], f"{p['sampling_s']:.1f}", f"{p['judging_s']:.1f}",
            f"{p['peak_mib']:.0f}",
        )
        for p in points
    ]  # fmt: skip
    return text + table(head, rows) + "\n![memory and time against innovations](memory.svg)\n"


def figure(points: list[dict], target: Path) -> None:
    """Draw memory and time against innovations."""
    n = [p["innovations"] for p in points]
    drawn, (a, b) = pyplot().subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    a.semilogx(n, [p["peak_mib"] for p in points], "o-", color="#1f4e79")
    a.axhline(1024, color="#b03030", linewidth=1, linestyle="--")
    a.set(xlabel="innovations judged", ylabel="peak resident memory (MiB)", ylim=(0, 1100), title="memory")
    b.loglog(n, [p["judging_s"] for p in points], "o-", color="#1f4e79", label="judging")
    b.loglog(n, [p["sampling_s"] for p in points], "s--", color="#7a7a7a", label="sampling")
    b.set(xlabel="innovations judged", ylabel="seconds", title="time")
    b.legend(frameon=False)
    for axis in (a, b):
        axis.spines[["top", "right"]].set_visible(False)
    save(drawn, target)
