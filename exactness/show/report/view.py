"""The content of the page, as data. It has no markup, and nothing that is not in the certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from ...certificate import Certificate, Histogram, Verdict
from ...controls.matrix import Matrix
from ..formats.outcome import per_draw, repeat
from .matrix import MatrixView, view_of

_LOUDEST = 8
_ALL_BELOW = 12
# A figure has no room for more rounds or steps than this, and a chain has far fewer.
_DRAWABLE = 10**6


@dataclass(frozen=True)
class Bars:
    """A histogram of probability integral transforms, relative to a flat one. ``band`` is three standard errors of a cell."""

    title: str
    where: str
    heights: list[float]
    band: float
    reach: float
    values: int


@dataclass(frozen=True)
class Panel:
    """A small table, ready to print: the first cell of each row is its label."""

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Row:
    """One certificate. ``label`` is its name without that of the law. Numbers are ready to print, and missing ones are ''."""

    certificate: Certificate
    label: str
    anchor: str
    tone: str
    verdict: str
    draws: str
    smallest_p: str
    bound: str
    rounds: str
    evaluations: str
    milliseconds: str
    findings: list[dict[str, str]]
    hidden: int
    bars: list[Bars]
    panels: list[Panel]
    repeat: str


@dataclass(frozen=True)
class Section:
    """One law with its samplers and its controls. ``speed`` gives drafter, verifier, rounds and whether it was as claimed."""

    name: str
    about: str
    steps: int | None
    left_out: dict[str, str]
    rows: list[Row]
    controls: list[Row]
    speed: list[tuple[str, str, float, bool]]


@dataclass(frozen=True)
class Page:
    title: str
    headline: str
    holds: bool
    facts: list[tuple[str, str]]
    sections: list[Section]
    matrix: MatrixView | None = None
    broken: Sequence[tuple[str, str]] = ()
    assumes: Sequence[str] = ()


def page_of(certificates: Sequence[Certificate], matrix: Matrix | None = None, broken: Sequence[tuple[str, str]] = ()) -> Page:
    """Group the certificates by law (the part of the name before the first slash), in the given order.

    The certificates or the matrix may be missing, but not both. ``broken`` names files that could not be read, and why.
    """
    controls = None if matrix is None else view_of(matrix)
    if controls is not None and not certificates:
        holds = controls.holds and not broken
        return Page("exactness: controls", controls.headline, holds, _made(matrix), [], controls, broken)  # type: ignore[arg-type]
    groups: dict[str, list[Certificate]] = {}
    for c in certificates:
        groups.setdefault(c.name.split("/")[0] if "/" in c.name else c.name, []).append(c)
    exact = [c for c in certificates if c.expected == "exact"]
    wrong = [c for c in certificates if c.expected == "wrong"]
    certified = sum(c.verdict is Verdict.CERTIFIED for c in exact)
    refuted = sum(c.verdict is Verdict.REFUTED for c in wrong)
    parts = [f"{certified} of {len(exact)} samplers certified"] if exact else []
    parts += [f"{refuted} of {len(wrong)} wrong samplers refuted"] if wrong else []
    parts += [f"{len(broken)} files could not be read" if len(broken) > 1 else "one file could not be read"] if broken else []
    full = len(certificates) <= _ALL_BELOW
    return Page(
        title="exactness report" if len(certificates) != 1 else f"exactness: {certificates[0].name}",
        headline="; ".join(parts),
        holds=all(c.as_claimed for c in certificates) and (controls is None or controls.holds) and not broken,
        facts=_facts(certificates),
        sections=[_section(name, members, full) for name, members in groups.items()],
        matrix=controls,
        broken=broken,
        # Each sentence once: most certificates assume the same.
        assumes=list(dict.fromkeys(sentence for c in certificates for sentence in c.assumes)),
    )


def _section(name: str, members: Sequence[Certificate], full: bool) -> Section:
    rows = [_row(c, full) for c in members]
    speed = []
    for c in members:
        rounds = per_draw(c, "rounds")
        if c.expected == "exact" and rounds is not None and 0.0 <= rounds <= _DRAWABLE:
            parts = c.name.split("/")
            drafter = str(c.sampler.get("drafter", parts[-1]))
            speed.append((drafter, str(c.sampler.get("verifier", "sequential")), rounds, c.as_claimed))
    law = members[0].law
    steps, left_out = law.get("steps"), members[0].sampler.get("controls_left_out", {})
    return Section(
        name=name,
        about=str(members[0].sampler.get("law", law.get("kind", ""))),
        steps=steps if isinstance(steps, int) and 0 < steps <= _DRAWABLE else None,
        left_out=left_out if isinstance(left_out, dict) else {},
        rows=[r for r in rows if r.certificate.expected == "exact"],
        controls=[r for r in rows if r.certificate.expected == "wrong"],
        speed=speed,
    )


def _row(c: Certificate, full: bool) -> Row:
    paths = c.cost.get("paths", 0.0)
    shown = c.findings if full else c.findings[:_LOUDEST]
    return Row(
        certificate=c,
        label=c.name.split("/", 1)[-1],
        anchor=c.name.replace("/", "--").replace(" ", "-"),
        tone=("held" if c.as_claimed else "missed") if c.expected == "wrong" else c.verdict.value,
        verdict=c.verdict.value if c.expected == "exact" or c.as_claimed else f"{c.verdict.value}: missed",
        draws=f"{c.paths:,}",
        smallest_p="" if c.leading is None else f"{c.leading.adjusted_p:.2g}",
        bound="" if c.largest_bound is None else f"{c.largest_bound:.3f}",
        rounds=_mean(c.cost.get("rounds"), paths, 1.0),
        evaluations=_mean(c.cost.get("evaluations"), paths, 1.0),
        milliseconds=_mean(c.cost.get("seconds_sampling"), paths, 1000.0),
        findings=[
            {
                "name": f.name, "where": f.where, "null": f.null, "validity": f.validity, "n": f"{f.n:,}",
                "effect": f"{f.effect:+.3g} {f.unit}", "p": f"{f.p_value:.2g}", "adjusted": f"{f.adjusted_p:.2g}",
                "bound": "" if f.bound is None else f"{f.bound:.3f}",
                "detectable": "" if f.detectable is None else f"{f.detectable:.3g}",
                "refutes": "yes" if f.adjusted_p <= c.plan.alpha else "",
            }
            for f in shown
        ],
        hidden=len(c.findings) - len(shown),
        bars=[_bars(h) for h in c.histograms],
        panels=_panels(c),
        repeat=repeat(c) or "",
    )  # fmt: skip


def _panels(c: Certificate) -> list[Panel]:
    """Of a Markov kernel: the largest differences between both ends of its moves, and how soon pairs of chains met."""
    found, effects = [], []
    for picture in c.pictures:
        if picture.kind == "steps":
            rows = [[label, *_numbers(values)] for label, values in zip(picture.rows, picture.values, strict=True)]
            found.append(Panel(f"{picture.name}, by the number of steps", ["", *picture.columns], rows))
        if (picture.battery, picture.name) == ("moves", "mean difference"):
            effects += [
                (value, label, column)
                for label, values in zip(picture.rows, picture.values, strict=True)
                for column, value in zip(picture.columns, values, strict=True)
                if value is not None
            ]
    if effects:
        effects.sort(key=lambda effect: -abs(effect[0]))
        rows = [[label, column, f"{value:+.2f}"] for value, label, column in effects[:_LOUDEST]]
        found.append(Panel("largest differences between both ends of a move", ["of", "tests", "z-score"], rows))
    return found


def _numbers(values: Sequence[float | None]) -> list[str]:
    return ["" if value is None else f"{value:.3g}" for value in values]


def _bars(h: Histogram) -> Bars:
    total, cells = sum(h.counts), len(h.counts)
    flat = total / cells
    band = 3.0 / sqrt(flat) if flat else 0.0
    heights = [count / flat for count in h.counts] if flat else [0.0] * cells
    reach = max(1.4 * band, 1.1 * max(abs(v - 1.0) for v in heights), 1e-9)
    return Bars(h.name, h.where, heights, band, reach, total)


def _facts(certificates: Sequence[Certificate]) -> list[tuple[str, str]]:
    def same(values: list[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    packages = certificates[0].environment.packages
    return [
        ("false alarms", same([_false_alarms(c) for c in certificates])),
        ("tolerance", same([f"{c.plan.tolerance:g}" for c in certificates]) + " (difference of probabilities)"),
        ("confidence of the bounds", same([f"{c.plan.confidence:g}" for c in certificates])),
        ("seed", same([str(c.seed) for c in certificates])),
        ("device", same([f"{c.environment.device}, {c.environment.array} {c.environment.dtype}" for c in certificates])),
        ("versions", f"exactness {certificates[0].environment.exactness}, Python {certificates[0].environment.python}, "
                     + ", ".join(f"{k} {v}" for k, v in packages.items())),
        ("made", max(c.created for c in certificates)),
    ]  # fmt: skip


def _made(matrix: Matrix) -> list[tuple[str, str]]:
    where = matrix.environment
    versions = ", ".join(f"{k} {v}" for k, v in where.packages.items())
    return [
        ("device", f"{where.device}, {where.array} {where.dtype}"),
        ("versions", f"exactness {where.exactness}, Python {where.python}, {versions}"),
        ("made", matrix.created),
    ]


def _false_alarms(c: Certificate) -> str:
    together = "per certificate" if c.plan.claims == 1 else f"for the {c.plan.claims} claims of the run together"
    if "test" in c.sampler:
        together = "for the tests that share it together"
    return f"alpha {c.plan.alpha:g} {together}, over all tests and stages"


def _mean(total: float | None, paths: float, factor: float) -> str:
    return "" if total is None or not paths else f"{factor * total / paths:.2f}"
