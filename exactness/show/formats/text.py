"""Names and reasons come from strangers: what each format cannot hold is replaced before it is written."""

from __future__ import annotations

import re

# XML 1.0, section 2.2: other characters cannot be written, not even escaped. Lone surrogates are no characters at all.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"[\s\x85\u2028\u2029]+")
_MARKED = re.compile(r"([\\`*_{}\[\]|~#$@!]|:(?=\S))")


def writable(text: str) -> str:
    """Characters that no text file should hold become U+FFFD."""
    return _UNWRITABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """As ``writable``, every stretch of white space a single blank."""
    return _SPACE.sub(" ", writable(text)).strip()


def marked_down(text: str) -> str:
    """As ``one_line``, with everything escaped that Markdown or HTML would take for more than a character."""
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKED.sub(r"\\\1", plain)
