"""Faults of Markov kernels, of kernels for posteriors and of couplings: wrong ones, and some that only look wrong.

They are kept apart from the faults of chains, because they spoil another kind of sampler. Each is one pure step, written once for
torch and JAX over the reference kernels, and :meth:`KernelFault.kernel` makes of it what a claim is given:
``kernel(x, seed)``, ``kernel(theta, data, seed)`` or ``pair(x, y, seed)``.

Example:
    >>> from exactness_samplers.faults.markov import KERNEL_FAULTS, kernel_fault
    >>> kernel_fault("swap-inverted").seen_by
    'partner'
    >>> len([fault for fault in KERNEL_FAULTS if not fault.exact]) >= 30
    True
"""

from __future__ import annotations

import importlib

from .base import KernelFault
from .targets import MODEL, Regression, Target

__all__ = ["FILES", "KERNEL_FAULTS", "MODEL", "KernelFault", "Regression", "Target", "kernel_fault"]

FILES = ("metropolis", "hamiltonian", "gibbs", "slices", "ensembles", "posteriors", "couplings", "right")
"""The files of this folder that define faults."""


def _faults_of(file: str) -> list[KernelFault]:
    module = importlib.import_module(f"{__name__}.{file}")
    return [value for value in vars(module).values() if isinstance(value, KernelFault)]


KERNEL_FAULTS: tuple[KernelFault, ...] = tuple(fault for file in FILES for fault in _faults_of(file))


def kernel_fault(name: str) -> KernelFault:
    """The fault of this name. Raises ``KeyError`` for an unknown one."""
    return {fault.name: fault for fault in KERNEL_FAULTS}[name]
