"""The wrong samplers of the catalogue, and what each battery makes of them."""

from .matrix import Matrix, Record

__all__ = ["Matrix", "Record"]
