"""What ``studies.field`` found, counted: its table and its figure. Pure functions of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .field_tests import TESTS, alpha_of, refutes
from .page import table, write

Report = dict[str, Any]
GROUPS = ("coupling", "acceptance", "block", "bookkeeping", "randomness", "whole law")
FINAL = ("ks", "moments z", "energy", "mmd")
"""Tests of final samples that have an error rate."""
# Okabe and Ito's colours, told apart by the colour-blind: few paths, many paths; and what should stay empty.
_FEW, _MANY, _ALARM_FEW, _ALARM_MANY = "#9ecae1", "#0072b2", "#f0c27b", "#d55e00"


def sizes(report: Report) -> list[int]:
    return [int(n) for n in report["settings"]["sizes"]]


def names(report: Report, expected: str, n: int, group: str | None = None) -> list[str]:
    """Faults that must be caught (``caught``), that no test can be asked to catch (``beyond``), or that are right (``exact``), of
    those that have been run at n."""
    faults = report["faults"].items()
    return [name for name, f in faults if f["expected"] == expected and group in (None, f["group"]) and str(n) in f["at"]]


def caught(report: Report, test: str, n: int, expected: str, alpha: float | None = None, group: str | None = None) -> list[str]:
    """Those that the test refutes, at its own alpha if none is given."""
    level = alpha_of(test) if alpha is None else alpha
    return [name for name in names(report, expected, n, group) if refutes(_of(report, name, n)[test]["p_value"], level)]


def alarms(report: Report, test: str, n: int) -> tuple[int, int]:
    """Right samplers refuted, and how many were shown: those that only look wrong, and runs of the plain sampler."""
    plain = [found[test] for name, found in report["alarms"].items() if name.startswith(f"{n}/")]
    refuted = len(caught(report, test, n, "exact")) + sum(refutes(p, alpha_of(test)) for p in plain)
    return refuted, len(names(report, "exact", n)) + len(plain)


def seconds(report: Report, test: str, n: int) -> float:
    """Processor time of one call, the median over all faults that were run."""
    times = sorted(_of(report, name, n)[test]["seconds"] for name, f in report["faults"].items() if str(n) in f["at"])
    return float(times[len(times) // 2]) if times else 0.0


def _of(report: Report, fault: str, n: int) -> dict[str, Any]:
    """Outcomes by test."""
    found: dict[str, Any] = report["faults"][fault]["at"][str(n)]
    return found


def publish(report: Report, out: Path, docs: Path) -> None:
    """Table and figure into ``out``, the story into ``docs``."""
    from .field_story import story

    figure(report, out / "field.svg")
    write("field.md", markdown(report), out)
    print(write("field_study.md", story(report), docs))


def markdown(report: Report) -> str:
    settings, few = report["settings"], sizes(report)
    text = f"""# Which wrong samplers do the tests in use today catch?

Command: `make field` (`python -m studies.field`). Seed {settings["seed"]}. {report["versions"]}; one thread, CPU.

[docs/field_study.md](../docs/field_study.md) tells the story; every p-value is in [field.json](field.json). The ring in the plane,
40 steps; the same paths for all tests. A test in use today fails a sampler at p <= {settings["alpha"]:g}, ours at
{settings["alpha of ours"]:g}, over all that it looks at; the moments fail one at a difference above {settings["tolerance"]:g}.

![share of wrong samplers caught, by test and by group; false alarms](field.svg)

## In short

