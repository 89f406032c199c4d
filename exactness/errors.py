"""The errors of this package. The text of each error says what to do about it."""

from __future__ import annotations


class ExactnessError(Exception):
    """The base class of the errors that this package raises on purpose."""


class BadInput(ExactnessError, ValueError):
    """A law, plan, claim or file cannot be used as it is. This is raised before anything is sampled."""


class InvalidSample(ExactnessError):
    """The output of the sampler cannot be judged. ``certify`` turns this into the verdict ``INVALID`` and never raises it."""
