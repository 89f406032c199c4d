"""The page of the study: the table of n, and what the tests of the field see."""

from __future__ import annotations

import math
from pathlib import Path

from ..page import table, write
from . import counts
from .counts import Report
from .figure import figure
from .peers import TESTS
from .sampling import KEYED, right, wrong

# Stated in our design notes for V = 4, 50 and Zipf 50,000. Their laws themselves are not published.
_STATED = {
    "token-extra-from-draft": "200 by the share of A by place; a 32-bin transform took 5,000",
    KEYED: "200,000 / 10,000 / 10,000 by the share of A by place and earlier count",
    "block-residual-unweighted": "10,000 / 1,000 / 500 by its bet; the best omnibus test took 50,000 / 10,000 / 5,000",
    "target-filter-missing": "100 by support",
}
_AT_MOST = 2_000
"""Sequences of ours that hold about as many tokens as the windows of the field's tests."""


def page(report: Report, folder: Path) -> None:
    """Write tokens.md and tokens.svg."""
    write("tokens.md", markdown(report), folder)
    figure(report, folder / "tokens.svg")


def markdown(report: Report) -> str:
    laws = [law for law in report["caps"] if counts.seeds(report, law)]
    text = "# Tokens: how many sequences, and what the field's tests see\n\n"
    text += f"Command: `python -m studies.tokens`. {report['versions']}.\n\n"
    text += "![sequences until refuted; share of wrong verifiers that each test sees, and false alarms](tokens.svg)\n\n"
    text += "## Sequences until a wrong verifier is refuted\n\n" + _how(report, laws)
    for law in laws:
        text += f"\n### {law}\n\n" + _summary(report, law) + "\n" + _needed(report, law)
    text += "\n### Compared with prototypes that were measured before\n\n" + _stated(report, laws)
    text += "\n## What the tests in use today see\n\n" + _field(report, laws)
    text += "\n## What they miss\n\n" + _missed(report)
    return text + "\n`tokens.json` holds every run.\n"


def _how(report: Report, laws: list[str]) -> str:
    caps = ", ".join(f"{report['caps'][law]:,} on {law}" for law in laws)
    runs = "; ".join(f"{law}: {_span(counts.seeds(report, law))}" for law in laws)
    return (
        f"Each of {len(wrong())} wrong verifiers writes sequences of {report['length']} tokens with windows of 4 drafts, or a tree "
        f"of 6. A test refutes at p <= {report['alpha']:g}. The tables give the number of sequences at which it first does so, on "
        f"the ladder 100, 200, 500, 1,000, ..., as the median over seeds. Numbers of seeds: {runs}. Runs stop at {caps}: `>` says "
        "that the median lies beyond. So a verifier that no test refutes here may need more sequences than were drawn.\n\n"
        "* **Our single test** is the most extreme row of our most extreme test, unadjusted.\n"
        "* **Certificate** is adjusted for all tests, rows and stages of the default plan.\n"
        "* **Best prototype** is the best of the support, 32-bin chi-squares of the transforms in three orders, the share of "
        "A = {p > q} by place and by earlier accepted count, and bets on q, on the residual, on two temperatures and on the bug's "
        "own law. They are written anew here and share no code with the judge. Choosing the best of them afterwards "
        "favours them.\n\n"
        "A test is looked at again at every step of the ladder, and nothing is adjusted for that, on either side.\n"
    )


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _n(value: float, cap: int) -> str:
    return f"> {cap:,}" if value == math.inf else f"{value:,.0f}"


def _summary(report: Report, law: str) -> str:
    rows = counts.needed(report, law)
    found, paid = (counts.ratios(rows, of) for of in counts.OURS)
    mean, most = counts.mean(list(found.values())), max(found.values(), default=math.nan)
    single, whole = (sum(row[of] < math.inf for row in rows.values()) for of in counts.OURS)
    late = [name for name, row in rows.items() if row["single test"] == math.inf > counts.best(row)[1]]
    early = [name for name, row in rows.items() if row["single test"] < math.inf == counts.best(row)[1]]
    never = [name for name, row in rows.items() if row["single test"] == math.inf == counts.best(row)[1]]
    met = mean <= 1.5 and most <= 10.0 and not late
    text = (
        f"Of {len(rows)} verifiers, our single tests refute {single} and certificates {whole}. Our single test needs "
        f"{mean:.2f} times "
        f"as many sequences as the best prototype, in geometric mean over the {len(found)} that both refute, and "
        f"{most:.1f} times at "
        f"worst; the aim of at most 1.5 and 10 is {'met' if met else 'not met'}. A certificate needs "
        f"{counts.mean(list(paid.values())):.2f} times as many as the best prototype.\n"
    )
    for names, what in ((late, "Only a prototype refutes"), (early, "Only ours refutes"), (never, "Nothing refutes")):
        if names:
            text += f"{what}, within the cap: {', '.join(f'`{name}`' for name in names)}.\n"
    return text


