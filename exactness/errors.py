"""Every error says what to do about it."""

from __future__ import annotations


class ExactnessError(Exception):
    """Base of the errors this package raises on purpose."""


class BadInput(ExactnessError, ValueError):
    """A law, plan, claim or file that cannot be used as it is. Raised before anything is sampled."""


class InvalidSample(ExactnessError):
    """The sampler's output cannot be judged: it becomes the verdict ``INVALID``, never an exception of ``certify``."""
