"""How speculative samplers go wrong: each fault is a right sampler with one function replaced, for torch and JAX at once.

A certificate is worth what it would have caught, so these are samplers that a battery must refute. Next to them stand samplers
that look wrong and are right: a judge that refutes one of those is itself refuted. Listing them imports neither torch nor JAX.

To add a fault, write a file with its row and its function (``coupling.py`` shows how) and name the file in ``FILES``. Which tests
must see it is not said here but by the judge, in ``exactness/controls/expected.py``. Verifiers of tokens are samplers of
another kind, and their faults are in :mod:`.tokens`, with a list of their own.

Example:
    >>> from exactness_samplers.faults import FAULTS, build, fault
    >>> fault("accept-always").touches
    'every drafted step'
    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> from exactness_samplers.torch.processes import Process
    >>> process = Process(ddpm(cosine_betas(4)), lambda k, x, condition: 0.5 * x, "sample", 1)
    >>> build("accept-always", process, "torch").verifier.name
    'accept-always'
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from .base import Backend, BackendName, Fault

__all__ = ["FAULTS", "FILES", "STANDARD", "Backend", "Fault", "build", "fault", "faults_of"]

FILES = (
    "coupling",
    "acceptance",
    "block",
    "bookkeeping",
    "randomness",
    "whole_law",
    "right",
)
"""The files of this folder that define faults."""


def faults_of(files: Iterable[str]) -> tuple[Fault, ...]:
    """The faults that these files define, in the order of the files and of their rows."""
    modules = [importlib.import_module(f"{__name__}.{file}") for file in files]
    return tuple(value for module in modules for value in vars(module).values() if _of(value, module.__name__))


def _of(value: object, module: str) -> bool:
    """Whether it is a fault that this file defines; one that it imports from another is that file's."""
    return isinstance(value, Fault) and value.instead.__module__ == module


FAULTS: tuple[Fault, ...] = faults_of(FILES)

STANDARD: tuple[str, ...] = tuple(f.name for f in FAULTS if f.standard)
"""A handful of each group, most of them seen in the first stage: these are judged next to a law of the user's own."""


def fault(name: str) -> Fault:
    """The fault of this name. Raises ``KeyError`` for an unknown one."""
    return {f.name: f for f in FAULTS}[name]


def build(name: str, process: Any, backend: BackendName) -> Any:
    """The sampler of ``process`` with the fault ``name``. ``process`` is a ``Process`` of that backend.

    Raises ``KeyError`` for an unknown fault, ``ValueError`` for an unknown backend and ``ModuleNotFoundError`` where its library
    is not installed.
    """
    return fault(name).build(process, backend)
