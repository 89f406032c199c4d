"""Makes strangers' text safe to show. Names, reasons and messages come from samplers, files and certificates of other people.

This is the one home: the terminal, JUnit, Markdown, SARIF, the page and its figures all use ``plain``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

# Control characters move the cursor or end a line, format characters reorder or hide text (Unicode Technical Report 36), and lone
# surrogates cannot be written at all. A line feed and a tab are kept.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Workflow commands. GitHub's runner takes a line that begins with ``::``, after white space, for a command; Azure Pipelines,
# TeamCity and older runners take ``##[`` and ``##name[``.
_LINE_COMMAND = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
_COMMAND = re.compile(
    r":(?=:(?:add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|notice|remove-matcher|save-state|set-env|set-output|"
    r"stop-commands|warning)\b)",
    re.IGNORECASE,
)
_BRACKET_COMMAND = re.compile(r"#(?=#\w*\[)")
_SPACE = re.compile(r"[\s\x85\u2028\u2029]+")
_MARKED = re.compile(r"([\\`*_{}\[\]|~#$@!]|:(?=\S))")


def plain(text: str) -> str:
    """Text in which nothing is hidden and nothing is a command, for a terminal, a log or a page. Lines stay lines.

    Characters that are invisible, reorder text or control a terminal are shown by their escapes, and commands of build servers
    are broken by a blank.

    >>> print(plain("red: \\x1b[31m, reversed: \\u202e"))
    red: \\x1b[31m, reversed: \\u202e
    >>> print(plain("done\\n::error::failed"))
    done
    : :error::failed
    """
    if not text.isprintable():
        text = "".join(_visible(c) for c in text.replace("\r\n", "\n"))
    if "::" in text:
        text = _COMMAND.sub(": ", _LINE_COMMAND.sub(r"\1: ", text))
    return _BRACKET_COMMAND.sub("# ", text) if "##" in text else text


def one_line(text: str) -> str:
    """``plain`` text in which every stretch of white space is a single blank.

    >>> one_line("two\\n  lines")
    'two lines'
    """
    return plain(_SPACE.sub(" ", text).strip())


def marked_down(text: str) -> str:
    """``one_line`` text in which every character with a meaning in Markdown or HTML is escaped.

    >>> marked_down("<b>")
    '&lt;b&gt;'
    """
    shown = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKED.sub(r"\\\1", shown)


class PlainConsole(Console):
    """A terminal that shows all text as :func:`plain` text, whoever wrote it."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


def _visible(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    # Noncharacters are not in XML 1.0 (section 2.2).
    if unicodedata.category(character) in _HIDDEN or ord(character) & 0xFFFE == 0xFFFE:
        return character.encode("unicode_escape").decode("ascii")
    return character
