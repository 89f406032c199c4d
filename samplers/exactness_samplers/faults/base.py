"""A fault is a row that describes it, and the one function that it puts in place of a right one.

The function is written once for torch and JAX. Its first argument is a :class:`Backend`, which holds the array namespace and the
samplers of the library that is asked for; nothing is imported before that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args, runtime_checkable

Array = Any
"""A torch tensor or a JAX array."""
Masses = Callable[[Array], Array]
"""What a verifier asks for the masses of residuals, see :mod:`exactness_samplers.torch.verification`."""
BackendName = Literal["torch", "jax"]
Group = Literal["coupling", "acceptance", "block", "bookkeeping", "randomness", "whole law", "right"]
Expected = Literal["caught", "beyond", "exact"]
Replaces = Literal[
    "rejection", "verifier",
    "block.weights", "block.thresholds", "block.length", "block.weight",
    "round.source", "round.draw", "round.conditioned", "round.step", "round.target_means", "round.masses", "round.verify",
    "round.emit",
    "process", "sampler",
]  # fmt: skip

AFTER_REJECTION = "the step after a rejection"
IN_BLOCK = "steps after a rejection late in a block"
DRAFTED = "every drafted step"
ALL = "every step"


@dataclass(frozen=True)
class Backend:
    """The samplers of ``exactness_samplers.<name>`` and the arrays that they compute with.

    Making one imports the library. Raises ``ModuleNotFoundError`` where it is missing and ``ValueError`` for another name.
    """

    name: BackendName

    def __post_init__(self) -> None:
        if self.name not in get_args(BackendName):
            raise ValueError(f"backend must be {' or '.join(get_args(BackendName))}, not {self.name!r}")
        importlib.import_module(self.name)

    @property
    def own(self) -> Any:
        """The parts that differ between the libraries: :mod:`._torch` or :mod:`._jax`, which define the same names."""
        return importlib.import_module(f"{__package__}._{self.name}")

    @property
    def xp(self) -> Any:
        """The array namespace, with the names of the array API standard."""
        return self.own.xp

    @property
    def drafters(self) -> Any:
        return self._part("drafters")

    @property
    def ensembles(self) -> Any:
        return self._part("ensembles")

    @property
    def gibbs(self) -> Any:
        return self._part("gibbs")

    @property
    def kernels(self) -> Any:
        return self._part("kernels")

    @property
    def markov(self) -> Any:
        return self._part("markov")

    @property
    def markov_couplings(self) -> Any:
        return self._part("markov_couplings")

    @property
    def rejections(self) -> Any:
        return self._part("rejections")

    @property
    def slices(self) -> Any:
        return self._part("slices")

    @property
    def speculative(self) -> Any:
        return self._part("speculative")

    @property
    def token_drafters(self) -> Any:
        return self._part("token_drafters")

    @property
    def token_sampling(self) -> Any:
        return self._part("token_sampling")

    @property
    def tempering(self) -> Any:
        return self._part("tempering")

    @property
    def token_trees(self) -> Any:
        return self._part("token_trees")

    @property
    def tokens(self) -> Any:
        return self._part("tokens")

    @property
    def trace(self) -> Any:
        return self._part("trace")

    @property
    def verification(self) -> Any:
        return self._part("verification")

    def arange(self, count: int, like: Array) -> Array:
        """The integers from 0 to ``count`` - 1, on the device of ``like``."""
        return self.own.arange(count, like)

    def _part(self, module: str) -> Any:
        return importlib.import_module(f"{__package__.rpartition('.')[0]}.{self.name}.{module}")


@dataclass(frozen=True)
class Bound:
    """A fault's function together with the backend that it computes in: it is called as the right function is."""

    of: Backend
    function: Callable[..., Any]
    name: str

    def __call__(self, *arguments: Any) -> Any:
        return self.function(self.of, *arguments)


@runtime_checkable
class AnyFault(Protocol):
    """What the judge of controls knows of a fault, whatever kind of sampler it spoils; see :class:`Fault` for the attributes."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def touches(self) -> str: ...
    @property
    def instead(self) -> Callable[..., Any]: ...
    @property
    def seen(self) -> tuple[str, ...]: ...
    @property
    def expected(self) -> Expected: ...
    @property
    def exact(self) -> bool: ...
    @property
    def standard(self) -> bool: ...
    @property
    def family(self) -> str: ...


@dataclass(frozen=True)
class Fault:
    """One way of being wrong, or of only looking so.

    Attributes:
        name: unique, in lower case with hyphens.
        group: the part of a sampler that it belongs to, or ``right``.
        what: what is wrong with it, or why it only looks wrong; one sentence.
        touches: the steps whose law it changes.
        replaces: which function it replaces. ``rejection``, ``verifier``: that part of the sampler. ``block.<part>``: a part of
            ``Block``. ``round.<part>``: a part of ``Round``. ``process`` takes the right process and returns a wrong one;
            ``sampler`` takes the right sampler and returns anything that runs like one.
        spoils: makes the right sampler that is spoiled, ``(backend, process) -> sampler``: one in which the fault shows.
        instead: the replaced function. It takes a :class:`Backend`, then what the right function takes.
        seen: public threads and papers that tell of it.
        expected: ``caught``; ``beyond``, if it is too small for any test to see at the usual budget; or ``exact``.
        least_dim: in fewer dimensions than this it is not wrong.
        labelled: whether it needs a process with a condition.
        family: whose samplers it spoils; the judge takes a law of that family.
        standard: whether it is judged next to a law of the user's own (``controls="standard"``).

    Example:
        >>> from exactness_samplers.faults import fault
        >>> fault("accept-always").what
        'Every drafted step is accepted.'
    """

    name: str
    group: Group
    what: str
    touches: str
    replaces: Replaces
    spoils: Callable[[Backend, Any], Any]
    instead: Callable[..., Any]
    seen: tuple[str, ...] = ()
    expected: Expected = "caught"
    least_dim: int = 1
    labelled: bool = False
    standard: bool = False
    family: str = "chains"

    @property
    def exact(self) -> bool:
        return self.expected == "exact"

    def build(self, process: Any, backend: BackendName) -> Any:
        """The wrong sampler of ``process``, which is a ``Process`` of that backend."""
        of = Backend(backend)
        if self.replaces == "process":
            # What is drafted follows the wrong schedule as well.
            return self.spoils(of, self.instead(of, process))
        return self.spoil(self.spoils(of, process), backend)

    def spoil(self, right: Any, backend: BackendName) -> Any:
        """The right sampler ``right`` with this fault."""
        of, part = Backend(backend), self.part(backend)
        whole, _, piece = self.replaces.partition(".")
        if whole == "sampler":
            return part(right)
        if whole == "process":
            return replace(right, process=part(right.process))
        if whole == "block":
            return replace(right, verifier=of.verification.Block(**{piece: part}))
        if whole == "round":
            return replace(right, round=of.speculative.Round(**{piece: part}))
        return replace(right, **{whole: part})

    def part(self, backend: BackendName) -> Bound:
        """The replaced function by itself, to be called as the right one is."""
        return Bound(Backend(backend), self.instead, self.name)


def row(name: str, group: Group, what: str, **columns: Any) -> Callable[[Callable[..., Any]], Fault]:
    """Turns the function below it into a :class:`Fault`; ``columns`` are the other attributes, by name."""
    return lambda instead: Fault(name, group, what, instead=instead, **columns)
