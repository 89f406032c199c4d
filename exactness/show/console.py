"""The output on a terminal: tables of certificates, the findings of one certificate, and the matrix of controls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..certificate import Certificate, Verdict
from ..controls.matrix import Matrix

STYLES = {
    Verdict.CERTIFIED: "bold green",
    Verdict.REFUTED: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.INVALID: "bold magenta",
}


def verdict_text(certificate: Certificate) -> Text:
    """The verdict, in a colour that shows whether it is as claimed."""
    if certificate.expected == "wrong":
        held = certificate.verdict is Verdict.REFUTED
        return Text(certificate.verdict.value + ("" if held else " (CONTROL MISSED)"), "green" if held else "bold red")
    return Text(certificate.verdict.value, STYLES[certificate.verdict])


def summary_table(certificates: Sequence[Certificate]) -> Table:
    """A table with one row per certificate: its verdict and its cost.

    Rounds are sequential calls of the target, and evaluations are the states that it saw. Both are means over the draws.
    """
    table = Table(title="certificates", title_justify="left", box=SIMPLE)
    table.add_column("claim", overflow="fold", ratio=1, min_width=24)
    for column in ("verdict", "draws", "adj. p", "bound", "rounds", "evals"):
        table.add_column(column, justify="left" if column == "verdict" else "right", no_wrap=column != "verdict")
    for c in certificates:
        leading, paths = c.leading, c.cost.get("paths", 0.0)
        table.add_row(
            Text(c.name),
            verdict_text(c),
            f"{c.paths:,}",
            "" if leading is None else f"{leading.adjusted_p:.2g}",
            "" if c.largest_bound is None else f"{c.largest_bound:.3f}",
            _mean(c.cost.get("rounds"), paths),
            _mean(c.cost.get("evaluations"), paths),
        )
    return table


def law_table(certificates: Sequence[Certificate]) -> Table:
    """A table with one row per law, for runs that are too long to list."""
    table = Table(title="by law", title_justify="left", box=SIMPLE)
    for column in ("law", "certified", "smallest p", "bound", "rounds", "of", "controls"):
        table.add_column(column, justify="left" if column == "law" else "right", no_wrap=True)
    groups: dict[str, list[Certificate]] = {}
    for c in certificates:
        groups.setdefault(c.name.split("/")[0], []).append(c)
    for law, members in groups.items():
        exact = [c for c in members if c.expected == "exact"]
        controls = [c for c in members if c.expected == "wrong"]
        rounds = [c.cost["rounds"] / c.cost["paths"] for c in exact if c.cost.get("paths") and "rounds" in c.cost]
        bounds = [c.largest_bound for c in exact if c.largest_bound is not None]
        table.add_row(
            Text(law),
            f"{sum(c.verdict is Verdict.CERTIFIED for c in exact)}/{len(exact)}",
            f"{min((c.leading.adjusted_p for c in exact if c.leading), default=1.0):.2g}",
            f"{max(bounds):.3f}" if bounds else "",
            f"{min(rounds):.1f}-{max(rounds):.1f}" if rounds else "",
            str(exact[0].law.get("steps", "")) if exact else "",
            f"{sum(c.verdict is Verdict.REFUTED for c in controls)}/{len(controls)}",
        )
    return table


def findings_table(certificate: Certificate, most: int = 12) -> Table:
    """A table of the ``most`` most significant findings of one certificate."""
    total = len(certificate.findings)
    table = Table(title=f"the {min(most, total)} most significant of {total} findings", title_justify="left", box=SIMPLE)
    for column in ("finding", "where", "effect", "unit", "adjusted p", "bound", "detectable", "null"):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("effect", "adjusted p", "bound", "detectable") else "left"
        )
    for f in certificate.findings[:most]:
        table.add_row(
            f.name, f.where, f"{f.effect:+.3g}", f.unit, f"{f.adjusted_p:.2g}",
            "" if f.bound is None else f"{f.bound:.3f}", "" if f.detectable is None else f"{f.detectable:.3g}", f.validity,
        )  # fmt: skip
    return table


def matrix_table(matrix: Matrix) -> Table:
    """A table with one row per fault: the draws that refute it, and the three tests that see it soonest alone."""
    table = Table(title="controls", title_justify="left", box=SIMPLE)
    for column in ("sampler", "all tests", "soonest alone", "adj. p"):
        table.add_column(column, justify="left" if column in ("sampler", "soonest alone") else "right", overflow="fold")
    for r in matrix.records:
        seen = sorted((n, test) for test, n in r.alone.items() if n is not None)[:3]
        outcome = f"{r.caught_at:,}" if r.caught_at is not None else f"not in {r.paths:,}"
        if r.method != "draws":
            outcome = f"by {r.method}" if r.caught_at is not None else f"not by {r.method}"
        table.add_row(
            Text(r.name), Text(outcome, "green" if r.as_it_should else "bold red"),
            Text(", ".join(f"{test} {n:,}" for n, test in seen)), f"{r.adjusted_p:.2g}",
        )  # fmt: skip
    return table


def print_score(console: Console, matrix: Matrix) -> None:
    """Print how many faults were refuted, which were missed and why, and the fewest tests that find as many."""
    caught, wrong = matrix.score
    alarms, right = matrix.false_alarms
    parts = [f"{caught} of {wrong} wrong samplers caught"] if wrong else []
    parts += [f"{alarms} of {right} right samplers refuted"] if right else []
    parts += [f"{len(matrix.beyond)} wrong by too little for any test at this budget"] if matrix.beyond else []
    console.print("; ".join(parts) + ".", highlight=False)
    for r in matrix.beyond:
        console.print(f"  {r.name}: {r.beyond}", highlight=False, markup=False, soft_wrap=True)
    if smallest := matrix.smallest_set():
        console.print(f"the fewest tests that catch as many: {', '.join(smallest)}", highlight=False, markup=False, soft_wrap=True)
    for r in matrix.records:
        if not r.as_it_should:
            blind = [test for test in r.must_be_seen_by if r.alone.get(test) is None]
            why = f"not seen by {', '.join(blind)}" if blind and r.caught_at is not None else r.leading
            console.print(f"  misjudged: {r.name}: {why}", style="red", highlight=False, markup=False, soft_wrap=True)


def print_certificate(console: Console, certificate: Certificate) -> None:
    """Print the name, the verdict, the reasons and the remedy of a certificate."""
    console.print(Text.assemble((certificate.name, "bold"), ": ", verdict_text(certificate)), soft_wrap=True)
    for reason in certificate.reasons:
        console.print("  " + reason, soft_wrap=True, highlight=False, markup=False)
    if certificate.expected == "exact" and certificate.verdict is not Verdict.CERTIFIED and certificate.controls_hold:
        console.print("  " + certificate.verdict.remedy, soft_wrap=True, highlight=False, markup=False)


def _mean(total: float | None, paths: float) -> str:
    return "" if total is None or paths == 0 else f"{total / paths:.1f}"
