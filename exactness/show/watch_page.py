"""The page of a monitor, which a browser loads anew every ten seconds."""

from __future__ import annotations

import html
import math
from importlib import resources

from ..monitor import Monitor
from .text import plain

_WIDTH = 600
# The bars reach from wealth 1 / 1,000 to the alarm.
_LEAST = math.log(1e-3)


def watch_page(monitor: Monitor, source: str) -> str:
    """One HTML page, with nothing to load: whether the alarm is raised, and the wealth of each bet on its way there.

    >>> "No alarm" in watch_page(Monitor(), "tokens.jsonl")
    True
    """
    style = resources.files(__package__).joinpath("report", "templates", "report.css").read_text()
    limit = -math.log(monitor.alpha)
    if monitor.alarm is None:
        headline = f'<p class="headline holds">No alarm in {monitor.tokens:,} tokens</p>'
    else:
        said = html.escape(plain(monitor.reason))
        headline = f'<p class="headline fails">Alarm at token {monitor.alarm:,}: {said}</p>'
    facts = (
        ("records", html.escape(plain(source))), ("tokens", f"{monitor.tokens:,}"),
        ("false alarm, ever, with probability at most", f"{monitor.alpha:g}"), ("wealth of all bets", _wealth(monitor.log_wealth)),
        ("the alarm is raised at", _wealth(limit)), ("relative error of probabilities that is allowed", f"{monitor.slack:g}"),
    )  # fmt: skip
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    rows = "".join(
        f'<tr><td>tokens that come too often from {html.escape(name)}</td><td class="n">{_wealth(value)}</td>'
        f"<td>{_bar(value, limit)}</td></tr>"
        for name, value in monitor.log_wealths.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f"<title>exactness watch</title><style>{style}</style></head><body><main><h1>Watching an engine's tokens</h1>{headline}"
        f'<dl class="facts">{listed}</dl><h2>Bets against the engine</h2><p class="soft">Each begins with the wealth 1. If the '
        "tokens follow the target, the wealth of all together ever reaches the alarm with the probability above.</p>"
        f'<table><thead><tr><th>a bet on</th><th class="n">wealth</th><th>from 1/1,000 to the alarm</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></main></body></html>\n"
    )


def _bar(value: float, limit: float) -> str:
    part = min(1.0, max(0.0, (value - _LEAST) / (limit - _LEAST)))
    colour = "var(--bad)" if value >= limit else "var(--mark)"
    return (
        f'<svg width="{_WIDTH}" height="14" role="img" aria-label="{part:.0%} of the way"><rect width="{_WIDTH}" height="14" '
        f'fill="var(--tint)"/><rect width="{_WIDTH * part:.1f}" height="14" fill="{colour}"/></svg>'
    )


def _wealth(log: float) -> str:
    """Wealth in decimals, however large: the exponential itself may overflow."""
    if abs(log) < 30.0:
        return f"{math.exp(log):.3g}"
    exponent = log / math.log(10.0)
    return f"10<sup>{exponent:.0f}</sup>"
