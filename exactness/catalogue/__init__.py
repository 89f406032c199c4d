"""The built-in claims: every exact combination on every law, the plain sampler, and the controls that must be refuted."""

from .entries import Entry, Setting, entries, find

__all__ = ["Entry", "Setting", "entries", "find"]