"""
    head = ["test", *(f"caught, n = {n:,}" for n in few), *(f"right ones refused, n = {n:,}" for n in few)]
    head += [f"s, n = {n:,}" for n in few]
    rows = [
        [
            TESTS[test],
            *(f"{len(caught(report, test, n, 'caught'))} of {len(names(report, 'caught', n))}" for n in few),
            *("{} of {}".format(*alarms(report, test, n)) for n in few),
            *(f"{seconds(report, test, n):.2g}" for n in few),
        ]
        for test in TESTS
    ]
    text += table(head, rows, right=len(head) - 1)
    text += "\ns: processor time of one call, the median over all samplers, without drawing paths.\n"
    text += f"\n## Test by test\n\n**{_short(few[0])}**: caught at n = {few[0]:,}"
    text += "".join(f"; **{_short(n)}**: not before n = {n:,}" for n in few[1:]) + "; empty: not caught.\n"
    for title, kind in (("Wrong", "caught"), ("Wrong, and beyond any test at this n", "beyond"), ("Right", "exact")):
        faults = names(report, kind, few[0])
        lines = [[_name(report, name), *(_cell(report, test, name) for test in TESTS)] for name in faults]
        text += f"\n### {title} ({len(faults)})\n\n" + table(["sampler", *_COLUMNS.values()], lines)
    return text


_COLUMNS = {
    "ks": "KS", "moments": "moments 1e-2", "moments z": "moments z", "step": "one step", "first step": "first step",
    "energy": "energy", "mmd": "MMD", "ours": "exactness",
}  # fmt: skip


def _name(report: Report, fault: str) -> str:
    """Says so where the largest size is still missing."""
    left = [n for n in sizes(report) if str(n) not in report["faults"][fault]["at"]]
    return f"`{fault}`" + (f" (not run at {', '.join(map(_short, left))})" if left else "")


def _cell(report: Report, test: str, fault: str) -> str:
    run = [n for n in sizes(report) if str(n) in report["faults"][fault]["at"]]
    seen = [n for n in run if refutes(_of(report, fault, n)[test]["p_value"], alpha_of(test))]
    if not seen:
        return ""
    # Chance, or a tolerance that noise exceeds: caught with few paths, and not with more.
    return _short(seen[0]) + ("" if run[-1] in seen else " only")


def _short(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)


def figure(report: Report, target: Path) -> None:
    """Left: share of the wrong samplers caught. Middle: by group. Right: right samplers refused."""
    import matplotlib

    matplotlib.use("svg")
    # Stable identifiers: the same numbers give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "exactness"
    from matplotlib import pyplot as plt

    tests, n = list(TESTS), sizes(report)
    run = {m: len(names(report, "caught", m)) for m in n}
    labels = [f"n = {m:,}" + (f", {run[m]} run so far" if run[m] < run[n[0]] else "") for m in n]
    # Groups of which some are still to be run would not compare.
    most = max(m for m in n if run[m] == run[n[0]])
    page, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13, 4.4), layout="constrained", gridspec_kw={"width_ratios": [1.0, 1.35, 0.8]}
    )
    share = lambda test, m: len(caught(report, test, m, "caught")) / max(1, run[m])  # noqa: E731
    _bars(left, [[share(t, m) for t in tests] for m in n], labels, (_FEW, _MANY))
    left.set_title(f"share of {run[n[0]]} wrong samplers caught", fontsize=10)
    left.set_yticks(range(len(tests)), [TESTS[t].replace(", ", ",\n", 1) for t in tests], fontsize=8)

    refused = [[a / max(1, b) for a, b in (alarms(report, t, m) for t in tests)] for m in n]
    _bars(right, refused, [f"n = {m:,}" for m in n], (_ALARM_FEW, _ALARM_MANY))
    right.set_title("share of right samplers refused", fontsize=10)
    right.set_yticks(range(len(tests)), [])

    of = {g: len(names(report, "caught", most, g)) for g in GROUPS}
    groups = [g for g in GROUPS if of[g]]
    counts = [[len(caught(report, t, most, "caught", group=g)) for g in groups] for t in tests]
    shown = [[c / of[g] for c, g in zip(row, groups, strict=True)] for row in counts]
    if groups:
        middle.imshow(shown, cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto")
    for i, row in enumerate(counts):
        for j, (c, g) in enumerate(zip(row, groups, strict=True)):
            ink = "white" if c / of[g] > 0.7 else "black"
            middle.text(j, i, f"{c}/{of[g]}", ha="center", va="center", fontsize=8, color=ink)
    middle.set_title(f"caught by group, n = {most:,}", fontsize=10)
    middle.set_xticks(range(len(groups)), groups, fontsize=7.5)
    middle.set_yticks(range(len(tests)), [])
    middle.tick_params(length=0)
    middle.spines[:].set_visible(False)
    for axis in (left, middle, right):
        axis.set_ylim(len(tests) - 0.5, -0.5)
    page.savefig(target, metadata={"Date": None})
    plt.close(page)


def _bars(axis: Any, shares: Sequence[Sequence[float]], labels: Sequence[str], colours: Sequence[str]) -> None:
    height = 0.8 / len(labels)
    for i, (values, label) in enumerate(zip(shares, labels, strict=True)):
        places = [y - 0.4 + (i + 0.5) * height for y in range(len(values))]
        axis.barh(places, values, height, color=colours[min(i, len(colours) - 1)], label=label)
        for y, v in zip(places, values, strict=True):
            axis.text(v + 0.01, y, f"{100 * v:.0f}%", va="center", fontsize=7)
    axis.set_xlim(0, 1.15)
    axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
