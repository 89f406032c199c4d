"""The page of `studies.rounds`: what each idea bought, the best of each law, theory, a public peer, chains a second."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .page import table, versions, write

Row = dict[str, Any]


def page(data: dict[str, Any], folder: Path) -> None:
    """Writes rounds.md, rounds.json and rounds.svg."""
    rows: list[Row] = data["rows"]
    text = "# Rounds\n\n"
    text += f"Command: `python -m studies.rounds`. {versions('numpy', 'torch', 'scikit-learn', 'exactness')}.\n\n"
    text += (
        "Rounds a chain: sequential calls of the target, a batched verification counting as one, a frozen drafter's extra call "
        "and a free drafter's first one included. Plain sampling takes K. `kept` keeps the rejected draft's part orthogonal to the "
        "mean difference and maps its coordinate along it monotonically (the weighted reflection). All samplers are exact.\n\n"
    )
    text += "![rounds by window, K = 100](rounds.svg)\n\n"
    for steps, window in ((100, 8), (100, 16), (50, 8)):
        text += f"## What each idea bought: K = {steps}, window {window}\n\n" + _ideas(rows, steps, window) + "\n"
    text += "## The best of each law\n\nRounds of the best combination, its share of K in brackets as a reduction.\n\n"
    text += _best(rows) + "\n" + _named(rows) + "\n" + _marks(rows) + "\n"
    text += "## Against theory\n\n" + _theory(rows) + "\n"
    if data["peer"]:
        text += "## Beside a public sampler\n\n" + _peer(data["peer"]) + "\n"
    if data["speed"]:
        text += "## Chains a second\n\n" + _speed(data["speed"]) + "\n"
    if data["refilling"]:
        text += "## A batch that is refilled\n\n" + _refilling(data["refilling"]) + "\n"
    text += "Evaluations, accepted lengths and all other combinations are in `rounds.json`.\n"
    write("rounds.md", text, folder)
    write("rounds.json", json.dumps(data, separators=(",", ":")).replace('{"law"', '\n{"law"') + "\n", folder)
    _figure(rows, folder / "rounds.svg")


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
    """Which combination is best most often, law by law."""
    wins: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (law, _, _), row in _winners(rows).items():
        wins[law][row["method"]] += 1
    lines = []
    for law, found in wins.items():
        name, count = max(found.items(), key=lambda item: item[1])
        lines.append((law, name, f"{count} of {sum(found.values())}"))
    return table(("law", "best", "settings (K and window) where it is"), lines)


def _marks(rows: list[Row]) -> str:
    """At K = 100 and any window up to 16, beside what was aimed at."""
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
        f"{len(rows):,} runs. Accepted lengths less what the drafts promised, in standard errors: largest {max(z, default=0):.2f}; "
        f"{sum(v > 4 for v in z)} beyond 4, where chance alone gives {allowed:.2f}. For the same drafts a block promises at least "
        f"as many accepted steps as token by token: smallest difference in any window {least:.1e}.\n"
    )


def _peer(rows: list[Row]) -> str:
    from .rounds import PEER, PEER_METHODS

    dims = list(PEER)
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        found[row["dim"], row["method"]].append(row["rounds"])

    def cell(dim: int, method: str) -> str:
        values = found[dim, method]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
        return f"{mean:.2f} ± {spread:.2f}"

    text = (
        "Rectified flow, t from 1 to 0.001 in 30 equal steps, then 0; churn 0.06; first and last step deterministic; five "
        "components, means uniform in [-2, 2]^d, standard deviations uniform in [0.10, 0.25]; window 8. Ours: mean over 10 laws "
        "drawn so, 200 chains each. Counted alike, verifications alone: the call of the deterministic first step, which is also a "
        "free drafter's first one, and a frozen drafter's extra call a round are not counted here. The stated figures are those of "
        "one law that we do not have; the rows of the same method below are our rebuilding of it.\n\n"
    )
    stated = [
        (f"as stated for a public sampler: token-wise reflection, {base} velocity", *(PEER[d][base] for d in dims))
        for base in ("free", "frozen")
    ]
    ours = [(m, *(cell(d, m) for d in dims)) for m in PEER_METHODS]
    return text + table(("sampler", *(f"d = {d}" for d in dims)), [*stated, *ours], right=len(dims))


def _speed(rows: list[Row]) -> str:
    text = (
        "The same flow at d = 2, window 4, batches of 1,000 chains, eager torch on this machine's CPU: median of seven runs. A "
        "public sampler states about 1,700 on 2 cores, and 3,000 for its plain sampling.\n\n"
    )
    cells = ((row["sampler"], f"{row['chains_a_second']:,.0f}") for row in rows)
    return text + table(("sampler", "chains a second"), cells, right=1)


def _refilling(r: Row) -> str:
    return (
        f"{r['chains']:,} chains of the digits network in a batch of {r['batch']}: calls of the target times the batch over the "
        f"chains is {r['calls_a_chain']:.2f}, beside {r['mean']:.2f} rounds a chain in the mean and {r['most']:.0f} at most "
        f"({r['calls_a_chain'] / r['mean']:.3f} times the mean).\n"
    )


def _figure(rows: list[Row], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = {
        "free noise, token-wise, reflection": "C7", "free noise, block, Gamma-maximal": "C1", "free sample, block, kept": "C2",
        "posterior, block, kept": "C0", "ahead network, block, kept": "C3",
    }  # fmt: skip
    laws = [law for law in _laws(rows) if law not in ("grid, churn 0.3", "grid, churn 2")]
    if not laws:
        return
    figure, axes = plt.subplots(1, len(laws), figsize=(3.1 * len(laws), 3.2), sharey=True, squeeze=False)
    of: Callable[[str, str], list[Row]] = lambda law, m: [  # noqa: E731
        r for r in rows if r["law"] == law and r["method"] == m and r["steps"] == 100
    ]
    for axis, law in zip(axes[0], laws, strict=True):
        for method, colour in shown.items():
            points = sorted(of(law, method), key=lambda r: r["window"])
            if points:
                axis.plot([p["window"] for p in points], [p["rounds"] for p in points], "o-", ms=3, color=colour, label=method)
        windows = sorted({r["window"] for r in rows})
        axis.plot(windows, [math.ceil(100 / (w + 1)) for w in windows], "k:", lw=1, label="nothing is ever rejected")
        axis.set_title(law, fontsize=9)
        axis.set_xlabel("window")
        axis.set_yscale("log")
        axis.set_yticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes[0][0].set_ylabel("rounds a chain, K = 100")
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
