"""The numbers and the lists of the story, in words, and how its paragraphs are filled."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from .counts import Report, alarms, caught, names, seconds, sizes


class Counts:
    """The numbers of a report in words. ``few`` and ``many`` are the smallest and the largest number of paths."""

    def __init__(self, report: Report) -> None:
        self.report, self.settings = report, report["settings"]
        self.few, self.many = sizes(report)[0], sizes(report)[-1]
        self.alpha, self.strict = f"{self.settings['alpha']:g}", f"{self.settings['alpha of ours']:g}"
        self.wrong = names(report, "caught", self.few)
        self.beyond, self.exact = names(report, "beyond", self.few), names(report, "exact", self.few)

        run = len(names(report, "caught", self.many))
        # The largest n at which all faults have been run; a study that was stopped may not have reached ``many`` for all.
        self.most = self.many if run == len(self.wrong) else self.few
        self.missing = ""
        if run < len(self.wrong):
            self.missing = (
                f" **At n = {self.many:,}, {run} of the {len(self.wrong)} have been run so far**: first those that fewer paths "
                "settle least, so shares at the two n do not compare."
            )

    def caught(self, test: str, n: int) -> list[str]:
        return caught(self.report, test, n, "caught")

    def by(self, tests: Sequence[str], n: int) -> list[str]:
        """The wrong samplers that at least one of the tests catches."""
        found = {name for test in tests for name in self.caught(test, n)}
        return [name for name in self.wrong if name in found]

    def not_by(self, tests: Sequence[str], n: int) -> list[str]:
        return without(names(self.report, "caught", n), self.by(tests, n))

    def score(self, test: str, n: int, alpha: float | None = None) -> str:
        return f"{len(caught(self.report, test, n, 'caught', alpha))} of {len(names(self.report, 'caught', n))}"

    def both(self, test: str, alpha: float | None = None) -> str:
        return f"{self.score(test, self.few, alpha)} at n = {self.few:,} and {self.score(test, self.many, alpha)} at {self.many:,}"

    def refused(self, test: str, n: int) -> str:
        return "{} of {}".format(*alarms(self.report, test, n))

    def beyond_by(self, tests: Sequence[str]) -> int:
        return len({name for test in tests for name in caught(self.report, test, self.many, "beyond")})

    def seconds(self, test: str) -> str:
        return f"{seconds(self.report, test, self.many):.2g}"


def wrapped(text: str) -> str:
    """Fill paragraphs and list items to the width of the other pages; tables, headings and pictures stay as they are."""

    def filled(item: str) -> str:
        indent = "  " if item.startswith("- ") else ""
        return textwrap.fill(" ".join(item.split()), 130, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

    blocks = [
        block if block.startswith(("|", "#", "!")) else "\n".join(filled(item) for item in re.split(r"\n(?=- )", block))
        for block in text.strip().split("\n\n")
    ]
    return "\n\n".join(blocks) + "\n"


def without(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of the first that are not among the others, in their order."""
    left_out = set(others)
    return [name for name in some if name not in left_out]


def listed(found: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    items = [f"`{name}`" for name in found]
    if len(items) > 1:
        return f"{', '.join(items[:-1])} and {items[-1]}"
    return items[0] if items else "none"
