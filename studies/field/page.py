"""The table of the study, as a pure function of its report, and where its pages are written."""

from __future__ import annotations

from pathlib import Path

from ..page import table, write
from .counts import Report, alarms, caught, names, outcomes, seconds, sizes
from .figure import figure
from .story import story
from .tests import TESTS, alpha_of, refutes


def publish(report: Report, out: Path, docs: Path) -> None:
    """Write the table and the figure into ``out``, and the story into ``docs``."""
    figure(report, out / "field.svg")
    write("field.md", markdown(report), out)
    print(write("field_study.md", story(report), docs))


def markdown(report: Report) -> str:
    settings, few = report["settings"], sizes(report)
    text = f"""# Which wrong samplers do the tests in use today catch?

Command: `make field` (`python -m studies.field`). Seed {settings["seed"]}. {report["versions"]}; one thread, CPU.

[docs/field_study.md](../docs/field_study.md) tells the story, and every p-value is in [field.json](field.json). The law is the
ring in the plane with 40 steps, and all tests see the same paths. A test in use today fails a sampler at p <=
{settings["alpha"]:g}. Ours fails it at {settings["alpha of ours"]:g}, over everything that it looks at. The moments without an
error rate fail it at a difference above {settings["tolerance"]:g}.

![share of wrong samplers caught, by test and by group; false alarms](field.svg)

## Summary

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
    text += "\n**s** is the processor time of one call, without drawing paths, as the median over all samplers.\n"
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
    """The name of a fault, with a note where it has not been run at some size."""
    left = [n for n in sizes(report) if str(n) not in report["faults"][fault]["at"]]
    return f"`{fault}`" + (f" (not run at {', '.join(map(_short, left))})" if left else "")


def _cell(report: Report, test: str, fault: str) -> str:
    run = [n for n in sizes(report) if str(n) in report["faults"][fault]["at"]]
    seen = [n for n in run if refutes(outcomes(report, fault, n)[test]["p_value"], alpha_of(test))]
    if not seen:
        return ""
    # By chance, or because noise exceeds a tolerance, it may be caught with few paths and not with more.
    return _short(seen[0]) + ("" if run[-1] in seen else " only")


def _short(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)
