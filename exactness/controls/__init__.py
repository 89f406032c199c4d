"""Judges the catalogue's faults test by test, to see which tests find which fault."""

from .matrix import Matrix, Record

__all__ = ["Matrix", "Record"]