def _needed(report: Report, law: str) -> str:
    cap, lines = report["caps"][law], []
    for name, row in counts.needed(report, law).items():
        test, n = counts.best(row)
        ratio = row["single test"] / n if max(row["single test"], n) < math.inf else math.nan
        cells = (_n(row["single test"], cap), "" if math.isnan(ratio) else f"{ratio:.1f}", _n(row["certificate"], cap))
        lines.append((f"`{name}`", test, _n(n, cap), *cells))
    return table(("wrong verifier", "best prototype", "its n", "our single test", "ratio", "certificate"), lines, right=4)


def _stated(report: Report, laws: list[str]) -> str:
    rows = {law: counts.needed(report, law) for law in laws}
    cell = lambda law, name: _n(rows[law][name]["single test"], report["caps"][law]) if name in rows[law] else ""  # noqa: E731
    lines = [(f"`{name}`", said, *(cell(law, name) for law in laws)) for name, said in _STATED.items()]
    return (
        "These numbers were stated of prototypes that came before this package, on laws of the same sizes that are not "
        "published. So "
        "they need not agree; our single test is on the right.\n\n"
        + table(("wrong verifier", "stated", *(f"ours, {law}" for law in laws)), lines, right=len(laws))
    )


def _field(report: Report, laws: list[str]) -> str:
    lines = []
    for key, test in TESTS.items():
        seen, missed = counts.sees(report, key), counts.misses(report, key)
        lines.append(
            (
                test.who,
                test.what,
                f"{test.draws:,} windows",
                f"{len(seen)} of {len(seen) + len(missed)}",
                _rate(*counts.alarms(report, key)),
            )
        )
    for law in [law for law in laws if counts.our_alarms(report, law)[1]]:
        cap, run = report["caps"][law], len(counts.needed(report, law))
        for n, rate in ((_AT_MOST, _rate(*counts.our_alarms(report, law))), (cap, "")):
            within = f"{len(counts.certified_within(report, law, n))} of {run}"
            lines.append((f"a certificate, {law}", f"all tests, alpha = {report['alpha']:g}", f"{n:,} sequences", within, rate))
    sources = "\n".join(f"* {test.who}: {test.file}." for test in TESTS.values())
    return (
        "Each test runs once on each wrong verifier. Where a promise changes the target (a temperature, a filter), it "
        "is compared with "
        f"what is promised. False alarms are counted over {len(right())} right rules: "
        f"{', '.join(f'`{name}`' for name in right())}. The "
        "interval holds the rate with 95%. A test without an error rate can refuse right rules at any rate. "
        f"{_AT_MOST:,} of our sequences hold {_AT_MOST * report['length']:,} tokens, and 10,000 windows of two drafts "
        "about as many. "
        "The largest number of the default plan is 200,000 sequences, which were not drawn here.\n\n"
        + table(("test", "what it compares", "draws", "sees", "false alarms"), lines, right=3)
        + "\nThe tests were written anew from what these say, without their code, and with a chain or a tree of ours in place of "
        "their engine:\n\n" + sources + "\n"
    )  # fmt: skip


def _rate(k: int, n: int) -> str:
    if not n:
        return "not run"
    low, high = counts.interval(k, n)
    return f"{k} of {n} ({100 * low:.0f}% to {100 * high:.0f}%)"


def _missed(report: Report) -> str:
    seen = {name for law in report["caps"] for name in counts.certified_within(report, law, math.inf) if
            counts.needed(report, law)[name]["certificate"] < math.inf}  # fmt: skip
    text, everyone = "", [set(counts.misses(report, key)) for key in TESTS if counts.complete(report, key)]
    for key, test in TESTS.items():
        if not counts.complete(report, key):
            text += f"* **{test.who}**: this test has not yet been run on all wrong verifiers.\n"
            continue
        missed = [name for name in counts.misses(report, key) if name in seen]
        if missed:
            text += f"* **{test.who}** misses {len(missed)} of the {len(seen)} that certificates refute"
            text += f": {', '.join(f'`{name}`' for name in missed)}.\n" if len(missed) <= 20 else ".\n"
    common = sorted(set.intersection(*everyone) & seen) if everyone else []
    if common:
        text += "\nCertificates refute these, and none of the tests of the field that were run on all verifiers does: "
        text += f"{', '.join(f'`{name}`' for name in common)}.\n"
    text += (
        "\nThree habits explain most of it. Laws that do not depend on the context cannot show a law that is read from another "
        "place. The first token of a round can be right under a wrong rule, and later rounds are not looked at, so nothing "
        "that couples rounds can show. A threshold without an error rate passes small errors, and nothing says how small.\n"
    )
    return text
