"""How speculative samplers go wrong: each fault is a right sampler with one function replaced, for torch and JAX at once.

A certificate is worth what it would have caught, so these are samplers that a battery must refute. Next to them stand samplers
that look wrong and are right: a judge that refutes one of those is itself refuted. Listing them imports neither torch nor JAX.

To add a fault, write a file with its row and its function (``coupling.py`` shows how) and name the file in ``FILES``. Which tests
must see it is not said here but by the judge, in ``exactness/controls/expected.py``. Verifiers of tokens are another kind of
sampler, and their faults are rows of another class, in the folder :mod:`.tokens`.

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

from .base import AnyFault, Backend, BackendName, Fault

__all__ = ["FAULTS", "FILES", "STANDARD", "AnyFault", "Backend", "Fault", "build", "fault", "faults_of", "of_family"]

FILES = (
    "coupling",
    "acceptance",
    "block",
    "bookkeeping",
    "randomness",
    "whole_law",
    "right",
    "tokens",
)
"""The files of this folder that define faults. A folder names its own ``FILES``."""


def faults_of(files: Iterable[str], package: str = __name__) -> tuple[AnyFault, ...]:
    """The faults that these files define, in the order of the files and of their rows."""
    found: list[AnyFault] = []
    for file in files:
        module = importlib.import_module(f"{package}.{file}")
        if hasattr(module, "FILES"):
            found += faults_of(module.FILES, module.__name__)
        else:
            # A fault that a file imports from another is that file's.
            found += [f for f in vars(module).values() if isinstance(f, AnyFault) and f not in found]
    return tuple(found)


FAULTS: tuple[AnyFault, ...] = faults_of(FILES)


def of_family(family: str) -> tuple[AnyFault, ...]:
    """The faults whose samplers belong to this family, such as ``chains`` or ``tokens``."""
    return tuple(f for f in FAULTS if f.family == family)


STANDARD: tuple[str, ...] = tuple(f.name for f in of_family("chains") if f.standard)
"""A handful of each group, most of them seen in the first stage: these are judged next to a chain of the user's own."""


def fault(name: str) -> Fault:
    """The fault of this name that replaces a part of a sampler. Raises ``KeyError`` for an unknown one."""
    return {f.name: f for f in FAULTS if isinstance(f, Fault)}[name]


def build(name: str, process: Any, backend: BackendName) -> Any:
    """The sampler of ``process`` with the fault ``name``. ``process`` is a ``Process`` of that backend.

    Raises ``KeyError`` for an unknown fault, ``ValueError`` for an unknown backend and ``ModuleNotFoundError`` where its library
    is not installed.
    """
    return fault(name).build(process, backend)
