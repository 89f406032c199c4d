"""Turning the view into HTML."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from ...certificate import Certificate
from ...controls.matrix import Matrix
from ...errors import BadInput
from .figures import speed_figure
from .view import Bars, page_of


def render_report(certificates: Sequence[Certificate], matrix: Matrix | None = None) -> str:
    """Make one page that needs no other file and loads nothing.

    Raises ``BadInput`` if there is nothing to show, or if the report extra is not installed.
    """
    if not certificates and matrix is None:
        raise BadInput("there is no certificate to report on")
    require_report_extra()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("exactness.show.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = page_of(certificates, matrix)
    figures = {section.name: speed_figure(section) for section in page.sections}
    return environment.get_template("report.html.j2").render(page=page, figures=figures, outline=outline)


def require_report_extra() -> None:
    """Raise ``BadInput`` if a package that the page needs is not installed."""
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise BadInput(f"reports need {package}: pip install 'exactness[report]'")


def write_report(certificates: Sequence[Certificate], path: str | os.PathLike[str], matrix: Matrix | None = None) -> Path:
    """Write the page to a file. Raises ``BadInput`` like :func:`render_report`."""
    target = Path(path)
    text = render_report(certificates, matrix)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def outline(bars: Bars, width: float = 120.0, height: float = 36.0) -> str:
    """The outline of a histogram as the ``d`` of an SVG path. A flat histogram is a line at half the height."""
    step = width / len(bars.heights)
    parts = []
    for i, value in enumerate(bars.heights):
        y = height / 2 * (1.0 - (value - 1.0) / bars.reach)
        parts.append(f"{'M' if i == 0 else 'V'}{f'0 {y:.1f}' if i == 0 else f'{y:.1f}'}H{(i + 1) * step:.1f}")
    return "".join(parts)
