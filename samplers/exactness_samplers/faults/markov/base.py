"""A fault of Markov kernels: the row that describes it, and the one step that it makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from ..base import Backend, BackendName, Bound
from .targets import MODEL, Regression, Target

Seen = Literal["paired", "partner", "joint", "transition", "margin", "convergence", "nothing"]
Kind = Literal["kernel", "joint", "pair"]


@dataclass(frozen=True)
class KernelFault:
    """One way in which a Markov kernel is wrong, or only looks so.

    Attributes:
        name: unique, in lower case with hyphens.
        what: what is wrong with it, or why it only looks wrong; one sentence.
        target: the law that it claims to keep, or the model whose posterior it claims to keep.
        instead: one step; its first argument is a :class:`Backend`. A step of a kernel takes ``x`` and the noise and returns a
            ``Move``, one of a posterior ``theta``, ``data`` and the noise, and one of a coupling ``x``, ``y`` and the noise.
        size: how many normals and uniforms a step reads per chain.
        seen_by: what must see it at ``falls_by`` draws. ``paired``: states before and after, exchanged; ``partner``: states
            after against fresh draws; ``joint``: parameters and data;
            ``transition``: the declared acceptance; ``margin``: one chain of a coupling against the kernel; ``convergence``: it
            is invariant, so only a bound on its convergence shows that it is of no use; ``nothing``: it is right.
        reversible: what the sampler that it resembles claims: reversible, reversible up to the sign of the momentum
            (``"flip"``), or neither. The claim of a wrong sampler is wrong as well.
        steps: how many steps one call makes.
        falls_by: the number of draws at which p <= 1e-6 is to be expected, in the median of ten seeds, from the features of
            ``tests/samplers/test_markov_faults.py``; None if it is right.
        margin: for a coupling, the step ``(backend, x, noise) -> Move`` that either chain must follow.
        margin_size: how much noise the margin reads.
        seen: public threads and papers that tell of it.

    Example:
        >>> from exactness_samplers.faults.markov import kernel_fault
        >>> fault = kernel_fault("jacobian-forgotten")
        >>> fault.target.name, fault.reversible
        ('the gamma law of shape 3', True)
        >>> fault.kernel("torch")(fault.target.draws(4, seed=0), seed=1).shape
        torch.Size([4, 1])
    """

    name: str
    what: str
    target: Target | Regression
    instead: Callable[..., Any]
    size: tuple[int, int]
    seen_by: Seen = "paired"
    reversible: bool | Literal["flip"] = True
    steps: int = 1
    falls_by: int | None = None
    margin: Callable[..., Any] | None = None
    margin_size: tuple[int, int] = (0, 0)
    seen: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it keeps what it claims to keep, which says nothing of whether it converges."""
        return self.seen_by in ("nothing", "convergence")

    @property
    def kind(self) -> Kind:
        """Whether it is a ``kernel(x, seed)``, a kernel of a ``joint`` law or a ``pair(x, y, seed)``."""
        names = inspect.signature(self.instead).parameters
        return "joint" if "data" in names else "pair" if "y" in names else "kernel"

    def kernel(self, backend: BackendName) -> Any:
        """The kernel, called as a right one is: ``kernel(x, seed)``, ``kernel(theta, data, seed)`` or ``pair(x, y, seed)``."""
        return _built(self, backend)

    def one_chain(self, backend: BackendName) -> Any:
        """Of a coupling, the kernel that either chain must follow. Raises ``ValueError`` for others."""
        if self.margin is None:
            raise ValueError(f"{self.name} is not a coupling")
        of = Backend(backend)
        return of.kernels.Kernel(partial(self.margin, of), lambda d: self.margin_size, self.steps)


@cache
def _built(fault: KernelFault, backend: BackendName) -> Any:
    of = Backend(backend)
    make = {"kernel": of.kernels.Kernel, "joint": of.kernels.JointKernel, "pair": of.kernels.Pair}[fault.kind]
    return make(Bound(of, fault.instead, fault.name), lambda d: fault.size, fault.steps)


def row(name: str, what: str, target: Target | Regression, size: tuple[int, int], **columns: Any) -> Callable[..., KernelFault]:
    """Turns the step below it into a :class:`KernelFault`; ``columns`` are the other attributes, by name."""
    return lambda instead: KernelFault(name, what, target, instead, size, **columns)


joint = partial(row, target=MODEL, seen_by="joint", steps=10)
"""A row about the posterior of the line, after ten steps."""
