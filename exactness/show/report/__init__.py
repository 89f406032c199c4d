"""One self-contained HTML page, a pure function of certificates. The view is made first, then the template is filled."""

from .render import render_report, require_report_extra, write_report
from .view import Page, page_of

__all__ = ["Page", "page_of", "render_report", "require_report_extra", "write_report"]
