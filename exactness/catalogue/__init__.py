"""The built-in claims: every exact combination on every law, the plain sampler, and the controls that must be refuted."""

from .backends import BACKENDS
from .base import Entry, Setting, entries, find

__all__ = ["BACKENDS", "Entry", "Setting", "entries", "find"]
