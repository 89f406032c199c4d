"""Would it notice? The catalogue of wrong samplers, what each battery makes of them, and those of them on a law of one's own."""

from .matrix import Matrix, Record
from .run import run_faults

__all__ = ["Matrix", "Record", "run_faults"]
