"""One self-contained page from certificates: a pure function of them, view first, template second."""

from .render import render_report, require_report_extra, write_report
from .view import Page, page_of

__all__ = ["Page", "page_of", "render_report", "require_report_extra", "write_report"]
