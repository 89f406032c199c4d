"""Names and reasons come from users. Characters that a format cannot hold are replaced before they are written."""

from __future__ import annotations

import re

# XML 1.0, section 2.2: other characters cannot be written, not even escaped. Lone surrogates are not characters at all.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"[\s\x85\u2028\u2029]+")
_MARKED = re.compile(r"([\\`*_{}\[\]|~#$@!]|:(?=\S))")


def writable(text: str) -> str:
    """Replace characters that a text file cannot hold with U+FFFD.

    >>> writable("a\\x00b") == "a\\ufffdb"
    True
    """
    return _UNWRITABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """``writable`` text in which every stretch of white space is a single blank.

    >>> one_line("two\\n  lines")
    'two lines'
    """
    return _SPACE.sub(" ", writable(text)).strip()


def marked_down(text: str) -> str:
    """``one_line`` text in which every character with a meaning in Markdown or HTML is escaped.

    >>> marked_down("<b>")
    '&lt;b&gt;'
    """
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKED.sub(r"\\\1", plain)
