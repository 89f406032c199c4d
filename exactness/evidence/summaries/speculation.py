"""Whether a speculative sampler speculated."""

from __future__ import annotations

from .base import Summary, Test


class Speculation(Summary):
    """Counts of the rounds of a sampler, and of those in which a draft was accepted. It tests nothing."""

    distribution = "none"

    def __init__(self) -> None:
        self.rounds, self.longer = 0, 0

    def add(self, rounds: int, longer: int) -> None:
        """Add this many rounds, of which ``longer`` emitted more than one token."""
        self.rounds += rounds
        self.longer += longer

    def merge(self, other: Speculation) -> None:
        self.rounds += other.rounds
        self.longer += other.longer

    def tests(self) -> list[Test]:
        return []

    def objection(self) -> str | None:
        if not self.rounds or self.longer:
            return None
        return (
            f"none of the {self.rounds:,} rounds that the sampler reported accepted a draft, so nothing is known about how it "
            "verifies drafts: use a draft that resembles the target"
        )
