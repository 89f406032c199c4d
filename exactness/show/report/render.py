"""Turning the view into HTML."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...certificate import Certificate
from ...controls.matrix import Matrix
from ...errors import BadInput
from ..text import plain
from .figures import speed_figure
from .view import Bars, page_of


def render_report(certificates: Sequence[Certificate], matrix: Matrix | None = None, broken: Sequence[tuple[str, str]] = ()) -> str:
    """Make one page that needs no other file and loads nothing.

    ``broken`` names files that could not be read, each with the reason. The page says that it lacks them.

    Raises ``BadInput`` if there is nothing to show, or if the report extra is not installed.
    """
    if not certificates and matrix is None:
        raise BadInput("there is no certificate to report on")
    require_report_extra()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("exactness.show.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    css = Markup(loader.get_source(environment, "report.css")[0])
    page = page_of(certificates, matrix, broken)
    figures = {section.name: speed_figure(section) for section in page.sections}
    return environment.get_template("report.html.j2").render(
        page=page, figures=figures, outline=outline, css=css, policy=content_policy(css)
    )  # fmt: skip


def content_policy(css: str) -> str:
    """The page's content security policy (W3C, Content Security Policy Level 3): it loads nothing, sends nothing, runs no script.

    The one style sheet is named by its digest. Style attributes are allowed, because the figures use them; old browsers, which do
    not know the two finer rules, take the first.
    """
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; style-src-elem 'sha256-{digest}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _shown(value: Any) -> Any:
    """What the template shows of a value. Markup of our own stays as it is, and all other text is made plain."""
    return plain(value) if type(value) is str else value


def require_report_extra() -> None:
    """Raise ``BadInput`` if a package that the page needs is not installed."""
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise BadInput(f"reports need {package}: pip install 'exactness[report]'")


def write_report(
    certificates: Sequence[Certificate],
    path: str | os.PathLike[str],
    matrix: Matrix | None = None,
    broken: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page to a file. Raises ``BadInput`` like :func:`render_report`."""
    target = Path(path)
    text = render_report(certificates, matrix, broken)
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
