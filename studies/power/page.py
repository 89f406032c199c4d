"""The page of `studies.power` in Markdown: a pure function of its JSON."""

from __future__ import annotations

from typing import Any

from ..page import table


def markdown(report: dict[str, Any]) -> str:
    parts = report["parts"]
    sections = [section(parts[name]) for name, section in _SECTIONS.items() if name in parts]
    return _blocks([_head(report), *sections])


def _head(report: dict[str, Any]) -> str:
    effort = report["effort"]
    most, command = effort["repetitions"], f"`{report['command']}`"
    if command.endswith("power`"):
        command = f"`make power` ({command})"
    return f"""# Power, compared with the tests in use today

Command: {command}. Seed {report["seed"]}. {report["versions"]}; one thread.

All tests of one table see the same samples. **n** is the smallest number of draws that passed, in {most} repetitions while a call
takes up to 0.1 s, {most // 2} up to 0.5 s, and {max(1, most // 5)} beyond. A point passes if at most one repetition in 50 fails to
refute (98 of 100, 49 of 50, 20 of 20), so "99%" means, with 97.5% confidence, a power above 0.93, 0.89 or 0.83. n is searched by
doubling and two bisections, to a factor of 1.19. A two-sample test sees n draws of the sampler and n draws of the law.
**"> n (power)"** means that the power was not reached at the largest n tried, where it was the power in brackets. No test is tried
at an n where one call takes over {effort["seconds"]:g} s, nor beyond {effort["largest"]:,}. **ms** is the processor time of one
call (median), without drawing the samples. **MiB** is the growth of the resident set in one call at its peak; the samples
themselves are not included.
"""


def _part_a(part: dict[str, Any]) -> str:
    text = [
        f"""## A. A mixture in d = 8

The law has four components of unit covariance, with weights .4/.3/.2/.1 and means 2 N(0, I) that are fixed by a seed. The tables
give the draws that are needed at alpha = {part["alpha"]:g}. Ours is the smallest Holm-adjusted p-value of a one-stage
certificate; it compares with the law itself, or with n draws of it. The likelihood ratio knows both laws (normal limit; for the
missing mode, it is told which draws visit it), so no test needs fewer draws. Kernel tests have a Gaussian kernel as wide as the
root mean square distance (hyppo uses its own default, the median). Compress Then Test has compression level 3 and 32 bins, which
it thins to powers of four, so its n moves in steps of four."""
    ]
    text += [f"### {case['name'].capitalize()}: {case['about']}\n\n{_departure(case)}" for case in part["departures"]]
    text.append(_alarms(part["false alarms"]))
    return _blocks(text)


def _departure(case: dict[str, Any]) -> str:
    ratio = ["likelihood ratio of the two laws", "the law", f"{case['limit']:,}", "", "", ""]
    rows = [[r["name"], r["against"], *_found(r)] for r in case["rows"]]
    return table(["test", "compares with", "n", "refuted", "ms", "MiB"], [ratio, *rows], 4)


def _found(row: dict[str, Any]) -> list[str]:
    if not row["installed"]:
        return ["not installed", "", "", ""]
    point, memory = row["point"], row["mebibytes"]
    return [_n(row), _of(point), _ms(point["seconds"]), "" if memory is None else f"{memory:,.0f}"]


def _alarms(part: dict[str, Any]) -> str:
    rows = [[r["name"], _of(r) if r["installed"] else "not installed"] for r in part["rows"]]
    about = (
        f"How often exact draws are refuted at alpha = {part['alpha']:g} and n = {part['n']:,}. Holm's and Bonferroni's "
        "adjustments and bounds stay below the level."
    )
    return f"### False alarms\n\n{about}\n\n" + table(["test", "refuted"], rows, 1)


def _part_b(part: dict[str, Any]) -> str:
    names = [c["name"] for c in part["controls"]]
    rows = []
    for i, row in enumerate(part["controls"][0]["rows"]):
        cells = [_cell(c["rows"][i]) for c in part["controls"]]
        rows.append([row["name"] if i else f"{row['name']}, on paths", *cells])
    about = f"""## B. The five controls of the ring

The law is eight Gaussians on a ring in the plane, with 40 steps; the samplers are wrong on purpose. The cells give the paths that
are needed at alpha = {part["alpha"]:g} (n · ms). Ours compares whole paths with the chain's law. Two-sample tests compare last
states x_0, or pairs (x_0, x_1), with those of the plain sampler. Repetitions at one n are disjoint parts of {part["pool"]:,}
paths, so there are 8 where n is an eighth of them."""
    return f"{about}\n\n" + table(["test", *names], rows, len(names))


def _cell(row: dict[str, Any]) -> str:
    return f"{_n(row)} · {_ms(row['point']['seconds'])}" if row["installed"] else "not installed"


def _part_c(part: dict[str, Any]) -> str:
    rows = []
    for case in part["departures"]:
        for r in case["rows"]:
            known = [_of(r), _ms(r["seconds"])] if r["installed"] else ["not installed", ""]
            rows.append([case["name"], r["name"], r["against"], f"{r['n']:,}", *known])
    about = f"""## C. Two samples of 5,000, alpha = {part["alpha"]:g}

The law is the mixture of A, with the same means in all {part["repetitions"]} repetitions. Others have reported, at other means of
the same kind, that PQMass took 8 ms and had power 0.54 under the shift and 0.90 under the correlation. One-sample tests see 1,000
draws."""
    return f"{about}\n\n" + table(["departure", "test", "compares with", "n", "refuted", "ms"], rows, 3)


def _part_d(part: dict[str, Any]) -> str:
    rows = []
    for r in part["rows"]:
        ratio, low, high = r["ratios"]
        powers = ", ".join(f"{p['refuted'] / p['repetitions']:.3g}" for p in r["fit"]["points"])
        needs = [
            f"{r['limit']:,.0f}",
            f"{ratio * r['limit']:,.0f}",
            f"{r['fit']['n']:,.0f}",
            f"{ratio:.2f} ({low:.2f} to {high:.2f})",
        ]
        rows.append([f"{r['name']}: {r['about']}", f"{r['alpha']:g}", *needs, powers])
    about = f"""## D. The likelihood ratio, and a whole certificate

A chain of {part["steps"]} steps in d = {part["dim"]} has {(part["steps"] + 1) * part["dim"]} innovations per path, including its
start. The table says how many innovations are needed for 99% power. The likelihood-ratio test knows the departure (exact for shift
and scale, normal limit for the correlation). The certificate makes {part["tests"]} tests at once (one stage, Holm). Its n is read
from a probit line through its powers, with {part["repetitions"]} repetitions each, at the ratio's n and then in steps of 2^(1/6);
the brackets hold a 95% interval."""
    heads = ["departure", "alpha", "ratio test needs", "certificate needs", "paths", "over the ratio test's", "powers"]
    return f"{about}\n\n" + table(heads, rows, 6)


_SECTIONS = {"A": _part_a, "B": _part_b, "C": _part_c, "D": _part_d}


def _blocks(parts: list[str]) -> str:
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _n(row: dict[str, Any]) -> str:
    point = row["point"]
    if not row["reached"]:
        return f"> {point['n']:,} ({point['refuted'] / point['repetitions']:.2f})"
    return ("at most " if row["at_most"] else "") + f"{point['n']:,}"


def _of(point: dict[str, Any]) -> str:
    return f"{point['refuted']:.3g} of {point['repetitions']}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f}" if seconds < 0.1 else f"{1e3 * seconds:,.0f}"
