"""Would it notice? The catalogue of wrong samplers, what each battery makes of them, and those of them on a law of one's own."""

from ..run.faults import run_faults
from .matrix import Matrix, Record

__all__ = ["Matrix", "Record", "run_faults"]
