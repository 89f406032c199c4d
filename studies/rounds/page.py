"""The page of `studies.rounds`: the gain of each idea, the best of each law, theory, a public sampler, chains per second."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from ..page import table, versions, write
from .figure import figure
from .public import METHODS, STATED

Row = dict[str, Any]


def page(data: dict[str, Any], folder: Path) -> None:
    """Write rounds.md, rounds.json and rounds.svg."""
    rows: list[Row] = data["rows"]
    text = "# Rounds\n\n"
    text += f"Command: `python -m studies.rounds`. {versions('numpy', 'torch', 'scikit-learn', 'exactness')}.\n\n"
    text += (
        "The rounds of a chain are its sequential calls of the target. A batched verification counts as one call; the extra call "
        "of a frozen drafter and the first call of a free drafter count as well. Plain sampling takes K. `kept` keeps the part of "
        "the rejected draft that is orthogonal to the mean difference, and maps the coordinate along it monotonically (the "
        "weighted reflection). All samplers are exact.\n\n"
    )
    text += "![rounds by window, K = 100](rounds.svg)\n\n"
    for steps, window in ((100, 8), (100, 16), (50, 8)):
        text += f"## The gain of each idea: K = {steps}, window {window}\n\n" + _ideas(rows, steps, window) + "\n"
    text += "## The best of each law\n\nThe rounds of the best combination; in brackets, how many times fewer than K they are.\n\n"
    text += _best(rows) + "\n" + _named(rows) + "\n" + _marks(rows) + "\n"
    text += "## Comparison with theory\n\n" + _theory(rows) + "\n"
    if data["peer"]:
        text += "## Comparison with a public sampler\n\n" + _peer(data["peer"]) + "\n"
    if data["speed"]:
        text += "## Chains per second\n\n" + _speed(data["speed"]) + "\n"
    if data["refilling"]:
        text += "## Refilling a batch\n\n" + _refilling(data["refilling"]) + "\n"
    text += "`rounds.json` holds evaluations, accepted lengths and all other combinations.\n"
    write("rounds.md", text, folder)
    write("rounds.json", json.dumps(data, separators=(",", ":")).replace('{"law"', '\n{"law"') + "\n", folder)
    figure(rows, _laws(rows), folder / "rounds.svg")


def _laws(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["law"] for row in rows))


def _ideas(rows: list[Row], steps: int, window: int) -> str:
    here = {(r["law"], r["method"]): r for r in rows if r["steps"] == steps and r["window"] == window}
    names = list(dict.fromkeys(method for _, method in here))
    order = sorted(names, key=lambda m: max(r["rounds"] for (_, name), r in here.items() if name == m), reverse=True)
    cell = lambda law, m: f"{here[law, m]['rounds']:.2f} ± {here[law, m]['error']:.2f}" if (law, m) in here else ""  # noqa: E731
    laws = _laws(rows)
    return table(("drafter, verifier, rejection", *laws), ((m, *(cell(law, m) for law in laws)) for m in order), right=len(laws))


def _winners(rows: list[Row]) -> dict[tuple[str, int, int], Row]:
    best: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        key = row["law"], row["steps"], row["window"]
        if key not in best or row["rounds"] < best[key]["rounds"]:
            best[key] = row
    return best


def _best(rows: list[Row]) -> str:
    best, windows = _winners(rows), sorted({r["window"] for r in rows})
    keys = sorted({key[:2] for key in best}, key=lambda k: (_laws(rows).index(k[0]), k[1]))

    def cell(law: str, steps: int, window: int) -> str:
        row = best.get((law, steps, window))
        return f"{row['rounds']:.1f} ({steps / row['rounds']:.1f}x)" if row else ""

    head = ("law", "K", *(f"window {w}" for w in windows))
    return table(head, ((law, k, *(cell(law, k, w) for w in windows)) for law, k in keys), right=len(windows) + 1)


def _named(rows: list[Row]) -> str:
    """For each law, the combination that is best most often."""
    wins: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (law, _, _), row in _winners(rows).items():
        wins[law][row["method"]] += 1
    lines = []
    for law, found in wins.items():
        name, count = max(found.items(), key=lambda item: item[1])
        lines.append((law, name, f"{count} of {sum(found.values())}"))
    return table(("law", "best", "settings (K and window) where it is"), lines)


def _marks(rows: list[Row]) -> str:
    """The best at K = 100 and any window up to 16, with the reduction that we aimed at."""
    best = {(key[0], key[2]): row for key, row in _winners(rows).items() if key[1] == 100}
    lines = []
    for law in _laws(rows):
        found = [row for (name, _), row in best.items() if name == law]
        if not found:
            continue
        row = min(found, key=lambda r: r["rounds"])
        published = [
            r["rounds"] for r in rows
            if (r["law"], r["steps"], r["window"]) == (law, 100, row["window"])
            and r["method"] in ("free noise, token-wise, reflection", "free noise, block, Gamma-maximal")
        ]  # fmt: skip
        aim = {"digits mixture": "6x", "digits network": "3x"}.get(law, "5x")
        against = f"{min(published) / row['rounds']:.1f}x" if published else ""
        lines.append((law, row["method"], row["window"], f"{100 / row['rounds']:.1f}x", aim, against))
    head = ("law, K = 100", "best", "window", "fewer rounds", "aim", "fewer than the better published one with a free noise draft")
    return table(head, lines, right=4)


def _theory(rows: list[Row]) -> str:
    z = [abs(row["z"]) for row in rows]
    least = min((row["block_less_token"] for row in rows), default=math.nan)
    allowed = 2 * len(rows) * 0.5 * math.erfc(4 / math.sqrt(2))
    return (
        f"There are {len(rows):,} runs. The largest difference between accepted lengths and what the drafts promised is "
        f"{max(z, default=0):.2f} standard errors; {sum(v > 4 for v in z)} are beyond 4, where chance alone gives {allowed:.2f}. "
        "For the same drafts, block verification promises at least as many accepted steps as verification token by token: the "
        f"smallest difference in any window is {least:.1e}.\n"
    )


def _peer(rows: list[Row]) -> str:
    dims = list(STATED)
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        found[row["dim"], row["method"]].append(row["rounds"])

    def cell(dim: int, method: str) -> str:
        values = found[dim, method]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
        return f"{mean:.2f} ± {spread:.2f}"

    text = (
        "The setting is a rectified flow with t from 1 to 0.001 in 30 equal steps, then 0; churn 0.06; a deterministic first and "
        "last step; five components with means uniform in [-2, 2]^d and standard deviations uniform in [0.10, 0.25]; and window 8. "
        "Our figures are means over 10 such random laws with 200 chains each. Only verifications count in this table: it leaves "
        "out the call of the deterministic first step, which is also a free drafter's first call, and a frozen drafter's extra "
        "call per round. The stated figures belong to one law that we do not have; our own version of that method is in the rows "
        "of the same name.\n\n"
    )
    stated = [
        (f"as stated for a public sampler: token-wise reflection, {base} velocity", *(STATED[d][base] for d in dims))
        for base in ("free", "frozen")
    ]
    ours = [(m, *(cell(d, m) for d in dims)) for m in METHODS]
    return text + table(("sampler", *(f"d = {d}" for d in dims)), [*stated, *ours], right=len(dims))


def _speed(rows: list[Row]) -> str:
    text = (
        "The same flow at d = 2, with window 4, batches of 1,000 chains, and eager torch on this machine's CPU; the figures are "
        "medians of seven runs. A public sampler states about 1,700 on 2 cores, and 3,000 for its plain sampling.\n\n"
    )
    cells = ((row["sampler"], f"{row['chains_a_second']:,.0f}") for row in rows)
    return text + table(("sampler", "chains per second"), cells, right=1)


def _refilling(r: Row) -> str:
    return (
        f"For {r['chains']:,} chains of the digits network in a batch of {r['batch']}, the calls of the target times the batch "
        f"over the chains are {r['calls_a_chain']:.2f}, which is {r['calls_a_chain'] / r['mean']:.3f} times the mean rounds of a "
        f"chain, {r['mean']:.2f}. The largest rounds of a chain are {r['most']:.0f}.\n"
    )
